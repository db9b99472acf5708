"""What is written of an iteration, and when."""

from types import SimpleNamespace

import pytest

from generation.groups import Collected
from reporting.run_log import PhaseTimer
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
