"""What the log adds up and says."""

import time

import pytest

from reporting.run_log import PhaseTimer, explain_giving_up


def test_a_phase_adds_up_however_often_it_is_entered(monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer = PhaseTimer()
    for phase in ("generate", "generate", "verify"):
        with timer(phase):
            pass
    assert timer.totals == {"generate": 5.0, "verify": 1.0}


@pytest.mark.parametrize(
    "accuracy, words",
    [
        (0.1, "too hard for this model: use easier ones"),
        (0.9, "too easy"),
        (0.5, "always or never"),
    ],
)
def test_the_advice_on_giving_up_is_for_what_happened(accuracy, words):
    text = explain_giving_up({"iteration": 7, "train_accuracy": accuracy}, 0.2, 0.8)
    assert words in text and "after iteration 7" in text and f"{accuracy:.3f}" in text
