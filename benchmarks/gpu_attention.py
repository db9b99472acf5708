"""Compares the attentions of training on one layer, on a GPU; a part of gpu.py."""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from torch import Tensor

from models.packing import pack, pack_flat
from models.varlen import attend

DEVICE = torch.device("cuda")
_HEADS, _SHARED, _WIDTH = 12, 2, 128  # of a layer of the 1.5 B model


def compare_attention() -> str:
    """Return a table of milliseconds, forward and backward, on shapes seen for the first time."""
    generator = torch.Generator().manual_seed(0)
    sides = {"padded, cuDNN": True, "padded": False, "flat": False}
    first: dict[str, list[float]] = {side: [] for side in sides}
    later: dict[str, list[float]] = {side: [] for side in sides}
    worst = 0.0
    for _ in range(8):
        states, attend_flat, attend_rows = make_layer(generator, DEVICE, torch.bfloat16)
        results = []
        for side, cudnn in sides.items():
            torch.backends.cuda.enable_cudnn_sdp(cudnn)
            compute = attend_flat if side == "flat" else attend_rows
            seconds, *values = time_passes(compute, states)
            first[side].append(seconds[0])
            later[side] += seconds[1:]
            results.append(values)
        for one in (results[0], results[2]):
            for value, expected in zip(one, results[1]):
                worst = max(worst, float((value - expected).norm() / expected.norm()))
    torch.backends.cuda.enable_cudnn_sdp(False)
    lines = ["| attention | first time, ms | later, ms |", "|---|---|---|"]
    for side in sides:
        medians = (statistics.median(own[side]) for own in (first, later))
        lines.append(f"| {side} | {' | '.join(f'{ms:.1f}' for ms in medians)} |")
    return "\n".join(lines) + (
        f"\n\nMedians of {len(first['flat'])} shapes; the largest difference of outputs and "
        f"gradients is {worst:.1e} of their norm. A training pass meets a new shape each time, so "
        "the first column decides. Flat must be the lowest, and the difference below 0.02."
    )


def make_layer(
    generator: torch.Generator, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Return states (L, heads, width) of a micro-batch, and its attention on flat and padded rows.

    8 prompts of one length, with 4 responses each of 50 to 1,024 tokens.
    """
    siblings, rows = 4, 32
    width = int(torch.randint(100, 400, (1,), generator=generator))
    lengths = torch.randint(50, 1025, (rows, 1), generator=generator)
    T = int(lengths.max())
    mask = torch.cat([torch.ones(rows, width), (torch.arange(T) < lengths).float()], dim=1)
    mask = mask.long().to(device)
    counts = [width] * rows, lengths.flatten().tolist()
    padded, flat = (own(mask, mask, counts, siblings) for own in (pack, pack_flat))
    hidden = ~padded.attention_mask
    scores = torch.zeros_like(hidden, dtype=dtype).masked_fill_(hidden, torch.finfo(dtype).min)
    place = padded.input_ids.flatten().nonzero().squeeze(1)  # of flat tokens, in padded rows
    shape = (flat.input_ids.shape[1], _HEADS + 2 * _SHARED, _WIDTH)
    states = torch.randn(shape, device=device, dtype=dtype)

    def split(own: Tensor) -> tuple[Tensor, ...]:
        return own.split([_HEADS, _SHARED, _SHARED], dim=1)

    return (
        states,
        lambda own: attend(*split(own), flat.segments, None),
        lambda own: attend_padded(*split(own), place, padded.input_ids.shape, scores),
    )


def time_passes(
    compute: Callable[[Tensor], Tensor], states: Tensor
) -> tuple[list[float], Tensor, Tensor]:
    """Return milliseconds of four passes, forward and backward; the output and the gradient."""
    milliseconds = []
    for _ in range(4):
        own = states.clone().requires_grad_()
        torch.cuda.synchronize()
        started = time.perf_counter()
        output = compute(own)
        output.float().square().sum().backward()
        torch.cuda.synchronize()
        milliseconds.append(1000 * (time.perf_counter() - started))
    return milliseconds, output.detach().float(), own.grad.float()


def attend_padded(
    query: Tensor, key: Tensor, value: Tensor, place: Tensor, shape: tuple, scores: Tensor
) -> Tensor:
    """Return attention (L, heads, width) of flat states, computed on padded rows as sdpa does."""

    def pad(states: Tensor) -> Tensor:
        rows = states.new_zeros(shape[0] * shape[1], *states.shape[1:]).index_copy(0, place, states)
        return rows.unflatten(0, tuple(shape)).transpose(1, 2)

    repeats = _HEADS // _SHARED
    key, value = (pad(states).repeat_interleave(repeats, dim=1) for states in (key, value))
    out = torch.nn.functional.scaled_dot_product_attention(pad(query), key, value, attn_mask=scores)
    return out.transpose(1, 2).flatten(0, 1)[place]
