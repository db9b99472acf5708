"""Siblings in generation: the K responses to a prompt share one row of the model and its cache.

Each step feeds the last token of every sibling in a row. A mask hides each sibling from the others.
So the prompt is computed once, and its keys and values are in memory once. When many siblings have
ended, the running ones get rows of their own.

Shapes: n rows, b siblings a row, P columns of prompt, T response tokens at most, V vocabulary. The
cache has P + b * (steps so far) columns: the b siblings of a step lie side by side.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from transformers import AttentionInterface, Cache, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer

_TAKES_MASKS = ("sdpa", "eager", "varlen")  # attentions that an explicit mask governs
_ROOM = 256  # columns: the cache grows by at least so many
_TOLERANCE = 0.1  # of logits, relative to their spread: bfloat16 gives 0.02, a wrong mask 0.3

_log = logging.getLogger(__name__)
_tried: WeakKeyDictionary = WeakKeyDictionary()  # by model: whether it takes siblings


class RoomyLayer(DynamicLayer):
    """Keys and values of a layer, with spare columns, so that a new column moves no old one."""

    def __init__(self, most_columns: int):
        super().__init__()
        self.most_columns = most_columns  # that will ever be needed
        self.columns = 0  # in use
        self.key_room = self.value_room = None  # (n, heads, columns and spare ones, width)
        self.places: Tensor | None = None  # columns to write at, once shapes are fixed

    def update(self, key_states: Tensor, value_states: Tensor, *_, **__) -> tuple[Tensor, Tensor]:
        if self.places is not None:  # all columns are returned: the mask hides the unused ones
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
        """Replace keys and values by the parts that cut() takes from them, side by side."""
        self.most_columns, used = most_columns, self.columns
        parts = cut(self.key_room[:, :, :used])
        self.columns = sum(part.shape[2] for part in parts)
        self.key_room = self._with_room(parts)
        self.value_room = self._with_room(cut(self.value_room[:, :, :used]))

    def fix(self, columns: int, places: Tensor) -> None:
        """Fix the number of columns; from now on, update() writes at places (b,).

        The caller moves places, in place, and masks the columns behind them.
        """
        used, self.places = self.columns, places
        for name in ("key_room", "value_room"):
            room = getattr(self, name)
            # Zeros: unset memory may hold NaN, which an attention weight of 0 does not remove.
            fixed = room.new_zeros((*room.shape[:2], columns, room.shape[3]))
            fixed[:, :, :used] = room[:, :, :used]
            setattr(self, name, fixed)

    def _with_room(self, parts: list[Tensor]) -> Tensor:
        """Return parts (n, heads, columns, width) side by side, with spare columns behind them."""
        rows, heads, _, width = parts[0].shape
        # Growing by half keeps copies rare in a long generation.
        room = min(self.most_columns, self.columns + max(_ROOM, self.columns // 2))
        roomy = parts[0].new_empty((rows, heads, room, width))
        start = 0
        for part in parts:
            roomy[:, :, start : start + part.shape[2]] = part
            start += part.shape[2]
        return roomy


class Batch:
    """Rows of siblings that are being generated, with their cache and mask."""

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
        self.responses = responses.view(-1, samples_per_prompt)  # (n, b) numbers of the siblings
        self.steps = 0  # tokens of each response in the cache
        self.mask = self._make_mask()

    def prefill(self, input_ids: Tensor) -> Tensor:
        """Compute the prompts. Return the logits (n, b, V) of each response's first token."""
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
        """Add a token (n, b) to each response. Return the logits (n, b, V) of the next."""
        # Siblings have the same position in different columns: columns do not tell the position.
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
        """Return how many columns the cache has after so many steps."""
        return self.prompt_mask.shape[1] + self.responses.shape[1] * steps

    def _make_mask(self) -> Tensor:
        """Return the mask (n, 1, b, all columns there will be) that is added to attention scores.

        Each response sees its prompt and its own tokens.
        """
        siblings = self.responses.shape[1]
        own = torch.eye(siblings, dtype=torch.bool, device=self.prompt_mask.device)
        own = own.repeat(1, self.max_response_tokens)  # (b, b * T): each step repeats the pattern
        prompt = self.prompt_mask[:, None].expand(-1, siblings, -1)  # (n, b, P)
        seen = torch.cat([prompt, own.expand(len(prompt), -1, -1)], dim=2).unsqueeze(1)
        hidden = torch.finfo(self.model.dtype).min
        return torch.zeros_like(seen, dtype=self.model.dtype).masked_fill_(~seen, hidden)

    def keep(self, running: Tensor) -> Tensor:
        """Give every running response (n, b) a row of its own. Return their places in n * b."""
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
    """Attention of few queries a row to many columns, with the arguments transformers passes.

    The g heads that share keys and values count as more queries to them. So the cache is read once
    and never repeated.

    Args:
        query: (n, heads, b, width); key, value: (n, heads / g, columns, width).
        attention_mask: (n, 1, b, columns) added to the scores.

    Returns:
        (n, b, heads, width), and None for the weights.
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
    """Within this context, a model attends by _attend."""
    own = model.config._attn_implementation
    model.set_attn_implementation(_ATTENTION)
    try:
        yield
    finally:
        model.set_attn_implementation(own)


def takes_siblings(model: PreTrainedModel, positions: int) -> bool:
    """Return whether siblings in one row get what each would get alone, up to so many positions.

    The model must attend to all earlier tokens, by position ids and an explicit mask. The
    configuration is checked first. Then a few tokens are tried, once per model.
    """
    config = model.config.get_text_config()
    is_whole = attends_to_all(model.config, positions)
    if model not in _tried:
        known = _list_kinds(config) <= {"full_attention", "sliding_attention"}
        takes_masks = config._attn_implementation in _TAKES_MASKS
        _tried[model] = known and takes_masks and _agrees(model)
    if not (_tried[model] and is_whole):
        _tell_slow(config.model_type)
    return _tried[model] and is_whole


def attends_to_all(config: PretrainedConfig, positions: int) -> bool:
    """Return whether every layer attends to all earlier tokens, up to so many positions."""
    text = config.get_text_config()
    if "sliding_attention" not in _list_kinds(text):
        return True
    return positions <= text.sliding_window


def _list_kinds(config: PretrainedConfig) -> set[str]:
    """Return the kinds of attention that a text model's layers have."""
    window = getattr(config, "sliding_window", None)
    kind = "full_attention" if window is None else "sliding_attention"  # if none is named
    return set(getattr(config, "layer_types", None) or [kind])


@cache
def _tell_slow(model_type: str) -> None:
    """Warn once per type of model, not at every batch."""
    _log.warning(
        "%s computes each response on its own, without sharing the prompt. This is slower.",
        model_type,
    )


@torch.no_grad()
def _agrees(model: PreTrainedModel) -> bool:
    """Return whether siblings decoded together get the logits that each sequence gets alone."""
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
    except torch.OutOfMemoryError:
        raise
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False  # the model takes no such mask, cache or positions
    for number, logits in enumerate(own, start=1):
        row, sibling = divmod(number, 2)
        alone = torch.cat([torch.tensor(prompts[row], device=model.device), tokens[row, sibling]])
        expected = model(input_ids=alone[None], use_cache=False).logits[0, -1]
        spread = (expected - expected.mean()).abs().max()
        if not (logits - expected).abs().max() <= _TOLERANCE * spread:  # NaN does not agree
            return False
    return True
