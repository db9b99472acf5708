"""The end of a response (its first EOS token), and the token id that fills padding.

A model may have several EOS ids. Padding is known by its position, so its id may be an EOS id too.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase


def find_eos_token_ids(model: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return every token id that ends a response, from the tokenizer and the generation config.

    Chat models often stop at several ids. The tokenizer knows only one of them.
    """
    ids = {tokenizer.eos_token_id}
    try:
        stops = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError:  # a folder without generation_config.json
        stops = None
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


def find_pad_token_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return the id that fills padding. Any id does, because padding is known by its position."""
    return tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
