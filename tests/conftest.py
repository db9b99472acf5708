"""What the tests share: a script with edited constants, as a user edits them, and tiny models."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the libraries read it: no test asks a hub

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedTokenizerFast

ROOT = Path(__file__).resolve().parent.parent
SFT_MODEL = str(ROOT / "models" / "arithmetic-sft")

torch.set_num_threads(1)


def edit_script(name: str, target: Path, **constants) -> Path:
    """Write a copy of a script with other values for some constants at its top."""
    text = (ROOT / name).read_text()
    for constant, value in constants.items():
        text, count = re.subn(
            rf"(?m)^{constant} = .*$", lambda _, c=constant, v=value: f"{c} = {v!r}", text, count=1
        )
        assert count == 1, f"{name} has no constant {constant}"
    target.write_text(text)
    return target


def load_script(name: str, folder: Path, **constants) -> ModuleType:
    """Import an edited copy of a script, to call its main() in this process."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    path = edit_script(name, folder / name, **constants)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


SMALL_RUN = dict(  # of train_prime.py: seconds on a CPU, every phase
    MODEL=SFT_MODEL,
    TRAIN_DATA=str(ROOT / "tests" / "chains.jsonl"),
    PROMPTS_PER_ITERATION=4,
    SAMPLES_PER_PROMPT=4,
    PRM_OPTIMIZER_STEPS=1,
    WHITEN=True,
    MAX_RESPONSE_TOKENS=48,
    ACCURACY_LOW=0.0,
    ACCURACY_HIGH=1.0,
    ROLLOUT_TOKENS=4096,
    VERIFIER_WORKERS=1,
    MICRO_BATCH_TOKENS=512,
    EVAL_PROMPTS=8,
    NUM_ITERATIONS=2,
    RUN_NAME="run",
    CPU_THREADS=1,
)


def launch(
    script: Path, environment: dict, *options: str, arguments: Sequence[str] = ()
) -> subprocess.Popen:
    """Start a script under accelerate launch, in a process group of its own."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch"]
    return subprocess.Popen(
        [*launcher, *options, str(script), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def options_for(processes: int) -> list[str]:
    """Return the options of accelerate launch for so many processes without GPU."""
    several = ["--multi_gpu"] if processes > 1 else []
    one_machine = ["--num_machines", "1", "--main_process_port", "0"]
    return [*several, "--num_processes", str(processes), *one_machine]


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def read_metrics(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def without_seconds(metrics: list[dict]) -> list[dict]:
    return [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in metrics]


def read_responses(folder: Path, iteration: int) -> list[str]:
    lines = (folder / "rollouts" / f"{iteration:06d}.jsonl").read_text().splitlines()
    return [json.loads(line)["response"] for line in lines]


@pytest.fixture(scope="session")
def byte_model(tmp_path_factory) -> str:
    """A folder of a tiny untrained model whose tokenizer knows every text, byte by byte."""
    folder = str(tmp_path_factory.mktemp("byte-model"))
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = {word: number for number, word in enumerate([*alphabet, "<end>"])}
    tokenizer = Tokenizer(models.BPE(words, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>").save_pretrained(folder)
    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    ends = dict(bos_token_id=None, eos_token_id=words["<end>"])
    config = LlamaConfig(vocab_size=len(words), max_position_embeddings=4096, **sizes, **ends)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture
def script_environment() -> dict[str, str]:
    """Environment for a script in a process of its own, run from a folder of its own."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "ACCELERATE_USE_CPU": "true"}
