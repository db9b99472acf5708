"""The mechanics of training on one or several processes, shared by the scripts.

The batch of an iteration is small next to the models, so every process holds all of it and computes
on its share of the rows; what a row yields is summed over processes, each row having one owner.

Shapes: B rows, T response tokens; b rows and t tokens of a micro-batch.
"""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from io import TextIOWrapper
from pathlib import Path

import datasets
import numpy as np
import torch
import transformers
from accelerate import Accelerator
from accelerate.utils import (
    DistributedDataParallelKwargs,
    InitProcessGroupKwargs,
    broadcast_object_list,
    gather_object,
)
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

import preflight
import rollout
import sharding
from micro_batching import plan_micro_batches
from policy import ResponseLogprobs
from preflight import UserError, count_cores
from rollout import Group, Rollouts
from verifiers import Verifier

_PATIENCE = timedelta(hours=6)  # a process waits for another, which tokenizes or saves


@dataclass(frozen=True)
class Trainee:
    """A model in training and what steps it."""

    name: str  # "policy", "PRM", "model"
    module: nn.Module  # ResponseLogprobs, as accelerate prepared it
    optimizer: torch.optim.Optimizer
    scheduler: LambdaLR
    gradient_clip: float  # largest gradient norm


def make_accelerator(
    mixed_precision: str, log_with: str | None, folder: Path, cpu_threads: int | None
) -> Accelerator:
    """Return the accelerator; without a GPU, let torch use the cores of this process.

    (accelerate launch sets OMP_NUM_THREADS to 1 where nothing else is said.)

    Raises:
        UserError: the accelerate configuration asks for an engine that shards models.
    """
    accelerator = Accelerator(
        mixed_precision=mixed_precision,
        log_with=log_with,
        project_dir=str(folder),
        kwargs_handlers=[
            InitProcessGroupKwargs(timeout=_PATIENCE),
            DistributedDataParallelKwargs(gradient_as_bucket_view=True),  # no copy of gradients
        ],
    )
    engine = accelerator.distributed_type.value
    if engine in ("FSDP", "DEEPSPEED", "MEGATRON_LM"):
        raise UserError(
            f"The accelerate configuration asks for {engine}. Models are split over processes by "
            "SHARD = True among the constants instead: run accelerate config again and choose no "
            "such engine, or pass another --config_file."
        )
    if accelerator.device.type == "cpu":
        torch.set_num_threads(cpu_threads or count_cores())
    if not accelerator.is_main_process or not sys.stderr.isatty():
        hide_library_bars()
    return accelerator


def claim_folder(
    accelerator: Accelerator, folder: Path, saved: Path | None
) -> tuple[TextIOWrapper | None, Path | None]:
    """Keep other runs out of a folder that all processes share.

    Args:
        saved: the checkpoint that this process found.

    Returns:
        an open file that locks the folder, on the main process.
        the checkpoint that the main process found: all must go on from one.

    Raises:
        UserError: another run is in it, or a process sees another folder of that name.
    """
    lock = preflight.lock_folder(folder) if accelerator.is_main_process else None
    mark = preflight.mark_folder(lock) if lock else None
    [mark, saved] = broadcast_object_list([mark, saved])
    if not lock:
        preflight.check_shared(folder, mark)
    accelerator.wait_for_everyone()
    return lock, saved


def hide_library_bars() -> None:
    """Keep the progress bars of the libraries out of log files."""
    datasets.disable_progress_bars()
    transformers.utils.logging.disable_progress_bar()


def make_trainee(
    accelerator: Accelerator,
    name: str,
    module: ResponseLogprobs,
    *,
    rate: float,
    schedule: Callable[[int], float],
    weight_decay: float,
    gradient_clip: float,
) -> Trainee:
    """Prepare a model with AdamW at rate * schedule(optimizer steps taken).

    A model that is not sharded is given to data-parallel training, whose processes hold it whole.
    """
    module.activate()  # of a model that roles share, what trains is this role's
    parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=weight_decay, fused=True)
    scheduler = LambdaLR(optimizer, schedule)
    prepared = accelerator.prepare_model(module, evaluation_mode=sharding.is_sharded(module))
    return Trainee(name, prepared, optimizer, scheduler, gradient_clip)


def linear_warmup(steps: int) -> Callable[[int], float]:
    """Return a schedule that rises to 1 over steps and stays there."""
    return lambda taken: min(1.0, (taken + 1) / (steps + 1))


def warmup_then_cosine(warmup_steps: int, all_steps: int) -> Callable[[int], float]:
    """Return a schedule that rises to 1 over warmup_steps and falls to 0 along a cosine."""
    rise = linear_warmup(warmup_steps)

    def schedule(taken: int) -> float:
        if taken < warmup_steps:
            return rise(taken)
        progress = (taken - warmup_steps) / max(1, all_steps - warmup_steps)
        return 0.5 * (1 + math.cos(math.pi * progress))

    return schedule


