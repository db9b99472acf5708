"""The implicit process reward model (PRM): its rewards, its loss, its accuracy.

The PRM is a causal LM, trained as a classifier of whole responses. Its log-ratio to a reference is
a reward for every token, without a label for any step.

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def implicit_process_rewards(
    prm_logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor, beta: float
) -> Tensor:
    """Return the process reward of every token, 0 at padding (paper, Eq. 3; Algorithm 1, line 7):

        r_phi(y_t) = beta * log( pi_phi(y_t | y_<t) / pi_ref(y_t | y_<t) )

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
    """Return the cross-entropy of the PRM's verdicts on responses (paper, Algorithm 1, line 8):

        L_CE = -E_y[ r_o(y) log sigma(r_phi(y)) + (1 - r_o(y)) log(1 - sigma(r_phi(y))) ]
        r_phi(y) = sum_t r_phi(y_t)

    Args:
        process_rewards: (B, T) with gradient.
        outcome_rewards: (B,) labels r_o in [0, 1].
        response_mask: (B, T) 1 on response tokens.

    Returns:
        scalar, the mean over rows, in nats; log 2 while the PRM equals the reference.
    """
    scores = (process_rewards * response_mask).sum(dim=-1)  # (B,)
    # With logits: sigma(x) is 0 or 1 in float32 where |x| is large, and has no gradient there.
    return F.binary_cross_entropy_with_logits(scores, outcome_rewards.to(scores.dtype))


def prm_accuracy(
    process_rewards: Tensor, outcome_rewards: Tensor, response_mask: Tensor, samples_per_prompt: int
) -> float:
    """Return the share of (better, worse) pairs within a prompt that r_phi(y) ranks right.

    A tie counts half, so a PRM that equals its reference scores 0.5.

    Args:
        process_rewards: (B, T).
        outcome_rewards: (B,) in [0, 1]; the two of a pair differ.
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K.

    Returns:
        share in [0, 1]; nan if no prompt has a pair.
    """
    scores = (process_rewards * response_mask).sum(dim=-1).view(-1, samples_per_prompt)
    outcomes = outcome_rewards.view(-1, samples_per_prompt)  # (prompts, K)
    is_pair = outcomes.unsqueeze(2) > outcomes.unsqueeze(1)  # (prompts, K, K) row above column
    margin = scores.unsqueeze(2) - scores.unsqueeze(1)  # (prompts, K, K)
    ranked_right = (margin > 0).float() + 0.5 * (margin == 0).float()
    return torch.where(is_pair, ranked_right, 0.0).sum().div(is_pair.sum()).item()
