"""Schedules of the learning rate."""

import pytest

from models.trainee import linear_warmup, warmup_then_cosine


def test_schedules():
    warmup = linear_warmup(4)
    assert [warmup(step) for step in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert linear_warmup(0)(0) == 1.0
    cosine = warmup_then_cosine(2, 12)
    assert cosine(0) == pytest.approx(1 / 3) and cosine(2) == 1.0
    assert cosine(7) == pytest.approx(0.5) and cosine(12) == pytest.approx(0.0)
