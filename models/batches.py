"""Responses as padded tensors: a batch of them, some rows of it, batches within a token budget.

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; P prompt tokens
(left-padded), T response tokens (right-padded); b rows of a part.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rollouts:
    """The responses of kept groups as padded tensors."""

    input_ids: Tensor  # (B, P+T) left-padded prompt, right-padded response
    attention_mask: Tensor  # (B, P+T) 1 on tokens
    response_mask: Tensor  # (B, T) 1 on response tokens, EOS included
    loss_mask: Tensor  # (B, T) the same, but 0 in rows that no loss counts
    outcome_rewards: Tensor  # (B,) in [0, 1]
    lengths: tuple[list[int], list[int]]  # prompt and response tokens of each row, for the host
    siblings: int = 1  # consecutive rows that share their prompt and may be computed as one
    sampling_logprobs: Tensor | None = None  # (B, T) log pi_sampler, 0 at padding; None: unknown

    @property
    def response_length(self) -> int:
        return self.response_mask.shape[1]

    @property
    def is_trained(self) -> Tensor:
        """Return which rows a loss counts, (B,) bool."""
        return self.loss_mask.any(dim=-1)

    def model_inputs(self) -> tuple[Tensor, Tensor, tuple[list[int], list[int]], int]:
        return self.input_ids, self.attention_mask, self.lengths, self.siblings


def pad_rows(
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    outcome_rewards: Sequence[float],
    pad_token_id: int,
    device: torch.device,
) -> Rollouts:
    """Return B prompts, padded on the left, with their responses, padded on the right."""
    lengths = list(map(len, prompts)), list(map(len, responses))
    prompt_width, response_width = map(max, lengths)
    input_ids, attention_mask = [], []
    for prompt, response in zip(prompts, responses):
        left, right = prompt_width - len(prompt), response_width - len(response)
        input_ids.append([pad_token_id] * left + prompt + response + [pad_token_id] * right)
        attention_mask.append([0] * left + [1] * (len(prompt) + len(response)) + [0] * right)
    mask = send(attention_mask, device)  # (B, P+T)
    return Rollouts(
        input_ids=send(input_ids, device),
        attention_mask=mask,
        response_mask=mask[:, prompt_width:],
        loss_mask=mask[:, prompt_width:],
        outcome_rewards=send(outcome_rewards, device, torch.float32),
        lengths=lengths,
    )


def select_rows(rollouts: Rollouts, rows: Sequence[int], siblings: int = 1) -> Rollouts:
    """Return some rows, without the columns of padding that none of them needs.

    Args:
        siblings: more than 1 only if rows holds all rows of some prompts, in order.
    """
    prompts, responses = ([own[row] for row in rows] for own in rollouts.lengths)
    prompt_width = rollouts.input_ids.shape[1] - rollouts.response_length
    columns = slice(prompt_width - max(prompts), prompt_width + max(responses))
    index = send(rows, rollouts.input_ids.device)  # (b,)
    drawn = rollouts.sampling_logprobs
    return Rollouts(
        input_ids=rollouts.input_ids[index, columns],
        attention_mask=rollouts.attention_mask[index, columns],
        response_mask=rollouts.response_mask[index, : max(responses)],
        loss_mask=rollouts.loss_mask[index, : max(responses)],
        outcome_rewards=rollouts.outcome_rewards[index],
        lengths=(prompts, responses),
        siblings=siblings,
        sampling_logprobs=None if drawn is None else drawn[index, : max(responses)],
    )


def send(values: Sequence, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Return numbers as a tensor on a device, through pinned memory: the host does not wait.

    Row numbers too: a list as an index is copied at every use, and the host waits for each copy.
    """
    made = torch.tensor(values, dtype=dtype)
    return (made.pin_memory() if device.type == "cuda" else made).to(device, non_blocking=True)


def cut_by_tokens(
    rows: Sequence[int],
    prompt_lengths: Sequence[int] | dict[int, int],
    response_lengths: Sequence[int] | dict[int, int],
    token_budget: int,
) -> list[list[int]]:
    """Return rows in batches of similar length, longest first, within a budget of padded tokens.

    A row that alone exceeds the budget becomes its own batch.

    Args:
        prompt_lengths, response_lengths: tokens of each row, by row number.
        token_budget: largest rows x (longest prompt + longest response) of a batch, in tokens.
    """
    batches: list[list[int]] = []
    widths = (0, 0)
    for row in sorted(rows, key=lambda row: -prompt_lengths[row] - response_lengths[row]):
        mine = (prompt_lengths[row], response_lengths[row])
        joint = (max(widths[0], mine[0]), max(widths[1], mine[1]))
        if batches and (len(batches[-1]) + 1) * sum(joint) <= token_budget:
            batches[-1].append(row)
            widths = joint
        else:
            batches.append([row])
            widths = mine
    return batches
