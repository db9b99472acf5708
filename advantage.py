"""Advantages: outcome rewards and process rewards, each against its baseline, then summed.

An estimator says what a reward is compared with: leave-one-out (the paper's), GRPO, REINFORCE.

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens.
"""

import torch
from torch import Tensor

# In units of beta * nats, summed over a response. While the PRM still equals its reference, process
# rewards are rounding noise below this. Divided by its own largest value, the noise would weigh as
# much as the outcome.
_ROUNDING = 1e-4


def rloo(rewards: Tensor, mask: Tensor, samples_per_prompt: int) -> Tensor:
    """Return rewards against the leave-one-out baseline (paper, Eq. 4, and the brackets of Eq. 5):

        r_t^i - 1/(K-1) sum_{j != i} m^j,   m^j = mean reward of response j

    Args (of every estimator):
        rewards: (B, T); an outcome reward is the one reward of its response, T = 1.
        mask: (B, T) 1 where there is a reward.
        samples_per_prompt: K, at least 2.

    Returns:
        (B, T) centred rewards, 0 where there is none.
    """
    means = (rewards * mask).sum(-1) / mask.sum(-1).clamp(min=1)  # (B,)
    groups = means.view(-1, samples_per_prompt)  # (prompts, K)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (samples_per_prompt - 1)
    return (rewards - others.view(-1, 1)) * mask


def grpo(rewards: Tensor, mask: Tensor, samples_per_prompt: int) -> Tensor:
    """Return rewards normalized over all rewards of a prompt (arXiv 2402.03300, 4.1.2 and 4.1.3):

        (r_t^i - mean) / (deviation + 1e-4),   both over the rewards of all K responses

    The paper's Eq. 7 takes mean and deviation over the K response means m^j instead. For outcome
    rewards the two are the same.
    """
    groups = (rewards * mask).view(-1, samples_per_prompt * mask.shape[1])  # (prompts, K * T)
    is_reward = mask.reshape(groups.shape)
    count = is_reward.sum(dim=1, keepdim=True)
    mean = groups.sum(dim=1, keepdim=True) / count
    squares = ((groups - mean) * is_reward).square().sum(dim=1, keepdim=True)
    deviation = (squares / (count - 1)).sqrt()
    return ((groups - mean) / (deviation + _ROUNDING) * is_reward).view(mask.shape)


def reinforce(rewards: Tensor, mask: Tensor, samples_per_prompt: int) -> Tensor:
    """Return r_t^i - mean over all rewards of the batch. (The paper's Eq. 8 has no baseline.)"""
    mean = (rewards * mask).sum() / mask.sum()
    return (rewards - mean) * mask


_ESTIMATORS = {"rloo": rloo, "grpo": grpo, "reinforce": reinforce}


def outcome_returns(
    outcome_rewards: Tensor,
    response_mask: Tensor,
    samples_per_prompt: int,
    estimator: str = "rloo",
) -> Tensor:
    """Return the outcome term of the advantage, the same at every token (paper, Eq. 4 and 5):

        r_o(y^i) - 1/(K-1) sum_{j != i} r_o(y^j)

    Args:
        outcome_rewards: (B,).
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.
        estimator: "rloo", "grpo", "reinforce".

    Returns:
        (B, T), 0 at padding.
    """
    rewards = outcome_rewards.unsqueeze(-1)  # (B, 1)
    centre = _ESTIMATORS[estimator]
    return centre(rewards, torch.ones_like(rewards), samples_per_prompt) * response_mask


def process_returns(
    process_rewards: Tensor,
    response_mask: Tensor,
    samples_per_prompt: int,
    gamma: float,
    estimator: str = "rloo",
) -> Tensor:
    """Return the process term of the advantage, a discounted return (paper, Eq. 5):

        sum_{s >= t} gamma^(s-t) [ r_phi(y_s^i) - 1/(K-1) sum_{j != i} m^j ]
        m^j = 1/|y^j| sum_t r_phi(y_t^j)

    Eq. 5 prints the sum r_phi(y^j) where m^j stands here. The paper's text says "averaged", and
    its Eq. 7 has the mean, so this is the mean.

    Args:
        process_rewards: (B, T).
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.
        gamma: discount per token.
        estimator: "rloo", "grpo", "reinforce".

    Returns:
        (B, T), 0 at padding.
    """
    mask = response_mask.to(process_rewards.dtype)
    centred = _ESTIMATORS[estimator](process_rewards, mask, samples_per_prompt)  # (B, T)
    return _discounted_sums(centred, gamma) * mask


def prime_advantages(
    outcome_rewards: Tensor,
    process_rewards: Tensor,
    response_mask: Tensor,
    samples_per_prompt: int,
    gamma: float,
    outcome_coef: float,
    process_coef: float,
    whiten: bool,
    process_scale: str = "none",
    process_granularity: str = "token",
    estimator: str = "rloo",
) -> Tensor:
    """Return the advantages (paper, Eq. 5; Algorithm 1, line 9), with weights of both terms:

        A_t^i = outcome_coef * outcome_returns + process_coef * process_returns

    Args:
        outcome_rewards: (B,) in [0, 1].
        process_rewards: (B, T).
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.
        gamma: discount per token; it applies to process rewards only.
        whiten: subtract the mean and divide by the standard deviation over all response tokens.
        process_scale: "none", or "batch": process rewards are divided by their largest absolute
            return-to-go in the batch.
        process_granularity: "token", or "response": the sum of a response's token rewards is one
            reward, which gets the outcome reward's baseline and no discount.
        estimator: "rloo" (paper), "grpo", "reinforce": what rewards are compared with.

    Returns:
        (B, T) advantages, 0 at padding.
    """
    scaled = process_rewards
    if process_scale == "batch":
        largest = largest_return(process_rewards, response_mask, gamma)
        scaled = process_rewards / torch.where(largest > _ROUNDING, largest, 1.0)
    if process_granularity == "response":
        response_rewards = (scaled * response_mask).sum(dim=-1)  # (B,)
        from_process = outcome_returns(
            response_rewards, response_mask, samples_per_prompt, estimator
        )
    else:
        from_process = process_returns(scaled, response_mask, samples_per_prompt, gamma, estimator)
    from_outcome = outcome_returns(outcome_rewards, response_mask, samples_per_prompt, estimator)
    advantages = outcome_coef * from_outcome + process_coef * from_process
    return whitened(advantages, response_mask) if whiten else advantages


def largest_return(process_rewards: Tensor, response_mask: Tensor, gamma: float) -> Tensor:
    """Return the largest absolute return-to-go of process rewards (B, T) in the batch, a scalar."""
    return _discounted_sums(process_rewards * response_mask, gamma).abs().max()


def whitened(values: Tensor, response_mask: Tensor) -> Tensor:
    """Return values of mean 0 and standard deviation 1 over all response tokens, 0 at padding."""
    mask = response_mask.to(values.dtype)
    count = mask.sum()
    mean = (values * mask).sum() / count
    variance = ((values - mean).square() * mask).sum() / (count - 1).clamp(min=1)
    return (values - mean) * torch.rsqrt(variance + 1e-8) * mask


def _discounted_sums(values: Tensor, gamma: float) -> Tensor:
    """Return out_t = values_t + gamma * out_(t+1) along the last dimension of (B, T)."""
    if gamma == 1.0:
        return values.flip(-1).cumsum(-1).flip(-1)
    sums = torch.zeros_like(values)
    running = torch.zeros_like(values[:, 0])  # (B,)
    for t in reversed(range(values.shape[1])):
        running = values[:, t] + gamma * running
        sums[:, t] = running
    return sums
