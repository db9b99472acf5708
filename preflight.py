"""What can be known to be wrong before a model loads, each as one message naming what to change."""

import fcntl
import os
import shutil
import uuid
from io import TextIOWrapper
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

_BYTES_TRAINED = 12  # a parameter in a checkpoint: float32 weight and AdamW's two moments
_BYTES_EXPORTED = 4  # a parameter in an exported folder: float32 weight
_LOCK = ".lock"


class UserError(SystemExit):
    """A mistake of the user: the script prints its message and ends with status 1."""


def check_sandbox(fault: str, allow_unsandboxed: bool) -> None:
    """Raise UserError if there are programs to run and no sandbox to run them in.

    Args:
        fault: of Verifier.sandbox_fault: what is missing and what to enable, "" if nothing is.
    """
    if fault and not allow_unsandboxed:
        raise UserError(
            f"The prompts hold code, but generated programs cannot be run safely here: {fault} "
            'Or set ABILITIES = ("math",) to leave code out, or ALLOW_UNSANDBOXED_CODE = True '
            "to run them with your own rights on this machine."
        )


def load_config(model: str, constant: str) -> PretrainedConfig:
    """Return the configuration of a model folder or hub id, without its weights.

    Raises:
        UserError: no such folder, something missing in it, no such hub id, or no causal LM that
            transformers has the code of.
    """
    _check_path(model, constant)
    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        count_parameters(config)
        return config
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{constant} = {model!r} is no causal LM in a folder or on the hub, or the hub was not "
            f"reached: {error}"
        ) from error


def load_tokenizer(model: str, constant: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model folder or hub id.

    Raises:
        UserError: there is none, or it has no EOS token and so could never tell where to stop.
    """
    _check_path(model, constant)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{constant} = {model!r} has no tokenizer to load: {error}") from error
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{constant} = {model!r}: its tokenizer has no EOS token, so no response would ever "
            "end. Set eos_token in its tokenizer_config.json."
        )
    return tokenizer


def find_eos_token_ids(model: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return every token id that ends a response, by tokenizer and generation config.

    Chat models often stop at several ids, of which the tokenizer knows one.
    """
    ids = {tokenizer.eos_token_id}
    try:
        stops = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError:  # a folder without generation_config.json
        stops = None
    if stops is not None:
        ids.update(stops if isinstance(stops, list) else [stops])
    return sorted(ids)


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


def describe_weights(model: str) -> dict[str, list[int]]:
    """Return size and time of change (ns) of a model folder's weight files; nothing of a hub id."""
    files = [path for ending in ("safetensors", "bin") for path in Path(model).glob(f"*.{ending}")]
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(files)}


def check_length(config: PretrainedConfig, tokens: int, constants: str) -> None:
    """Raise UserError if sequences may be longer than the positions that the model knows."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions and tokens > positions:
        raise UserError(
            f"{constants} allow sequences of {tokens} tokens, but the model knows {positions} "
            "positions (max_position_embeddings in its config.json): lower them."
        )


def check_same_vocabulary(
    one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase, names: tuple[str, str]
) -> None:
    """Raise UserError if two models do not read the same token ids.

    Args:
        names: what the user calls the two models.
    """
    vocabularies = one.get_vocab(), other.get_vocab()
    if vocabularies[0] != vocabularies[1]:
        sizes = [len(vocabulary) for vocabulary in vocabularies]
        raise UserError(
            f"{names[0]} and {names[1]} have different vocabularies ({sizes[0]} and {sizes[1]} "
            "tokens): they must share one tokenizer."
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


def count_cores() -> int:
    """Return the cores that each of the script's processes on this machine may use, at least 1."""
    return max(1, len(os.sched_getaffinity(0)) // count_local_processes())


def count_local_processes() -> int:
    """Return how many processes of the script the launcher has started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))


def count_parameters(config: PretrainedConfig) -> int:
    """Return how many parameters a model of this configuration has, without making it."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config).num_parameters()


def _check_path(model: str, constant: str) -> None:
    """Tell a missing folder from a hub id before the hub is asked for something it never had."""
    path = Path(model)
    if (path / "adapter_config.json").exists() and not (path / "config.json").exists():
        raise UserError(
            f"{constant} = {model!r} holds an adapter without the model it belongs to: let its run "
            "go on with LORA_MERGE = True, which writes both as one model."
        )
    if path.is_dir() and not (path / "config.json").exists():
        raise UserError(f"{constant} = {model!r}: the folder holds no config.json.")
    if path.is_dir() and not [*path.glob("*.safetensors"), *path.glob("*.bin")]:
        raise UserError(f"{constant} = {model!r}: the folder holds no weights (*.safetensors).")
    beside_others = "/" in model and path.parent.is_dir()
    looks_local = model.startswith((".", "/", "~")) or model.count("/") > 1 or beside_others
    if looks_local and not path.is_dir():
        raise UserError(f"{constant} = {model!r}: there is no such folder.")
