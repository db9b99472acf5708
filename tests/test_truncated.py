"""Responses that the length limit cuts off: which prompts pass, what losses count, what is said."""

from dataclasses import replace

import pytest
import torch
from groups import make_group
from small_runs import read_metrics, run_here

from checks.errors import UserError
from generation.groups import Collected, Group
from models.batches import select_rows
from reporting.run_log import RunLog, explain_giving_up
from rollout import collect_rollouts, compute_metrics, make_rollouts

CPU = torch.device("cpu")


def make_cut(answers: list[str], truth: str, cut: list[int]) -> Group:
    """Return a group of which the responses with these numbers were cut off."""
    drawn = [[-0.5]] * len(answers)
    flags = [number in cut for number in range(len(answers))]
    return replace(make_group(answers, truth), truncated=flags, sampling_logprobs=drawn)


def collect(groups: list[Group], drops: bool, wanted: int = 2) -> Collected:
    """Filter groups, as many a round as are asked for."""
    left = list(groups)
    return collect_rollouts(
        lambda count: [left.pop(0) for _ in range(min(count, len(left)))],
        lambda prompts: prompts,
        [],
        prompts_wanted=wanted,
        accuracy_low=0.2,
        accuracy_high=0.8,
        max_rounds=3,
        kept_fraction=1.0,
        max_surplus_age=4,
        drops_truncated=drops,
    )


def test_a_prompt_with_a_response_that_was_cut_off_does_not_pass():
    whole = make_cut(["1", "2"], "1", [])
    cut = make_cut(["1", "3"], "1", [1])  # one is enough
    easy = make_cut(["1", "1"], "1", [0])  # would not pass anyway
    groups = [cut, whole, easy, cut, whole]
    collected = collect(groups, drops=True)
    assert collected.kept == [whole, whole] and collected.cut == 2
    assert collected.kept_fraction == 2 / 5
    metrics = compute_metrics(collected)
    assert metrics["prompts_truncated"] == 2 and metrics["responses_masked"] == 0
    assert metrics["truncated_fraction"] == 0.3  # of all that were sampled
    assert compute_metrics(collected, masks_truncated=True)["responses_masked"] == 0  # of the kept
    collected = collect(groups, drops=False)
    assert collected.kept == [cut, whole] and collected.cut == 0
    assert compute_metrics(collected)["responses_masked"] == 0
    assert compute_metrics(collected, masks_truncated=True)["responses_masked"] == 1


def test_no_loss_counts_the_rows_that_were_cut_off():
    ids = [[3, 4, 2], [5, 6, 7], [8, 2, 2], [9, 9, 9]]
    cut = replace(make_cut(["1"] * 4, "1", [1, 3]), response_ids=ids)
    cut = replace(cut, response_ids=[*ids[:2], [8, 2], ids[3]])
    plain, masked = (make_rollouts([cut], 0, CPU, 4, masks) for masks in (False, True))
    assert plain.loss_mask.tolist() == plain.response_mask.tolist() == masked.response_mask.tolist()
    assert masked.response_mask.tolist() == [[1, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 1]]
    assert masked.loss_mask.tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert masked.is_trained.tolist() == [True, False, True, False] and plain.is_trained.all()
    assert select_rows(masked, [3, 2]).loss_mask.tolist() == [[0, 0, 0], [1, 1, 0]]
    assert masked.lengths == plain.lengths  # the models compute all rows


GOOD = dict(prompts=2, verdicts_timeout=0, verdicts_error=0, verdicts_copied=0, prompts_expired=0)
GOOD |= dict(prompts_truncated=0, responses_masked=0, verdicts_correct=8, verdicts_no_answer=0)


def test_what_was_cut_off_is_said(tmp_path, capsys):
    log = RunLog(tmp_path, True)
    log.print_warnings(GOOD, 2)
    assert capsys.readouterr().out == ""
    log.print_warnings({**GOOD, "prompts_truncated": 3, "responses_masked": 7}, 2)
    said = capsys.readouterr().out
    assert (
        '3 prompt(s) did not pass, because a response to them was cut off (TRUNCATED = "f' in said
    )
    assert "7 response(s) of the batch were cut off, and no loss counts them" in said
    metrics = {**GOOD, "iteration": 7, "train_accuracy": 0.1, "prompts_truncated": 5}
    text = explain_giving_up(metrics, 0.2, 0.8)
    assert "5 prompts of the last iteration did not pass only because" in text
    assert "raise MAX_RESPONSE_TOKENS" in text and "too hard" not in text


@pytest.mark.parametrize("truncated", ["filter", "mask"])
def test_a_run_whose_responses_are_all_cut_off(truncated, tmp_path, capsys):
    settings = dict(TRUNCATED=truncated, MAX_RESPONSE_TOKENS=2, MAX_ROLLOUT_ROUNDS=1)
    settings |= dict(MAX_EMPTY_ITERATIONS=1, NUM_ITERATIONS=1, EVAL_DATA=None)
    if truncated == "filter":
        with pytest.raises(UserError, match="did not pass only because a response was cut off"):
            run_here(tmp_path, **settings)
        assert ", no response cut off" in capsys.readouterr().out
        [line] = read_metrics(tmp_path / "runs" / "run")
        assert line["prompts_truncated"] == 4 and line["policy_loss"] is None
        return
    [line] = read_metrics(run_here(tmp_path, **settings))
    assert "; no loss counts a response that is cut off" in capsys.readouterr().out
    assert line["responses_masked"] == 16 and line["prm_accuracy"] is line["prm_loss"] is None
    # A step of nothing has a gradient of 0, and does not stop the run.
    assert line["policy_loss"] == line["policy_gradient_norm"] == line["prm_gradient_norm"] == 0
