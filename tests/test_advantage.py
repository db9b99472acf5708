"""Advantages against slow loops written from the equations, hand-worked numbers, invariances."""

import statistics

import pytest
import torch

from advantage import (
    gae,
    grpo,
    outcome_returns,
    prime_advantages,
    prm_values,
    process_returns,
    whitened,
)


def make_batch(prompts: int, samples_per_prompt: int, length: int, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    rows = prompts * samples_per_prompt
    lengths = torch.randint(1, length + 1, (rows,), generator=generator)
    response_mask = (torch.arange(length) < lengths.unsqueeze(1)).long()  # (B, T) ragged
    process_rewards = torch.randn(rows, length, generator=generator, dtype=torch.float64)
    outcome_rewards = torch.rand(rows, generator=generator, dtype=torch.float64)
    return outcome_rewards, process_rewards, response_mask


def slow_outcome_return(outcomes: list[float], i: int, samples_per_prompt: int) -> float:
    first = i // samples_per_prompt * samples_per_prompt
    others = [outcomes[j] for j in range(first, first + samples_per_prompt) if j != i]
    return outcomes[i] - sum(others) / len(others)


def slow_process_return(
    rewards: list[list[float]], i: int, t: int, samples_per_prompt: int, gamma: float
) -> float:
    """Discounted sum from t on of r_s minus the mean of the others' mean token reward."""
    first = i // samples_per_prompt * samples_per_prompt
    means = [
        sum(rewards[j]) / len(rewards[j])
        for j in range(first, first + samples_per_prompt)
        if j != i
    ]
    baseline = sum(means) / len(means)
    return sum(gamma ** (s - t) * (r - baseline) for s, r in enumerate(rewards[i]) if s >= t)


@pytest.mark.parametrize("samples_per_prompt", [2, 4, 8])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
def test_returns_match_a_slow_loop_over_the_equations(samples_per_prompt, gamma):
    outcomes, process, mask = make_batch(3, samples_per_prompt, length=7)
    from_outcome = outcome_returns(outcomes, mask, samples_per_prompt)
    from_process = process_returns(process, mask, samples_per_prompt, gamma)
    ragged = [row[keep.bool()].tolist() for row, keep in zip(process, mask)]
    for i in range(len(outcomes)):
        for t in range(mask.shape[1]):
            if mask[i, t] == 0:
                assert from_outcome[i, t] == 0 and from_process[i, t] == 0
                continue
            expected = slow_outcome_return(outcomes.tolist(), i, samples_per_prompt)
            assert from_outcome[i, t].item() == pytest.approx(expected, abs=1e-12)
            expected = slow_process_return(ragged, i, t, samples_per_prompt, gamma)
            assert from_process[i, t].item() == pytest.approx(expected, abs=1e-12)


def test_hand_worked_group_of_four():
    outcomes = torch.tensor([1.0, 0.0, 0.0, 1.0])
    process = torch.tensor([[1.0, 3.0], [2.0, 9.0], [0.0, 0.0], [-1.0, 1.0]])
    mask = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 1]])
    # outcome: 1 - (0+0+1)/3 = 2/3; 0 - (1+0+1)/3 = -2/3; the same; 2/3
    expected_outcome = torch.tensor([[2, 2], [-2, 0], [-2, -2], [2, 2]]) / 3
    torch.testing.assert_close(outcome_returns(outcomes, mask, 4), expected_outcome)
    # mean token rewards 2, 2, 0, 0: baselines 2/3, 2/3, 4/3, 4/3
    # row 0: 3 - 2/3 = 7/3, and before it 1 - 2/3 more: 8/3; row 1: 2 - 2/3 = 4/3
    # row 2: -4/3, then twice that; row 3: 1 - 4/3 = -1/3, and before it -1 - 4/3 more: -8/3
    expected_process = torch.tensor([[8, 7], [4, 0], [-8, -4], [-8, -1]]) / 3
    torch.testing.assert_close(process_returns(process, mask, 4, gamma=1.0), expected_process)
    # gamma 1/2: row 0 at t = 0: 1/3 + 7/6 = 3/2
    halved = process_returns(process, mask, 4, gamma=0.5)
    assert halved[0].tolist() == pytest.approx([1.5, 7 / 3])
    advantages = prime_advantages(
        outcomes, process, mask, 4, gamma=1.0, outcome_coef=3.0, process_coef=0.5, whiten=False
    )
    torch.testing.assert_close(advantages, 3 * expected_outcome + 0.5 * expected_process)


