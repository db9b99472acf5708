"""Runs train_prime.py on a GPU, the attention of training another one each iteration; for gpu.py.

Arguments: a folder for figures.json, then constants as for train_prime.py. Responses have lengths
that are drawn once, so every iteration has the same work.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from forced_lengths import force_lengths

import train_prime
from checks import files
from models import estimate
from reporting.run_log import PhaseTimer
from training.saving import Saver

SIDES = ("warm-up", "flat", "padded", "padded, cuDNN", "flat again")  # one an iteration
_EOS = 2
figures: dict = {"sides": {side: {} for side in SIDES}}
collect, check_run = train_prime.collect, estimate.check_run


class Timer(PhaseTimer):
    """Measures the seconds and the peak memory of the phases of one side."""

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        with super().__call__(phase):
            yield
            torch.cuda.synchronize()
        own = figures["sides"][figures["now"]].setdefault(phase, {"seconds": 0.0, "peak": 0})
        own["seconds"] += time.perf_counter() - started
        own["peak"] = max(own["peak"], torch.cuda.max_memory_allocated())


def choose_attention(run: train_prime.Run, timer: Timer, iteration: int) -> object:
    """Let the models attend as this iteration's side does; then sample as always."""
    side = figures["now"] = SIDES[iteration % len(SIDES)]
    modules = [trainee.module for trainee in run.roles.trainees] + [run.roles.reference]
    for module in filter(None, modules):
        if module.flat is not None:  # it has been tried
            module.flat = not side.startswith("padded") and figures.get("agrees", module.flat)
            figures.setdefault("agrees", module.flat)
    torch.backends.cuda.enable_cudnn_sdp("cuDNN" in side)
    return collect(run, timer, iteration)


def keep_estimate(accelerator: object, constants: dict) -> str:
    configs = estimate.load_configs(constants)
    figures["estimate"] = estimate.estimate_memory(constants, configs, 1, "cuda")
    return check_run(accelerator, constants)


if __name__ == "__main__":
    train_prime.collect, train_prime.PhaseTimer = choose_attention, Timer
    estimate.check_run = keep_estimate
    # No model of many gigabytes is written, so no disk needs room for one.
    Saver.save = lambda *_: None
    check_folder = files.check_folder
    files.check_folder = lambda folder, name, **_: check_folder(folder, name)
    generator = torch.Generator().manual_seed(0)
    longest = int(next(text for text in sys.argv if text.startswith("MAX_RESP")).split("=")[1])
    # Most responses are short and some are long, as those of models are.
    lengths = (torch.rand(100_000, generator=generator) ** 2 * (longest - 16)).long() + 16
    with force_lengths(lengths, _EOS):
        train_prime.main([*sys.argv[2:], f"NUM_ITERATIONS={len(SIDES)}"])
    Path(sys.argv[1], "figures.json").write_text(json.dumps(figures))
