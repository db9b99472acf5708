"""The random numbers that decide responses, the same whatever is sampled beside them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derive_seed(*numbers: int) -> int:
    """Return a seed of its own for each list of numbers, such as a run's seed and an iteration."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def draw_uniforms(seeds: Sequence[int], samples_per_prompt: int, max_tokens: int) -> Tensor:
    """Return the random numbers (n * K, T) in [0, 1) of prompts with a seed each."""
    shape = (samples_per_prompt, max_tokens)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.cat([torch.rand(shape, generator=g, dtype=torch.float64) for g in generators])