def slow_centred(rewards: list[list[float]], K: int, estimator: str) -> list[list[float]]:
    """Eq. 7 and 8, reward by reward."""
    centred = []
    for i, own in enumerate(rewards):
        first = i // K * K
        means = [statistics.fmean(row) for row in rewards[first : first + K]]
        mean, deviation = statistics.fmean(means), statistics.stdev(means)
        if estimator == "reinforce":
            mean, deviation = 0.0, 1.0
        centred.append([(r - mean) / deviation for r in own])
    return centred


def test_small_rewards_of_a_long_response_are_normalized_and_rounding_is_not():
    sums = torch.tensor([0.8, 0.3, -0.2, -0.9])
    mask = torch.ones(4, 3000)
    found = grpo(sums[:, None] / 3000 * mask, mask, 4)[:, 0]
    torch.testing.assert_close(found, (sums - sums.mean()) / sums.std(), rtol=1e-4, atol=0)
    assert not grpo(sums[:, None] * 1e-8 * mask, mask, 4).any()


@pytest.mark.parametrize("estimator", ["grpo", "reinforce"])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("K", [2, 4, 8])
def test_other_estimators_match_a_slow_loop_over_their_equations(estimator, gamma, K):
    outcomes, process, mask = make_batch(3, K, length=7)
    from_outcome = outcome_returns(outcomes, mask, K, estimator)
    from_process = process_returns(process, mask, K, gamma, estimator)
    slow_outcomes = slow_centred([[o] for o in outcomes.tolist()], K, estimator)
    ragged = [row[keep.bool()].tolist() for row, keep in zip(process, mask)]
    slow_process = slow_centred(ragged, K, estimator)
    for i in range(len(outcomes)):
        length = len(ragged[i])
        assert from_outcome[i, :length].tolist() == pytest.approx(slow_outcomes[i] * length)
        returns = [
            sum(gamma ** (s - t) * slow_process[i][s] for s in range(t, length))
            for t in range(length)
        ]
        assert from_process[i, :length].tolist() == pytest.approx(returns)
        assert not from_outcome[i, length:].any() and not from_process[i, length:].any()


def test_hand_worked_estimators():
    outcomes = torch.tensor([1.0, 0.0, 1.0, 1.0])  # two prompts of two
    mask = torch.ones(4, 1)
    # leave-one-out: against the other one; GRPO: mean 1/2, deviation sqrt(1/2); REINFORCE: itself
    assert outcome_returns(outcomes, mask, 2)[:, 0].tolist() == [1, -1, 0, 0]
    grpo = outcome_returns(outcomes, mask, 2, "grpo")[:, 0].tolist()
    assert grpo == pytest.approx([0.5**0.5, -(0.5**0.5), 0, 0])
    assert outcome_returns(outcomes, mask, 2, "reinforce")[:, 0].tolist() == [1, 0, 1, 1]


def test_hand_worked_process_returns_of_the_estimators():
    process = torch.tensor([[1.0, 3.0], [4.0, 9.0]])
    mask = torch.tensor([[1, 1], [1, 0]])
    # response means 2 and 4: mean 3, deviation sqrt(2). Over the three tokens it would be 8/3
    # row 0: (3 - 3) / sqrt(2) = 0, and before it (1 - 3) / sqrt(2) more; row 1: 1 / sqrt(2)
    grpo = process_returns(process, mask, 2, 1.0, "grpo")
    assert grpo.flatten().tolist() == pytest.approx([-(2**0.5), 0, 0.5**0.5, 0])
    # no baseline; gamma 1/2: 1 + 3/2
    assert process_returns(process, mask, 2, 1.0, "reinforce").tolist() == [[4, 3], [4, 0]]
    assert process_returns(process, mask, 2, 0.5, "reinforce").tolist() == [[2.5, 3], [4, 0]]


def slow_gae(outcome: float, values: list[float], gamma: float, decay: float) -> list[float]:
    """The definition, token by token: a reward at the last token, value 0 after it."""
    last = len(values) - 1
    rewards = [outcome if t == last else 0.0 for t in range(len(values))]
    following = [*values[1:], 0.0]
    deltas = [r + gamma * f - v for r, f, v in zip(rewards, following, values)]
    return [
        sum((gamma * decay) ** (s - t) * deltas[s] for s in range(t, last + 1))
        for t in range(last + 1)
    ]


