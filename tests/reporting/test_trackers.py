"""The table of completions, as each tracker of accelerate takes it."""

import sys
from types import ModuleType, SimpleNamespace

import pytest
from groups import make_group

from generation.groups import Collected
from reporting.trackers import log_completions

TOKENIZER = SimpleNamespace(decode=lambda ids, skip_special_tokens: f"prompt {ids[0]}")
ROWS = [
    [f"prompt {n}", f"so \\boxed{{{answer}}}", reward, "correct" if reward else "wrong"]
    for n in (0, 1, 2)
    for answer, reward in (("1", 1.0), ("2\x1b", 0.0))
]


class Tracker:
    """Notes what is logged; with the methods of accelerate's trackers."""

    def __init__(self, name: str):
        self.name, self.logged = name, []

    def log_table(self, table_name, columns=None, data=None, dataframe=None, step=None):
        self.logged.append((table_name, columns, data, step))

    def log(self, values, step=None):
        self.logged.append((values, step))


def collect(kept: int, sampled: int) -> Collected:
    groups = [make_group(["1", "2\x1b"], "1") for _ in range(kept + sampled)]
    for number, group in enumerate(groups):
        group.prompt_ids[:] = [number]
    return Collected(groups[:kept], [], groups[kept:] or groups, 0.5, 1)


def send(tracker: Tracker, collected: Collected) -> list:
    log_completions(SimpleNamespace(trackers=[tracker]), 7, collected, TOKENIZER)
    return tracker.logged


@pytest.mark.parametrize("kept, sampled", [(4, 0), (0, 4)])
def test_wandb_gets_a_table_of_three_groups(kept, sampled):
    columns = ["prompt", "response", "reward", "status"]
    assert send(Tracker("wandb"), collect(kept, sampled)) == [("completions", columns, ROWS, 7)]


def test_trackio_gets_a_table(monkeypatch):
    trackio = ModuleType("trackio")
    trackio.Table = lambda dataframe: ("table", dataframe)
    monkeypatch.setitem(sys.modules, "trackio", trackio)
    [(values, step)] = send(Tracker("trackio"), collect(5, 0))
    kind, frame = values["completions"]
    assert kind == "table" and step == 7 and frame.values.tolist() == ROWS
    assert list(frame.columns) == ["prompt", "response", "reward", "status"]


def test_tensorboard_gets_text_in_which_nothing_is_hidden():
    [(values, step)] = send(Tracker("tensorboard"), collect(1, 0))
    assert step == 7
    assert values["completions"] == (
        "reward 1, correct\n\n    prompt 0\n    ---\n    so \\boxed{1}\n\n"
        "reward 0, wrong\n\n    prompt 0\n    ---\n    so \\boxed{2<U+001B>}"
    )


def test_without_a_tracker_nothing_is_decoded():
    log_completions(SimpleNamespace(trackers=[]), 7, collect(1, 0), None)
