"""Attention in segments: a flat row of tokens, without padding, mask or arithmetic in vain.

On a GPU it is torch's varlen_attn, a flash kernel. It is registered with transformers as the
attention "varlen", for models that otherwise attend by "sdpa".

Shapes: L tokens of a flat row, M keys, S segments.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.attention.varlen import varlen_attn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

ATTENTION = "varlen"


@dataclass(frozen=True)
class Segments:
    """Which keys a query sees: a segment's queries are its last keys, and each sees up to itself.

    A response is a segment whose keys are its prompt's tokens and its own.
    """

    keys: Tensor | None  # (M,) place of each key in the row; None: every token once, in order
    query_ends: Tensor  # (S+1,) int32, segment s has queries query_ends[s] to query_ends[s+1]
    key_ends: Tensor  # (S+1,) int32, and keys key_ends[s] to key_ends[s+1]
    most_queries: int  # that a segment has, or more
    most_keys: int


def _attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    segments: Segments | None = None,
    **settings,
) -> tuple[Tensor, None]:
    """Attention with the arguments transformers passes. Without segments it is "sdpa".

    Args:
        query: (1, heads, L, width); key, value: (1, heads / g, L, width).
        attention_mask: ignored where there are segments.

    Returns:
        (1, L, heads, width), and None for the weights.

    Raises:
        ValueError: the model's attention is more than a softmax of scaled products.
    """
    if segments is None:
        settings["scaling"] = scaling
        return sdpa_attention_forward(module, query, key, value, attention_mask, **settings)
    odd = [name for name in ("softcap", "position_bias", "s_aux") if settings.get(name) is not None]
    if odd:
        raise ValueError(f"varlen attention has no {odd[0]}")
    # Rotation can leave queries and keys in float32 under autocast. Values show its precision.
    states = [part[0].transpose(0, 1).to(value.dtype) for part in (query, key, value)]
    return attend(*states, segments, scaling).unsqueeze(0), None


def attend(
    query: Tensor, key: Tensor, value: Tensor, segments: Segments, scale: float | None
) -> Tensor:
    """Return the attention (L, heads, width) of a flat row.

    Args:
        query: (L, heads, width); key, value: (L, heads / g, width).
        scale: of the products; None: width ** -0.5.

    Raises:
        ValueError: a GPU has no such attention in float32.
    """
    on_gpu = query.device.type == "cuda"
    if on_gpu and query.dtype == torch.float32:
        raise ValueError("flat rows need computing in bfloat16")
    if segments.keys is not None:
        key, value = key.index_select(0, segments.keys), value.index_select(0, segments.keys)
    attend_to = varlen_attn if on_gpu else attend_by_segment
    return attend_to(
        query,
        key,
        value,
        segments.query_ends,
        segments.key_ends,
        segments.most_queries,
        segments.most_keys,
        window_size=(-1, 0),  # causal: the last query sees the last key
        scale=scale,
        enable_gqa=True,
    )


def attend_by_segment(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    query_ends: Tensor,
    key_ends: Tensor,
    *_: int,
    scale: float | None,
    **__,
) -> Tensor:
    """Return what varlen_attn returns, by one plain attention a segment, on any device."""
    mixed = []
    ends = list(zip(query_ends.tolist(), key_ends.tolist()))
    for (start, first), (end, last) in zip(ends, ends[1:]):
        queries, keys = end - start, last - first
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device)
        states = query[start:end], key[first:last], value[first:last]
        out = scaled_dot_product_attention(
            *(part.transpose(0, 1).unsqueeze(0) for part in states),  # (1, heads, tokens, width)
            attn_mask=mask.tril(keys - queries),
            scale=scale,
            enable_gqa=True,
        )
        mixed.append(out[0].transpose(0, 1))
    return torch.cat(mixed)


AttentionInterface.register(ATTENTION, _attend)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)  # where there are no segments
