"""Crash-safe checkpoints and model folders: written beside the target, then renamed.

After a kill at any time, the last complete one is still there.
"""

import json
import os
import shutil
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor, nn
from torch.distributed import checkpoint as distributed_checkpoint
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from checks.files import writing
from models import sharding
from models.trainee import Trainee
from models.waiting import patient_group, wait_patiently

# torch says this at every save of a process that runs alone.
warnings.filterwarnings("ignore", "torch.distributed is disabled, unavailable or uninitialized")

_LOOP_STATE = "loop_state.json"
_TRAINED = StateDictOptions(ignore_frozen_params=True)


def save_checkpoint(
    accelerator: Accelerator,
    folder: Path,
    iteration: int,
    trainees: Sequence[Trainee],
    loop_state: dict,
) -> None:
    """Save everything needed to go on after an iteration, then delete the previous checkpoint.

    Models and optimizers go through torch's distributed checkpoint: every process writes its part,
    and any number of processes can read it.

    Args:
        folder: holds one folder for each checkpoint, named by its iteration.
        loop_state: JSON values of the loop: position in the data, surplus, ...

    Raises:
        UserError: the disk is full or not writable. The last checkpoint is untouched.
    """
    target = folder / f"{iteration:06d}"
    schedules = {trainee.name: trainee.scheduler.state_dict() for trainee in trainees}
    state = _read_state(accelerator, trainees, schedules)

    def write(temporary: Path) -> None:
        group = patient_group() if accelerator.num_processes > 1 else None
        distributed_checkpoint.save(state, checkpoint_id=str(temporary), process_group=group)
        if accelerator.is_main_process:
            content = {**loop_state, "schedules": schedules}
            (temporary / _LOOP_STATE).write_text(json.dumps(content))

    _write_beside(accelerator, target, write)
    if accelerator.is_main_process:
        for old in folder.glob("[0-9]*"):
            if old != target:
                shutil.rmtree(old)
    wait_patiently(accelerator)


def find_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint, or None."""
    # A name with .tmp or .old has more than digits.
    complete = [path for path in folder.glob("*") if path.name.isdigit()]
    return max(complete, default=None, key=lambda path: int(path.name))


def load_trainee(accelerator: Accelerator, checkpoint: Path, trainee: Trainee) -> None:
    """Restore a model, its optimizer and its schedule as they were saved.

    The model must already be on the device that it trains on: the optimizer's state goes there.
    """
    schedules = read_loop_state(checkpoint)["schedules"]
    state = _read_state(accelerator, [trainee], schedules)
    distributed_checkpoint.load(state, checkpoint_id=str(checkpoint))  # into the model itself
    trainee.scheduler.load_state_dict(schedules[trainee.name])
    if "optimizer" in state[trainee.name]:
        own = state[trainee.name]["optimizer"]
        set_optimizer_state_dict(trainee.module, trainee.optimizer, own, options=_TRAINED)


def read_loop_state(checkpoint: Path) -> dict:
    """Return the loop_state that a checkpoint was saved with."""
    return json.loads((checkpoint / _LOOP_STATE).read_text())


def _read_state(
    accelerator: Accelerator, trainees: Sequence[Trainee], schedules: dict[str, dict]
) -> dict:
    """Return weights and optimizer states by trainee. An optimizer that never stepped has none.

    Args:
        schedules: state of each trainee's schedule, which counts the steps.
    """
    state = {}
    for trainee in trainees:
        activate(accelerator, trainee.module)
        weights = get_model_state_dict(trainee.module, options=_TRAINED)
        tied = _list_tied(accelerator.unwrap_model(trainee.module))
        once = {name: value for name, value in weights.items() if name not in tied}
        state[trainee.name] = {"model": once}
        if schedules[trainee.name]["last_epoch"] > 0:  # torch creates missing state by a step
            own = get_optimizer_state_dict(trainee.module, trainee.optimizer, options=_TRAINED)
            state[trainee.name]["optimizer"] = own
    return state


def _list_tied(module: nn.Module) -> set[str]:
    """Return the second names of weights: of an output layer that is tied to the embedding."""
    return {name for name, _ in module.named_parameters(remove_duplicate=False)} - {
        name for name, _ in module.named_parameters()
    }


def activate(accelerator: Accelerator, module: nn.Module) -> None:
    """Let a shared model compute as this module's role."""
    accelerator.unwrap_model(module).activate()


def export_model(
    accelerator: Accelerator,
    module: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    config_extras: dict | None = None,
    write_card: Callable[[Path], None] = lambda folder: None,
) -> None:
    """Write an ordinary Hugging Face folder: weights, config, generation config, tokenizer.

    For a model with adapters, the folder holds this role's adapter alone.

    Args:
        module: a ResponseLogprobs, wrapped or not.
        config_extras: entries to add to config.json.
        write_card: writes the model's card into the folder.
    """
    activate(accelerator, module)
    own = accelerator.unwrap_model(module)
    model = own.model
    weights = _gather_weights(accelerator, model) if own.is_sharded else None

    def write(temporary: Path) -> None:
        if accelerator.is_main_process:
            model.config.update(config_extras or {})
            own.save(temporary, weights)
            tokenizer.save_pretrained(temporary)
            write_card(temporary)

    _write_beside(accelerator, folder, write)


def _gather_weights(accelerator: Accelerator, model: PreTrainedModel) -> dict[str, Tensor]:
    """Return a sharded model's weights in host memory, tied ones once, on the main process."""
    once = {name for name, _ in model.named_parameters()}
    tied = {name for name, _ in model.named_parameters(remove_duplicate=False)} - once
    weights = {}
    for name, values in model.state_dict().items():
        if name not in tied:
            gathered = sharding.whole(values)  # every process takes part
            if accelerator.is_main_process:
                weights[name] = gathered.cpu()
    return weights


def export_merged(
    accelerator: Accelerator,
    merge: Callable[[Path, Path, dict], None],
    adapter: Path,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    config_extras: dict,
    write_card: Callable[[Path], None],
) -> None:
    """Merge an exported adapter into its model and write one ordinary Hugging Face folder.

    Args:
        merge: merge_adapter, or merge_value_adapter.
    """

    def write(temporary: Path) -> None:
        if accelerator.is_main_process:
            merge(adapter, temporary, config_extras)
            tokenizer.save_pretrained(temporary)
            write_card(temporary)

    _write_beside(accelerator, folder, write)


def _write_beside(accelerator: Accelerator, target: Path, write: Callable[[Path], None]) -> None:
    """Let write() fill a temporary folder, then rename that to target."""
    temporary = target.with_name(target.name + ".tmp")
    if accelerator.is_main_process:
        with writing(target):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
    wait_patiently(accelerator)
    with writing(target):
        write(temporary)
    wait_patiently(accelerator)
    if accelerator.is_main_process:
        with writing(target):
            _flush_to_disk(temporary)
            _replace_folder(temporary, target)
    wait_patiently(accelerator)


def _replace_folder(new: Path, target: Path) -> None:
    """Rename new to target. An older target stays beside it, as .old, until that is done."""
    old = target.with_name(target.name + ".old")
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        os.rename(target, old)
    os.rename(new, target)
    shutil.rmtree(old, ignore_errors=True)


def _flush_to_disk(folder: Path) -> None:
    """Write a folder's files through to disk, before a rename says that they are complete."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
