"""The losses of PPO: the clipped surrogate, weighted for its sampler; KL; the value's error.

Shapes: B rows, T response tokens.
"""

import torch
from torch import Tensor

# A log-ratio up to this, in nats, is rounding and counts as 0: a weight is then exactly 1. In
# float32 on a CPU, the log-probabilities of decoding and of training differ by 1e-5 at most (of
# 28,741 tokens). Where a bfloat16 copy samples, they differ by up to 0.4.
_ROUNDING = 1e-4


def ppo_loss(
    logprobs: Tensor,
    old_logprobs: Tensor,
    advantages: Tensor,
    response_mask: Tensor,
    clip_range: float,
    token_count: Tensor | float | None = None,
    weights: Tensor | None = None,
    clip_range_high: float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return PPO's clipped loss, a mean over tokens, to be minimized (paper, Eq. 6; line 10):

        L_CLIP = E_t[ w_t min( rho_t A_t, clip(rho_t, 1 - epsilon, 1 + epsilon_high) A_t ) ]
        loss = -L_CLIP,   rho_t = pi_theta(y_t | y_<t) / pi_theta_old(y_t | y_<t)

    In the paper epsilon_high = epsilon. A larger one (clip-higher of DAPO, arXiv 2503.14476) lets a
    token that was unlikely gain more before its gradient ends.

    Args:
        logprobs: (B, T) of the policy in training.
        old_logprobs: (B, T) of the policy that the iteration started from.
        advantages: (B, T).
        response_mask: (B, T) 1 on the response tokens that count.
        clip_range: epsilon; the ratio counts within [1 - epsilon, 1 + epsilon_high].
        token_count: divisor of the sums: the response tokens of the whole optimizer step, if these
            rows are one micro-batch of it. None: the tokens of these rows.
        weights: (B, T) w_t of importance_weights(). None: 1, as in the paper's Eq. 6.
        clip_range_high: epsilon_high. None: epsilon.

    Returns:
        loss: scalar.
        metrics: clip_fraction and approx_kl (nats), divided by the same count.
    """
    mask = response_mask.to(logprobs.dtype)
    divisor = mask.sum() if token_count is None else token_count
    log_ratio = (logprobs - old_logprobs) * mask  # (B, T)
    ratio = log_ratio.exp()
    highest = 1 + (clip_range if clip_range_high is None else clip_range_high)
    clipped_ratio = ratio.clamp(1 - clip_range, highest)
    surrogate = torch.minimum(ratio * advantages, clipped_ratio * advantages)  # (B, T)
    if weights is not None:
        surrogate = weights * surrogate
    loss = -(surrogate * mask).sum() / divisor
    with torch.no_grad():
        is_clipped = (clipped_ratio * advantages < ratio * advantages).to(mask.dtype)
        metrics = {
            "clip_fraction": (is_clipped * mask).sum() / divisor,
            "approx_kl": ((ratio - 1 - log_ratio) * mask).sum() / divisor,
        }
    return loss, metrics


def reference_kl(
    logprobs: Tensor, ref_logprobs: Tensor, response_mask: Tensor, token_count: Tensor | float
) -> Tensor:
    """Return an estimate of KL(pi_theta || pi_ref), a mean over tokens with gradient, in nats:

        E_t[ rho_t - log rho_t - 1 ],   rho_t = pi_ref(y_t | y_<t) / pi_theta(y_t | y_<t)

    This is Schulman's k3 as a term of the loss (GRPO, arXiv 2402.03300, Eq. 4). No token's term is
    negative. The tokens count as the policy's own samples, as they are when an iteration begins.

    Args:
        logprobs: (B, T) of the policy in training.
        ref_logprobs: (B, T) of the reference.
        response_mask: (B, T) 1 on the response tokens that count.
        token_count: divisor of the sum: the response tokens of the whole optimizer step.

    Returns:
        scalar.
    """
    log_ratio = (ref_logprobs - logprobs).masked_fill(response_mask == 0, 0.0)  # (B, T)
    return (log_ratio.exp() - log_ratio - 1).sum() / token_count


@torch.no_grad()
def importance_weights(
    old_logprobs: Tensor,
    sampling_logprobs: Tensor,
    response_mask: Tensor,
    cap: float | None,
    level: str = "token",
    token_count: Tensor | float | None = None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weights that correct for responses sampled by another policy than pi_old:

        w_t = min( pi_old(y_t | y_<t) / pi_sampler(y_t | y_<t), cap )      level "token"
        w_t = min( prod_s pi_old(y_s | y_<s) / pi_sampler(y_s | y_<s), cap )    level "sequence"

    PPO's ratio stays pi_theta / pi_old (decoupled PPO, arXiv 2110.00641). "sequence" is exact
    without a cap, and its variance grows with the response. "token" leaves out that the tokens
    before and after were sampled by another policy too.

    Args:
        old_logprobs: (B, T) of the policy that the iteration started from.
        sampling_logprobs: (B, T) of what sampled the responses, as it sampled them.
        response_mask: (B, T) 1 on response tokens.
        cap: largest weight, at least 1. None: all weights are 1.
        level: "token", "sequence".
        token_count: as in ppo_loss().

    Returns:
        weights: (B, T), 1 at padding.
        metrics: sampler_kl, the mean of log pi_sampler - log pi_old (nats), and capped_fraction,
            both divided by the count.
    """
    mask = response_mask.to(old_logprobs.dtype)
    divisor = mask.sum() if token_count is None else token_count
    log_ratio = (old_logprobs - sampling_logprobs) * mask  # (B, T)
    metrics = {"sampler_kl": -log_ratio.sum() / divisor}
    if cap is None:
        return torch.ones_like(mask), {**metrics, "capped_fraction": mask.new_zeros(())}
    size = log_ratio.abs()
    if level == "sequence":
        size = size.amax(dim=-1, keepdim=True)
        log_ratio = log_ratio.sum(dim=-1, keepdim=True) * mask
    weights = torch.where(size > _ROUNDING, log_ratio, 0.0).exp()  # (B, T)
    metrics["capped_fraction"] = ((weights > cap) * mask).sum() / divisor
    return weights.clamp(max=cap), metrics


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    response_mask: Tensor,
    clip_range: float,
    token_count: Tensor | float,
) -> Tensor:
    """Return the value model's loss, a mean over tokens (PPO; the reference code clips so too):

        1/2 E_t[ max( (V_t - R_t)^2, (clip(V_t, old V_t - c, old V_t + c) - R_t)^2 ) ]

    The larger error counts: a value has no gradient where it has left its old one by more than c
    towards its return.

    Args:
        values: (B, T) of the value model in training.
        old_values: (B, T) of the value model that the iteration started from.
        returns: (B, T) R_t, what is learned.
        response_mask: (B, T) 1 on response tokens.
        clip_range: c, in units of the reward.
        token_count: divisor of the sum: the response tokens of the whole optimizer step.

    Returns:
        scalar.
    """
    clipped = old_values + (values - old_values).clamp(-clip_range, clip_range)  # (B, T)
    errors = torch.maximum((values - returns).square(), (clipped - returns).square())
    return 0.5 * (errors * response_mask).sum() / token_count


def explained_variance(values: Tensor, returns: Tensor, response_mask: Tensor) -> float:
    """Return 1 - Var(R - V) / Var(R) over response tokens; not finite if all returns are equal.

    Args:
        values, returns, response_mask: (B, T).
    """
    is_token = response_mask.bool()
    own = returns[is_token]  # (tokens,)
    return (1 - (own - values[is_token]).var() / own.var()).item()
