"""Implicit process rewards, their loss and accuracy, against hand-worked numbers."""

import math

import pytest
import torch

from prm import (
    find_pairs,
    implicit_process_rewards,
    pair_accuracy,
    pair_loss,
    pair_loss_slopes,
    pair_margins,
    prm_accuracy,
    prm_loss,
)

MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])


def test_rewards_are_beta_times_the_log_ratio_and_zero_at_padding():
    prm = torch.tensor([[-1.0, -2.0, float("nan")], [-0.5, -0.5, -3.0]])
    ref = torch.tensor([[-2.0, -1.0, 5.0], [-0.5, -1.5, -1.0]])
    rewards = implicit_process_rewards(prm, ref, MASK, beta=0.05)
    expected = torch.tensor([[0.05, -0.05, 0.0], [0.0, 0.05, -0.1]])
    torch.testing.assert_close(rewards, expected)


def test_a_prm_equal_to_its_reference_gives_zero_rewards_and_loss_log_2():
    logprobs = torch.randn(2, 3)
    rewards = implicit_process_rewards(logprobs, logprobs, MASK, beta=0.05)
    assert rewards.abs().max() == 0
    loss = prm_loss(rewards, torch.tensor([1.0, 0.0]), MASK)
    assert loss.item() == pytest.approx(math.log(2))
    assert prm_accuracy(rewards, torch.tensor([1.0, 0.0]), MASK, 2) == 0.5


def test_loss_is_the_mean_cross_entropy_of_the_summed_rewards():
    rewards = torch.tensor([[0.5, 0.5, 9.0], [1.0, -2.0, -1.0]])  # sums 1 and -2 within the mask
    outcomes = torch.tensor([1.0, 0.25])
    sigmoid = [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(2))]
    expected = -math.log(sigmoid[0])
    expected -= 0.25 * math.log(sigmoid[1]) + 0.75 * math.log(1 - sigmoid[1])
    assert prm_loss(rewards, outcomes, MASK).item() == pytest.approx(expected / 2)
    one, none = (
        torch.tensor([2.0, 0.0]),
        torch.zeros(2),
    )  # the mean over the first row alone; nothing
    loss = prm_loss(rewards, outcomes, MASK, one)
    assert loss.item() == pytest.approx(-math.log(sigmoid[0]))
    assert prm_loss(rewards, outcomes, MASK, none).item() == 0.0


def test_a_prm_that_equals_its_reference_learns_as_reinforce_does():
    """The gradient of log p(y_t) is that of REINFORCE with baseline 1/2 (docs/findings.md)."""
    logprobs = torch.randn(2, 3, requires_grad=True)
    rewards = implicit_process_rewards(logprobs, logprobs.detach(), MASK, beta=0.05)
    prm_loss(rewards, torch.tensor([1.0, 0.25]), MASK).backward()
    # -beta * (r_o - 1/2) / rows at every response token
    expected = torch.tensor([[-0.0125, -0.0125, 0.0], [0.00625, 0.00625, 0.00625]])
    torch.testing.assert_close(logprobs.grad, expected)


def test_loss_does_not_saturate():
    rewards = torch.tensor([[-200.0, 0.0, 0.0]], requires_grad=True)
    loss = prm_loss(rewards, torch.tensor([1.0]), torch.ones(1, 3))
    loss.backward()
    assert loss.item() == pytest.approx(200)
    assert rewards.grad.tolist() == [[-1.0, -1.0, -1.0]]


def test_accuracy_counts_pairs_within_a_prompt_and_ties_as_half():
    mask = torch.ones(4, 1)
    outcomes = torch.tensor([1.0, 0.0, 0.0, 1.0])
    scores = torch.tensor([[2.0], [1.0], [3.0], [1.0]])
    # pairs (right, wrong): 2 > 1 yes, 2 > 3 no, 1 = 1 half, 1 > 3 no
    assert prm_accuracy(scores, outcomes, mask, 4) == pytest.approx(1.5 / 4)
    # as two prompts of two: 2 > 1 yes, 1 > 3 no
    assert prm_accuracy(scores, outcomes, mask, 2) == pytest.approx(0.5)
    assert math.isnan(prm_accuracy(scores, torch.ones(4), mask, 4))
    scores[3] += 9e-6  # up to rounding
    assert prm_accuracy(scores, outcomes, mask, 4) == pytest.approx(1.5 / 4)
    scores[3] += 1e-4
    assert prm_accuracy(scores, outcomes, mask, 4) == pytest.approx(2 / 4)


