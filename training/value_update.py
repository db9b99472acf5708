"""The value model's update: the values that PPO's advantages need, and its optimizer steps.

Shapes: B rows, T response tokens; b rows and t tokens of a micro-batch.
"""

import torch
from accelerate import Accelerator
from torch import Tensor

from advantage import gae
from models.batches import Rollouts
from models.trainee import Trainee
from policy import explained_variance, value_loss
from training import processes
from training.micro_batches import split_rows
from training.optimizer_steps import compute_values, describe_norms, micro_batches, take_step


def update_value(
    accelerator: Accelerator,
    value: Trainee,
    rollouts: Rollouts,
    *,
    samples_per_prompt: int,
    optimizer_steps: int,
    micro_batch_tokens: int,
    gamma: float,
    gae_lambda: float,
    clip_range: float,
) -> tuple[Tensor, dict]:
    """Compute the values of all prefixes, then train the value model on the returns A_t + V_t.

    A_t is gae() of the outcome reward. With one optimizer step the values are those of its own
    forward pass; with several they are computed before the first. The loss is of loss_mask.

    Args:
        samples_per_prompt: K.
        gamma, gae_lambda: of gae().
        clip_range: of value_loss().

    Returns:
        values: (B, T) V(y_<t) of the value model before its steps, 0 at padding.
        metrics: value_loss, value_explained_variance (of these values), value_gradient_norm,
            value_clipped_steps.
    """
    outcomes, mask = rollouts.outcome_rewards, rollouts.response_mask
    known = None  # (B, T) old values; None where the update's only pass computes them too
    if optimizer_steps > 1:
        known = compute_values(accelerator, value.module, rollouts, micro_batch_tokens)
    pass_values = torch.zeros_like(mask, dtype=torch.float32)  # (B, T)
    loss_sum = torch.zeros((), device=mask.device)
    gradient_norms = []
    steps = split_rows(len(outcomes), samples_per_prompt, optimizer_steps)
    for rows in steps:
        token_count = rollouts.loss_mask[rows].sum().clamp(min=1)
        for micro_rows, micro, _, synchronise in micro_batches(
            accelerator, value, rollouts, rows, micro_batch_tokens
        ):
            index = (micro_rows, slice(micro.response_length))
            with synchronise:
                values = value.module(*micro.model_inputs())  # (b, t)
                old = values.detach() if known is None else known[index]
                own_mask = micro.response_mask
                returns = gae(micro.outcome_rewards, old, own_mask, gamma, gae_lambda) + old
                loss = value_loss(values, old, returns, micro.loss_mask, clip_range, token_count)
                # The loss is a sum over processes. Data-parallel training takes gradients' mean.
                processes.backward(accelerator, loss * accelerator.num_processes)
            pass_values[index] += old * own_mask
            loss_sum += loss.detach()
        gradient_norms.append(take_step(value))
    old_values = accelerator.reduce(pass_values) if known is None else known
    returns = gae(outcomes, old_values, mask, gamma, gae_lambda) + old_values
    metrics = {
        "value_loss": accelerator.reduce(loss_sum).item() / len(steps),
        "value_explained_variance": explained_variance(old_values, returns, rollouts.loss_mask),
        **describe_norms(value, gradient_norms),
    }
    return old_values, metrics
