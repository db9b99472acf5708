"""Measures the memory of a process against the estimate: `python benchmarks/fitting.py`.

A row is a run of train_prime.py on a random model, on processes without GPU. It shows the peak
resident memory of a process from the first iteration on, and the estimate made before. The first
rows shard a model of 0.3 B parameters over 1, 2 and 4 processes. The others train it, or a smaller
one, whole or with adapters. This needs 20 GiB. The C library returns freed memory to the system;
with `--retain` it keeps some of it. A GPU adds one row, measured by torch's allocator.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, LlamaConfig

ROOT = Path(__file__).resolve().parent.parent
GIB = 2**30
WIDTHS = {"0.3 B": (1024, 18), "0.1 B": (640, 12), "1.5 B": (1536, 48)}  # hidden width, layers
SETTINGS = dict(
    TRAIN_DATA=str(ROOT / "tests" / "chains.jsonl"),
    EVAL_DATA=None,
    PROMPTS_PER_ITERATION=4,
    PRM_OPTIMIZER_STEPS=1,
    MAX_PROMPT_TOKENS=64,
    MAX_RESPONSE_TOKENS=32,
    ACCURACY_LOW=0.0,
    MICRO_BATCH_TOKENS=256,
    ROLLOUT_TOKENS=1024,
    NUM_ITERATIONS=2,
    VERIFIER_WORKERS=1,
    CPU_THREADS=1,
)
VALUE = dict(ADVANTAGE_ESTIMATOR="gae", VALUE="head")
RUNS = {
    "0.3 B sharded, 1 process": ("0.3 B", 1, dict(SHARD=True)),
    "0.3 B sharded, 2 processes": ("0.3 B", 2, dict(SHARD=True)),
    "0.3 B sharded, 4 processes": ("0.3 B", 4, dict(SHARD=True)),
    "0.3 B whole": ("0.3 B", 1, {}),
    "0.3 B, adapters of rank 16": ("0.3 B", 1, dict(LORA_RANK=16)),
    "0.1 B whole, 2 processes": ("0.1 B", 2, {}),
    "0.1 B whole, value model": ("0.1 B", 1, VALUE),
    "0.1 B sharded, value model, 2": ("0.1 B", 2, dict(**VALUE, SHARD=True)),
    "0.1 B, adapters, value model": ("0.1 B", 1, dict(**VALUE, LORA_RANK=16)),
    "0.1 B whole, bfloat16 copy": ("0.1 B", 1, dict(ROLLOUT_DTYPE="bfloat16")),
}


GPU_RUNS = {
    "1.5 B, adapters, on a GPU": (
        "1.5 B",
        1,
        dict(
            LORA_RANK=16,
            ROLLOUT_DTYPE="bfloat16",
            MIXED_PRECISION="bf16",
            GRADIENT_CHECKPOINTING=True,
            MAX_RESPONSE_TOKENS=512,
            MICRO_BATCH_TOKENS=8192,
            ROLLOUT_TOKENS=60000,
        ),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("rows", nargs="*", help="rows of the table to run, by a part of their name")
    parser.add_argument("--retain", action="store_true", help="let the C library keep freed memory")
    arguments = parser.parse_args()
    wanted = arguments.rows
    environment = dict(os.environ)
    if not arguments.retain:
        environment["MALLOC_MMAP_THRESHOLD_"] = str(
            2**18
        )  # bytes; larger pieces go back when freed
    print(f"{'GiB a process':>30}{'loaded':>9}{'peak':>9}{'estimate':>10}{'ratio':>7}")
    with tempfile.TemporaryDirectory() as temporary:
        runs = RUNS | (GPU_RUNS if torch.cuda.is_available() else {})
        if wanted and not any(part in name for part in wanted for name in runs):
            sys.exit(f"No row has {' or '.join(wanted)} in its name. Rows: {'; '.join(runs)}")
        for name, (size, processes, constants) in runs.items():
            if wanted and not any(part in name for part in wanted):
                continue
            if name in RUNS:
                own = {**environment, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
            else:
                own = environment
            figures = measure(Path(temporary), size, processes, constants, own)
            loaded = max(own["loaded"] for own in figures) / GIB
            peak = max(own["peak"] for own in figures) / GIB
            parts = figures[0]["estimate"].values()
            estimate = max(sum(phase.values()) for phase in parts) / GIB
            cells = f"{loaded:9.2f}{peak:9.2f}{estimate:10.2f}{estimate / peak:7.2f}"
            print(f"{name:>30}{cells}", flush=True)


def measure(
    folder: Path, size: str, processes: int, constants: dict, environment: dict
) -> list[dict]:
    """Run train_prime.py; return the memory figures of each process."""
    model = folder / size.replace(" ", "")
    if not model.exists():
        make_model(model, *WIDTHS[size])
    figures = Path(tempfile.mkdtemp(dir=folder))
    values = {**SETTINGS, "MODEL": str(model), "OUTPUT_DIR": str(figures), **constants}
    several = ["--multi_gpu"] if processes > 1 else []
    command = [sys.executable, "-m", "accelerate.commands.launch", *several]
    command += ["--num_processes", str(processes), "--num_machines", "1"]
    command += ["--main_process_port", "0", str(ROOT / "benchmarks" / "fitting_run.py")]
    command += [str(figures), *(f"{name}={value!r}" for name, value in values.items())]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    if run.returncode:
        sys.exit(run.stdout + run.stderr)
    return [json.loads((figures / f"{rank}.json").read_text()) for rank in range(processes)]


def make_model(folder: Path, width: int, layers: int) -> None:
    """Write a model with random weights that reads the embedded task's prompts."""
    sft = ROOT / "embedded" / "arithmetic-sft"
    ends = AutoConfig.from_pretrained(sft)
    config = LlamaConfig(
        vocab_size=16384,
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=16,
        bos_token_id=None,
        eos_token_id=ends.eos_token_id,
        pad_token_id=ends.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    AutoTokenizer.from_pretrained(sft).save_pretrained(folder)


if __name__ == "__main__":
    main()
