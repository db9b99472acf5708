"""Decoding with room for a quarter of the prompts: `python benchmarks/waiting.py`.

64 prompts with 4 responses each. They go in batches, one after the other, or wait for the room of
responses that have ended. Once the responses have 8 to 253 tokens, most of them few; once all have
64, where waiting gains nothing. Prints the steps of both, tokens a second and the ratio of the
seconds: medians of turns, with lowest and highest.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from forced_lengths import force_lengths
from speed import EMBEDDED, load_prompted, spread, time_in_turns
from torch import Tensor

from generation import cuda_graphs, siblings
from generation.generate import generate_responses

_SAMPLES, _LONGEST, _AT_ONCE, _REPEATS = 4, 256, 16, 9
_EOS = 2  # of the embedded tokenizer


def main() -> None:
    model, prompts = load_prompted(EMBEDDED, torch.float32, 64)
    steps: list[int] = []
    for kind in (siblings.Batch, cuda_graphs.GraphedBatch):
        kind.step = lambda batch, tokens, own=kind.step: (steps.append(1), own(batch, tokens))[1]
    shares = torch.rand(len(prompts) * _SAMPLES, generator=torch.Generator().manual_seed(0)) ** 3
    tailed = (shares * (_LONGEST - 8)).long() + 8
    for title, lengths in (("most are short", tailed), ("all alike", torch.full_like(tailed, 64))):
        print(f"{title}, {lengths.float().mean():.0f} tokens on average")
        compare(model, prompts, lengths, steps)


def compare(model, prompts: list[list[int]], lengths: Tensor, steps: list[int]) -> None:
    """Print steps, tokens a second and the ratio of seconds of both ways, for given lengths."""

    def generate(first: int, last: int) -> None:
        mine = lengths[first * _SAMPLES : last * _SAMPLES]
        with force_lengths(mine, _EOS):
            responses, _ = generate_responses(
                model,
                prompts[first:last],
                samples_per_prompt=_SAMPLES,
                max_response_tokens=_LONGEST,
                temperature=1.0,
                eos_token_ids=[_EOS],
                pad_token_id=0,
                token_budget=_AT_ONCE * (max(map(len, prompts)) + _SAMPLES * _LONGEST),
            )
        assert list(map(len, responses)) == mine.tolist()

    starts = range(0, len(prompts), _AT_ONCE)
    sides = {
        "batch after batch": lambda: [generate(n, n + _AT_ONCE) for n in starts],
        "waiting for room": lambda: generate(0, len(prompts)),
    }
    counts = []
    for side in sides.values():
        steps.clear()
        side()
        counts.append(len(steps))
    seconds = time_in_turns(list(sides.values()), _REPEATS)
    for name, count, own in zip(sides, counts, seconds):
        speed = int(lengths.sum()) / statistics.median(own)
        print(f"  {name}: {count} steps, {speed:.0f} tokens a second")
    ratio = spread([one / other for one, other in zip(*seconds)])
    print(f"  seconds, batch after batch / waiting for room: {ratio}")


if __name__ == "__main__":
    main()
