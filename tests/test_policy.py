"""The losses of PPO against slow loops."""

import math

import pytest
import torch

from policy import explained_variance, ppo_loss, reference_kl, value_loss


@pytest.mark.parametrize("high", [None, 0.05, 0.5])
def test_ppo_loss_matches_a_slow_loop(high):
    generator = torch.Generator().manual_seed(3)
    logprobs = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    old = logprobs + 0.3 * torch.randn(4, 6, generator=generator, dtype=torch.float64)
    advantages = torch.randn(4, 6, generator=generator, dtype=torch.float64)
    mask = (torch.rand(4, 6, generator=generator) < 0.7).long()
    weights = 2 * torch.rand(4, 6, generator=generator, dtype=torch.float64)
    total, clipped, kl, count = 0.0, 0, 0.0, 0
    for i in range(4):
        for t in range(6):
            if mask[i, t]:
                ratio = math.exp(logprobs[i, t] - old[i, t])
                limited = min(max(ratio, 0.8), 1.2 if high is None else 1 + high)
                advantage = advantages[i, t].item()
                total -= weights[i, t].item() * min(ratio * advantage, limited * advantage)
                clipped += limited * advantage < ratio * advantage
                kl += ratio - 1 - math.log(ratio)
                count += 1
    settings = dict(weights=weights, clip_range_high=high)
    loss, metrics = ppo_loss(logprobs, old, advantages, mask, 0.2, **settings)
    assert loss.item() == pytest.approx(total / count)
    assert metrics["clip_fraction"].item() == pytest.approx(clipped / count)
    assert 0 < metrics["clip_fraction"] < 1
    assert metrics["approx_kl"].item() == pytest.approx(kl / count)


def test_the_upper_bound_of_the_ratio_is_its_own():
    ratios, advantages = (
        torch.tensor([[1.3, 1.3, 0.7, 0.7]]),
        torch.tensor([[1.0, -1.0, 1.0, -1.0]]),
    )
    old, mask = torch.zeros(1, 4), torch.ones(1, 4)
    # the gains count up to the upper bound, the losses down to the lower one: see PPO
    for high, first, slope in ((None, 1.2, 0.0), (0.28, 1.28, 0.0), (0.4, 1.3, -1.3 / 4)):
        logprobs = ratios.log().requires_grad_()
        loss, metrics = ppo_loss(logprobs, old, advantages, mask, 0.2, clip_range_high=high)
        assert loss.item() == pytest.approx(-(first - 1.3 + 0.7 - 0.8) / 4)
        assert metrics["clip_fraction"].item() == (0.25 if high == 0.4 else 0.5)
        loss.backward()
        assert logprobs.grad[0].tolist() == pytest.approx([slope, 1.3 / 4, -0.7 / 4, 0.0])


def test_hand_worked_kl_from_a_reference_and_its_gradient():
    logprobs = torch.tensor([[0.5, 0.25, 0.5]]).log().requires_grad_()
    reference = torch.tensor([[0.25, 0.5, math.nan]]).log()
    # ratios 1/2 and 2: 1/2 + log 2 - 1 and 2 - log 2 - 1
    kl = reference_kl(logprobs, reference, torch.tensor([[1, 1, 0]]), 4)
    assert kl.item() == pytest.approx(0.5 / 4)
    kl.backward()
    assert logprobs.grad.tolist() == [pytest.approx([0.5 / 4, -1 / 4, 0.0])]


