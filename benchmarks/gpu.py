"""One report on a GPU, to be pasted: `python benchmarks/gpu.py [PART ...]`, 25 minutes at most.

First `pip install -r tests/requirements.txt`. What takes too long is ended, and the report says so.

    tests      the tests that need a GPU
    attention  a layer's attention in training: padded rows with cuDNN and without, flat rows
    iteration  an iteration of a random model by phase, with each attention; memory, estimate
    decoding   decoding's share of what the memory bandwidth allows
    repeats    whether a run repeats itself, as it is and with DETERMINISTIC = True
    processes  with several GPUs: runs on one and on two of them, whole, sharded, offloaded

Without PART, all of them. It writes runs/gpu.md and says what each figure decides.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch
import transformers
from gpu_attention import compare_attention
from gpu_run import SIDES
from random_qwen import SIZES, make_config
from transformers import AutoConfig, AutoModelForCausalLM

from checks import model_files

EMBEDDED = ROOT / "embedded" / "arithmetic-sft"
GIB = 2**30
_MINUTES = 24  # for all parts
_deadline = time.monotonic() + 60 * _MINUTES
_RUN = dict(
    TRAIN_DATA=str(ROOT / "tests" / "chains.jsonl"),
    EVAL_DATA=None,
    ACCURACY_LOW=0.0,
    ACCURACY_HIGH=1.0,
    RUN_NAME="run",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help="as above; none: all")
    parser.add_argument(
        "--size", choices=SIZES, help="of iteration's model; else by the GPU's memory"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/gpu.md"))
    arguments = parser.parse_args()
    parts: dict[str, Callable[[], str]] = {
        "tests": run_tests,
        "attention": compare_attention,
        "iteration": lambda: compare_iterations(size),
        "decoding": measure_decoding,
        "repeats": compare_repeats,
        "processes": compare_processes,
    }
    unknown = [name for name in arguments.parts if name not in parts]
    if unknown:
        parser.error(f"no part is called {unknown[0]!r}")
    if not torch.cuda.is_available():
        sys.exit("This machine has no GPU that torch can use.")
    torch.backends.cuda.enable_cudnn_sdp(False)  # as training/processes.py sets it
    is_large = torch.cuda.get_device_properties(0).total_memory > 64 * GIB
    size = arguments.size or ("1.5B" if is_large else "0.5B")
    report = describe_machine()
    for name in arguments.parts or parts:
        started = time.monotonic()
        try:
            text = parts[name]()
        except Exception as error:  # the other parts say something all the same
            text = f"FAILED: {type(error).__name__}: {error}"
        report += f"\n## {name}\n\n{text}\n"
        print(f"{name}: {time.monotonic() - started:.0f} s", flush=True)
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(report)
    print(f"\n{report}\nwritten to {arguments.output}")


def describe_machine() -> str:
    device = torch.cuda.get_device_properties(0)
    return (
        f"# {torch.cuda.device_count()} x {device.name}, {device.total_memory / GIB:.0f} GiB\n\n"
        f"torch {torch.__version__}, CUDA {torch.version.cuda}, cuDNN "
        f"{torch.backends.cudnn.version()}, transformers {transformers.__version__}\n"
    )


def run(command: list, **settings: object) -> str:
    """Return what a command prints; on failure, or at the deadline, its last lines say why."""
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,  # so that its children can be ended with it
        **settings,
    )
    try:
        output, _ = process.communicate(timeout=max(1, _deadline - time.monotonic()))
        failure = process.returncode
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, failure = process.communicate()[0], f"the {_MINUTES} minutes are over"
    tail = "\n".join(output.splitlines()[-25:])
    return f"FAILED ({failure}):\n{tail}" if failure else output


def fence(text: str) -> str:
    return f"```\n{text.strip()}\n```"


def run_tests() -> str:
    options = "--gpu -q -p no:xdist -o addopts=--import-mode=importlib --tb=short".split()
    tests = ["tests/test_gpu.py", "tests/generation", "tests/models/test_roles.py"]
    output = run(["-m", "pytest", *options, *tests], cwd=ROOT)
    return fence("\n".join(output.splitlines()[-40:])) + "\n\nA failure here is a defect."


def make_model(folder: Path, size: str) -> None:
    """Write a Qwen2.5 of random weights that reads the embedded task's prompts."""
    ends = AutoConfig.from_pretrained(EMBEDDED)
    own = dict(eos_token_id=ends.eos_token_id, pad_token_id=ends.pad_token_id)
    config = make_config(size, bos_token_id=None, **own)
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    model_files.load_tokenizer(str(EMBEDDED), "MODEL").save_pretrained(folder)