@pytest.mark.parametrize("K", [2, 4, 8])
@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("gae_lambda", [0.0, 0.5, 1.0])
def test_gae_matches_a_slow_loop_over_its_equation(K, gamma, gae_lambda):
    outcomes, values, mask = make_batch(3, K, length=7, seed=K)
    advantages = gae(outcomes, values, mask, gamma, gae_lambda)
    for i, (row, keep) in enumerate(zip(values, mask.bool())):
        expected = slow_gae(outcomes[i].item(), row[keep].tolist(), gamma, gae_lambda)
        assert advantages[i, keep].tolist() == pytest.approx(expected, abs=1e-12)
        assert not advantages[i, ~keep].any()
        if gamma == gae_lambda == 1:  # the paper's PPO: A_t = r_o - V(y_<t)
            torch.testing.assert_close(advantages[i, keep], outcomes[i] - row[keep])


def test_hand_worked_gae():
    outcomes, values = torch.tensor([1.0, 0.0]), torch.tensor([[0.5, 0.25, 0.75], [0.5, 9.0, 9.0]])
    mask = torch.tensor([[1, 1, 1], [1, 0, 0]])
    # deltas of row 0: 0.25 - 0.5 = -0.25; 0.75 - 0.25 = 0.5; 1 - 0.75 = 0.25. Row 1: 0 - 0.5
    for gae_lambda, expected in (
        (0.0, [-0.25, 0.5, 0.25]),
        (0.5, [0.0625, 0.625, 0.25]),  # 0.5 + 0.25 / 2; -0.25 + 0.625 / 2
        (1.0, [0.5, 0.75, 0.25]),  # 1 - value
    ):
        rows = gae(outcomes, values, mask, 1.0, gae_lambda).tolist()
        assert rows == [expected, [-0.5, 0, 0]]
    # gamma 1/2, lambda 1: 1/4 - 0.5, 1/2 - 0.25, 1 - 0.75
    assert gae(outcomes, values, mask, 0.5, 1.0)[0].tolist() == [-0.25, 0.25, 0.25]


def test_the_prm_s_value_is_the_sum_of_the_rewards_before_a_token():
    process = torch.tensor([[1.0, 2.0, -4.0], [3.0, 0.0, 0.0]])
    assert prm_values(process).tolist() == [[0, 1, 3], [0, 3, 3]]
    # the paper's third variant: A_t = r_o - v_phi(y_<t)
    mask, outcomes = torch.tensor([[1, 1, 1], [1, 0, 0]]), torch.tensor([1.0, 0.0])
    settings = dict(gamma=1.0, outcome_coef=1.0, process_coef=0.0, whiten=False, estimator="gae")
    values = prm_values(process)
    advantages = prime_advantages(outcomes, process, mask, 2, **settings, values=values)
    assert advantages.tolist() == [[1, 0, -2], [0, 0, 0]]


def test_the_estimator_reaches_both_terms():
    outcomes, process, mask = make_batch(3, 4, length=7)
    values = torch.rand_like(process)
    settings = dict(gamma=0.9, outcome_coef=2.0, process_coef=3.0, whiten=False)
    for estimator in ("rloo", "grpo", "reinforce", "gae"):
        if estimator == "gae":  # a value of the outcome; process rewards keep their own baseline
            expected = 2 * gae(outcomes, values, mask, 0.9, 0.5)
            expected += 3 * process_returns(process, mask, 4, 0.9, "rloo")
        else:
            expected = 2 * outcome_returns(outcomes, mask, 4, estimator)
            expected += 3 * process_returns(process, mask, 4, 0.9, estimator)
        own = dict(estimator=estimator, values=values, gae_lambda=0.5)
        advantages = prime_advantages(outcomes, process, mask, 4, **settings, **own)
        torch.testing.assert_close(advantages, expected)


@pytest.mark.parametrize("estimator", ["rloo", "grpo"])
def test_equal_rewards_have_no_advantage(estimator):
    _, _, mask = make_batch(2, 4, length=5)
    same = torch.full(mask.shape, 0.7)
    assert outcome_returns(torch.ones(8), mask, 4, estimator).abs().max() == 0
    assert process_returns(same, mask, 4, 1.0, estimator).abs().max() < 1e-2  # rounding


