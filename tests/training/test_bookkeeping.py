"""What is written of an iteration, and when."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from checks.errors import UserError
from generation.groups import Collected
from reporting.run_log import PhaseTimer
from training import bookkeeping
from training.bookkeeping import Bookkeeper

CONSTANTS = dict(NUM_ITERATIONS=5, MAX_EMPTY_ITERATIONS=9, EVAL_EVERY=2, SAVE_EVERY=3)
CONSTANTS |= dict(PROMPTS_PER_ITERATION=4, VERIFIERS={}, TRUNCATED="keep")


@pytest.mark.parametrize("pressed", [False, True])
@pytest.mark.parametrize("iteration", range(5))
def test_accuracies_reports_and_checkpoints_of_an_iteration(iteration, pressed):
    lines, reports, saves, pushes = [], [], [], []
    log = SimpleNamespace(
        log_metrics=lambda accelerator, metrics: lines.append(metrics),
        print_row=lambda *_: None,
        print_warnings=lambda *_: None,
        print_new_warnings=lambda *_: None,
        write_report=lambda tokenizer, ends: reports.append(ends),
    )
    saver = SimpleNamespace(
        tokenizer="tokenizer",
        save=lambda *own: saves.append(own),
        push=lambda number, is_last: pushes.append((number, is_last)),
    )
    interrupt = SimpleNamespace(is_noted=lambda: pressed, stop=lambda: stopped.append(len(saves)))
    stream = SimpleNamespace(state_dict=lambda: {"position": 7})
    accelerator, stopped = SimpleNamespace(trackers=[]), []
    bookkeeper = Bookkeeper(accelerator, CONSTANTS, stream, saver, log, interrupt)
    collected = Collected(kept=["a group"], surplus=[], sampled=[], kept_fraction=0.5, rounds=1)
    evaluations = []
    bookkeeper.conclude(
        iteration,
        PhaseTimer(),
        collected,
        {"prm_loss": 0.6},
        0.25,
        lambda: evaluations.append(1) or 0.75,
    )
    [line] = lines
    is_last = iteration == 4
    assert line["eval_accuracy"] == (0.75 if is_last else 0.25) and line["prm_loss"] == 0.6
    assert line["eval_accuracy_before"] == (0.25 if is_last else None)
    assert len(evaluations) == is_last
    assert reports == [is_last or pressed] * (pressed or iteration in (1, 3, 4))
    assert [number for number, _ in saves] == [iteration + 1] * (pressed or iteration in (2, 4))
    assert pushes == [(3, False)] * (iteration == 2 and not pressed)  # the end pushes the last
    assert stopped == [1] * (pressed and not is_last)  # after the save
    assert all(state["stream"] == {"position": 7} for _, state in saves)
    assert bookkeeper.kept_fraction == 0.5


def test_empty_iterations_are_counted_over_a_resume_and_anew_after_giving_up(monkeypatch):
    saved = {}
    saver = SimpleNamespace(
        tokenizer=None,
        save=lambda number, state: saved.update(state),
        push=lambda *_, **__: None,
        resume=lambda path: saved,
    )
    quiet = ("log_metrics", "print_row", "print_warnings", "print_new_warnings", "write_report")
    log = SimpleNamespace(**dict.fromkeys(quiet, lambda *_, **__: None))
    interrupt = SimpleNamespace(is_noted=lambda: False)
    stream = SimpleNamespace(state_dict=dict, load_state_dict=lambda _: None)
    constants = {**CONSTANTS, "NUM_ITERATIONS": 99, "MAX_EMPTY_ITERATIONS": 3, "SAVE_EVERY": 1}
    constants |= {"ACCURACY_LOW": 0.2, "ACCURACY_HIGH": 0.8}
    nothing = Collected(kept=[], surplus=[], sampled=[], kept_fraction=0.5, rounds=1)
    monkeypatch.setattr(bookkeeping.run_log, "explain_giving_up", lambda *_: "no prompt passes")

    def go_on(iteration: int) -> None:
        own = SimpleNamespace(trackers=[]), constants, stream, saver, log, interrupt
        bookkeeper = Bookkeeper(*own)
        bookkeeper.resume(Path("000000") if saved else None)
        bookkeeper.conclude(iteration, PhaseTimer(), nothing, {}, None, lambda: None)

    for _ in range(2):
        go_on(0)
        go_on(1)
        with pytest.raises(UserError, match="no prompt passes"):
            go_on(2)
        assert saved["empty_iterations"] == 0
