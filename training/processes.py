"""One or several processes: the accelerator, the run's folder, shares of work, gathered results.

The batch of an iteration is small next to the models, so every process holds all of it. Each
process computes its own share of the rows, and results are summed over processes.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from io import TextIOWrapper
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import rollout
from checks import files
from checks.errors import UserError
from checks.machine import count_cores, expand_segments
from generation.groups import Group
from models.waiting import wait_patiently
from reporting.progress import hide_library_bars, show_progress
from verifiers import Verifier

_PATIENCE = timedelta(minutes=30)  # for how long a process waits for another


def make_accelerator(
    mixed_precision: str,
    log_with: str | None,
    folder: Path,
    cpu_threads: int | None,
    deterministic: bool = False,
) -> Accelerator:
    """Return the accelerator. Without a GPU, let torch use the cores of this process.

    (By default, accelerate launch sets OMP_NUM_THREADS to 1.)

    Args:
        deterministic: on a GPU, take operations that repeat themselves. Where torch has none, a
            forward pass warns and a backward pass ends the run.

    Raises:
        UserError: the accelerate configuration asks for FSDP, DeepSpeed or Megatron-LM.
    """
    expand_segments()
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True, warn_only=True)
    accelerator = Accelerator(
        mixed_precision=mixed_precision,
        log_with=log_with,
        project_dir=str(folder),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=_PATIENCE),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # no copy of gradients
        ],
    )
    # NCCL connects a group at its first use. That wait is bounded by the default group's patience,
    # so it is here, where nobody is busy.
    wait_patiently(accelerator)
    engine = accelerator.distributed_type.value
    if engine in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise UserError(
            f"The accelerate configuration asks for {engine}, which is not supported. Run "
            "accelerate config again without it, or pass another --config_file. To split models "
            "over processes, set the constant SHARD = True."
        )
    # With a mask, cuDNN's attention plans anew for every shape, and each micro-batch has its own.
    torch.backends.cuda.enable_cudnn_sdp(False)
    if accelerator.device.type == "cpu":
        torch.set_num_threads(cpu_threads or count_cores())
    if not accelerator.is_main_process or not sys.stderr.isatty():
        hide_library_bars()
    return accelerator


def backward(accelerator: Accelerator, loss: Tensor) -> None:
    """Add the gradient of a loss. With DETERMINISTIC, raise where torch cannot repeat it.

    Attention's own backward repeats itself only where torch is told to raise.
    """
    strictly = torch.are_deterministic_algorithms_enabled()
    if strictly:
        torch.use_deterministic_algorithms(True)
    loss.backward()  # accelerate's would divide by what its environment says
    if strictly:
        torch.use_deterministic_algorithms(True, warn_only=True)


def claim_folder(
    accelerator: Accelerator, folder: Path, saved: Path | None
) -> tuple[TextIOWrapper | None, Path | None]:
    """Keep other runs out of a folder that all processes share.

    Args:
        saved: the checkpoint that this process found.

    Returns:
        an open file that locks the folder; None except on the main process.
        the checkpoint that the main process found, from which all processes must go on.

    Raises:
        UserError: another run uses the folder, or a process sees another folder of that name.
    """
    lock = files.lock_folder(folder) if accelerator.is_main_process else None
    mark = files.mark_folder(lock) if lock else None
    [mark, saved] = broadcast_object_list([mark, saved])
    if not lock:
        files.check_shared(folder, mark)
    wait_patiently(accelerator)
    return lock, saved


def sample_groups(
    accelerator: Accelerator,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    verifier: Verifier,
    prompts: Sequence[dict],
    seeds: Sequence[int],
    **settings: object,
) -> list[Group]:
    """Generate and verify a share of the prompts on each process. Return all groups on every one.

    Args:
        model: computes in the accelerator's precision if it is float32, otherwise in its own.
        settings: passed on to rollout.sample_groups.
    """
    share = slice(accelerator.process_index, None, accelerator.num_processes)
    with accelerator.autocast() if model.dtype == torch.float32 else nullcontext():
        groups = rollout.sample_groups(
            model.eval(),
            tokenizer,
            verifier,
            prompts[share],
            seeds[share],
            progress=partial(show_progress, accelerator),
            **settings,
        )
    wait_patiently(accelerator)  # for the one with the longest responses
    return gather_in_order(accelerator, groups)


def gather_in_order(accelerator: Accelerator, mine: list) -> list:
    """Return all processes' items in order, on every process.

    Of n processes, process p holds every n-th item, from item p on.
    """
    by_rank = gather_object(mine)  # those of the first process, of the second, ...
    in_rank_order = sorted(range(len(by_rank)), key=lambda n: n % accelerator.num_processes)
    by_number = dict(zip(in_rank_order, by_rank))
    return [by_number[number] for number in range(len(by_rank))]