def compare_iterations(size: str) -> str:
    """Return tables of seconds and memory by phase, one row for each attention."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        make_model(folder / "model", size)
        torch.cuda.empty_cache()
        rows = [
            {"prompt": f"{'1+2*3-' * 30}4+{number}", "answer": "1"} for number in range(512)
        ]  # 180 tokens and more
        (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))
        constants = dict(
            _RUN,
            TRAIN_DATA=folder / "prompts.jsonl",
            MODEL=folder / "model",
            OUTPUT_DIR=folder / "runs",
            MIXED_PRECISION="bf16",
            GRADIENT_CHECKPOINTING=True,
            PROMPTS_PER_ITERATION=64,
            MAX_PROMPT_TOKENS=256,
            MAX_RESPONSE_TOKENS=512,
            ROLLOUT_TOKENS=64 * (256 + 4 * 512),  # room for all
            MICRO_BATCH_TOKENS=16_384 if size == "1.5B" else 4096,
            PRM_OPTIMIZER_STEPS=2,
            OPTIMIZER_STEPS=2,
        )
        command = [Path(__file__).with_name("gpu_run.py"), folder]
        output = run([*command, *(f"{name}={value}" for name, value in constants.items())])
        if output.startswith("FAILED"):
            return fence(output)
        figures = json.loads((folder / "figures.json").read_text())
    return format_iterations(figures, size)


def format_iterations(figures: dict, size: str) -> str:
    phases = ("seconds_generate", "seconds_prm", "seconds_policy", "seconds")
    lines = [
        f"{size}, 64 x 4 responses of 16 to 512 tokens, prompts of 180, bfloat16.",
        "",
        "| training attention | generate, s | PRM, s | policy, s | all, s | peak, GiB |",
        "|---|---|---|---|---|---|",
    ]
    for side in SIDES:
        own = figures["sides"][side]
        seconds = " | ".join(f"{own[phase]['seconds']:.1f}" for phase in phases)
        peak = max(phase["peak"] for phase in own.values()) / GIB
        lines.append(f"| {side} | {seconds} | {peak:.1f} |")
    parts = figures["estimate"]
    sums = {phase: sum(own.values()) - own["libraries"] for phase, own in parts.items()}
    flat = figures["sides"]["flat"]
    names = {"generate": "seconds_generate", "PRM": "seconds_prm", "policy": "seconds_policy"}
    lines += ["", "| memory, GiB | estimate | peak, flat | ratio |", "|---|---|---|---|"]
    for phase, name in names.items():
        peak = flat[name]["peak"]
        lines.append(
            f"| {phase} | {sums[phase] / GIB:.1f} | {peak / GIB:.1f} | {sums[phase] / peak:.2f} |"
        )
    lines += [
        "",
        "Flat must take the least time in PRM and policy. An estimate below 0.95 or above 1.3 of "
        f"its peak is wrong. The models took flat rows: {figures.get('agrees')}.",
    ]
    return "\n".join(lines)


def measure_decoding() -> str:
    output = run([Path(__file__).with_name("speed.py"), "bandwidth"])
    return fence(output) + "\n\nBelow half of the bound, the host or the kernels hold decoding up."


def compare_repeats() -> str:
    """Return whether short runs of the embedded task repeat themselves, by precision."""
    lines = ["| run | repeats itself | seconds an iteration |", "|---|---|---|"]
    for name, constants in (
        ("float32", {}),
        ("bf16", dict(MIXED_PRECISION="bf16")),
        ("bf16, DETERMINISTIC", dict(MIXED_PRECISION="bf16", DETERMINISTIC=True)),
    ):
        metrics, seconds = [], []
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                values = dict(_RUN, **constants, OUTPUT_DIR=folder, NUM_ITERATIONS=3)
                output = run(
                    [ROOT / "train_prime.py", *(f"{k}={v}" for k, v in values.items())], cwd=ROOT
                )
                if output.startswith("FAILED"):
                    return fence(output)
                text = Path(folder, "run", "metrics.jsonl").read_text()
            own = [json.loads(line) for line in text.splitlines()]
            seconds.append(own[-1]["seconds"])
            metrics.append(
                [{k: v for k, v in line.items() if not k.startswith("seconds")} for line in own]
            )
        same = "yes" if metrics[0] == metrics[1] else "no"
        lines.append(f"| {name} | {same} | {min(seconds):.2f} |")
    return "\n".join(lines) + (
        "\n\nDETERMINISTIC must say yes. Set it where a run has to repeat itself, if the seconds "
        "are worth it. Where another row says yes, it repeats itself anyway, at this size."
    )


def compare_processes() -> str:
    """Return the second iteration's metrics on one and on two GPUs, whole, sharded, offloaded."""
    if torch.cuda.device_count() < 2:
        return "One GPU: nothing to compare."
    lines = ["| run | train accuracy | PRM loss | policy gradient |", "|---|---|---|---|"]
    sharded = dict(SHARD=True)
    offloaded = dict(SHARD=True, OFFLOAD_MODELS=True, OFFLOAD_OPTIMIZERS=True)
    for processes, own in ((1, {}), (2, {}), (2, sharded), (2, offloaded)):
        several = ["--multi_gpu"] if processes > 1 else []
        options = [*several, "--num_processes", processes, "--num_machines", 1]
        with tempfile.TemporaryDirectory() as folder:
            values = dict(_RUN, OUTPUT_DIR=folder, NUM_ITERATIONS=2, **own)
            command = ["-m", "accelerate.commands.launch", *options, ROOT / "train_prime.py"]
            output = run([*command, *(f"{k}={v}" for k, v in values.items())], cwd=ROOT)
            if output.startswith("FAILED"):
                return fence(output)
            metrics = json.loads(Path(folder, "run", "metrics.jsonl").read_text().split("\n")[1])
        names = ("train_accuracy", "prm_loss", "policy_gradient_norm")
        cells = " | ".join(f"{metrics[name]:.4f}" for name in names)
        lines.append(f"| {processes} GPU(s), {', '.join(own) or 'whole'} | {cells} |")
    return "\n".join(lines) + "\n\nFloat32: the lines agree to three digits."


if __name__ == "__main__":
    main()
