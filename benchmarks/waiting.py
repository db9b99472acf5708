"""Decoding with room for a quarter of the prompts: `python benchmarks/waiting.py`.

64 prompts with 4 responses each, of 8 to 253 tokens; most are short. They go in batches, one after
the other, or wait for the room of responses that have ended. Prints the steps of both, and the
ratio of their seconds: the median of turns, with lowest and highest.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from forced_lengths import force_lengths
from speed import EMBEDDED, load_prompted, spread, time_in_turns

from generation import cuda_graphs, siblings
from generation.generate import generate_responses

_SAMPLES, _LONGEST, _AT_ONCE, _REPEATS = 4, 256, 16, 5
_EOS = 2  # of the embedded tokenizer


def main() -> None:
    model, prompts = load_prompted(EMBEDDED, torch.float32, 64)
    generator = torch.Generator().manual_seed(0)
    lengths = torch.rand(len(prompts) * _SAMPLES, generator=generator) ** 3
    lengths = (lengths * (_LONGEST - 8)).long() + 8
    steps: list[int] = []
    for kind in (siblings.Batch, cuda_graphs.GraphedBatch):
        kind.step = lambda batch, tokens, own=kind.step: (steps.append(1), own(batch, tokens))[1]

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

    sides = {
        "batch after batch": lambda: [generate(n, n + _AT_ONCE) for n in range(0, 64, _AT_ONCE)],
        "waiting for room": lambda: generate(0, 64),
    }
    for name, side in sides.items():
        steps.clear()
        side()
        print(f"{name}: {len(steps)} steps")
    before, after = time_in_turns(list(sides.values()), _REPEATS)
    ratio = spread([one / other for one, other in zip(before, after)])
    print(f"seconds, batch after batch / waiting for room: {ratio}")


if __name__ == "__main__":
    main()
