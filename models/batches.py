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
    outcome_rewards: Tensor  # (B,) in [0, 1]
    siblings: int = 1  # consecutive rows that share their prompt and may be computed as one

    @property
    def response_length(self) -> int:
        return self.response_mask.shape[1]

    def lengths(self) -> tuple[list[int], list[int]]:
        """Return how many prompt tokens and how many response tokens each row has."""
        responses = self.response_mask.sum(dim=1)  # (B,)
        return (self.attention_mask.sum(dim=1) - responses).tolist(), responses.tolist()

    def model_inputs(self) -> tuple[Tensor, Tensor, int, int]:
        return self.input_ids, self.attention_mask, self.response_length, self.siblings


def pad_rows(
    prompts: Sequence[list[int]],
    responses: Sequence[list[int]],
    outcome_rewards: Sequence[float],
    pad_token_id: int,
    device: torch.device,
) -> Rollouts:
    """Return B prompts, padded on the left, with their responses, padded on the right."""
    prompt_width, response_width = max(map(len, prompts)), max(map(len, responses))
    input_ids, attention_mask = [], []
    for prompt, response in zip(prompts, responses):
        left, right = prompt_width - len(prompt), response_width - len(response)
        input_ids.append([pad_token_id] * left + prompt + response + [pad_token_id] * right)
        attention_mask.append([0] * left + [1] * (len(prompt) + len(response)) + [0] * right)
    mask = torch.tensor(attention_mask, device=device)  # (B, P+T)
    return Rollouts(
        input_ids=torch.tensor(input_ids, device=device),
        attention_mask=mask,
        response_mask=mask[:, prompt_width:],
        outcome_rewards=torch.tensor(outcome_rewards, dtype=torch.float32, device=device),
    )


def select_rows(rollouts: Rollouts, rows: Sequence[int], siblings: int = 1) -> Rollouts:
    """Return some rows, without the columns of padding that none of them needs.

    Args:
        siblings: more than 1 only if rows holds all rows of some prompts, in order.
    """
    rows = list(rows)
    attention_mask = rollouts.attention_mask[rows]  # (b, P+T)
    response_mask = rollouts.response_mask[rows]  # (b, T)
    prompt_width = attention_mask.shape[1] - response_mask.shape[1]
    first = int(attention_mask.any(dim=0).int().argmax())
    response_width = int(response_mask.sum(dim=1).max())
    columns = slice(first, prompt_width + response_width)
    return Rollouts(
        input_ids=rollouts.input_ids[rows, columns],
        attention_mask=attention_mask[:, columns],
        response_mask=response_mask[:, :response_width],
        outcome_rewards=rollouts.outcome_rewards[rows],
        siblings=siblings,
    )


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
