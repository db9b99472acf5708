"""Ids of tokens: which end a response (at the first), which fills padding, how many there are.

A model may have several EOS ids. Padding is known by its position, so its id may be an EOS id too.
"""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase
from transformers.utils import cached_file

from checks.errors import UserError


def find_eos_token_ids(model: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return every token id that ends a response, from the tokenizer and the generation config.

    Chat models often stop at several ids. The tokenizer knows only one of them.

    Raises:
        UserError: there may be a generation config, but it cannot be read.
    """
    ids = {tokenizer.eos_token_id}
    name, stops = "generation_config.json", None
    try:
        if cached_file(model, name, _raise_exceptions_for_missing_entries=False):
            stops = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError as error:
        raise UserError(f"{model}: its {name} cannot be read: {error}") from error
    if stops is not None:
        ids.update(stops if isinstance(stops, list) else [stops])
    return sorted(ids)


def is_eos(tokens: Tensor, eos_token_ids: Tensor) -> Tensor:
    """Return a mask, in the shape of tokens, of the tokens that end a response."""
    return torch.isin(tokens, eos_token_ids)


def until_eos(ids: list[int], eos_token_ids: Sequence[int]) -> list[int]:
    """Return a response up to and with its first EOS, or all of it if it has no EOS."""
    for position, token in enumerate(ids):
        if token in eos_token_ids:
            return ids[: position + 1]
    return ids


def is_truncated(ids: Sequence[int], eos_token_ids: Sequence[int]) -> bool:
    """Return whether the length limit ended a response before an EOS did."""
    return ids[-1] not in eos_token_ids


@cache
def count_token_ids(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return one more than the largest id that the tokenizer has a token for."""
    return max(tokenizer.get_vocab().values()) + 1


def find_pad_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id that fills padding: an EOS id, as padding is known by its position.

    A pad token may be in the tokenizer alone, and have no row in the model's embedding.
    """
    return tokenizer.eos_token_id