def test_whitening_is_over_all_response_tokens():
    outcomes, process, mask = make_batch(4, 4, length=6)
    advantages = prime_advantages(
        outcomes, process, mask, 4, gamma=1.0, outcome_coef=1.0, process_coef=1.0, whiten=True
    )
    tokens = advantages[mask.bool()]
    assert tokens.mean().item() == pytest.approx(0, abs=1e-9)
    assert tokens.std().item() == pytest.approx(1, abs=1e-6)
    assert advantages[mask == 0].abs().max() == 0
    assert whitened(torch.zeros(2, 3), torch.ones(2, 3)).abs().max() == 0


def test_batch_scale_divides_by_the_largest_return_to_go():
    outcomes, process, mask = make_batch(3, 4, length=6)
    settings = dict(gamma=1.0, outcome_coef=0.0, process_coef=1.0, whiten=False)
    plain = prime_advantages(outcomes, process, mask, 4, **settings)
    scaled = prime_advantages(outcomes, process, mask, 4, process_scale="batch", **settings)
    ragged = [row[keep.bool()].tolist() for row, keep in zip(process, mask)]
    largest = max(abs(sum(row[t:])) for row in ragged for t in range(len(row)))
    torch.testing.assert_close(scaled, plain / largest)
    again = prime_advantages(outcomes, 100 * process, mask, 4, process_scale="batch", **settings)
    torch.testing.assert_close(again, scaled)  # whatever the unit of the rewards
    zeros = torch.zeros_like(process)
    assert prime_advantages(outcomes, zeros, mask, 4, process_scale="batch", **settings).sum() == 0


def test_batch_scale_leaves_rounding_noise_alone():
    outcomes, process, mask = make_batch(3, 4, length=6)
    settings = dict(gamma=1.0, outcome_coef=1.0, process_coef=1.0, whiten=True)
    expected = prime_advantages(outcomes, 0 * process, mask, 4, **settings)
    noisy = prime_advantages(outcomes, 1e-6 * process, mask, 4, process_scale="batch", **settings)
    torch.testing.assert_close(noisy, expected, atol=1e-3, rtol=0)


def test_grpo_takes_rounding_for_what_it_is_whatever_the_scale():
    outcomes, process, mask = make_batch(2, 4, length=6)
    process[:4] *= 1e-7  # the first prompt's: of a PRM that does not differ from its reference yet
    process[4:] *= 1e-3
    settings = dict(gamma=1.0, outcome_coef=0.0, process_coef=1.0, whiten=False, estimator="grpo")
    scaled, plain = (
        prime_advantages(outcomes, process, mask, 4, process_scale=scale, **settings)
        for scale in ("batch", "none")
    )
    assert torch.equal(scaled, plain) and not scaled[:4].any() and scaled[4:].any()


@pytest.mark.parametrize("estimator", ["rloo", "grpo", "reinforce", "gae"])
@pytest.mark.parametrize("process_scale", ["none", "batch"])
def test_padding_and_what_lies_in_it_change_nothing(process_scale, estimator):
    outcomes, process, mask = make_batch(3, 4, length=6)
    values = torch.rand_like(process)
    settings = dict(gamma=0.95, outcome_coef=1.0, process_coef=1.0, whiten=True)
    settings |= dict(process_scale=process_scale, estimator=estimator, gae_lambda=0.5)
    expected = prime_advantages(outcomes, process, mask, 4, **settings, values=values)
    wide_mask = torch.cat([mask, torch.zeros(12, 3, dtype=mask.dtype)], dim=1)
    garbage = torch.full((12, 3), 1e6, dtype=process.dtype)
    wide_process = torch.cat([process.masked_fill(mask == 0, -1e6), garbage], dim=1)
    wide_values = torch.cat([values.masked_fill(mask == 0, 1e6), garbage], dim=1)
    wide = prime_advantages(outcomes, wide_process, wide_mask, 4, **settings, values=wide_values)
    torch.testing.assert_close(wide[:, :6], expected)
    assert wide[:, 6:].abs().max() == 0


def test_inputs_are_not_written_into():
    batch = make_batch(2, 4, length=5)
    copies = [tensor.clone() for tensor in batch]
    prime_advantages(*batch, 4, 0.9, 1.0, 1.0, True, "batch")
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(batch, copies))