def micro_batches(
    accelerator: Accelerator,
    trainee: Trainee,
    rollouts: Rollouts,
    rows: Sequence[int],
    micro_batch_tokens: int,
) -> Iterator[tuple[list[int], Rollouts, float, AbstractContextManager]]:
    """Yield this process's share of one optimizer step's rows, a micro-batch at a time.

    Rows of like length go together, the longest first, so that memory is highest at the start.
    Every process gets equally many; where rows run out it gets a row with nothing to learn from.

    Yields:
        micro_rows: which rows of the batch.
        micro: those rows without superfluous padding.
        share: what a mean over micro's rows weighs in this step, times the number of processes (by
            which data-parallel gradients are divided).
        synchronise: to run the pass in; exchanges gradients in the last micro-batch alone.
    """
    trainee.module.train()
    plan = plan_micro_batches(
        rollouts,
        rows,
        micro_batch_tokens,
        find_hidden_size(accelerator, trainee.module),
        accelerator.process_index,
        accelerator.num_processes,
    )
    bar = show_progress(accelerator, plan, desc=f"train {trainee.name}")
    for number, (micro_rows, siblings) in enumerate(bar):
        micro = rollout.select_rows(rollouts, micro_rows or rows[:1], siblings)
        if not micro_rows:
            micro = replace(micro, response_mask=torch.zeros_like(micro.response_mask))
        share = len(micro_rows) / len(rows) * accelerator.num_processes
        is_last = number + 1 == len(plan)
        synchronise = nullcontext() if is_last else accelerator.no_sync(trainee.module)
        yield micro_rows or rows[:1], micro, share, synchronise


def find_hidden_size(accelerator: Accelerator, module: nn.Module) -> int:
    """Return the hidden width of the model in a ResponseLogprobs, wrapped or not."""
    return accelerator.unwrap_model(module).model.config.get_text_config().hidden_size


def take_step(trainee: Trainee) -> float:
    """Clip the gradient, step and clear it; return its norm before clipping.

    Raises:
        UserError: the norm is not finite; the weights are untouched.
    """
    parameters = trainee.module.parameters()
    norm = float(sharding.whole(clip_grad_norm_(parameters, trainee.gradient_clip)))
    if not math.isfinite(norm):
        raise UserError(
            f"The gradient of the {trainee.name} is {norm}: the step was not taken, and what was "
            "saved last is sound. Start a new run from it (MODEL = that folder) with a lower "
            "learning rate, or look for what is odd in the data."
        )
    trainee.optimizer.step()
    trainee.scheduler.step()
    trainee.optimizer.zero_grad()
    return norm


@torch.no_grad()
def compute_logprobs(
    accelerator: Accelerator,
    module: nn.Module,
    rollouts: Rollouts,
    temperature: float,
    micro_batch_tokens: int,
) -> Tensor:
    """Return log-probabilities (B, T) of the responses, 0 at padding, without gradient."""
    logprobs = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
    module = accelerator.unwrap_model(module)
    plan = plan_micro_batches(
        rollouts,
        range(len(logprobs)),
        micro_batch_tokens,
        find_hidden_size(accelerator, module),
        accelerator.process_index,
        accelerator.num_processes,
    )
    for micro_rows, siblings in plan:
        micro = rollout.select_rows(rollouts, micro_rows or [0], siblings)
        with accelerator.autocast():  # where rows ran out too: a sharded model needs all processes
            values, _ = module(*micro.model_inputs(), temperature)  # (b, t)
        if micro_rows:
            logprobs[micro_rows, : micro.response_length] = values
    return accelerator.reduce(logprobs)


def sample_groups(
    accelerator: Accelerator,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    verifier: Verifier,
    prompts: Sequence[dict],
    seeds: Sequence[int],
    **settings: object,
) -> list[Group]:
    """Let every process generate and verify its share of the prompts; return all groups on each.

    Args:
        model: one in float32 computes in the accelerator's precision, another in its own.
        settings: of rollout.sample_groups.
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
    return gather_in_order(accelerator, groups)


def gather_in_order(accelerator: Accelerator, mine: list) -> list:
    """Return on each process the items of all, of which process p of n holds every n-th from p."""
    by_rank = gather_object(mine)  # those of the first process, of the second, ...
    in_rank_order = sorted(range(len(by_rank)), key=lambda n: n % accelerator.num_processes)
    by_number = dict(zip(in_rank_order, by_rank))
    return [by_number[number] for number in range(len(by_rank))]


def derive_seed(*numbers: int) -> int:
    """Return a seed of its own for each list of numbers, such as a run's seed and an iteration."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def show_progress(accelerator: Accelerator, iterable: Sequence | None = None, **options) -> tqdm:
    """Return a progress bar that vanishes when done, on a terminal and the main process only."""
    disable = None if accelerator.is_main_process else True  # None: unless it is a terminal
    return tqdm(iterable, leave=False, delay=0.5, disable=disable, **options)
