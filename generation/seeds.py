"""Random numbers for sampling: a response gets the same ones, whatever its batch."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


def derive_seed(*numbers: int) -> int:
    """Return one seed made of several numbers, such as a run's seed and an iteration."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def draw_uniforms(seeds: Sequence[int], samples_per_prompt: int, max_tokens: int) -> Tensor:
    """Return random numbers (n * K, T) in [0, 1) for n prompts. Each prompt has its own seed."""
    shape = (samples_per_prompt, max_tokens)
    # On the CPU, so that every device samples by the same numbers.
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    return torch.cat([torch.rand(shape, generator=g, dtype=torch.float64) for g in generators])
