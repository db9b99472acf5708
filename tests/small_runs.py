"""Scripts with edited constants, as a user edits them, and what their runs leave behind."""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import pytest
import torch
from accelerate.state import AcceleratorState, GradientState, PartialState
from safetensors.torch import load_file

ROOT = Path(__file__).resolve().parent.parent
SFT_MODEL = str(ROOT / "embedded" / "arithmetic-sft")


def refuse_to_load(*_: object, **__: object) -> None:
    pytest.fail("a model was loaded")


def run_out_of_memory(*_: object, **__: object) -> None:
    raise torch.OutOfMemoryError("tried to allocate")


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
    forget_accelerator()
    path = edit_script(name, folder / name, **constants)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def forget_accelerator() -> None:
    """Let the next accelerator of this process choose its device and precision anew."""
    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()


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


TINY_RUN = dict(  # of train_prime.py, for a model of tiny_models.py
    TRAIN_DATA=str(ROOT / "tests" / "chains.jsonl"),
    EVAL_DATA=None,
    PROMPTS_PER_ITERATION=4,
    MAX_RESPONSE_TOKENS=12,
    ACCURACY_LOW=0.0,
    ACCURACY_HIGH=1.0,
    MICRO_BATCH_TOKENS=150,
    POLICY_LR=1e-3,
    PRM_LR=1e-2,
    POLICY_WARMUP_STEPS=1,
    PRM_WARMUP_STEPS=1,
    PRM_OPTIMIZER_STEPS=2,
    NUM_ITERATIONS=3,
    SAVE_EVERY=100,
    EVAL_EVERY=100,
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


def run_here(tmp_path: Path, **constants) -> Path:
    """Run main() with edited constants in this process; return the run's folder."""
    settings = {**SMALL_RUN, "OUTPUT_DIR": str(tmp_path / "runs"), **constants}
    load_script("train_prime.py", tmp_path, **settings).main()
    return tmp_path / "runs" / settings["RUN_NAME"]


def copy_model(folder: Path, **changes) -> str:
    """Copy the embedded model with other values in its tokenizer_config.json; None deletes one."""
    shutil.copytree(SFT_MODEL, folder)
    path = folder / "tokenizer_config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))
    return str(folder)
