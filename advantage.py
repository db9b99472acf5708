"""Advantages: outcome rewards and process rewards, each against its baseline, then summed.

An estimator says what a reward is compared with: the other responses (RLOO, the paper's own), the
group (GRPO), nothing (REINFORCE), or a value of every prefix (GAE, for PPO).

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens.
"""

import torch
from torch import Tensor

# In units of beta * nats, summed over a response. While the PRM still equals its reference, process
# rewards are rounding noise below this (in float32). Divided by its own largest value, the noise
# would weigh as much as the outcome.
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
    groups = _response_means(rewards, mask, samples_per_prompt)  # (prompts, K)
    others = (groups.sum(dim=1, keepdim=True) - groups) / (samples_per_prompt - 1)
    return (rewards - others.view(-1, 1)) * mask


def grpo(rewards: Tensor, mask: Tensor, samples_per_prompt: int) -> Tensor:
    """Return rewards normalized by the responses of their prompt (paper, Eq. 7):

        (r_t^i - mean_j m^j) / std_j m^j,   m^j = mean reward of response j

    Mean and deviation are over the K response means, not over tokens. The deviation is that of a
    sample: it divides by K - 1. Where it is 0, or rounding noise, the prompt's rewards become 0.
    """
    groups = _response_means(rewards, mask, samples_per_prompt)  # (prompts, K)
    mean, deviation = groups.mean(dim=1), groups.std(dim=1)  # (prompts,)
    length = mask.sum(-1).view_as(groups).mean(dim=1)  # (prompts,) rewards of a response
    inverse = torch.where(deviation * length > _ROUNDING, 1 / deviation, 0.0)
    mean, inverse = (v.repeat_interleave(samples_per_prompt)[:, None] for v in (mean, inverse))
    return (rewards - mean) * inverse * mask


def reinforce(rewards: Tensor, mask: Tensor, samples_per_prompt: int) -> Tensor:
    """Return the rewards themselves: no baseline (paper, Eq. 8)."""
    return rewards * mask


def gae(
    outcome_rewards: Tensor,
    values: Tensor,
    response_mask: Tensor,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Return generalized advantage estimates of the outcome reward (paper, section 5.4; PPO):

        A_t = sum_{s >= t} (gamma lambda)^(s-t) delta_s,   delta_t = r_t + gamma V_(t+1) - V_t

    r_t is the outcome reward at the last token and 0 before. V_t = V(y_<t); after the last token it
    is 0. With gamma = lambda = 1, A_t = r_o - V(y_<t). A_t + V_t is what a value model learns.

    Args:
        outcome_rewards: (B,).
        values: (B, T) V(y_<t), of the prompt and the tokens before each token.
        response_mask: (B, T) 1 on response tokens.
        gamma: discount per token.
        gae_lambda: lambda in [0, 1]; 0: the next value alone, 1: the outcome alone.

    Returns:
        (B, T), 0 at padding.
    """
    mask = response_mask.to(values.dtype)
    known = values * mask  # (B, T)
    following = torch.cat([known[:, 1:], torch.zeros_like(known[:, :1])], dim=1)  # (B, T) V_(t+1)
    is_last = mask - torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], dim=1)  # (B, T)
    deltas = is_last * outcome_rewards.unsqueeze(-1) + gamma * following - known
    return _discounted_sums(deltas, gamma * gae_lambda) * mask


def prm_values(process_rewards: Tensor) -> Tensor:
    """Return the PRM's value of every prefix (paper, section 5.4):

        v_phi(y_<t) = sum_{s < t} r_phi(y_s),   0 for the prompt alone

    Args:
        process_rewards: (B, T), 0 at padding.

    Returns:
        (B, T).
    """
    sums = process_rewards.cumsum(dim=-1)  # (B, T)
    return torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], dim=1)


# What process rewards are compared with. A value of "gae" stands for the outcome alone, so process
# rewards keep the baseline of Eq. 5.
_BASELINES = {"rloo": rloo, "grpo": grpo, "reinforce": reinforce, "gae": rloo}


def outcome_returns(
    outcome_rewards: Tensor,
    response_mask: Tensor,
    samples_per_prompt: int,
    estimator: str = "rloo",
) -> Tensor:
    """Return the outcome term of the advantage, the same at every token (paper, Eq. 4 and 5):

        r_o(y^i) - 1/(K-1) sum_{j != i} r_o(y^j)

    Another estimator than "rloo" takes its own baseline: see grpo() and reinforce().

    Args:
        outcome_rewards: (B,).
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.
        estimator: "rloo", "grpo", "reinforce".

    Returns:
        (B, T), 0 at padding.
    """
    rewards = outcome_rewards.unsqueeze(-1)  # (B, 1)
    centre = _BASELINES[estimator]
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
    its Eq. 7 has the mean, so this is the mean. Another estimator takes its own baseline.

    Args:
        process_rewards: (B, T).
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.
        gamma: discount per token.
        estimator: "rloo", "grpo", "reinforce", "gae" (as "rloo").

    Returns:
        (B, T), 0 at padding.
    """
    mask = response_mask.to(process_rewards.dtype)
    centred = _BASELINES[estimator](process_rewards, mask, samples_per_prompt)  # (B, T)
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
    estimator: str = "rloo",
    values: Tensor | None = None,
    gae_lambda: float = 1.0,
) -> Tensor:
    """Return the advantages (paper, Eq. 5, 7, 8; Algorithm 1, line 9), with weights of both terms:

        A_t^i = outcome_coef * outcome_returns + process_coef * process_returns

    Args:
        outcome_rewards: (B,) in [0, 1].
        process_rewards: (B, T).
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.
        gamma: discount per token, of process rewards; with "gae" of the outcome reward too.
        whiten: subtract the mean and divide by the standard deviation over all response tokens.
        process_scale: "none", or "batch": process rewards are divided by their largest absolute
            return-to-go in the batch. GRPO has a scale of its own and leaves this one out.
        estimator: "rloo" (paper), "grpo", "reinforce", "gae": what rewards are compared with.
        values: (B, T) V(y_<t), for "gae" alone; process_scale does not touch them.
        gae_lambda: lambda of gae().

    Returns:
        (B, T) advantages, 0 at padding.
    """
    scaled = process_rewards
    if process_scale == "batch" and estimator != "grpo":
        largest = largest_return(process_rewards, response_mask, gamma)
        scaled = process_rewards / torch.where(largest > _ROUNDING, largest, 1.0)
    from_process = process_returns(scaled, response_mask, samples_per_prompt, gamma, estimator)
    if estimator == "gae":
        from_outcome = gae(outcome_rewards, values, response_mask, gamma, gae_lambda)
    else:
        from_outcome = outcome_returns(
            outcome_rewards, response_mask, samples_per_prompt, estimator
        )
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


def _response_means(rewards: Tensor, mask: Tensor, samples_per_prompt: int) -> Tensor:
    """Return m^j, the mean reward of each response, (prompts, K)."""
    means = (rewards * mask).sum(-1) / mask.sum(-1).clamp(min=1)  # (B,)
    return means.view(-1, samples_per_prompt)


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
