"""Checks of a model's folder or hub id before its weights load: configuration, tokenizer, size."""

import copy
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

from checks.errors import UserError

MOVED = {  # folders of this project that have moved: old path, new path
    "models/arithmetic-sft": "embedded/arithmetic-sft",
    "models/tables-sft": "embedded/tables-sft",
}


def load_config(model: str, constant: str) -> PretrainedConfig:
    """Return the configuration of a model folder or hub id, without its weights.

    Raises:
        UserError: the folder or hub id does not exist, the folder lacks a file, or the model is
            not a causal LM that transformers implements.
    """
    _check_path(model, constant)
    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        count_parameters(config)
        return config
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{constant} = {model!r} is no causal LM in a folder or on the hub, or the hub could "
            f"not be reached: {error}"
        ) from error


def load_tokenizer(model: str, constant: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model folder or hub id.

    Raises:
        UserError: there is none, or it has no EOS token, so that no response would ever end.
    """
    _check_path(model, constant)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{constant} = {model!r} has no tokenizer that can be loaded: {error}"
        ) from error
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{constant} = {model!r}: its tokenizer has no EOS token, so no response would ever "
            "end. Set eos_token in its tokenizer_config.json."
        )
    return tokenizer


def describe_weights(model: str) -> dict[str, list[int]]:
    """Return size (bytes) and time of change (ns) of each weight file; {} for a hub id."""
    files = [path for ending in ("safetensors", "bin") for path in Path(model).glob(f"*.{ending}")]
    return {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in sorted(files)}


def find_positions(config: PretrainedConfig) -> tuple[int | None, str]:
    """Return how many positions of a model can be used, None: any; and what its config calls them.

    LongRoPE has two sets of frequencies. One row that is longer than the first set's would switch
    all rows of a batch to the other, and leave the cache of before with the first.
    """
    text, name = config.get_text_config(), "max_position_embeddings"
    rope = getattr(text, "rope_parameters", None) or {}
    if rope.get("rope_type") == "longrope":
        name = "original_max_position_embeddings"
        return rope[name], name
    return getattr(text, name, None), name


def check_length(
    config: PretrainedConfig, tokens: int, constants: str, model: str = "the model"
) -> None:
    """Raise UserError if sequences may have more tokens than the model has positions."""
    positions, name = find_positions(config)
    if positions and tokens > positions:
        raise UserError(
            f"{constants} allow sequences of {tokens} tokens, but {model} knows "
            f"{positions} positions ({name} in its config.json): reduce them."
        )


def check_same_vocabulary(
    one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase, names: tuple[str, str]
) -> None:
    """Raise UserError unless two models have the same vocabulary, hence the same token ids.

    Args:
        names: the user's names for the two models.
    """
    vocabularies = one.get_vocab(), other.get_vocab()
    if vocabularies[0] != vocabularies[1]:
        sizes = [len(vocabulary) for vocabulary in vocabularies]
        raise UserError(
            f"{names[0]} and {names[1]} have different vocabularies ({sizes[0]} and {sizes[1]} "
            "tokens): choose two that share one tokenizer."
        )


def count_parameters(config: PretrainedConfig) -> int:
    """Return how many parameters a model of this configuration has, without building it."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config).num_parameters()


def count_value_parameters(config: PretrainedConfig) -> int:
    """Return how many parameters a value model has: the model, a linear head for its own.

    Raises:
        UserError: transformers has no such form of the model.
    """
    own = copy.deepcopy(config)
    own.num_labels = 1
    try:
        with torch.device("meta"):
            return AutoModelForTokenClassification.from_config(own).num_parameters()
    except ValueError as error:
        raise UserError(
            f'VALUE = "head": transformers has no form of a {config.model_type} model with a head '
            'for every token (AutoModelForTokenClassification). Set VALUE = "prm", or take another '
            "MODEL."
        ) from error


def _check_path(model: str, constant: str) -> None:
    """Raise UserError if a local folder is missing or incomplete, before the hub is asked."""
    path = Path(model)
    moved = MOVED.get("/".join(path.parts[-2:]))
    if moved and not path.is_dir():
        raise UserError(f"{constant} = {model!r}: this folder has moved. It is {moved!r} now.")
    if (path / "adapter_config.json").exists() and not (path / "config.json").exists():
        raise UserError(
            f"{constant} = {model!r} holds an adapter without the model it belongs to. Resume its "
            "run with LORA_MERGE = True: it then writes both as one model."
        )
    if path.is_dir() and not (path / "config.json").exists():
        raise UserError(f"{constant} = {model!r}: the folder holds no config.json.")
    if path.is_dir() and not [*path.glob("*.safetensors"), *path.glob("*.bin")]:
        raise UserError(f"{constant} = {model!r}: the folder holds no weights (*.safetensors).")
    beside_others = "/" in model and path.parent.is_dir()
    looks_local = model.startswith((".", "/", "~")) or model.count("/") > 1 or beside_others
    if looks_local and not path.is_dir():
        raise UserError(f"{constant} = {model!r}: there is no such folder.")
