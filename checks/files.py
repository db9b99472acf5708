"""Folders and files: can they be written, whose are they, and writing that survives a kill."""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException

from checks.errors import UserError

_BYTES_TRAINED = 12  # a parameter in a checkpoint: float32 weight and AdamW's two moments
_BYTES_EXPORTED = 4  # a parameter in an exported folder: float32 weight
_LOCK = ".lock"


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a kill leaves either the old or the new content."""
    temporary = path.with_name(path.name + ".tmp")
    with writing(path):
        temporary.write_text(text)
        temporary.replace(path)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn what the libraries raise on a full or broken disk into one message that names target."""
    try:
        yield
    except (OSError, SafetensorError, CheckpointException) as error:
        failures = getattr(error, "failures", None)  # of a distributed checkpoint, by process
        reason = next(iter(failures.values()))[0] if failures else error
        raise UserError(
            f"Could not write {target}: {reason}. What was saved before is untouched: make room "
            "and start again."
        ) from error


def check_folder(
    folder: Path,
    constant: str,
    num_parameters: int = 0,
    *,
    num_trained: int = 0,
    num_exported: int = 0,
) -> None:
    """Make the folder and raise UserError if it cannot be written or its disk is too full.

    Args:
        num_parameters: of a model.
        num_trained: models in a checkpoint, of which two fit: a new one is written before the old
            one goes.
        num_exported: exported model folders, of each of which two fit for the same reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{uuid.uuid4().hex}"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()
    except OSError as error:
        raise UserError(f"{constant}: cannot write to {folder}: {error}.") from error
    bytes_each = num_trained * _BYTES_TRAINED + num_exported * _BYTES_EXPORTED
    needed = 2 * num_parameters * bytes_each
    weights = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".distcp")]
    already_there = sum(path.stat().st_size for path in weights)
    free = shutil.disk_usage(folder).free + already_there
    if free < needed:
        raise UserError(
            f"{constant}: the disk of {folder} has {free / 2**30:.1f} GiB free; checkpoints and "
            f"models take up to {needed / 2**30:.1f} GiB. Free some, or set {constant} elsewhere."
        )


def lock_folder(folder: Path) -> TextIOWrapper:
    """Return an open file that keeps other runs out of the folder until this process ends.

    Raises:
        UserError: another run is in it.
    """
    file = (folder / _LOCK).open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(f"Another process is running in {folder}: stop it first.") from error
    return file


def mark_folder(lock: TextIOWrapper) -> str:
    """Write into a lock what tells its folder from any other, and return it."""
    mark = uuid.uuid4().hex
    lock.write(mark)
    lock.flush()
    os.fsync(lock.fileno())
    return mark


def check_shared(folder: Path, mark: str) -> None:
    """Raise UserError where the folder that the main process marked is another one here.

    Not to be called by the main process: whoever opens a file again and closes it loses its lock.
    """
    path = folder / _LOCK
    if not path.exists() or path.read_text() != mark:
        raise UserError(
            f"OUTPUT_DIR: {folder} of the main process cannot be seen on {os.uname().nodename}: "
            "all machines of a run need one folder that they share."
        )


def make_file_name(name: str) -> str:
    """Return a name of a model or benchmark as one that any file system takes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "_"
