"""Forces responses to given lengths, on both sides of a benchmark, by the logit of EOS."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from transformers import LogitsProcessor

from generation import decoding


def _force(logits: Tensor, is_last: Tensor, eos: int) -> Tensor:
    """Return logits (rows, V) that allow only EOS where is_last (rows,) and no EOS elsewhere."""
    forced = logits.clone()
    forced[:, eos] = -torch.inf
    forced.masked_fill_(is_last.unsqueeze(1), -torch.inf)
    forced[:, eos] = torch.where(is_last, 0.0, -torch.inf).to(forced.dtype)
    return forced


class Forced(LogitsProcessor):
    """Forces lengths in model.generate(); its rows are the responses in order."""

    def __init__(self, lengths: Tensor, eos: int, prompt_width: int):
        self.lengths, self.eos, self.prompt_width = lengths, eos, prompt_width

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        length = input_ids.shape[1] - self.prompt_width + 1
        self.lengths = self.lengths.to(scores.device)  # a copy at the first token alone
        return _force(scores, self.lengths == length, self.eos)


@contextmanager
def force_lengths(lengths: Tensor, eos: int) -> Iterator[None]:
    """Force lengths in the decoding of this project, inside the with block."""
    draw = decoding.draw

    def forced(logits: Tensor, responses: Tensor, step: int, sampling) -> tuple:
        nonlocal lengths
        lengths = lengths.to(logits.device)  # a copy at the first token alone
        is_last = lengths[responses] == step + 1
        return draw(_force(logits, is_last, eos), responses, step, sampling)

    decoding.draw = forced
    try:
        yield
    finally:
        decoding.draw = draw
