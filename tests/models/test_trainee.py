"""Schedules of the learning rate."""

import math

import pytest

from models.roles import choose_schedule
from models.trainee import linear_warmup, warmup_then_cosine


def test_schedules():
    warmup = linear_warmup(4)
    assert [warmup(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert linear_warmup(0)(0) == 1.0
    cosine = warmup_then_cosine(2, 12)
    assert cosine(0) == pytest.approx(1 / 3) and cosine(2) == 1.0
    assert cosine(7) == pytest.approx(0.5) and cosine(12) == pytest.approx(0.0)


@pytest.mark.parametrize("warmup_iterations", [0, 4])
def test_the_policy_s_rate_falls_by_its_own_steps(warmup_iterations):
    constants = dict(POLICY_SCHEDULE="cosine", NUM_ITERATIONS=6 + warmup_iterations)
    constants |= dict(OPTIMIZER_STEPS=2, VALUE_WARMUP_ITERATIONS=warmup_iterations)
    constants |= dict(POLICY_WARMUP_STEPS=2, PRM_WARMUP_STEPS=2, VALUE_WARMUP_STEPS=1)
    policy = choose_schedule("policy", constants)
    # 12 steps, 2 of warm-up: a cosine over the last ten, with the rate of 0 after the last
    expected = [1 / 3, 2 / 3, *(math.cos(math.pi * n / 20) ** 2 for n in range(10)), 0.0]
    assert [policy(step) for step in range(13)] == pytest.approx(expected)
    for name in ("PRM", "value"):
        assert choose_schedule(name, constants)(12) == 1.0
    assert choose_schedule("policy", {**constants, "POLICY_SCHEDULE": "constant"})(12) == 1.0
