"""Credit rules: what a process reward model can be used for, each a pure function.

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens;
S steps of a response.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from advantage import process_returns

_SHRINKAGE = 0.5  # right and wrong responses that are added to the others of a prompt

Steps = Sequence[Sequence[tuple[int, int]]]  # of each row: (first token, token after the last)


def prefix_logits(process_rewards: Tensor, response_mask: Tensor, scale: float) -> Tensor:
    """Return the mean log-ratio of every prefix (IPVRM, arXiv 2604.13197), times a scale:

        v_t = scale / t * sum_{s <= t} r_phi(y_s)

    Args:
        process_rewards: (B, T), beta times the log-ratio.
        response_mask: (B, T) 1 on response tokens.
        scale: beta of IPVRM divided by beta.

    Returns:
        (B, T), 0 at padding.
    """
    sums = (process_rewards * response_mask).cumsum(-1)  # (B, T)
    counts = response_mask.cumsum(-1).clamp(min=1)  # (B, T)
    return scale * sums / counts * response_mask


def prefix_loss(
    process_rewards: Tensor,
    outcome_rewards: Tensor,
    response_mask: Tensor,
    row_weights: Tensor | None,
    scale: float,
    margin: float,
) -> Tensor:
    """Return the cross-entropy of every prefix's value (IPVRM), a mean over tokens, then rows:

        -mean_t [ r_o log sigma(v_t - margin) + (1 - r_o) log sigma(-v_t - margin) ]

    Args: of prm.prm_loss(), and of prefix_logits().
    """
    values = prefix_logits(process_rewards, response_mask, scale)  # (B, T)
    labels = outcome_rewards.to(values.dtype).unsqueeze(-1)  # (B, 1)
    terms = labels * F.softplus(margin - values) + (1 - labels) * F.softplus(margin + values)
    means = (terms * response_mask).sum(-1) / response_mask.sum(-1).clamp(min=1)  # (B,)
    return (means if row_weights is None else means * row_weights).mean()


def calibrated_values(
    logits: Tensor, outcome_rewards: Tensor, response_mask: Tensor, samples_per_prompt: int
) -> Tensor:
    """Return a bounded value of every prefix, from the leave-one-out mean p of the outcomes on:

        V_t = p + sigma(v_t + logit q) - q,   q = p shrunk away from 0 and 1

    A PRM that equals its reference says v = 0, so V = p and the outcome less V is RLOO's.

    Args:
        logits: (B, T + 1) v of the prompt alone (0) and after each token.
        outcome_rewards: (B,) in [0, 1].
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K, at least 2.

    Returns:
        (B, T + 1), the last value again at padding.
    """
    groups = outcome_rewards.view(-1, samples_per_prompt)
    others = groups.sum(dim=1, keepdim=True) - groups  # (prompts, K)
    count = samples_per_prompt - 1
    mean = (others / count).view(-1, 1)  # (B, 1)
    shrunk = ((others + _SHRINKAGE) / (count + 2 * _SHRINKAGE)).view(-1, 1)
    values = mean + torch.sigmoid(logits + torch.logit(shrunk)) - shrunk  # (B, T + 1)
    last = response_mask.sum(-1, keepdim=True).long()  # (B, 1)
    is_after = torch.arange(values.shape[1], device=values.device) > last
    return torch.where(is_after, values.gather(1, last), values)


def running_logits(process_rewards: Tensor, response_mask: Tensor) -> Tensor:
    """Return v_phi of the prompt alone and after each token (paper, section 5.4), (B, T + 1)."""
    sums = (process_rewards * response_mask).cumsum(-1)
    return torch.cat([torch.zeros_like(sums[:, :1]), sums], dim=1)


def progress(values: Tensor, response_mask: Tensor) -> Tensor:
    """Return what each token adds to the value, V_(t+1) - V_t, a process reward (B, T).

    Args:
        values: (B, T + 1), of calibrated_values().
    """
    return (values[:, 1:] - values[:, :-1]) * response_mask


def sum_steps(process_rewards: Tensor, steps: Steps) -> list[Tensor]:
    """Return the rewards of each row's steps, (S,) each: sums over the tokens of a step."""
    return [
        torch.stack([row[start:end].sum() for start, end in own])
        for row, own in zip(process_rewards, steps)
    ]


def least_to_come(
    process_rewards: Tensor, response_mask: Tensor, samples_per_prompt: int, steps: Steps
) -> Tensor:
    """Return the returns-to-go (B, T) of one reward a response: its least step's (PURE, arXiv
    2504.15275), at that step's last token, against the siblings' mean per token as in Eq. 5.

    PURE weights steps by a softmin; this is its limit.
    """
    least = torch.zeros_like(process_rewards)
    for row, (own, rewards) in enumerate(zip(steps, sum_steps(process_rewards, steps))):
        worst = int(rewards.argmin())
        least[row, own[worst][1] - 1] = rewards[worst]
    return process_returns(least, response_mask, samples_per_prompt, gamma=1.0)


def step_advantages(
    process_rewards: Tensor, response_mask: Tensor, samples_per_prompt: int, steps: Steps
) -> Tensor:
    """Return each step's reward, normalized over all steps of the prompt's responses, at all of its
    tokens, (B, T).

    So does iStar (arXiv 2509.19199), whose rewards compare the PRM with the previous policy.
    """
    sums = sum_steps(process_rewards, steps)
    advantages = torch.zeros_like(process_rewards)
    for first in range(0, len(sums), samples_per_prompt):
        rows = range(first, first + samples_per_prompt)
        together = torch.cat([sums[row] for row in rows])
        deviation = together.std() + 1e-6
        for row in rows:
            for (start, end), value in zip(steps[row], sums[row]):
                advantages[row, start:end] = (value - together.mean()) / deviation
    return advantages * response_mask


def masked_step_advantages(
    log_ratios: Tensor, response_mask: Tensor, samples_per_prompt: int
) -> Tensor:
    """Return the running sum of log pi / pi_ref less that of the siblings that reach the token
    (SPRO, arXiv 2507.01551), (B, T).
    """
    sums = (log_ratios * response_mask).cumsum(-1)
    groups, alive = (v.view(-1, samples_per_prompt, v.shape[-1]) for v in (sums, response_mask))
    mean = (groups * alive).sum(1, keepdim=True) / alive.sum(1, keepdim=True).clamp(min=1)
    return (groups - mean).view_as(sums) * response_mask


def spread_over_steps(step_values: Sequence[Sequence[float]], steps: Steps, like: Tensor) -> Tensor:
    """Return a number of each step at all of its tokens, (B, T), 0 elsewhere."""
    spread = torch.zeros_like(like, dtype=torch.float32)
    for row, (own, values) in enumerate(zip(steps, step_values)):
        for (start, end), value in zip(own, values):
            spread[row, start:end] = value
    return spread


def trust(pair_accuracy: float) -> float:
    """Return how far a PRM is to be believed, from its accuracy on responses it has not seen."""
    return max(0.0, 2 * pair_accuracy - 1)
