"""Folders and files: checks of disk space, a lock for one run, writes that survive a kill."""

import fcntl
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path

from safetensors import SafetensorError
from torch.distributed.checkpoint.api import CheckpointException

from checks.errors import UserError

_BYTES_TRAINED = 12  # per parameter in a checkpoint: float32 weight and AdamW's two moments
_BYTES_EXPORTED = 4  # per parameter in an exported folder: float32 weight
_LOCK = ".lock"


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a kill leaves either the old or the new content."""
    temporary = path.with_name(path.name + ".tmp")
    with writing(path):
        temporary.write_text(text)
        temporary.replace(path)


@contextmanager
def writing(target: Path) -> Iterator[None]:
    """Turn a library's error on a full or broken disk into one UserError that names target."""
    try:
        yield
    except (OSError, SafetensorError, CheckpointException) as error:
        failures = getattr(error, "failures", None)  # by process, of a distributed checkpoint
        reason = next(iter(failures.values()))[0] if failures else error
        raise UserError(
            f"Could not write {target}: {reason}. What was saved before is untouched. Make room "
            "on the disk and start again."
        ) from error


def check_folder(
    folder: Path,
    constant: str,
    trained: Sequence[int] = (),
    exported: Sequence[int] = (),
) -> None:
    """Make the folder; raise UserError if it cannot be written or its disk is too full.

    Args:
        constant: name of the constant that sets the folder, for messages.
        trained: parameters of each model in a checkpoint. The disk must hold two checkpoints: a
            new one is written before the old one is deleted.
        exported: the same of exported models. The disk must hold each twice, for the same reason.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{uuid.uuid4().hex}"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()
    except OSError as error:
        raise UserError(
            f"{constant}: cannot write to {folder}: {error}. Name another folder."
        ) from error
    needed = 2 * (sum(trained) * _BYTES_TRAINED + sum(exported) * _BYTES_EXPORTED)
    weights = [path for path in folder.rglob("*") if path.suffix in (".safetensors", ".distcp")]
    already_there = sum(path.stat().st_size for path in weights)
    free = shutil.disk_usage(folder).free + already_there
    if free < needed:
        raise UserError(
            f"{constant}: the disk of {folder} has {free / 2**30:.1f} GiB free, but checkpoints "
            f"and models need up to {needed / 2**30:.1f} GiB. Free some space, or set {constant} "
            "to a folder on another disk."
        )


def lock_folder(folder: Path) -> TextIOWrapper:
    """Return an open file that keeps other runs out of the folder until this process ends.

    Raises:
        UserError: another run uses the folder.
    """
    file = (folder / _LOCK).open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise UserError(f"Another process is running in {folder}: stop that one first.") from error
    except OSError as error:
        raise UserError(
            f"{folder} cannot be locked: {error}. Use a folder on a file system that has locks."
        ) from error
    return file


def mark_folder(lock: TextIOWrapper) -> str:
    """Write a unique mark into the lock file of a folder and return it, for check_shared()."""
    mark = uuid.uuid4().hex
    lock.write(mark)
    lock.flush()
    os.fsync(lock.fileno())
    return mark


def check_shared(folder: Path, mark: str) -> None:
    """Raise UserError if this process does not see the folder that the main process marked.

    The main process must not call this: opening the file again and closing it loses its lock.
    """
    path = folder / _LOCK
    if not path.exists() or path.read_text() != mark:
        raise UserError(
            f"The folder {folder} of the main process cannot be seen on {os.uname().nodename}: "
            "all machines of a run need one folder that they share."
        )


def make_file_name(name: str) -> str:
    """Return the name of a model or benchmark as a file name that any file system accepts."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "_"
