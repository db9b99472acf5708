"""The credit rules against slow loops of their equations, and the tasks of their bench."""

import itertools
import math
import random
import re
import sys

import pytest
import torch
from ruled_rows import LENGTHS, MASK, OUTCOMES, STEPS, K, sigmoid
from small_runs import ROOT

from advantage import gae, outcome_returns

sys.path.insert(0, str(ROOT / "benchmarks"))

import credit_tasks  # noqa: E402
import rules  # noqa: E402


@pytest.fixture
def rewards():
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(0)) * MASK


def test_prefix_values_and_their_loss(rewards):
    values = rules.prefix_logits(rewards, MASK, 2.0)
    expected, weights = 0.0, torch.tensor([1.0, 2.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0])
    for row, length in enumerate(LENGTHS):
        own = 0.0
        for t in range(length):
            mean = 2.0 * float(rewards[row, : t + 1].sum()) / (t + 1)
            assert float(values[row, t]) == pytest.approx(mean, abs=1e-6)
            r = float(OUTCOMES[row])
            own -= r * math.log(sigmoid(mean - 0.7)) + (1 - r) * math.log(sigmoid(-mean - 0.7))
        expected += float(weights[row]) * own / length / 8
        assert not values[row, length:].any()
    loss = rules.prefix_loss(rewards, OUTCOMES, MASK, weights, 2.0, 0.7)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_calibrated_values_by_hand(rewards):
    logits = rules.running_logits(rewards, MASK)
    values = rules.calibrated_values(logits, OUTCOMES, MASK, K)
    assert values.shape == (8, 7)
    for row, length in enumerate(LENGTHS):
        others = sum(float(OUTCOMES[r]) for r in range(row // K * K, row // K * K + K) if r != row)
        mean, shrunk = others / 3, (others + 0.5) / 4
        for t in range(length + 1):
            v = float(rewards[row, :t].sum())
            odds = math.log(shrunk / (1 - shrunk))
            assert float(values[row, t]) == pytest.approx(
                mean + sigmoid(v + odds) - shrunk, abs=1e-6
            )
        assert torch.equal(values[row, length:], values[row, length].expand(7 - length))


def test_calibrated_values_of_an_untrained_prm_make_rloo():
    values = rules.calibrated_values(torch.zeros(8, 7), OUTCOMES, MASK, K)[:, :-1]
    for gae_lambda in (0.0, 0.5, 1.0):
        found = gae(OUTCOMES, values, MASK, 1.0, gae_lambda)
        last = torch.arange(6) == MASK.sum(-1, keepdim=True) - 1
        expected = outcome_returns(OUTCOMES, MASK, K)
        where = MASK.bool() if gae_lambda == 1 else last  # before the end, lambda discounts it
        torch.testing.assert_close(found[where], expected[where], atol=1e-6, rtol=0)


def test_calibrated_values_are_a_baseline_without_bias():
    """The policy's gradient over all responses, enumerated: any PRM leaves it as it is.

    Two tokens of a vocabulary of three, two independent responses (K = 2).
    """
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 3, generator=generator, dtype=torch.float64).requires_grad_()
    prm = torch.randn(4, 3, generator=generator, dtype=torch.float64)  # a reward for each token
    outcome = {y: float(sum(y) % 2) for y in itertools.product(range(3), repeat=2)}
    table = logits.log_softmax(-1)  # row 0: first token; row 1 + y: second token after y

    def logprobs(y):
        return torch.stack([table[0, y[0]], table[1 + y[0], y[1]]])

    expected = sum(logprobs(y).sum().exp() * r for y, r in outcome.items())
    true = torch.autograd.grad(expected, logits, retain_graph=True)[0]
    mask, estimate = torch.ones(2, 2, dtype=torch.float64), 0.0
    for pair in itertools.product(outcome, repeat=2):
        outcomes = torch.tensor([outcome[y] for y in pair], dtype=torch.float64)
        rewards = torch.stack([torch.stack([prm[0, a], prm[1 + a, b]]) for a, b in pair])
        values = rules.calibrated_values(rules.running_logits(rewards, mask), outcomes, mask, 2)
        advantages = gae(outcomes, values[:, :-1], mask, 1.0, 1.0)
        logs = torch.stack([logprobs(y) for y in pair])
        probability = logs.sum().exp().detach()
        estimate += probability * (logs * advantages).sum() / 2
    found = torch.autograd.grad(estimate, logits)[0]
    torch.testing.assert_close(found, true, atol=1e-9, rtol=0)
    assert true.abs().max() > 1e-2


def test_progress_sums_to_the_change_of_the_value(rewards):
    values = rules.calibrated_values(rules.running_logits(rewards, MASK), OUTCOMES, MASK, K)
    steps = rules.progress(values, MASK)
    torch.testing.assert_close(steps.sum(-1), values[:, -1] - values[:, 0])
    assert not steps[MASK == 0].any() and steps.abs().max() < 1


def test_the_least_step_to_come(rewards):
    found = rules.least_to_come(rewards, MASK, K, STEPS)
    least = []
    for row, own in zip(rewards, STEPS):
        sums = [float(row[a:b].sum()) for a, b in own]
        tokens = [0.0] * own[-1][1]
        tokens[own[sums.index(min(sums))][1] - 1] = min(sums)
        least.append(tokens)
    for row, own in enumerate(least):
        siblings = [r for r in range(row // K * K, row // K * K + K) if r != row]
        baseline = sum(sum(least[r]) / len(least[r]) for r in siblings) / (K - 1)
        expected = [sum(own[t:]) - baseline * (len(own) - t) for t in range(len(own))]
        assert found[row, : len(own)].tolist() == pytest.approx(expected, abs=1e-6)
    assert not found[MASK == 0].any()


def test_advantages_of_steps(rewards):
    found = rules.step_advantages(rewards, MASK, K, STEPS)
    for first in (0, K):
        rows = range(first, first + K)
        sums = {
            (r, s): float(rewards[r, a:b].sum()) for r in rows for s, (a, b) in enumerate(STEPS[r])
        }
        mean = sum(sums.values()) / len(sums)
        deviation = (sum((v - mean) ** 2 for v in sums.values()) / (len(sums) - 1)) ** 0.5
        for (row, number), value in sums.items():
            start, end = STEPS[row][number]
            expected = [(value - mean) / deviation] * (end - start)
            assert found[row, start:end].tolist() == pytest.approx(expected, rel=1e-4)
    assert not found[MASK == 0].any()


def test_advantages_among_the_siblings_that_reach_a_token(rewards):
    found = rules.masked_step_advantages(rewards, MASK, K)
    for row, length in enumerate(LENGTHS):
        for t in range(length):
            alive = [r for r in range(row // K * K, row // K * K + K) if LENGTHS[r] > t]
            mean = sum(float(rewards[r, : t + 1].sum()) for r in alive) / len(alive)
            expected = float(rewards[row, : t + 1].sum()) - mean
            assert float(found[row, t]) == pytest.approx(expected, abs=1e-6)
    assert not found[MASK == 0].any()


def test_trust():
    assert [rules.trust(a) for a in (0.3, 0.5, 0.75, 1.0)] == [0, 0, 0.5, 1]


@pytest.mark.parametrize("task", credit_tasks.TASKS.values(), ids=lambda task: task.name)
def test_right_responses_are_judged_right_and_others_where_they_are_wrong(task):
    rng, wrong = random.Random(0), 0
    for _ in range(200):
        question = credit_tasks.make_question(task, rng)
        right = credit_tasks.respond(task, question)
        assert False not in credit_tasks.judge_steps(task, question, right.split("\n"))
        lines = credit_tasks.respond(task, question, rng).split("\n")
        verdicts = credit_tasks.judge_steps(task, question, lines)
        for line, verdict in zip(lines, verdicts):
            if "=" in line:
                a, symbol, b, result = re.fullmatch(r"(\d+)(.)(\d+)=(\d+)", line).groups()
                right_one = credit_tasks.right_result(task, (int(a), symbol, int(b)))
                assert verdict == (int(result) == right_one)
                wrong += not verdict
            else:
                assert verdict is not False  # what follows from the lines, right or wrong
    assert wrong > 150


def test_an_exam_is_passed_with_three_quarters_right():
    truth = "[ADVANCE]\n1+1=2\n2+2=4\n3+3=6\n4+4=8"
    assert credit_tasks.pass_exam(truth, truth) == 1
    assert credit_tasks.pass_exam(truth.replace("=4", "=5"), truth) == 1
    assert credit_tasks.pass_exam(truth.replace("=4", "=5").replace("=2", "=1"), truth) == 0
    assert credit_tasks.pass_exam(truth + "\n", truth) == 0
    assert credit_tasks.pass_exam("", truth) == 0


def test_no_question_is_in_two_splits(monkeypatch):
    monkeypatch.setattr(credit_tasks, "_SIZES", {"sft": 300, "train": 300, "test": 300})
    task = credit_tasks.TASKS["walk"]
    rows = {split: credit_tasks.make_rows(task, split) for split in ("sft", "train", "test")}
    questions = {split: {row["prompt"] for row in own} for split, own in rows.items()}
    assert not questions["test"] & (questions["train"] | questions["sft"])
    assert len(questions["train"] | questions["sft"]) > 300
