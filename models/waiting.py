"""Waiting for another process that may take hours: it downloads, tokenizes, generates or saves.

For anything else a process waits as long as training/processes.py says. Then it ends with an error,
because the other one hangs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import cache

import torch
from accelerate import Accelerator

_PATIENCE = timedelta(hours=6)


@cache
def patient_group() -> torch.distributed.ProcessGroup:
    """Return a group of all processes in which they wait longer for each other.

    All of them must call this for the first time at the same place.
    """
    return torch.distributed.new_group(timeout=_PATIENCE)


def wait_patiently(accelerator: Accelerator) -> None:
    """Wait until all processes have come here."""
    if accelerator.num_processes > 1:
        on_gpu = accelerator.device.type != "cpu"  # a CPU process must not look for its GPU
        device_ids = [accelerator.local_process_index] if on_gpu else None
        torch.distributed.barrier(group=patient_group(), device_ids=device_ids)


@contextmanager
def first_on_each_machine(accelerator: Accelerator) -> Iterator[None]:
    """Let one process of each machine go through the with block before the others."""
    if not accelerator.is_local_main_process:
        wait_patiently(accelerator)
    yield
    if accelerator.is_local_main_process:
        wait_patiently(accelerator)
