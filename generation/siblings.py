"""Siblings, the K responses to a prompt, as one row of a model that generates.

Each step feeds the last tokens of a row's siblings at once, and a mask hides from each the tokens
of the others. The prompt is thus computed once and its keys and values lie in memory once. Where
many siblings have ended, those left get rows of their own.

Shapes: n rows, b siblings a row, P columns of prompt, T response tokens at most, V vocabulary; the
cache has P + b * (steps so far) columns.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

_ROOM = 256  # columns that the cache grows by, at least
_TOLERANCE = 0.1  # of logits beside their spread: bfloat16 rounds to 0.02, a wrong mask gives 0.3

_log = logging.getLogger(__name__)
_tried: WeakKeyDictionary = WeakKeyDictionary()  # model: whether it takes siblings


class RoomyLayer(DynamicLayer):
    """Keys and values with room behind them, so that a new column is written, not copied around."""

    def __init__(self, most_columns: int):
        super().__init__()
        self.most_columns = most_columns  # more are never needed
        self.columns = 0
        self.key_room = self.value_room = None  # (n, heads, columns and room, width)
        self.places: Tensor | None = None  # columns to write at, where shapes are fixed

    def update(self, key_states: Tensor, value_states: Tensor, *_, **__) -> tuple[Tensor, Tensor]:
        if self.places is not None:
            self.key_room.index_copy_(2, self.places, key_states)
            self.value_room.index_copy_(2, self.places, value_states)
            return self.key_room, self.value_room
        if self.key_room is None:
            self.lazy_initialization(key_states, value_states)
            self.key_room, self.value_room = key_states[:, :, :0], value_states[:, :, :0]
        start, self.columns = self.columns, self.columns + key_states.shape[2]
        if self.columns > self.key_room.shape[2]:
            self.key_room = self._with_room([self.key_room[:, :, :start]])
            self.value_room = self._with_room([self.value_room[:, :, :start]])
        self.key_room[:, :, start : self.columns] = key_states
        self.value_room[:, :, start : self.columns] = value_states
        return self.key_room[:, :, : self.columns], self.value_room[:, :, : self.columns]

    def get_seq_length(self) -> int:
        return self.columns

    def rearrange(self, cut: Callable[[Tensor], list[Tensor]], most_columns: int) -> None:
        """Replace keys and values by the parts that are cut out of them, side by side."""
        self.most_columns, used = most_columns, self.columns
        parts = cut(self.key_room[:, :, :used])
        self.columns = sum(part.shape[2] for part in parts)
        self.key_room = self._with_room(parts)
        self.value_room = self._with_room(cut(self.value_room[:, :, :used]))

    def fix(self, columns: int, places: Tensor) -> None:
        """From now on write at places (b,), which the caller changes in place, in so many columns.

        What is behind the places is zero, and for the caller to mask.
        """
        used, self.places = self.columns, places
        for name in ("key_room", "value_room"):
            room = getattr(self, name)
            fixed = room.new_zeros((*room.shape[:2], columns, room.shape[3]))
            fixed[:, :, :used] = room[:, :, :used]
            setattr(self, name, fixed)

    def _with_room(self, parts: list[Tensor]) -> Tensor:
        """Return parts (n, heads, columns, width) side by side, with room for more behind."""
        rows, heads, _, width = parts[0].shape
        room = min(self.most_columns, self.columns + max(_ROOM, self.columns // 2))
        roomy = parts[0].new_empty((rows, heads, room, width))
        start = 0
        for part in parts:
            roomy[:, :, start : start + part.shape[2]] = part
            start += part.shape[2]
        return roomy


class Batch:
    """The rows that are still being generated."""

    def __init__(
        self,
        model: PreTrainedModel,
        attention_mask: Tensor,
        samples_per_prompt: int,
        max_response_tokens: int,
    ):
        self.model = model
        columns = attention_mask.shape[1] + samples_per_prompt * max_response_tokens
        layers = range(model.config.get_text_config().num_hidden_layers)
        self.cache = Cache(layers=[RoomyLayer(columns) for _ in layers])
        self.max_response_tokens = max_response_tokens
        self.prompt_mask = attention_mask.bool()  # (n, P)
        self.lengths = attention_mask.sum(dim=1)  # (n,) tokens of each prompt
        rows = len(attention_mask) * samples_per_prompt
        responses = torch.arange(rows, device=attention_mask.device)
        self.responses = responses.view(-1, samples_per_prompt)  # (n, b) number of each sibling
        self.steps = 0  # tokens of each response that are in the cache
        self.mask = self._make_mask()

    def prefill(self, input_ids: Tensor) -> Tensor:
        """Compute the prompts; return the logits of the first token (n, b, V)."""
        positions = (self.prompt_mask.long().cumsum(dim=1) - 1).clamp(min=0)
        output = self.model(
            input_ids=input_ids,
            attention_mask=self.prompt_mask.long(),
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return output.logits.expand(-1, self.responses.shape[1], -1)

    def step(self, tokens: Tensor) -> Tensor:
        """Add a token (n, b) to each response; return the logits of the next (n, b, V)."""
        output = self.model(
            input_ids=tokens,
            attention_mask=self.mask[..., : self._columns(self.steps + 1)],
            position_ids=(self.lengths + self.steps).unsqueeze(1).expand_as(tokens),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.steps += 1
        return output.logits

    def _columns(self, steps: int) -> int:
        """Return how many columns the cache has after some steps."""
        return self.prompt_mask.shape[1] + self.responses.shape[1] * steps

    def _make_mask(self) -> Tensor:
        """Return what is added to attention scores (n, 1, b, all columns there will be).

        Each response sees its prompt and its own tokens.
        """
        siblings = self.responses.shape[1]
        own = torch.eye(siblings, dtype=torch.bool, device=self.prompt_mask.device)
        own = own.repeat(1, self.max_response_tokens)  # (b, b * T)
        prompt = self.prompt_mask[:, None].expand(-1, siblings, -1)  # (n, b, P)
        seen = torch.cat([prompt, own.expand(len(prompt), -1, -1)], dim=2).unsqueeze(1)
        hidden = torch.finfo(self.model.dtype).min
        return torch.zeros_like(seen, dtype=self.model.dtype).masked_fill_(~seen, hidden)

    def keep(self, running: Tensor) -> Tensor:
        """Give every running response (n, b) a row of its own; return its place among n * b."""
        rows, siblings = running.nonzero(as_tuple=True)
        width, count = self.prompt_mask.shape[1], running.shape[1]

        def cut(states: Tensor) -> list[Tensor]:
            prompt, rest = states[:, :, :width], states[:, :, width:]
            own = rest.unflatten(2, (-1, count))[rows, :, :, siblings]  # (running, heads, steps, D)
            return [prompt[rows], own]

        for layer in self.cache.layers:
            layer.rearrange(cut, width + self.max_response_tokens)
        self.prompt_mask, self.lengths = self.prompt_mask[rows], self.lengths[rows]
        self.responses = self.responses[rows, siblings].unsqueeze(1)
        self.mask = self._make_mask()
        return rows * count + siblings


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor,
    scaling: float | None = None,
    softcap: float | None = None,
    **_,
) -> tuple[Tensor, None]:
    """Attention of few queries a row to many columns, as transformers calls it.

    The g heads that share keys and values are more queries to them, so the cache is read once and
    never repeated.

    Args:
        query: (n, heads, b, width); key, value: (n, heads / g, columns, width).
        attention_mask: (n, 1, b, columns) added to the scores.

    Returns:
        (n, b, heads, width), and no weights.
    """
    rows, heads, siblings, width = query.shape
    shared = key.shape[1]
    query = query.reshape(rows, shared, -1, width) * (scaling or width**-0.5)
    scores = query @ key.transpose(2, 3)  # (n, heads / g, g * b, columns)
    if softcap:
        scores = (scores / softcap).tanh() * softcap
    scores = scores.unflatten(2, (-1, siblings)) + attention_mask.unsqueeze(2)
    weights = scores.softmax(dim=-1, dtype=torch.float32).to(value.dtype)
    mixed = weights.flatten(2, 3) @ value  # (n, heads / g, g * b, width)
    return mixed.view(rows, heads, siblings, width).transpose(1, 2).contiguous(), None


_ATTENTION = "siblings"
AttentionInterface.register(_ATTENTION, _attend)


@contextmanager
def sibling_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let a model attend by _attend within."""
    own = model.config._attn_implementation
    model.set_attn_implementation(_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def takes_siblings(model: PreTrainedModel, positions: int) -> bool:
    """Return whether siblings in one row get what each would get alone, up to so many positions.

    It needs attention over all that went before, by position ids and an explicit mask. What a
    configuration tells is asked first; then, once for each model, a few tokens are tried.
    """
    config = model.config.get_text_config()
    window = getattr(config, "sliding_window", None)
    kind = "full_attention" if window is None else "sliding_attention"  # where none is named
    kinds = set(getattr(config, "layer_types", None) or [kind])
    is_whole = "sliding_attention" not in kinds or positions <= window
    takes_masks = config._attn_implementation in ("sdpa", "eager")
    if model not in _tried:
        known = kinds <= {"full_attention", "sliding_attention"}
        _tried[model] = known and takes_masks and _agrees(model)
    if not (_tried[model] and is_whole):
        _tell_slow(config.model_type)
    return _tried[model] and is_whole


@cache
def _tell_slow(model_type: str) -> None:
    """Warn once, not at every batch."""
    _log.warning("%s computes each response on its own, which is slower", model_type)


@torch.no_grad()
def _agrees(model: PreTrainedModel) -> bool:
    """Return whether siblings decoded together get the logits of whole sequences on their own."""
    vocabulary = model.config.get_text_config().vocab_size
    prompts = [[token % vocabulary for token in tokens] for tokens in ((5, 6, 7, 8), (9, 10))]
    ids = torch.tensor([prompts[0], [0, 0, *prompts[1]]], device=model.device)
    mask = torch.tensor([[1, 1, 1, 1], [0, 0, 1, 1]], device=model.device)
    tokens = torch.arange(11, 23).view(2, 2, 3).to(model.device) % vocabulary  # (n, b, steps)
    try:
        batch = Batch(model, mask, 2, 3)
        batch.prefill(ids)
        with sibling_attention(model):
            batch.step(tokens[..., 0])
            batch.step(tokens[..., 1])
            batch.keep(torch.tensor([[False, True], [True, True]], device=model.device))
            own = batch.step(tokens[..., 2].flatten()[1:, None])[:, 0]  # (3, V)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False  # a model that takes no such mask, cache or positions
    for number, logits in enumerate(own, start=1):
        row, sibling = divmod(number, 2)
        alone = torch.cat([torch.tensor(prompts[row], device=model.device), tokens[row, sibling]])
        expected = model(input_ids=alone[None], use_cache=False).logits[0, -1]
        spread = (expected - expected.mean()).abs().max()
        if not (logits - expected).abs().max() <= _TOLERANCE * spread:
            return False
    return True
