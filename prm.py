"""The implicit process reward model (PRM): its rewards, its loss, its accuracy.

The PRM is a causal LM, trained as a classifier of whole responses. Its log-ratio to a reference is
a reward for every token, without a label for any step.

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

_TIE = 1e-5  # beta * nats: what rounding makes of the sum, while the PRM is its reference


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


def response_scores(process_rewards: Tensor, response_mask: Tensor) -> Tensor:
    """Return r_phi(y) = sum_t r_phi(y_t) of every response (B,), from rewards and mask (B, T)."""
    return (process_rewards * response_mask).sum(dim=-1)


def prm_loss(
    process_rewards: Tensor,
    outcome_rewards: Tensor,
    response_mask: Tensor,
    row_weights: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of the PRM's verdicts on responses (paper, Algorithm 1, line 8):

        L_CE = -E_y[ r_o(y) log sigma(r_phi(y)) + (1 - r_o(y)) log(1 - sigma(r_phi(y))) ]

    Args:
        process_rewards: (B, T) with gradient.
        outcome_rewards: (B,) labels r_o in [0, 1].
        response_mask: (B, T) 1 on response tokens.
        row_weights: (B,) of each row's term. None: 1.

    Returns:
        scalar, the mean over rows, in nats; log 2 while the PRM equals the reference.
    """
    scores = response_scores(process_rewards, response_mask)
    # With logits: sigma(x) is 0 or 1 in float32 where |x| is large, and has no gradient there.
    labels = outcome_rewards.to(scores.dtype)
    return F.binary_cross_entropy_with_logits(scores, labels, weight=row_weights)


def prm_accuracy(
    process_rewards: Tensor, outcome_rewards: Tensor, response_mask: Tensor, samples_per_prompt: int
) -> float:
    """Return pair_accuracy() of rollouts, in which the K rows of a prompt are contiguous.

    Args:
        process_rewards: (B, T).
        outcome_rewards: (B,) in [0, 1].
        response_mask: (B, T) 1 on response tokens.
        samples_per_prompt: K.
    """
    prompts = number_prompts(outcome_rewards, samples_per_prompt)
    return pair_accuracy(pair_margins(process_rewards, outcome_rewards, response_mask, prompts))


def number_prompts(outcome_rewards: Tensor, samples_per_prompt: int) -> Tensor:
    """Return the number of each row's prompt (B,), where the K rows of a prompt are contiguous."""
    rows = torch.arange(len(outcome_rewards), device=outcome_rewards.device)
    return rows // samples_per_prompt


def find_pairs(outcome_rewards: Tensor, prompts: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows of all pairs (y+, y-): two responses to one prompt whose outcomes differ.

    The response with the higher outcome reward is y+. So a partly right response is y+ beside a
    wrong one and y- beside a right one. By how much the two differ does not count.

    Args:
        outcome_rewards: (B,) in [0, 1].
        prompts: (B,) number of each row's prompt.

    Returns:
        rows of y+ (N,), rows of y- (N,).
    """
    is_one_prompt = prompts.unsqueeze(1) == prompts  # (B, B)
    is_better = outcome_rewards.unsqueeze(1) > outcome_rewards  # (B, B) row above column
    return (is_one_prompt & is_better).nonzero(as_tuple=True)


def pair_margins(
    process_rewards: Tensor, outcome_rewards: Tensor, response_mask: Tensor, prompts: Tensor
) -> Tensor:
    """Return r_phi(y+) - r_phi(y-) of every pair (N,).

    Args:
        process_rewards: (B, T).
        outcome_rewards: (B,) in [0, 1].
        response_mask: (B, T) 1 on response tokens.
        prompts: (B,) number of each row's prompt.
    """
    better, worse = find_pairs(outcome_rewards, prompts)
    scores = response_scores(process_rewards, response_mask)
    return scores[better] - scores[worse]


def pair_loss(margins: Tensor) -> Tensor:
    """Return the loss of pairs (DPO; paper, Table 8), a scalar in nats; nan if there is no pair:

        L_pairs = -E_(y+, y-)[ log sigma( r_phi(y+) - r_phi(y-) ) ]

    Args:
        margins: (N,) from pair_margins(), of all pairs of an optimizer step.
    """
    return -F.logsigmoid(margins).mean()


def pair_loss_slopes(
    process_rewards: Tensor, outcome_rewards: Tensor, response_mask: Tensor, prompts: Tensor
) -> Tensor:
    """Return the derivative of pair_loss() with respect to the sum r_phi(y) of every response:

        dL / dr_phi(y) = 1/N [ sum over pairs (y', y) of sigma( r_phi(y) - r_phi(y') )
                               - sum over pairs (y, y') of sigma( r_phi(y') - r_phi(y) ) ]

    With it, the gradient of the loss is a sum over responses. So they can go through the model in
    any micro-batches, although a pair needs two.

    Args: those of pair_margins().

    Returns:
        (B,); all 0 if there is no pair.
    """
    better, worse = find_pairs(outcome_rewards, prompts)
    margins = pair_margins(process_rewards, outcome_rewards, response_mask, prompts)  # (N,)
    pull = torch.sigmoid(-margins) / len(margins)  # (N,), empty without pairs
    slopes = torch.zeros_like(outcome_rewards, dtype=pull.dtype)
    return slopes.index_add(0, worse, pull).index_add(0, better, -pull)


def pair_accuracy(margins: Tensor) -> float:
    """Return the share of pairs that r_phi(y) ranks right, in [0, 1]; nan if there is no pair.

    A tie, up to rounding, counts half. So a PRM that equals its reference scores 0.5.

    Args:
        margins: (N,) from pair_margins().
    """
    is_tie = margins.abs() <= _TIE
    return (0.5 * is_tie + (margins > _TIE)).mean(dtype=torch.float32).item()
