"""Micro-batches: which rows go through a model together, in which step and on which process."""

from collections.abc import Sequence

from models.batches import Rollouts, cut_by_tokens
from models.packing import pays_together


def split_rows(num_rows: int, samples_per_prompt: int, optimizer_steps: int) -> list[list[int]]:
    """Return the rows of each optimizer step: whole prompts, as even as possible, no step empty."""
    prompts = range(num_rows // samples_per_prompt)
    steps = min(optimizer_steps, len(prompts))
    edges = [len(prompts) * step // steps for step in range(steps + 1)]
    return [
        list(range(low * samples_per_prompt, high * samples_per_prompt))
        for low, high in zip(edges, edges[1:])
    ]


def plan_micro_batches(
    rollouts: Rollouts,
    rows: Sequence[int],
    micro_batch_tokens: int,
    token_cost: float,
    process_index: int,
    num_processes: int,
) -> list[tuple[list[int], int]]:
    """Return this process's micro-batches. Each process has equally many; some may be empty.

    Siblings are computed as one row if that costs less than each alone. They come first, and of
    either kind the longest.

    Args:
        rows: of whole prompts, in order.
        token_cost: of pays_together(). Infinite: siblings are computed as one if they fit.

    Returns:
        for each micro-batch, its rows and how many consecutive ones are computed as one.
    """
    prompts, responses = rollouts.lengths
    together, alone = [], []  # first rows of prompts; single rows
    for first in rows[:: rollouts.siblings]:
        own = range(first, first + rollouts.siblings)
        lengths = [responses[row] for row in own]
        fits = prompts[first] + sum(lengths) <= micro_batch_tokens
        if fits and pays_together(prompts[first], lengths, token_cost):
            together.append(first)
        else:
            alone += own
    plans: list[list[tuple[list[int], int]]] = [[] for _ in range(num_processes)]
    for firsts, siblings in ((together, rollouts.siblings), (alone, 1)):
        sums = {first: sum(responses[first : first + siblings]) for first in firsts}
        firsts.sort(key=lambda first: -prompts[first] - sums[first])
        # Dealt out in order of length, the rows load all processes alike.
        for index, plan in enumerate(plans):
            share = firsts[index::num_processes]
            for batch in cut_by_tokens(share, prompts, sums, micro_batch_tokens):
                plan.append(([first + n for first in batch for n in range(siblings)], siblings))
    # Processes exchange gradients after equally many micro-batches, so that none waits for ever.
    most = max(map(len, plans))
    return plans[process_index] + [([], 1)] * (most - len(plans[process_index]))
