"""Log-probabilities of responses, for policy, reference and PRM alike.

Shapes: B rows, P prompt tokens (left-padded), T response tokens (right-padded), V vocabulary, H
hidden width; N response tokens of the batch without padding, n of them at a time.
"""

import copy
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as torch_checkpoint
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from models.adapters import activate_adapter
from models.packing import pack

_LOGITS_AT_ONCE = {"cpu": 2**24}  # a few float32 copies of them are in memory at a time, of 64 MiB
# each: the C library keeps pieces below 32 MiB for itself when they are freed
# each: the C library keeps pieces below 32 MiB for itself when they are freed
_LOGITS_AT_ONCE_ELSEWHERE = 2**26  # a GPU wants more tokens at a time


class ResponseLogprobs(nn.Module):
    """A causal LM whose forward returns the log-probabilities of response tokens.

    Every wrapper (DDP, mixed precision) then sees an ordinary forward of an ordinary module. The
    head, whose output dwarfs all else, sees some response tokens at a time, and again in backward.
    """

    def __init__(self, model: PreTrainedModel, adapter: str | None = None):
        super().__init__()
        self.model = model
        self.adapter = adapter  # of a model that several roles share; None: the model alone

    def activate(self) -> None:
        """Make the model this role's, until another role is activated."""
        activate_adapter(self.model, self.adapter)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        response_length: int,
        siblings: int,
        temperature: float,
    ) -> tuple[Tensor, Tensor]:
        """Return log p(y_t | x, y_<t) of the last response_length columns and their entropy.

        Args:
            input_ids: (B, P+T) left-padded prompts, then right-padded responses.
            attention_mask: (B, P+T) 1 on tokens, 0 on padding.
            response_length: T.
            siblings: rows in turn that share their prompt and are computed as one; 1: each alone.
            temperature: divides the logits, as in sampling.

        Returns:
            logprobs: (B, T) float32, 0 at padding.
            entropy: (B, T) float32 in nats, without gradient, 0 at padding.
        """
        self.activate()
        packed = pack(input_ids, attention_mask, response_length, siblings)
        mask = packed.attention_mask
        if siblings > 1:  # as a sum to attention scores, in their precision: any attention takes it
            device = mask.device.type
            autocast = torch.is_autocast_enabled(device)
            dtype = torch.get_autocast_dtype(device) if autocast else self.model.dtype
            hidden = torch.finfo(dtype).min
            mask = torch.zeros_like(mask, dtype=dtype).masked_fill_(~mask, hidden)
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
    """Return how many response tokens the head sees at a time."""
    logits = _LOGITS_AT_ONCE.get(device_type, _LOGITS_AT_ONCE_ELSEWHERE)
    return max(1, logits // config.get_text_config().vocab_size)


def apply_head(
    head: PreTrainedModel, states: Tensor, tokens: Tensor, temperature: float, chunk: int
) -> tuple[Tensor, Tensor]:
    """Return log-probabilities and entropies (N,) of tokens (N,) after states (N, H).

    Args:
        head: as isolate_head gives it.
        chunk: tokens at a time; those of several chunks are computed again in backward.
    """
    compute = partial(_compute_logprobs, head, temperature=temperature)
    if len(states) <= chunk:
        return compute(states, tokens)
    values = [
        torch_checkpoint(compute, *pair, use_reentrant=False, preserve_rng_state=False)
        for pair in zip(states.split(chunk), tokens.split(chunk))
    ]
    logprobs, entropy = zip(*values)
    return torch.cat(logprobs), torch.cat(entropy)


class _Given(nn.Module):
    """In the place of a backbone: its output is what it is given."""

    def __init__(self, output_type: type[ModelOutput]):
        super().__init__()
        self.output_type = output_type

    def forward(self, *_, inputs_embeds: Tensor, **__) -> ModelOutput:
        return self.output_type(last_hidden_state=inputs_embeds)


def isolate_head(model: PreTrainedModel, output: ModelOutput) -> PreTrainedModel:
    """Return a view of the model that makes logits of hidden states, as its own forward does.

    Logit scaling, soft-capping and whatever else stands there are thus the model's own.
    """
    head = copy.copy(model)
    head._modules = {**model._modules, model.base_model_prefix: _Given(type(output))}
    return head


def _compute_logprobs(
    head: PreTrainedModel, states: Tensor, tokens: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return log-probability and entropy (n,) of tokens (n,) after hidden states (n, H)."""
    device = states.device.type
    with torch.autocast(  # without cache: gradients of chunks meet in float32, not in bfloat16
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
