"""The machine: its cores per process, its GPU's memory, its sandbox for generated programs."""

import math
import os
import re
from pathlib import Path

import psutil

from checks.errors import UserError

_CONTAINER = Path("/sys/fs/cgroup")  # in a container: its own control group (version 2)


def check_sandbox(fault: str, allow_unsandboxed: bool, leave_code_out: str) -> None:
    """Raise UserError if the sandbox for generated programs is missing and not waived.

    Args:
        fault: Verifier.sandbox_fault: what is missing and what to enable; "" if nothing is.
        allow_unsandboxed: the constant ALLOW_UNSANDBOXED_CODE.
        leave_code_out: what the user can change to have no code problems, as a sentence.
    """
    if fault and not allow_unsandboxed:
        raise UserError(
            "There are code problems, but this machine cannot run generated programs safely: "
            f"{fault} Or leave code out: {leave_code_out} Or set ALLOW_UNSANDBOXED_CODE = True: "
            "the programs then run with your own rights on this machine."
        )


def check_offloading(constants: dict, num_processes: int) -> None:
    """Raise UserError if OFFLOAD_MODELS would keep processes from exchanging their gradients.

    A whole model of several processes is wrapped by torch's DistributedDataParallel. Its hooks are
    lost when a parameter moves to another device, without an error. (On CPUs nothing moves, and
    offloading is of no use.)
    """
    if constants["OFFLOAD_MODELS"] and num_processes > 1 and not constants["SHARD"]:
        raise UserError(
            f"OFFLOAD_MODELS = True on {num_processes} processes needs SHARD = True: models that "
            "each process holds whole would no longer learn together."
        )


def expand_segments() -> None:
    """Let torch's first allocation on a GPU choose segments that grow.

    Micro-batches of many sizes would leave holes in others. A choice of the user's stays.
    """
    if "PYTORCH_CUDA_ALLOC_CONF" not in os.environ:  # which torch would not read beside this
        os.environ.setdefault("PYTORCH_ALLOC_CONF", "expandable_segments:True")


def count_cores() -> int:
    """Return how many cores each process of the script may use on this machine, at least 1."""
    cores = len(os.sched_getaffinity(0))
    quota, _, period = _read_limit("cpu.max").partition(" ")
    if quota.isdigit():
        cores = min(cores, math.ceil(int(quota) / int(period)))
    return max(1, cores // count_local_processes())


def find_free_memory() -> int:
    """Return the free bytes of this machine's memory, or of what its container may have."""
    free, most = psutil.virtual_memory().available, _read_limit("memory.max")
    if most.isdigit():
        used = int(_read_limit("memory.current"))
        cached = re.search(r"^inactive_file (\d+)$", _read_limit("memory.stat"), re.MULTILINE)
        free = min(free, int(most) - used + int(cached[1] if cached else 0))
    return max(0, free)


def _read_limit(name: str) -> str:
    """Return what the container's control group says; "" if it says nothing."""
    path = _CONTAINER / name
    return path.read_text().strip() if path.exists() else ""


def count_local_processes() -> int:
    """Return how many processes of the script the launcher has started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))