def test_accuracy_compares_partial_rewards():
    scores = torch.tensor([[0.1], [0.2], [0.3], [0.4]])
    outcomes = torch.tensor([0.0, 0.5, 0.5, 1.0])
    assert prm_accuracy(scores, outcomes, torch.ones(4, 1), 4) == 1.0


def test_partly_right_responses_make_pairs_too():
    scores = torch.tensor([[1.0], [2.0], [3.0]])
    outcomes, mask = torch.tensor([0.25, 0.5, 0.5]), torch.ones(3, 1)
    assert prm_accuracy(scores, outcomes, mask, 3) == 1.0
    assert prm_accuracy(-scores, outcomes, mask, 3) == 0.0


# Three prompts: one of two responses, one of three, one alone. Rows need not be in order.
PROMPTS = torch.tensor([7, 3, 3, 7, 3, 5])
OUTCOMES = torch.tensor([1.0, 0.0, 0.5, 0.0, 1.0, 1.0])
SCORES = torch.tensor([2.0, 1.0, 3.0, -1.0, 2.5, 9.0])
REWARDS = torch.stack([SCORES - 4.0, torch.full((6,), 4.0), torch.full((6,), 99.0)], dim=1)
REWARDS_MASK = torch.tensor([[1, 1, 0]] * 6)  # the sums within the mask are SCORES
PAIRS = [(0, 3), (2, 1), (4, 1), (4, 2)]  # rows of y+ and y-


def test_a_pair_is_two_responses_to_one_prompt_of_which_one_is_better():
    better, worse = find_pairs(OUTCOMES, PROMPTS)
    assert sorted(zip(better.tolist(), worse.tolist())) == PAIRS


def test_the_loss_of_pairs_is_the_mean_logistic_loss_of_margins():
    margins = pair_margins(REWARDS, OUTCOMES, REWARDS_MASK, PROMPTS)
    assert sorted(margins.tolist()) == pytest.approx([-0.5, 1.5, 2.0, 3.0])
    expected = sum(math.log(1 + math.exp(-own)) for own in (3.0, 2.0, 1.5, -0.5)) / 4
    assert pair_loss(margins).item() == pytest.approx(expected)
    assert pair_accuracy(margins) == 0.75
    assert pair_accuracy(torch.tensor([0.0, 0.0, 1.0])) == pytest.approx(2 / 3)
    assert pair_loss(torch.zeros(2)).item() == pytest.approx(math.log(2))


def test_slopes_are_the_gradient_of_the_loss_of_pairs():
    scores = SCORES.clone().requires_grad_()
    better, worse = map(list, zip(*PAIRS))
    (-torch.log(torch.sigmoid(scores[better] - scores[worse]))).mean().backward()
    slopes = pair_loss_slopes(REWARDS, OUTCOMES, REWARDS_MASK, PROMPTS)
    torch.testing.assert_close(slopes, scores.grad)
    assert slopes[5] == 0 and slopes[4] == pytest.approx(  # y+ of two pairs, margins 1.5 and -0.5
        -(1 / (1 + math.exp(1.5)) + 1 / (1 + math.exp(-0.5))) / 4
    )


def test_without_pairs_there_is_no_loss_and_no_slope():
    outcomes = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 1.0])
    assert not pair_loss_slopes(REWARDS, outcomes, REWARDS_MASK, PROMPTS)[[1, 2, 4, 5]].any()
    alone = torch.arange(6)
    margins = pair_margins(REWARDS, OUTCOMES, REWARDS_MASK, alone)
    assert math.isnan(pair_loss(margins)) and math.isnan(pair_accuracy(margins))
    slopes = pair_loss_slopes(REWARDS, OUTCOMES, REWARDS_MASK, alone)
    assert slopes.tolist() == [0.0] * 6


def test_the_loss_of_pairs_does_not_saturate():
    margins = torch.tensor([-200.0], requires_grad=True)
    loss = pair_loss(margins)
    loss.backward()
    assert loss.item() == pytest.approx(200) and margins.grad.tolist() == [-1.0]
