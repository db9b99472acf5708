"""A PRM's pass over the rows of a step: process rewards, the loss and its gradient.

Shapes: B rows, T response tokens; b rows and t tokens of a micro-batch.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from accelerate import Accelerator
from torch import Tensor

from models.batches import Rollouts, send
from models.logprobs import ResponseLogprobs
from models.trainee import Trainee
from prm import implicit_process_rewards, pair_loss, pair_loss_slopes, pair_margins, prm_loss
from training import processes
from training.optimizer_steps import micro_batches


def pass_rows(
    accelerator: Accelerator,
    prm: Trainee,
    reference: ResponseLogprobs | Tensor,
    rollouts: Rollouts,
    rows: Sequence[int],
    prompts: Tensor,
    *,
    loss: str | None,
    beta: float,
    temperature: float,
    micro_batch_tokens: int,
) -> tuple[Tensor, Tensor]:
    """Compute the process rewards of some rows (line 7, Eq. 3); add the loss's gradient (line 8).

    The loss is over the rows that it counts (Rollouts.is_trained). All rows get rewards.

    A pair needs two responses, which may be in two micro-batches or processes. So "pairs" takes a
    pass without gradient first, whose rewards say how the loss changes with each response's own.

    Args:
        reference: the model, or its log-probabilities (B, T) where they are known.
        rows: of one optimizer step, with all responses to their prompts.
        prompts: (B,) number of each row's prompt.
        loss: "ce", "pairs"; None: no gradient.

    Returns:
        process rewards and the reference's log-probabilities, (B, T) each. They are those of this
        process's share of the rows; all others are 0.
    """

    step_rows = send(rows, rollouts.response_mask.device)  # (rows,)
    counted = step_rows[rollouts.is_trained[step_rows]]
    # A mean over all rows becomes one over those that count. All count: exactly 1.
    row_weights = rollouts.is_trained * (len(rows) / max(1, len(counted)))  # (B,)

    def weigh_cross_entropy(
        rewards: Tensor, index: Tensor, micro: Rollouts, weight: float
    ) -> Tensor:
        labels, mask = micro.outcome_rewards, micro.response_mask
        return prm_loss(rewards, labels, mask, row_weights[index]) * weight

    def weigh_pairs(rewards: Tensor, index: Tensor, micro: Rollouts, weight: float) -> Tensor:
        # A sum over processes. Data-parallel training takes gradients' mean.
        return (slopes[index] * rewards.sum(dim=-1)).sum() * accelerator.num_processes

    settings = (beta, temperature, micro_batch_tokens)
    run = partial(_pass_micro_batches, accelerator, prm, rollouts, rows, *settings)
    if loss != "pairs":
        return run(reference, weigh_cross_entropy if loss else None)
    rewards, ref_logprobs = run(reference, None)
    outcomes, mask = rollouts.outcome_rewards, rollouts.response_mask
    slopes = torch.zeros_like(outcomes)  # (B,)
    slopes[counted] = pair_loss_slopes(
        accelerator.reduce(rewards)[counted], outcomes[counted], mask[counted], prompts[counted]
    )
    return run(ref_logprobs, weigh_pairs)


def judge_rows(
    process_rewards: Tensor, rollouts: Rollouts, prompts: Tensor, loss: str
) -> tuple[Tensor, float]:
    """Return the margins of all pairs (N,), and the loss, over the rows that the loss counts.

    Args:
        process_rewards: (B, T).
        prompts: (B,) number of each row's prompt.
        loss: "ce", "pairs".
    """
    counted = rollouts.is_trained
    columns = process_rewards, rollouts.outcome_rewards, rollouts.response_mask
    own = [values[counted] for values in columns]
    margins = pair_margins(*own, prompts[counted])
    return margins, (pair_loss(margins) if loss == "pairs" else prm_loss(*own)).item()


def _pass_micro_batches(
    accelerator: Accelerator,
    prm: Trainee,
    rollouts: Rollouts,
    rows: Sequence[int],
    beta: float,
    temperature: float,
    micro_batch_tokens: int,
    reference: ResponseLogprobs | Tensor,
    compute_loss: Callable[[Tensor, Tensor, Rollouts, float], Tensor] | None,
) -> tuple[Tensor, Tensor]:
    """Return what pass_rows() returns; compute_loss gives the loss to take the gradient of."""
    pass_rewards = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
    ref_logprobs = torch.zeros_like(pass_rewards)
    for micro_rows, micro, weight, synchronise in micro_batches(
        accelerator, prm, rollouts, rows, micro_batch_tokens
    ):
        index = (micro_rows, slice(micro.response_length))
        if isinstance(reference, Tensor):
            logprobs = reference[index]  # (b, t)
        else:
            with torch.no_grad(), accelerator.autocast():
                logprobs, _ = reference(*micro.model_inputs(), temperature)  # (b, t)
        ref_logprobs[index] += logprobs * micro.response_mask
        with synchronise, torch.set_grad_enabled(compute_loss is not None):
            logprobs, _ = prm.module(*micro.model_inputs(), temperature)  # (b, t)
            rewards = implicit_process_rewards(
                logprobs, ref_logprobs[index], micro.response_mask, beta
            )
            if compute_loss:
                processes.backward(accelerator, compute_loss(rewards, micro_rows, micro, weight))
        pass_rewards[index] += rewards.detach()
    return pass_rewards, ref_logprobs