def test_the_expected_kl_is_exact_and_its_slope_is_that_of_the_other_kl():
    """Every token of a vocabulary, as often as the policy samples it (docs/details.md)."""
    generator = torch.Generator().manual_seed(5)
    logits, other = torch.randn(2, 7, generator=generator, dtype=torch.float64)
    logits.requires_grad_()
    logprobs, reference = logits.log_softmax(-1), other.log_softmax(-1)
    shares, one = logprobs.detach().exp(), torch.ones(1, 1)
    tokens = [(logprobs[i].view(1, 1), reference[i].view(1, 1)) for i in range(7)]
    estimate = sum(p * reference_kl(*pair, one, 1) for p, pair in zip(shares, tokens))
    expected = (shares * (logprobs.detach() - reference)).sum()  # KL(policy || reference)
    assert estimate.item() == pytest.approx(expected.item()) and expected > 0.1
    [slope] = torch.autograd.grad(estimate, logits, retain_graph=True)
    other_kl = (reference.exp() * (reference - logprobs)).sum()  # KL(reference || policy)
    torch.testing.assert_close(slope, *torch.autograd.grad(other_kl, logits))


def test_ppo_gradient_at_ratio_one_is_the_policy_gradient():
    logprobs = torch.tensor([[-1.0, -2.0, -3.0]], requires_grad=True)
    advantages = torch.tensor([[1.0, -2.0, 5.0]])
    loss, _ = ppo_loss(logprobs, logprobs.detach(), advantages, torch.tensor([[1, 1, 0]]), 0.2)
    loss.backward()
    assert logprobs.grad.tolist() == [[-0.5, 1.0, 0.0]]


def test_padding_counts_for_nothing_whatever_stands_there():
    mask = torch.tensor([[1, 1, 0]])
    logprobs = torch.tensor([[-1.0, -2.0, 300.0]], requires_grad=True)
    old, advantages = torch.tensor([[-1.1, -1.9, -300.0]]), torch.tensor([[1.0, -1.0, 5.0]])
    loss, metrics = ppo_loss(logprobs, old, advantages, mask, 0.2)
    loss.backward()
    short = (logprobs[:, :2].detach(), old[:, :2], advantages[:, :2], mask[:, :2])
    expected, expected_metrics = ppo_loss(*short, 0.2)
    assert loss.item() == pytest.approx(expected.item())
    assert logprobs.grad[0, 2] == 0 and torch.isfinite(logprobs.grad).all()
    for name, value in expected_metrics.items():
        assert metrics[name].item() == pytest.approx(value.item())


def test_the_value_loss_matches_a_slow_loop():
    generator = torch.Generator().manual_seed(4)
    values, old, returns = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64)
    mask = (torch.rand(4, 6, generator=generator) < 0.7).long()
    total = 0.0
    for v, before, target, keep in zip(
        *(x.flatten().tolist() for x in (values, old, returns, mask))
    ):
        near = min(max(v, before - 0.2), before + 0.2)
        total += keep * max((v - target) ** 2, (near - target) ** 2) / 2
    loss = value_loss(values, old, returns, mask, 0.2, 10)
    assert loss.item() == pytest.approx(total / 10)


def test_hand_worked_value_loss_and_its_gradient():
    values = torch.tensor([[0.9, 0.9, 0.1, 5.0]], requires_grad=True)
    old, returns = torch.tensor([[0.0, 0.8, 0.0, 0.0]]), torch.ones(1, 4)
    mask = torch.tensor([[1, 1, 1, 0]])
    # 0.9 has gone 0.9 from 0: it counts as 0.5, (0.5 - 1)^2. The next two are near: 0.01, 0.81
    loss = value_loss(values, old, returns, mask, 0.5, 2)
    assert loss.item() == pytest.approx((0.25 + 0.01 + 0.81) / 4)
    loss.backward()
    assert values.grad.tolist()[0] == pytest.approx([0, -0.05, -0.45, 0])


def test_explained_variance_is_of_response_tokens():
    returns, mask = torch.tensor([[0.0, 1.0, 1.0, 9.0]]), torch.tensor([[1, 1, 1, 0]])
    assert explained_variance(returns + 3, returns, mask) == pytest.approx(1)
    assert explained_variance(torch.zeros(1, 4), returns, mask) == pytest.approx(0)
    assert explained_variance(-returns, returns, mask) == pytest.approx(-3)  # 1 - 2^2
    assert not math.isfinite(explained_variance(returns, torch.ones(1, 4), mask))
