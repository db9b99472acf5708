"""The implicit process reward model: rewards out of log-probabilities, its loss, its accuracy.

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def implicit_process_rewards(
    prm_logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor, beta: float
) -> Tensor:
    """Return r_t = beta * (log p_prm(y_t) - log p_ref(y_t)), 0 at padding (paper, Algorithm 1:
    implicit process reward).

    Args:
        prm_logprobs, ref_logprobs: (B, T) in nats; the gradient follows prm_logprobs.
        response_mask: (B, T) 1 on response tokens.
        beta: weight of the log-ratio.

    Returns:
        (B, T) process rewards.
    """
    log_ratio = (prm_logprobs - ref_logprobs).masked_fill(response_mask == 0, 0.0)
    return beta * log_ratio


def prm_loss(process_rewards: Tensor, outcome_rewards: Tensor, response_mask: Tensor) -> Tensor:
    """Return the cross-entropy of sigmoid(sum_t r_t) against outcome rewards (paper,
    Algorithm 1: PRM update by CE loss).

    Args:
        process_rewards: (B, T) with gradient.
        outcome_rewards: (B,) labels in [0, 1].
        response_mask: (B, T) 1 on response tokens.

    Returns:
        scalar, the mean over rows, in nats; log 2 while the PRM equals the reference.
    """
    scores = (process_rewards * response_mask).sum(dim=-1)  # (B,)
    return F.binary_cross_entropy_with_logits(scores, outcome_rewards.to(scores.dtype))


def prm_accuracy(
    process_rewards: Tensor, outcome_rewards: Tensor, response_mask: Tensor, samples_per_prompt: int
) -> float:
    """Return the share of (better, worse) pairs within a prompt that sum_t r_t ranks right.

    A tie counts half, so that a PRM equal to its reference scores 0.5.

    Args:
        process_rewards: (B, T).
        outcome_rewards: (B,) in [0, 1]; a pair has two different ones.
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K.

    Returns:
        share in [0, 1]; nan if no prompt has a pair.
    """
    scores = (process_rewards * response_mask).sum(dim=-1).view(-1, samples_per_prompt)
    outcomes = outcome_rewards.view(-1, samples_per_prompt)
    is_pair = outcomes.unsqueeze(2) > outcomes.unsqueeze(
        1
    )  # (prompts, K, K) row better than column
    margin = scores.unsqueeze(2) - scores.unsqueeze(1)
    ranked_right = (margin > 0).float() + 0.5 * (margin == 0).float()
    return torch.where(is_pair, ranked_right, 0.0).sum().div(is_pair.sum()).item()
