"""Runs train_prime.py and writes the peak memory of each process; fitting.py starts it.

Arguments: a folder for the figures, then constants as for train_prime.py.
"""

import ctypes
import json
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from accelerate import Accelerator

import train_prime
from models import estimate
from training.saving import Saver

folder = Path(sys.argv[1])
train, check_run = train_prime.train, estimate.check_run
estimates = []


def read_bytes(name: str) -> int:
    """Return a size of this process in bytes, as the kernel reports it, such as VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def keep_estimate(accelerator: Accelerator, constants: dict) -> str:
    compute = estimate.estimate_memory
    estimate.estimate_memory = lambda *a: estimates.append(compute(*a)) or estimates[-1]
    return check_run(accelerator, constants)


def measure(run: train_prime.Run, *arguments: object) -> None:
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # return what loading has freed
    on_gpu = run.accelerator.device.type == "cuda"
    loaded = torch.cuda.memory_allocated() if on_gpu else read_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    train(run, *arguments)
    peak = torch.cuda.max_memory_allocated() if on_gpu else read_bytes("VmHWM")
    estimate = estimates[0] if estimates else {}
    if on_gpu:  # torch's allocator does not see the libraries
        estimate = {phase: {**parts, "libraries": 0} for phase, parts in estimate.items()}
    figures = {"loaded": loaded, "peak": peak, "estimate": estimate}
    (folder / f"{os.environ.get('RANK', 0)}.json").write_text(json.dumps(figures))


estimate.check_run = keep_estimate
train_prime.train = measure
Saver.save = lambda *_: None  # would write seven gigabytes
train_prime.main(sys.argv[2:])
