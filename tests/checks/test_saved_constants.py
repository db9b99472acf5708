"""Constants of a run that was stopped, beside those it is to go on with."""

import pytest
from small_runs import load_script

from checks.errors import UserError
from checks.saved_constants import check_same_constants, read_saved_constants, write_constants
from checks.training_run import (
    EARLIER,
    FREE_TO_CHANGE,
    check_training_run,
    translate_earlier,
)


def test_constants_come_back_from_their_file(tmp_path):
    assert read_saved_constants(tmp_path) is None
    constants = {"MODEL": "a/b", "ABILITIES": ("math",), "BETA": 0.05}
    write_constants(tmp_path / "constants.json", constants, device="cpu")
    old = read_saved_constants(tmp_path)
    assert old == {"MODEL": "a/b", "ABILITIES": ["math"], "BETA": 0.05}
    check_same_constants(constants, old, tmp_path, [])


def test_a_run_of_before_a_folder_moved_goes_on(tmp_path):
    old = {"MODEL": "models/arithmetic-sft", "REPORT_EVERY": 10, "BETA": 0.05}
    new = {"MODEL": "embedded/arithmetic-sft", "BETA": 0.05}
    check_same_constants(new, old, tmp_path, FREE_TO_CHANGE)
    with pytest.raises(UserError, match="MODEL: was 'embedded/arithmetic-sft', is 'a/b'"):
        check_same_constants({**new, "MODEL": "a/b"}, old, tmp_path, FREE_TO_CHANGE)


def test_a_constant_that_came_later_is_named(tmp_path):
    with pytest.raises(UserError) as error:
        check_same_constants({"BETA": 0.1, "SEED": 0}, {"BETA": 0.05}, tmp_path, ["SEED"])
    assert "holds work done with other constants:\n  BETA: was 0.05, is 0.1\n" in str(error.value)
    assert "SEED" not in str(error.value)
    with pytest.raises(UserError, match="CLIP: was None, is 0.3"):
        check_same_constants({"BETA": 0.05, "CLIP": 0.3}, {"BETA": 0.05}, tmp_path, [])


def test_along_a_cosine_the_number_of_iterations_is_fixed(tmp_path):
    names = vars(load_script("train_prime.py", tmp_path, NUM_ITERATIONS=4))
    own = {name: value for name, value in names.items() if name.isupper()}
    for schedule in ("constant", "cosine"):
        constants = {**own, "POLICY_SCHEDULE": schedule}
        write_constants(tmp_path / "constants.json", constants)
        check_training_run({**constants, "SAVE_EVERY": 3}, tmp_path, tmp_path)
        longer = {**constants, "NUM_ITERATIONS": 5}
        if schedule == "constant":
            check_training_run(longer, tmp_path, tmp_path)
    with pytest.raises(UserError, match="NUM_ITERATIONS: was 4, is 5"):
        check_training_run(longer, tmp_path, tmp_path)


def test_what_was_logged_before_the_first_checkpoint_is_not_lost_to_other_constants(tmp_path):
    names = vars(load_script("train_prime.py", tmp_path, NUM_ITERATIONS=4))
    constants = {name: value for name, value in names.items() if name.isupper()}
    other = {**constants, "POLICY_LR": 0.5}
    write_constants(tmp_path / "constants.json", constants)
    check_training_run(other, tmp_path, None)  # it ended before an iteration did
    (tmp_path / "metrics.jsonl").write_text('{"iteration": 0}\n')
    check_training_run(constants, tmp_path, None)
    with pytest.raises(UserError, match="POLICY_LR: was .*, is 0.5"):
        check_training_run(other, tmp_path, None)


def test_names_that_meant_another_estimator_are_not_taken_for_today_s(tmp_path):
    now = {**EARLIER, **dict(VALUE_LR=1e-3, GAE_LAMBDA=1.0, PROCESS_COEF=1.0)}
    before = dict(PROCESS_GRANULARITY="token", PROCESS_COEF=1.0)

    def check(estimator: str, **changes) -> None:
        old = translate_earlier({**before, "ADVANTAGE_ESTIMATOR": estimator, **changes}, now)
        new = {**now, "ADVANTAGE_ESTIMATOR": estimator}
        check_same_constants(new, old, tmp_path, ["PROCESS_COEF"])

    check("rloo")
    check("grpo", PROCESS_COEF=0)  # of outcomes it was what it is
    for estimator in ("grpo", "reinforce"):
        with pytest.raises(UserError, match=f"was '{estimator} of an earlier version', is"):
            check(estimator)
    with pytest.raises(UserError, match="PROCESS_GRANULARITY: was 'response', is None"):
        check("rloo", PROCESS_GRANULARITY="response")
    old = translate_earlier({**before, "ADVANTAGE_ESTIMATOR": "rloo"}, {**now, "VALUE": "head"})
    with pytest.raises(UserError, match="VALUE: was None, is 'head'"):
        check_same_constants({**now, "VALUE": "head"}, old, tmp_path, ["ADVANTAGE_ESTIMATOR"])
