"""Decoding: the loop that draws tokens step by step, K responses to a prompt as siblings.

Shapes: n rows, b siblings a row, R responses, T response tokens, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from generation.cuda_graphs import GraphedBatch
from generation.ending import is_eos
from generation.siblings import Batch, sibling_attention

_LOOK_EVERY = {"cpu": 4}  # steps between two checks for responses that have ended
_LOOK_EVERY_ELSEWHERE = 16  # more, because a check waits for the device
_GRAPHED = ("cuda",)  # device types whose steps have fixed shapes
_CROWDED = 0.5  # share of responses still running; below it, the ended ones leave the batch
_CROWDED_IF_AWAITED = 0.7  # the same while prompts wait for their room
_BLOCK = 512  # tokens of the vocabulary in a block: a draw picks a block, then a token of it


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn."""

    uniforms: Tensor | None  # (R, T) in [0, 1), one per token; None: the likeliest token
    temperature: float
    eos_token_ids: Tensor  # ids that end a response
    top_p: float = 1.0  # share of the probability that tokens are drawn from, the likeliest first
    vocabulary: int | None = None  # only ids below it are drawn; None: all that have logits


@dataclass(frozen=True)
class Prompts:
    """The prompts of a generation, and how many of them fit."""

    input_ids: Tensor  # (n, P) left-padded
    attention_mask: Tensor  # (n, P)
    samples_per_prompt: int  # K
    max_response_tokens: int  # T
    token_budget: int  # prompt and response tokens in memory at once, at most

    @property
    def count(self) -> int:
        """Return the number of responses."""
        return len(self.input_ids) * self.samples_per_prompt

    def count_fitting(self) -> int:
        """Return how many prompts fit, each with its K responses in one row; at least 1."""
        tokens = self.input_ids.shape[1] + self.samples_per_prompt * self.max_response_tokens
        return max(1, self.token_budget // tokens)

    def count_joining(self, running: int, width: int) -> int:
        """Return how many prompts fit beside running responses; each response has a row.

        Args:
            width: columns of the running responses by now.
        """
        columns = max(width, self.input_ids.shape[1]) + self.max_response_tokens
        return max(0, self.token_budget // columns - running) // self.samples_per_prompt


@torch.inference_mode()
def decode(
    model: PreTrainedModel,
    prompts: Prompts,
    sampling: Sampling,
    on_response: Callable[[int, list[int]], object],
) -> tuple[list[list[int]], list[list[float]] | None]:
    """Return the token ids of K responses per prompt. The K of a prompt are contiguous.

    Also return the log-probability that each token was drawn with; None where the likeliest is
    taken.

    As many prompts as there is room for are decoded together. The others wait. When many responses
    have ended, the running ones move together and responses to waiting prompts take the room.

    Args:
        on_response: called once for each response found to have ended, with its number and ids.
    """
    responses = _Responses(prompts.count, prompts.max_response_tokens, sampling)
    waiting = list(range(len(prompts.input_ids)))
    batch = drawn = None
    while batch or waiting:
        if batch is None:
            count = prompts.count_fitting()
            own, waiting = waiting[:count], waiting[count:]
            batch, drawn = _begin(model, prompts, own, responses)
        with sibling_attention(model):
            budget = prompts.token_budget
            drawn, running = _go_on(batch, drawn, responses, bool(waiting), budget, on_response)
        if not running.any():
            batch = None
            continue
        width = int(batch.lengths.max()) + batch.steps  # of the longest row from now on
        count = prompts.count_joining(int(running.sum()), width)
        own, waiting = waiting[:count], waiting[count:]
        others, first = _begin(model, prompts, own, responses) if own else (None, None)
        drawn = drawn[batch.regroup(running, others)]
        if others:
            drawn = torch.cat([drawn, first])
    return responses.as_lists()


def _begin(
    model: PreTrainedModel, prompts: Prompts, own: list[int], responses: "_Responses"
) -> tuple[Batch, Tensor]:
    """Compute some prompts. Return their batch and the first token (rows,) of each response."""
    input_ids, attention_mask = prompts.input_ids[own], prompts.attention_mask[own]
    first = int(attention_mask.any(dim=0).int().argmax())  # padding that none of them needs
    K = prompts.samples_per_prompt
    numbers = torch.tensor([K * prompt + k for prompt in own for k in range(K)])
    numbers = numbers.to(input_ids.device).view(-1, K)
    kind = GraphedBatch if input_ids.device.type in _GRAPHED else Batch
    batch = kind(model, attention_mask[:, first:], numbers, prompts.max_response_tokens)
    logits = batch.prefill(input_ids[:, first:])  # (n, K, V), by the model's own attention
    return batch, responses.draw(batch, logits)


def _go_on(
    batch: Batch,
    drawn: Tensor,
    responses: "_Responses",
    is_awaited: bool,
    token_budget: int,
    on_response: Callable[[int, list[int]], object],
) -> tuple[Tensor, Tensor]:
    """Decode until all responses have ended, or so many that the others fit with a row each.

    Args:
        drawn: (rows,) the last token of each response.
        is_awaited: whether prompts wait for room.
        token_budget: of the prompts.

    Returns:
        the last tokens (rows,), and which responses (n, b) still run.
    """
    look_every = _LOOK_EVERY.get(drawn.device.type, _LOOK_EVERY_ELSEWHERE)
    share = _CROWDED_IF_AWAITED if is_awaited else _CROWDED
    left = batch.most_tokens - int(batch.ages.min())  # of the youngest response
    for step in range(left + 1):
        if step % look_every == 0 or step == left:
            running = responses.find_running(batch, on_response)  # (n, b)
            if not running.any():
                break
            is_crowded = step and running.float().mean() < share
            if is_crowded and _fits_alone(batch, running, token_budget):
                break
        drawn = responses.draw(batch, batch.step(drawn.view_as(batch.responses)))
    return drawn, running


def _fits_alone(batch: Batch, running: Tensor, token_budget: int) -> bool:
    """Return whether each running response (n, b) may have a row, and its prompt, of its own.

    They then need no more tokens than the budget, or than the rows need that they have now.
    """
    (n, b), width = batch.responses.shape, batch.prompt_mask.shape[1]
    needed = width + batch.steps + batch.most_tokens - int(batch.ages[running].min())
    return int(running.sum()) * needed <= max(token_budget, n * (width + b * batch.most_steps))


class _Responses:
    """The tokens drawn so far, by number of the response."""

    def __init__(self, count: int, max_response_tokens: int, sampling: Sampling):
        self.sampling = sampling
        self.most = max_response_tokens
        device = sampling.eos_token_ids.device
        # A column more: a response that is full, but still in the batch, writes there.
        self.tokens = torch.zeros(count, self.most + 1, dtype=torch.long, device=device)
        is_drawn = sampling.uniforms is not None
        self.logprobs = torch.zeros(self.tokens.shape, device=device) if is_drawn else None
        self.lengths = torch.full((count,), self.most, device=device)  # (R,) with EOS
        self.ended = torch.zeros(count, dtype=torch.bool, device=device)  # (R,) by EOS
        self.reported: set[int] = set()

    def draw(self, batch: Batch, logits: Tensor) -> Tensor:
        """Draw a token (rows,) for each response of a batch from logits (n, b, V), and keep it."""
        numbers, ages = batch.responses.flatten(), batch.ages.flatten()
        steps = ages.clamp(max=self.most - 1)
        drawn, logprobs = draw(logits.flatten(0, 1), numbers, steps, self.sampling)
        place = numbers, ages.clamp(max=self.most)
        self.tokens[place] = drawn  # after an EOS: cut off later
        if self.logprobs is not None:
            self.logprobs[place] = logprobs
        ends = is_eos(drawn, self.sampling.eos_token_ids) & ~self.ended[numbers]
        ends &= ages < self.most
        self.lengths[numbers] = torch.where(ends, ages + 1, self.lengths[numbers])
        self.ended[numbers] |= ends
        batch.ages += 1  # in place: a batch keeps its shapes
        return drawn

    def find_running(self, batch: Batch, on_response: Callable[[int, list[int]], object]) -> Tensor:
        """Return which responses (n, b) have not ended. Report each that has ended, once."""
        running = ~self.ended[batch.responses] & (batch.ages < self.most)
        for number in batch.responses[~running].tolist():
            if number not in self.reported:
                self.reported.add(number)
                on_response(number, self.tokens[number, : self.lengths[number]].tolist())
        return running

    def as_lists(self) -> tuple[list[list[int]], list[list[float]] | None]:
        lengths = self.lengths.tolist()
        tokens = [row[:length] for row, length in zip(self.tokens.tolist(), lengths)]
        if self.logprobs is None:
            return tokens, None
        return tokens, [row[:length] for row, length in zip(self.logprobs.tolist(), lengths)]


def draw(
    logits: Tensor, responses: Tensor, steps: Tensor | int, sampling: Sampling
) -> tuple[Tensor, Tensor | None]:
    """Draw a token for each row of logits (rows, V), by inversion of the distribution.

    The token is the first whose cumulative probability exceeds a uniform number. Each token of a
    response has its own number, so the rest of the batch changes nothing.

    Args:
        responses: (rows,) number of each row's response.
        steps: (rows,) or one for all: place of the token in its response.

    Returns:
        tokens (rows,).
        the log-probability (rows,) that each was drawn with, at the temperature and within the
        nucleus; None where the likeliest token is taken.
    """
    logits = logits[:, : sampling.vocabulary]
    if sampling.uniforms is None:
        return logits.argmax(dim=-1), None
    V, width = logits.shape[1], min(_BLOCK, logits.shape[1])
    scaled = logits if sampling.temperature == 1 else logits.float() / sampling.temperature
    probabilities = scaled.softmax(dim=-1, dtype=torch.float32)
    del scaled  # as large as the probabilities
    probabilities = keep_nucleus(probabilities, sampling.top_p)
    # A block is chosen first, then a token in it, so no cumulative sum runs over all of V. Sums are
    # in float64: float32 would round small probabilities away.
    whole = V // width * width
    sums = probabilities[:, :whole].unflatten(1, (-1, width)).sum(dim=2, dtype=torch.float64)
    if whole < V:
        rest = probabilities[:, whole:].sum(dim=1, keepdim=True, dtype=torch.float64)
        sums = torch.cat([sums, rest], dim=1)
    uniforms = sampling.uniforms[responses, steps].unsqueeze(1)  # (rows, 1)
    block, level = _invert(sums, uniforms * sums.sum(dim=1, keepdim=True))
    columns = block * width + torch.arange(width, device=logits.device)  # (rows, width)
    inside = probabilities.gather(1, columns.clamp(max=V - 1)).double().masked_fill(columns >= V, 0)
    token = block * width + _invert(inside, level)[0]  # (rows, 1)
    return token.squeeze(1), probabilities.gather(1, token).squeeze(1).log()


def keep_nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Return the distributions (rows, V) of top-p sampling.

    The nucleus is the fewest likeliest tokens that hold a share of top_p or more. Their
    probabilities are divided by what they hold; the others become 0. Of equally likely tokens, the
    lower id comes first.
    """
    if top_p == 1:
        return probabilities
    falling, tokens = probabilities.sort(dim=1, descending=True, stable=True)
    held = falling.cumsum(dim=1, dtype=torch.float64)
    before = nn.functional.pad(held[:, :-1], (1, 0))  # what the likelier tokens hold
    is_kept = torch.zeros_like(probabilities, dtype=torch.bool)
    is_kept = is_kept.scatter(1, tokens, before < top_p)
    kept = probabilities.masked_fill(~is_kept, 0)
    return kept / kept.sum(dim=1, keepdim=True)


def _invert(weights: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first place (rows, 1) where the cumulative weights (rows, n) exceed a level.

    Its weight is above 0, whatever was rounded. Also return the level that is left within it.
    """
    cumulated = weights.cumsum(dim=1)
    # A level rounded up to the total would point behind the last weight above 0.
    highest = torch.nextafter(cumulated[:, -1:], torch.zeros_like(level))
    place = torch.searchsorted(cumulated, level.clamp(min=0).minimum(highest), right=True)
    return place, level - (cumulated - weights).gather(1, place)
