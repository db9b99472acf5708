"""Log-probabilities of responses: the forward pass that policy, reference and PRM share.

Shapes: B rows, P prompt tokens (left-padded), T response tokens (right-padded), V vocabulary, H
hidden width; N response tokens of the batch without padding, n of them in a chunk.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint as torch_checkpoint
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from models.adapters import activate_adapter
from models.packing import pack

# Logits in a chunk of the head. A few float32 copies of a chunk are in memory at a time. On a CPU a
# copy has 64 MiB: the C library keeps freed pieces below 32 MiB instead of giving them back.
_LOGITS_AT_ONCE = {"cpu": 2**24}
_LOGITS_AT_ONCE_ELSEWHERE = 2**26  # a GPU needs more tokens at a time


class ResponseLogprobs(nn.Module):
    """A causal LM whose forward returns the log-probabilities of response tokens.

    As an ordinary module it works under DDP and mixed precision. The logits are by far the largest
    tensor, so the head takes response tokens in chunks. Several chunks are computed again in the
    backward pass.
    """

    def __init__(self, model: PreTrainedModel, adapter: str | None = None):
        super().__init__()
        self.model = model
        self.adapter = adapter  # this role's, if roles share the model; None: no adapter

    @property
    def is_sharded(self) -> bool:
        """Whether the weights are split over processes."""
        return any(isinstance(parameter, DTensor) for parameter in self.parameters())

    def activate(self) -> None:
        """Let a shared model compute as this role, until another role is activated."""
        activate_adapter(self.model, self.adapter)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        lengths: tuple[list[int], list[int]],
        siblings: int,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        """Return log p(y_t | x, y_<t) and the entropy at the last T columns.

        Args:
            input_ids: (B, P+T) left-padded prompts, then right-padded responses.
            attention_mask: (B, P+T) 1 on tokens, 0 on padding.
            lengths: prompt and response tokens of each row; the longest response has T.
            siblings: consecutive rows that share a prompt and are computed as one; 1: each alone.
            temperature: divides the logits, as in sampling.

        Returns:
            logprobs: (B, T) float32, 0 at padding.
            entropy: (B, T) float32 in nats, without gradient, 0 at padding.
        """
        self.activate()
        response_length = max(lengths[1])
        packed = pack(input_ids, attention_mask, lengths, siblings)
        mask = packed.attention_mask
        if siblings > 1:  # added to the attention scores, in their precision: all kinds take that
            device = mask.device.type
            autocast = torch.is_autocast_enabled(device)
            dtype = torch.get_autocast_dtype(device) if autocast else self.model.dtype
            hidden = torch.finfo(dtype).min
            mask = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, hidden)
        # The backbone alone: the model's own forward would apply the head to all columns at once.
        output = getattr(self.model, self.model.base_model_prefix)(
            input_ids=packed.input_ids,
            attention_mask=mask,
            position_ids=packed.position_ids,
            use_cache=False,
        )
        states = output.last_hidden_state.flatten(0, 1).index_select(0, packed.predictors)  # (N, H)
        head = isolate_head(self.model, output)
        chunk = count_at_once(self.model.config, states.device.type)
        values = apply_head(head, states, packed.tokens, temperature, chunk)
        empty = torch.zeros(len(input_ids), response_length, device=states.device)  # (B, T)
        rows, steps = packed.places // response_length, packed.places % response_length
        logprobs, entropy = (empty.index_put((rows, steps), value) for value in values)
        return logprobs, entropy  # (B, T) each


def count_at_once(config: PretrainedConfig, device_type: str) -> int:
    """Return how many response tokens make a chunk for the head."""
    logits = _LOGITS_AT_ONCE.get(device_type, _LOGITS_AT_ONCE_ELSEWHERE)
    return max(1, logits // config.get_text_config().vocab_size)


def apply_head(
    head: PreTrainedModel, states: Tensor, tokens: Tensor, temperature: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies (N,) of tokens (N,) after states (N, H).

    Args:
        head: from isolate_head.
        chunk: tokens at a time. Several chunks are computed again in the backward pass.
    """
    compute = partial(_compute_logprobs, head, temperature=temperature)
    if len(states) <= chunk:
        return compute(states, tokens)
    # Without checkpoints, the logits of all chunks (N, V) would wait in memory for backward.
    values = [
        torch_checkpoint(compute, *pair, use_reentrant=False, preserve_rng_state=False)
        for pair in zip(states.split(chunk), tokens.split(chunk))
    ]
    logprobs, entropy = zip(*values)
    return torch.cat(logprobs), torch.cat(entropy)


class _Given(nn.Module):
    """Takes the place of a backbone, and returns the hidden states that it is given."""

    def __init__(self, output_type: type[ModelOutput]):
        super().__init__()
        self.output_type = output_type

    def forward(self, *_, inputs_embeds: Tensor, **__) -> ModelOutput:
        return self.output_type(last_hidden_state=inputs_embeds)


def isolate_head(model: PreTrainedModel, output: ModelOutput) -> PreTrainedModel:
    """Return a view of the model that computes logits from hidden states, by its own forward.

    So logit scaling, soft-capping and the like remain the model's own.
    """
    head = copy.copy(model)  # shares all weights
    head._modules = {**model._modules, model.base_model_prefix: _Given(type(output))}
    return head


def _compute_logprobs(
    head: PreTrainedModel, states: Tensor, tokens: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return log-probability and entropy (n,) of tokens (n,) after hidden states (n, H)."""
    device = states.device.type
    with torch.autocast(  # no cache: gradients of chunks must add up in float32, not in bfloat16
        device,
        torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    ):
        logits = head(inputs_embeds=states.unsqueeze(0)).logits[0]
    logits = logits.float() / temperature  # (n, V)
    all_logprobs = logits.log_softmax(dim=-1)  # (n, V)
    logprobs = all_logprobs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    with torch.no_grad():
        entropy = -(all_logprobs.exp() * all_logprobs).sum(dim=-1)
    return logprobs, entropy
