"""Decoding: the loop that draws tokens step by step, K responses to a prompt as siblings.

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

_LOOK_EVERY = {"cpu": 4}  # steps between two checks for responses that have ended
_LOOK_EVERY_ELSEWHERE = 16  # more, because a check waits for the device
_GRAPHED = ("cuda",)  # device types whose steps have fixed shapes
_CROWDED = 0.5  # share of siblings still running; below it, the ended ones leave the batch
_BLOCK = 512  # tokens of the vocabulary in a block: a draw picks a block, then a token of it


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    uniforms: Tensor | None  # (R, T) in [0, 1), one per token; None: the likeliest token
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
    """Return the token ids of K responses per prompt. The K of a prompt are contiguous.

    Args:
        input_ids, attention_mask: (prompts, P) left-padded.
        on_token: called after each step, which gives every response of the batch a token.
        on_response: called once for each response found to have ended, with its number and ids.
    """
    kind = GraphedBatch if input_ids.device.type in _GRAPHED else Batch
    batch = kind(model, attention_mask, samples_per_prompt, max_response_tokens)
    logits = batch.prefill(input_ids)  # (n, b, V); prompts take the model's own attention
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
    """The tokens drawn so far, by number of the response."""

    def __init__(self, count: int, max_response_tokens: int, sampling: Sampling):
        self.eos_token_ids = sampling.eos_token_ids
        device = sampling.eos_token_ids.device
        shape = (count, max_response_tokens)
        self.tokens = torch.zeros(shape, dtype=torch.long, device=device)  # (R, T)
        self.lengths = torch.full((count,), max_response_tokens, device=device)  # (R,) with EOS
        self.reported: set[int] = set()

    def add(self, numbers: Tensor, step: int, drawn: Tensor) -> None:
        """Add a token to the numbered responses (rows,). Tokens after an EOS are cut off later."""
        self.tokens[numbers, step] = drawn
        ends = is_eos(drawn, self.eos_token_ids)
        lengths = self.lengths[numbers]
        self.lengths[numbers] = torch.where(ends, lengths.clamp(max=step + 1), lengths)

    def find_running(
        self, numbers: Tensor, on_response: Callable[[int, list[int]], object]
    ) -> Tensor:
        """Return which responses (n, b) have not ended. Report each that has ended, once."""
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

    The token is the first whose cumulative probability exceeds a uniform number. Each token of a
    response has its own number, so the rest of the batch changes nothing.

    Args:
        responses: (rows,) number of each row's response.
    """
    if sampling.uniforms is None:
        return logits.argmax(dim=-1)
    V, width = logits.shape[1], min(_BLOCK, logits.shape[1])
    scaled = logits if sampling.temperature == 1 else logits.float() / sampling.temperature
    probabilities = scaled.softmax(dim=-1, dtype=torch.float32)  # (rows, V)
    # A block is chosen first, then a token in it, so no cumulative sum runs over all of V. Sums are
    # in float64: float32 would round small probabilities away.
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
    """Return the first place (rows, 1) where the cumulative weights (rows, n) exceed a level.

    Its weight is above 0, whatever was rounded. Also return the level that is left within it.
    """
    cumulated = weights.cumsum(dim=1)
    # A level rounded up to the total would point behind the last weight above 0.
    highest = torch.nextafter(cumulated[:, -1:], torch.zeros_like(level))
    place = torch.searchsorted(cumulated, level.clamp(min=0).minimum(highest), right=True)
    return place, level - (cumulated - weights).gather(1, place)
