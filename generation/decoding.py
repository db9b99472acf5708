"""Decoding: a model's tokens drawn step by step, the K responses to each prompt as siblings.

Shapes: n rows, b siblings a row, R responses, T response tokens, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import PreTrainedModel

from generation.cuda_graphs import GraphedBatch
from generation.ending import is_eos
from generation.siblings import Batch, sibling_attention

_LOOK_EVERY = {"cpu": 4}  # tokens between two looks for responses that have ended
_LOOK_EVERY_ELSEWHERE = 16  # a look waits for the device
_GRAPHED = ("cuda",)  # devices whose steps have fixed shapes
_CROWDED = 0.5  # share of siblings still running below which the others leave the batch
_BLOCK = 512  # tokens of the vocabulary whose probabilities are summed first


@dataclass(frozen=True)
class Sampling:
    """What a token is drawn with."""

    uniforms: Tensor | None  # (R, T) in [0, 1), one for each token; None: the likeliest token
    temperature: float
    eos_token_ids: Tensor  # ids that end a response


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    input_ids: Tensor,
    attention_mask: Tensor,
    samples_per_prompt: int,
    max_response_tokens: int,
    sampling: Sampling,
    on_token: Callable[[], object],
    on_response: Callable[[int, list[int]], object],
) -> list[list[int]]:
    """Return the token ids of K responses a prompt, the K of a prompt contiguous.

    Args:
        input_ids, attention_mask: (prompts, P) left-padded.
        on_token: called after each token of the batch.
        on_response: called once with the number of each response that has ended, and its ids.
    """
    kind = GraphedBatch if input_ids.device.type in _GRAPHED else Batch
    batch = kind(model, attention_mask, samples_per_prompt, max_response_tokens)
    logits = batch.prefill(input_ids)  # (n, b, V)
    responses = _Responses(len(input_ids) * samples_per_prompt, max_response_tokens, sampling)
    look_every = _LOOK_EVERY.get(input_ids.device.type, _LOOK_EVERY_ELSEWHERE)
    with sibling_attention(model):
        for step in range(max_response_tokens):
            drawn = draw(logits.flatten(0, 1), batch.responses.flatten(), step, sampling)
            responses.add(batch.responses.flatten(), step, drawn)
            on_token()
            if step + 1 == max_response_tokens:
                break
            if (step + 1) % look_every == 0:
                running = responses.find_running(batch.responses, on_response)  # (n, b)
                if not running.any():
                    break
                if running.float().mean() < _CROWDED:
                    drawn = drawn[batch.keep(running)]
            logits = batch.step(drawn.view_as(batch.responses))
    return responses.as_lists()


class _Responses:
    """The tokens drawn so far."""

    def __init__(self, count: int, max_response_tokens: int, sampling: Sampling):
        self.eos_token_ids = sampling.eos_token_ids
        device = sampling.eos_token_ids.device
        shape = (count, max_response_tokens)
        self.tokens = torch.zeros(shape, dtype=torch.long, device=device)  # (R, T)
        self.lengths = torch.full((count,), max_response_tokens, device=device)  # (R,) EOS included
        self.reported: set[int] = set()

    def add(self, numbers: Tensor, step: int, drawn: Tensor) -> None:
        """Add a token to some responses (rows,); what comes behind an end is cut off later."""
        self.tokens[numbers, step] = drawn
        ends = is_eos(drawn, self.eos_token_ids)
        lengths = self.lengths[numbers]
        self.lengths[numbers] = torch.where(ends, lengths.clamp(max=step + 1), lengths)

    def find_running(
        self, numbers: Tensor, on_response: Callable[[int, list[int]], object]
    ) -> Tensor:
        """Return which responses (n, b) have not ended, and report those that newly have."""
        running = self.lengths[numbers] == self.tokens.shape[1]
        for number in numbers[~running].tolist():
            if number not in self.reported:
                self.reported.add(number)
                on_response(number, self.tokens[number, : self.lengths[number]].tolist())
        return running

    def as_lists(self) -> list[list[int]]:
        lengths = self.lengths.tolist()
        return [row[:length] for row, length in zip(self.tokens.tolist(), lengths)]


def draw(logits: Tensor, responses: Tensor, step: int, sampling: Sampling) -> Tensor:
    """Return a token (rows,) for each row of logits (rows, V), by inversion of the distribution.

    One uniform number of its own decides each token of a response, so that the batch around it
    changes nothing: first among blocks of the vocabulary, then within one.
    """
    if sampling.uniforms is None:
        return logits.argmax(dim=-1)
    V, width = logits.shape[1], min(_BLOCK, logits.shape[1])
    scaled = logits if sampling.temperature == 1 else logits.float() / sampling.temperature
    probabilities = scaled.softmax(dim=-1, dtype=torch.float32)  # (rows, V)
    whole = V // width * width
    sums = probabilities[:, :whole].unflatten(1, (-1, width)).sum(dim=2, dtype=torch.float64)
    if whole < V:
        rest = probabilities[:, whole:].sum(dim=1, keepdim=True, dtype=torch.float64)
        sums = torch.cat([sums, rest], dim=1)
    uniforms = sampling.uniforms[responses, step].unsqueeze(1)  # (rows, 1)
    block, level = _invert(sums, uniforms * sums.sum(dim=1, keepdim=True))
    columns = block * width + torch.arange(width, device=logits.device)  # (rows, width)
    inside = probabilities.gather(1, columns.clamp(max=V - 1)).double().masked_fill(columns >= V, 0)
    return (block * width + _invert(inside, level)[0]).squeeze(1)


def _invert(weights: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place (rows, 1) up to which weights (rows, n) add to more than a level.

    That place has a weight above 0, whatever was rounded. Also returns the level within it.
    """
    cumulated = weights.cumsum(dim=1)
    highest = torch.nextafter(cumulated[:, -1:], torch.zeros_like(level))
    place = torch.searchsorted(cumulated, level.clamp(min=0).minimum(highest), right=True)
    return place, level - (cumulated - weights).gather(1, place)
