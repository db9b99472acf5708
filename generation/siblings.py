"""Siblings in generation: the K responses to a prompt share one row of the model and its cache.

Each step feeds the last token of every sibling in a row. A mask hides each sibling from the others.
So the prompt is computed once, and its keys and values are in memory once. When many siblings have
ended, the running ones get rows of their own, and the responses to waiting prompts join them.

Shapes: n rows, b siblings a row, P columns of prompt, T response tokens at most, V vocabulary. The
cache has P + b * (steps so far) columns: the b siblings of a step lie side by side.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, Cache, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from checks.errors import is_out_of_memory

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
            self.key_room = self._with_room(self.key_room[:, :, :start])
            self.value_room = self._with_room(self.value_room[:, :, :start])
        self.key_room[:, :, start : self.columns] = key_states
        self.value_room[:, :, start : self.columns] = value_states
        return self.key_room[:, :, : self.columns], self.value_room[:, :, : self.columns]

    def get_seq_length(self) -> int:
        return self.columns

    def states(self) -> tuple[Tensor, Tensor]:
        """Return the keys and the values in use, (n, heads, columns, width) each."""
        return self.key_room[:, :, : self.columns], self.value_room[:, :, : self.columns]

    def replace(self, blocks: list[tuple[Tensor, Tensor]], most_columns: int) -> None:
        """Replace keys and values by blocks (rows, heads, columns, width), one below the other.

        Shorter blocks stand at the right; the columns before them are 0.
        """
        self.most_columns, self.places = most_columns, None
        self.columns = max(keys.shape[2] for keys, _ in blocks)
        keys, values = zip(*blocks)
        self.key_room, self.value_room = self._below(keys), self._below(values)

    def _below(self, blocks: Sequence[Tensor]) -> Tensor:
        """Return blocks one below the other, right-aligned, with spare columns behind them."""
        _, heads, _, width = blocks[0].shape
        shape = (sum(map(len, blocks)), heads, self._roomy(), width)
        # Zeros: unset memory may hold NaN, which an attention weight of 0 does not remove.
        room = blocks[0].new_zeros(shape)
        first = 0
        for block in blocks:
            last = first + len(block)
            room[first:last, :, self.columns - block.shape[2] : self.columns] = block
            first = last
        return room

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

    def _roomy(self) -> int:
        """Return how many columns to have: half as many again, so that copies stay rare."""
        return min(self.most_columns, self.columns + max(_ROOM, self.columns // 2))

    def _with_room(self, states: Tensor) -> Tensor:
        """Return states (n, heads, columns, width) with spare columns behind them."""
        rows, heads, used, width = states.shape
        room = states.new_empty((rows, heads, self._roomy(), width))
        room[:, :, :used] = states
        return room


class Batch:
    """Rows of siblings that are being generated, with their cache and mask.

    A row begins with its prompt. In rows that have been regrouped, the tokens that a response had
    by then count as its prompt.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        attention_mask: Tensor,
        responses: Tensor,
        max_response_tokens: int,
    ):
        self.model = model
        columns = attention_mask.shape[1] + responses.shape[1] * max_response_tokens
        layers = range(model.config.get_text_config().num_hidden_layers)
        self.cache = Cache(layers=[RoomyLayer(columns) for _ in layers])
        self.most_tokens = max_response_tokens  # of a response
        self.responses = responses  # (n, b) numbers of the siblings
        self.ages = torch.zeros_like(responses)  # (n, b) tokens that each has drawn
        self._begin(attention_mask.bool())

    def _begin(self, prompt_mask: Tensor) -> None:
        """Let the rows begin with what prompt_mask (n, P) says."""
        self.prompt_mask = prompt_mask
        self.lengths = prompt_mask.sum(dim=1)  # (n,)
        self.steps = 0  # tokens of each response in the cache behind the prompt
        # A response that is full stays until the rows are regrouped. It goes no further than this.
        self.last_positions = self.lengths + self.most_tokens - self.ages[:, 0].clamp(min=1)  # (n,)
        self.most_steps = self.most_tokens - int(self.ages.min())  # until the youngest is full
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
            position_ids=self._positions().unsqueeze(1).expand_as(tokens),
            past_key_values=self.cache,
            use_cache=True,
        )
        self.steps += 1
        return output.logits

    def _positions(self) -> Tensor:
        """Return the positions (n,) of the tokens of the next step."""
        return (self.lengths + self.steps).minimum(self.last_positions)

    def _columns(self, steps: int) -> int:
        """Return how many columns the cache has after so many steps."""
        return self.prompt_mask.shape[1] + self.responses.shape[1] * steps

    def _make_mask(self) -> Tensor:
        """Return the mask (n, 1, b, all columns there will be) that is added to attention scores.

        Each response sees its prompt and its own tokens.
        """
        siblings = self.responses.shape[1]
        own = torch.eye(siblings, dtype=torch.bool, device=self.prompt_mask.device)
        own = own.repeat(1, self.most_steps)  # (b, b * steps): each step repeats the pattern
        prompt = self.prompt_mask[:, None].expand(-1, siblings, -1)  # (n, b, P)
        seen = torch.cat([prompt, own.expand(len(prompt), -1, -1)], dim=2).unsqueeze(1)
        hidden = torch.finfo(self.model.dtype).min
        return torch.zeros_like(seen, dtype=self.model.dtype).masked_fill_(~seen, hidden)

    def regroup(self, running: Tensor, others: "Batch | None" = None) -> Tensor:
        """Give every running response (n, b) a row of its own, and those of other prompts too.

        Args:
            others: prompts (n', P') with b' siblings each, whose prompts are computed.

        Returns:
            the places in n * b of the running responses, which are the first rows now.
        """
        rows, siblings = running.nonzero(as_tuple=True)
        count, width = running.shape[1], self.prompt_mask.shape[1]
        used = self._columns(self.steps)
        own = torch.ones(len(rows), self.steps, dtype=torch.bool, device=rows.device)
        masks = [torch.cat([self.prompt_mask[rows], own], dim=1)]
        first = int(masks[0].any(dim=0).int().argmax())  # columns of padding alone are left out
        masks[0] = masks[0][:, first:]

        def cut(states: Tensor) -> Tensor:
            prompt, rest = states[:, :, :width], states[:, :, width:used]
            tokens = rest.unflatten(2, (-1, count))[rows, :, :, siblings]
            return torch.cat([prompt[rows], tokens], dim=2)[:, :, first:]

        numbers, ages = self.responses[rows, siblings], self.ages[rows, siblings]
        if others:
            b = others.responses.shape[1]
            masks.append(others.prompt_mask.repeat_interleave(b, dim=0))
            numbers = torch.cat([numbers, others.responses.flatten()])
            ages = torch.cat([ages, others.ages.flatten()])
        columns = max(mask.shape[1] for mask in masks)
        self.responses, self.ages = numbers.unsqueeze(1), ages.unsqueeze(1)
        left = [nn.functional.pad(mask, (columns - mask.shape[1], 0)) for mask in masks]
        self._begin(torch.cat(left))
        for number, layer in enumerate(self.cache.layers):
            blocks = [(cut(layer.key_room), cut(layer.value_room))]
            if others:
                states = others.cache.layers[number].states()
                blocks.append(tuple(part.repeat_interleave(b, dim=0) for part in states))
            layer.replace(blocks, columns + self.most_steps)
        return rows * count + siblings


def _attend(
    module: nn.Module,
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
    others = _list_kinds(text) - {"full_attention"}
    return not others or (others == {"sliding_attention"} and positions <= text.sliding_window)


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
        batch = Batch(model, mask, torch.arange(4, device=model.device).view(2, 2), 3)
        batch.prefill(ids)
        with sibling_attention(model):
            batch.step(tokens[..., 0])
            batch.step(tokens[..., 1])
            batch.regroup(torch.tensor([[False, True], [True, True]], device=model.device))
            own = batch.step(tokens[..., 2].flatten()[1:, None])[:, 0]  # (3, V)
    except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        return False  # the model takes no such mask, cache or positions
    for number, logits in enumerate(own, start=1):
        row, sibling = divmod(number, 2)
        alone = torch.cat([torch.tensor(prompts[row], device=model.device), tokens[row, sibling]])
        expected = model(input_ids=alone[None], use_cache=False).logits[0, -1]
        spread = (expected - expected.mean()).abs().max()
        if not (logits - expected).abs().max() <= _TOLERANCE * spread:  # NaN does not agree
            return False
    return True
