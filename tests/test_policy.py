"""The losses of PPO against slow loops."""

import math

import pytest
import torch

from policy import explained_variance, ppo_loss, value_loss


def test_ppo_loss_matches_a_slow_loop():
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
                limited = min(max(ratio, 0.8), 1.2)
                advantage = advantages[i, t].item()
                total -= weights[i, t].item() * min(ratio * advantage, limited * advantage)
                clipped += limited * advantage < ratio * advantage
                kl += ratio - 1 - math.log(ratio)
                count += 1
    loss, metrics = ppo_loss(logprobs, old, advantages, mask, 0.2, weights=weights)
    assert loss.item() == pytest.approx(total / count)
    assert metrics["clip_fraction"].item() == pytest.approx(clipped / count)
    assert 0 < metrics["clip_fraction"] < 1
    assert metrics["approx_kl"].item() == pytest.approx(kl / count)


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
