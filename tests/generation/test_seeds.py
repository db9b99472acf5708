"""The random numbers that decide responses."""

import torch

from generation.seeds import derive_seed, draw_uniforms


def test_seeds_differ_by_run_iteration_and_process():
    seeds = {derive_seed(s, i, p) for s in range(4) for i in range(50) for p in range(4)}
    assert len(seeds) == 4 * 50 * 4
    assert derive_seed(1, 2, 3) == derive_seed(1, 2, 3)


def test_a_seed_decides_the_random_numbers_of_its_prompt_alone():
    drawn = draw_uniforms([3, 4, 3], 2, 5)
    assert drawn.shape == (6, 5) and drawn.dtype == torch.float64
    assert torch.equal(drawn[:2], drawn[4:]) and torch.equal(drawn[2:4], draw_uniforms([4], 2, 5))
    assert len(drawn[:4].unique()) == 20 and 0 <= drawn.min() and drawn.max() < 1
