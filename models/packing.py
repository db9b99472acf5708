"""Packing: the siblings of a prompt in one row of a model, so that the prompt is computed once.

Siblings are the responses to one prompt. In a packed row they lie side by side behind the prompt,
and a mask hides each from the others. Rows can also stay unpacked.

Shapes: B rows = n prompts x b siblings, the b of a prompt contiguous; P prompt tokens
(left-padded), T response tokens (right-padded); N response tokens without padding; L columns of a
packed row, L = P + most response tokens of a prompt.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.varlen import Segments

# Cost of a token in a layer, divided by the hidden size. Its unit is attention between two tokens.
# Counting operations gives 6, but attention under a mask runs at less than half the speed.
_LAYER_COST = 2.4


@dataclass(frozen=True)
class Packed:
    """Inputs of a model, and where the response tokens are in them."""

    input_ids: Tensor  # (n, L)
    attention_mask: Tensor  # (n, L), or (n, 1, L, L) where siblings must not see each other
    position_ids: Tensor  # (n, L)
    tokens: Tensor  # (N,) ids of the response tokens
    predictors: Tensor  # (N,) place in n * L of the token before each, which predicts it
    places: Tensor  # (N,) place of each in B * T
    segments: Segments | None = None  # of a flat row (1, L); its mask says nothing


def pack(
    input_ids: Tensor, attention_mask: Tensor, lengths: tuple[list[int], list[int]], siblings: int
) -> Packed:
    """Return rows (B, P+T) with each b siblings packed into one; b = 1 leaves all rows unpacked.

    All shapes follow from the lengths, so the host waits for no value from a GPU.

    Args:
        lengths: prompt and response tokens of each row; the longest response has T.
        siblings: b, divides B; the b rows of a prompt are contiguous.
    """
    responses = lengths[1]
    T, P = max(responses), input_ids.shape[1] - max(responses)
    is_token = attention_mask[:, P:].bool()  # (B, T)
    places = is_token.flatten().nonzero_static(size=sum(responses)).squeeze(1)  # (N,)
    tokens = input_ids[:, P:].flatten()[places]
    step = places % T  # (N,) of each token in its response
    if siblings == 1:
        positions = (attention_mask.cumsum(dim=1) - 1).clamp(min=0)
        predictors = places // T * (P + T) + P + step - 1
        return Packed(input_ids, attention_mask, positions, tokens, predictors, places)
    # The packed row of each token, and its place among the b * T of its siblings.
    row, rank = places // (siblings * T), places % (siblings * T)  # (N,)
    # Without padding between them, the siblings of a row follow each other.
    columns = P + is_token.view(-1, siblings * T).cumsum(dim=1).flatten()[places] - 1  # (N,)
    prompt_mask = attention_mask[::siblings, :P]  # (n, P)
    firsts = range(0, len(responses), siblings)
    room = (0, max(sum(responses[row : row + siblings]) for row in firsts))  # behind the prompt

    def place(prompt_values: Tensor, values: Tensor) -> Tensor:
        """Return values of prompts (n, P) and of response tokens (N,) as (n, L), 0 elsewhere."""
        return nn.functional.pad(prompt_values, room).index_put((row, columns), values)

    prompt_positions = (prompt_mask.cumsum(dim=1) - 1).clamp(min=0)
    owner = place(prompt_mask - 1, rank // T + 1)  # (n, L): -1 nobody's, 0 the prompt's, 1 to b
    owner[:, P:] -= (owner[:, P:] == 0).long()  # behind the responses of a short row
    # The prompt's last token predicts the first token of every sibling.
    before = torch.where(step == 0, P - 1, columns - 1)  # (N,)
    return Packed(
        input_ids=place(input_ids[::siblings, :P], tokens),
        attention_mask=_hide_siblings(owner),
        position_ids=place(prompt_positions, prompt_mask.sum(dim=1)[row] + step),
        tokens=tokens,
        predictors=row * owner.shape[1] + before,
        places=places,
    )


def pack_flat(
    input_ids: Tensor, attention_mask: Tensor, lengths: tuple[list[int], list[int]], siblings: int
) -> Packed:
    """Return all tokens of rows (B, P+T) in one row (1, L): prompt, its b siblings, next prompt.

    The row has no padding. Segments say what a token sees: its prompt and its response so far. The
    arguments are those of pack().
    """
    prompts, responses, b = lengths[0][::siblings], lengths[1], siblings
    T, P = max(responses), input_ids.shape[1] - max(responses)
    n, width = len(prompts), P + b * T

    def side_by_side(values: Tensor) -> Tensor:
        """Return values (B, P+T) as (n, P + b * T): of a prompt once, then of its responses."""
        return torch.cat([values[::b, :P], values[:, P:].reshape(n, b * T)], dim=1)

    is_token = side_by_side(attention_mask).bool()  # (n, P + b * T)
    count = sum(prompts) + sum(responses)  # L
    chosen = is_token.flatten().nonzero_static(size=count).squeeze(1)  # (L,) in n * (P + b * T)
    place = is_token.flatten().cumsum(0).view(n, width) - 1  # of each in L
    row, column = chosen // width, chosen % width  # (L,)
    prompt_lengths = is_token[:, :P].sum(dim=1)  # (n,)
    # Columns count from the prompt's end: left padding ends there, and responses begin there.
    offset = torch.where(column < P, column - P, (column - P) % T)
    places = attention_mask[:, P:].flatten().nonzero_static(size=sum(responses)).squeeze(1)  # (N,)
    own = place[:, P:].flatten()[places]  # (N,) place of each response token in L
    # The prompt's last token predicts the first token of every sibling.
    before = torch.where(places % T == 0, place[places // (b * T), P - 1], own - 1)
    keys = (1 + b) * sum(prompts) + sum(responses)
    return Packed(
        input_ids=side_by_side(input_ids).flatten()[chosen].unsqueeze(0),
        attention_mask=attention_mask.new_ones((1, 1, 1, 1)),
        position_ids=(prompt_lengths[row] + offset).unsqueeze(0),
        tokens=input_ids[:, P:].flatten()[places],
        predictors=before,
        places=places,
        segments=_cut_segments(is_token, place, P, b, keys),
    )


def _cut_segments(
    is_token: Tensor, place: Tensor, prompt_width: int, siblings: int, count: int
) -> Segments:
    """Return the segments of a flat row: every prompt, and every response behind its prompt.

    Args:
        is_token: (n, P + b * T) bool.
        place: (n, P + b * T) of each token in the flat row.
        count: M, keys of all segments.
    """
    P, b = prompt_width, siblings
    T = (is_token.shape[1] - P) // b
    if b == 1:  # prompt and response are one segment
        ends = nn.functional.pad(is_token.sum(dim=1).cumsum(0), (1, 0)).int()
        return Segments(None, ends, ends, P + T, P + T)

    def by_segment(values: Tensor) -> Tensor:
        """Return values (n, P + b * T) of keys as (n, 1 + b, P + T), 0 behind the prompt's own."""
        responses = nn.functional.pad(values[:, P:].view(-1, b, T), (0, 0, 1, 0))
        return torch.cat([values[:, None, :P].expand(-1, 1 + b, -1), responses], dim=2)

    is_key = by_segment(is_token)
    keys = by_segment(place).flatten()[is_key.flatten().nonzero_static(size=count).squeeze(1)]
    is_query = is_key.clone()
    is_query[:, 1:, :P] = False
    counts = torch.stack([is_query.sum(dim=2), is_key.sum(dim=2)]).flatten(1)  # (2, S)
    query_ends, key_ends = nn.functional.pad(counts.cumsum(1), (1, 0)).int()
    return Segments(keys, query_ends, key_ends, max(P, T), P + T)


def _hide_siblings(owner: Tensor) -> Tensor:
    """Return the mask (n, 1, L, L): a token sees the prompt, its own response so far and itself.

    Args:
        owner: (n, L) -1 nobody's, 0 the prompt's, 1 to b a sibling's.
    """
    length = owner.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=owner.device).tril()
    key, query = owner.unsqueeze(1), owner.unsqueeze(2)
    sees = (key == 0) | (key == query) & (key > 0)  # (n, L, L)
    # Left padding sees nothing else, and a softmax over nothing is NaN.
    itself = torch.eye(length, dtype=torch.bool, device=owner.device)
    return (sees & causal | itself).unsqueeze(1)


def pays_together(prompt: int, responses: Sequence[int], token_cost: float) -> bool:
    """Return whether siblings of these lengths cost less in one row than each alone.

    One row computes the prompt once. But it also computes the attention between siblings, in vain.

    Args:
        token_cost: the model's hidden size; infinite where no attention is computed in vain.
    """
    row = prompt + sum(responses)
    attended_in_vain = row**2 - sum((prompt + response) ** 2 for response in responses)
    tokens_saved = prompt * (len(responses) - 1)
    return attended_in_vain < _LAYER_COST * token_cost * tokens_saved
