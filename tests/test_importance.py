"""Importance weights by hand, and the exact case: every response of a small vocabulary."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from policy import importance_weights, ppo_loss

VOCABULARY, EOS = 5, 0
OLD = torch.tensor([[0.5, 0.2, 0.4, 0.9]]).log()
SAMPLING = torch.tensor([[0.25, 0.4, 0.1, 0.3]]).log()  # ratios 2, 1/2 and 4; 3 at the padding
MASK = torch.tensor([[1, 1, 1, 0]])


@pytest.mark.parametrize(
    ("cap", "level", "weights", "capped"),
    [
        (3.0, "token", [2.0, 0.5, 3.0, 1.0], 1 / 3),
        (math.inf, "token", [2.0, 0.5, 4.0, 1.0], 0.0),
        (3.0, "sequence", [3.0, 3.0, 3.0, 1.0], 1.0),
        (math.inf, "sequence", [4.0, 4.0, 4.0, 1.0], 0.0),
        (None, "token", [1.0, 1.0, 1.0, 1.0], 0.0),
        (None, "sequence", [1.0, 1.0, 1.0, 1.0], 0.0),
    ],
)
def test_weights_worked_by_hand(cap, level, weights, capped):
    found, metrics = importance_weights(OLD, SAMPLING, MASK, cap, level)
    assert found.tolist() == [pytest.approx(weights)]
    assert metrics["capped_fraction"].item() == pytest.approx(capped)
    assert metrics["sampler_kl"].item() == pytest.approx(-math.log(4) / 3)  # whatever the cap
    _, of_a_part = importance_weights(OLD, SAMPLING, MASK, cap, level, token_count=6)
    for name, value in metrics.items():
        assert of_a_part[name].item() == pytest.approx(value.item() / 2)


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_rounding_gives_weights_of_exactly_one(level):
    sampling, mask = torch.full((1, 200), -1.0), torch.ones(1, 200)
    signs = torch.ones(1, 200)
    for difference, is_rounding in ((9e-5, True), (-9e-5, True), (2e-4, False), (-2e-4, False)):
        old = sampling + difference * signs
        weights, metrics = importance_weights(old, sampling, mask, 2.0, level)
        assert torch.equal(weights, torch.ones(1, 200)) is is_rounding
        assert metrics["sampler_kl"].item() == pytest.approx(-difference, abs=1e-6)


def test_no_gradient_goes_through_the_weights():
    old = OLD.clone().requires_grad_()
    weights, metrics = importance_weights(old, SAMPLING, MASK, 2.0)
    assert not weights.requires_grad and not metrics["sampler_kl"].requires_grad


def list_responses(longest: int) -> list[tuple[int, ...]]:
    """Return every response of up to so many tokens; EOS ends it."""
    responses = []
    for length in range(1, longest + 1):
        for ids in itertools.product(range(VOCABULARY), repeat=length):
            if EOS not in ids[:-1] and (ids[-1] == EOS or length == longest):
                responses.append(ids)
    return responses


class Case:
    """A policy, another sampler and a reward for every response, all drawn at random."""

    def __init__(self, longest: int):
        generator = torch.Generator().manual_seed(longest)
        self.responses = list_responses(longest)
        prefixes = sorted({ids[:t] for ids in self.responses for t in range(len(ids))})
        self.place = {prefix: number for number, prefix in enumerate(prefixes)}
        shape = (len(prefixes), VOCABULARY)
        self.logits = torch.randn(shape, generator=generator, dtype=torch.float64)
        change = torch.randn(shape, generator=generator, dtype=torch.float64)
        self.sampler = (self.logits + 0.5 * change).log_softmax(-1)
        self.rewards = torch.rand(len(self.responses), generator=generator, dtype=torch.float64)
        self.mask = self.gather(torch.ones(shape, dtype=torch.float64))

    def gather(self, table: Tensor) -> Tensor:
        """Return the entries (B, T) of a table (prefixes, V) for the tokens of all responses."""
        rows = [[table[self.place[y[:t]], y[t]] for t in range(len(y))] for y in self.responses]
        rows = [torch.stack(row) for row in rows]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

    def true_gradient(self) -> Tensor:
        """Return the gradient of sum_y pi(y) R(y)."""
        logits = self.logits.clone().requires_grad_()
        probabilities = self.gather(logits.log_softmax(-1)).sum(-1).exp()  # (B,)
        (probabilities * self.rewards).sum().backward()
        return logits.grad

    def estimate(self, cap: float | None, level: str) -> Tensor:
        """Return the gradient of the loss, with every response as often as it is sampled."""
        logits = self.logits.clone().requires_grad_()
        logprobs, sampling = self.gather(logits.log_softmax(-1)), self.gather(self.sampler)
        old = logprobs.detach()
        weights, _ = importance_weights(old, sampling, self.mask, cap, level)
        shares = sampling.sum(-1).exp()  # (B,), of sum 1
        advantages = (shares * self.rewards).unsqueeze(-1).expand_as(logprobs)
        loss, _ = ppo_loss(logprobs, old, advantages, self.mask, 0.2, 1.0, weights)
        (-loss).backward()
        return logits.grad

    def expected_bias(self, level: str | None) -> Tensor:
        """Return sum_y R(y) sum_t ( q(y) w_t - p(y) ) grad log p(y_t), without any autograd."""
        bias = torch.zeros_like(self.logits)
        policy = self.logits.softmax(-1)
        for ids, reward in zip(self.responses, self.rewards.tolist()):
            rows = [self.place[ids[:t]] for t in range(len(ids))]
            p = [policy[row, token].item() for row, token in zip(rows, ids)]
            q = [self.sampler[row, token].exp().item() for row, token in zip(rows, ids)]
            for t, row in enumerate(rows):
                weight = p[t] / q[t] if level == "token" else 1.0
                for token in range(VOCABULARY):
                    score = float(token == ids[t]) - policy[row, token]  # of the softmax
                    bias[row, token] += reward * (math.prod(q) * weight - math.prod(p)) * score
        return bias


def test_the_sequence_s_weight_makes_the_gradient_exact():
    case = Case(3)
    assert len(case.responses) == 1 + 4 + 16 * 5
    true = case.true_gradient()
    assert (case.estimate(math.inf, "sequence") - true).abs().max() < 1e-6
    capped = case.estimate(1.5, "sequence")  # which a cap trades for less variance
    assert (capped - true).abs().max() > 1e-3


def test_without_correction_the_gradient_is_off_by_the_expected_bias():
    case = Case(3)
    error, bias = case.estimate(None, "sequence") - case.true_gradient(), case.expected_bias(None)
    assert bias.abs().max() > 1e-2
    assert (error - bias).abs().max() < 1e-6


@pytest.mark.parametrize("longest", [1, 2, 3])
def test_a_token_s_weight_is_exact_for_responses_of_one_token(longest):
    case = Case(longest)
    error = case.estimate(math.inf, "token") - case.true_gradient()
    bias = case.expected_bias("token")
    assert (error - bias).abs().max() < 1e-6
    if longest == 1:
        assert error.abs().max() < 1e-6
    else:  # the tokens before it, and what the reward says of those after it, are the sampler's
        assert 5e-3 < error.norm() < case.expected_bias(None).norm()
