"""Log-probabilities of responses: the forward pass that policy, reference and PRM share.

On a GPU, in half precision, a micro-batch is one flat row (models/varlen.py), where a model agrees.

Shapes: B rows, P prompt tokens (left-padded), T response tokens (right-padded), V vocabulary, H
hidden width; N response tokens of the batch without padding, n of them in a chunk.
"""

import copy
import logging
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint as torch_checkpoint
from transformers import PretrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput

from checks.errors import is_out_of_memory
from generation.siblings import attends_to_all
from models import varlen
from models.adapters import activate_adapter
from models.batches import Rollouts, pad_rows
from models.packing import Packed, pack, pack_flat

# Logits in a chunk of the head. A few float32 copies of a chunk are in memory at a time. On a CPU a
# copy has 64 MiB: the C library keeps freed pieces below 32 MiB instead of giving them back.
_LOGITS_AT_ONCE = {"cpu": 2**24}
_LOGITS_AT_ONCE_ELSEWHERE = 2**27  # a GPU needs more tokens at a time
_FLAT = ("cuda",)  # device types that have varlen attention
_TOLERANCE = 0.1  # of log-probabilities, relative to their spread, as in generation/siblings.py

_log = logging.getLogger(__name__)


class ResponseLogprobs(nn.Module):
    """A causal LM whose forward returns the log-probabilities of response tokens.

    As an ordinary module it works under DDP and mixed precision. The logits are by far the largest
    tensor, so the head takes response tokens in chunks. Several chunks are computed again in the
    backward pass.
    """

    least_spread = 1.0  # of values, to which an error of flat rows is compared

    def __init__(self, model: PreTrainedModel, adapter: str | None = None):
        super().__init__()
        self.model = model
        self.adapter = adapter  # this role's, if roles share the model; None: no adapter
        self.flat: bool | None = None  # whether micro-batches become flat rows; None: not yet tried

    def __call__(self, *inputs, **options) -> tuple[Tensor, Tensor | None]:
        self.packs_flat()  # a trial within forward would free weights that it has gathered
        return super().__call__(*inputs, **options)

    @property
    def is_sharded(self) -> bool:
        """Whether the weights are split over processes."""
        return any(isinstance(parameter, DTensor) for parameter in self.parameters())

    def save(self, folder: Path, weights: dict[str, Tensor] | None) -> None:
        """Write a Hugging Face folder; of a model with adapters, this role's adapter alone.

        Args:
            weights: gathered ones of a sharded model, None for the model's own.
        """
        self.model.save_pretrained(folder, state_dict=weights)

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
        with_entropy: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Return log p(y_t | x, y_<t) and the entropy at the last T columns.

        Args:
            input_ids: (B, P+T) left-padded prompts, then right-padded responses.
            attention_mask: (B, P+T) 1 on tokens, 0 on padding.
            lengths: prompt and response tokens of each row; the longest response has T.
            siblings: consecutive rows that share a prompt and are computed as one; 1: each alone.
            temperature: divides the logits, as in sampling.

        Returns:
            logprobs: (B, T) float32, 0 at padding.
            entropy: (B, T) float32 in nats, without gradient, 0 at padding; None if not asked for.
        """
        output, states, packed = self.run_backbone(input_ids, attention_mask, lengths, siblings)
        head = isolate_head(self.model, output)
        chunk = count_at_once(self.model.config, states.device.type)
        values = apply_head(head, states, packed.tokens, temperature, chunk, with_entropy)
        shape = (len(input_ids), max(lengths[1]))
        logprobs, entropy = (v if v is None else put_back(v, packed, shape) for v in values)
        return logprobs, entropy  # (B, T) each

    def run_backbone(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        lengths: tuple[list[int], list[int]],
        siblings: int,
    ) -> tuple[ModelOutput, Tensor, Packed]:
        """Return the backbone's output, the hidden states (N, H) before each of the N response
        tokens, and where these tokens are. The arguments are those of forward().
        """
        self.activate()
        is_flat = self.flat and attends_to_all(self.model.config, input_ids.shape[1])
        packed = (pack_flat if is_flat else pack)(input_ids, attention_mask, lengths, siblings)
        # The backbone alone: the model's own forward would apply the head to all columns at once.
        output = getattr(self.model, self.model.base_model_prefix)(
            input_ids=packed.input_ids,
            attention_mask=self._as_scores(packed) if siblings > 1 else packed.attention_mask,
            position_ids=packed.position_ids,
            use_cache=False,
            **({"segments": packed.segments} if is_flat else {}),
        )
        states = output.last_hidden_state.flatten(0, 1).index_select(0, packed.predictors)  # (N, H)
        return output, states, packed

    def _as_scores(self, packed: Packed) -> Tensor:
        """Return a mask to add to attention scores, in their precision, which all kinds take."""
        device = packed.attention_mask.device.type
        autocast = torch.is_autocast_enabled(device)
        dtype = torch.get_autocast_dtype(device) if autocast else self.model.dtype
        hidden = ~packed.attention_mask.bool()
        return torch.zeros_like(hidden, dtype=dtype).masked_fill_(hidden, torch.finfo(dtype).min)

    def packs_flat(self) -> bool:
        """Return whether micro-batches become flat rows. Tried once, on a few tokens.

        All processes must try at the same time, because weights may be sharded.
        """
        if self.flat is None:
            self.flat = False
            own = self.model.config._attn_implementation
            if own in ("sdpa", varlen.ATTENTION) and self.model.device.type in _FLAT:
                self.flat = self._agrees_flat(own)
        return self.flat

    @torch.no_grad()
    def _agrees_flat(self, own: str) -> bool:
        """Return whether flat rows give the log-probabilities that padded ones give.

        Args:
            own: the model's own attention. If flat rows agree, it gets the one that takes them.
        """
        vocabulary = self.model.config.get_text_config().vocab_size
        prompts, responses = [[5, 6, 7, 8]] * 2 + [[9]] * 2, [[10], [11, 12, 13], [14, 15], [16]]
        rows = [[[i % vocabulary for i in ids] for ids in part] for part in (prompts, responses)]
        batch = replace(pad_rows(*rows, [0.0] * 4, 0, self.model.device), siblings=2)
        expected = self._try(batch)  # (4, 3)
        self.model.set_attn_implementation(varlen.ATTENTION)
        try:
            self.flat = True
            error = (self._try(batch) - expected).abs().max()
            reason = f"flat rows differ by {error:.2f}"
            spread = expected[expected != 0].std().clamp(min=self.least_spread)
            agrees = bool(error <= _TOLERANCE * spread)  # NaN does not agree
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError) as fault:
            if is_out_of_memory(fault):
                raise  # says nothing about the model
            reason, agrees = str(fault).partition("\n")[0], False
        self.flat = False
        if not agrees:
            self.model.set_attn_implementation(own)
            _tell_padded(self.model.config.model_type, reason)
        return agrees

    def _try(self, batch: Rollouts) -> Tensor:
        """Return one value for every response token, (B, T)."""
        return self(*batch.model_inputs(), 1.0)[0]


@cache
def _tell_padded(model_type: str, reason: str) -> None:
    """Warn once, not for every role."""
    _log.warning("%s computes padded rows, which takes longer: %s.", model_type, reason)


def put_back(values: Tensor, packed: Packed, shape: tuple[int, int]) -> Tensor:
    """Return values (N,) of response tokens at their places in (B, T), 0 at padding."""
    empty = torch.zeros(shape, device=values.device)
    return empty.index_put((packed.places // shape[1], packed.places % shape[1]), values)


def count_at_once(config: PretrainedConfig, device_type: str) -> int:
    """Return how many response tokens make a chunk for the head."""
    logits = _LOGITS_AT_ONCE.get(device_type, _LOGITS_AT_ONCE_ELSEWHERE)
    return max(1, logits // config.get_text_config().vocab_size)


def apply_head(
    head: PreTrainedModel,
    states: Tensor,
    tokens: Tensor,
    temperature: float,
    chunk: int,
    with_entropy: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Return log-probabilities and entropies (N,) of tokens (N,) after states (N, H).

    Args:
        head: from isolate_head.
        chunk: tokens at a time. Several chunks are computed again in the backward pass.
        with_entropy: False: None in place of entropies.
    """
    compute = partial(_compute_logprobs, head, temperature=temperature, with_entropy=with_entropy)
    if len(states) <= chunk:
        return compute(states, tokens)
    # Without checkpoints, the logits of all chunks (N, V) would wait in memory for backward.
    values = [
        torch_checkpoint(compute, *pair, use_reentrant=False, preserve_rng_state=False)
        for pair in zip(states.split(chunk), tokens.split(chunk))
    ]
    logprobs, entropy = zip(*values)
    return torch.cat(logprobs), torch.cat(entropy) if with_entropy else None


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
    head: PreTrainedModel, states: Tensor, tokens: Tensor, temperature: float, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    """Return log-probability and entropy (n,) of tokens (n,) after hidden states (n, H)."""
    device = states.device.type
    with torch.autocast(  # no cache: gradients of chunks must add up in float32, not in bfloat16
        device,
        torch.get_autocast_dtype(device),
        enabled=torch.is_autocast_enabled(device),
        cache_enabled=False,
    ):
        logits = head(inputs_embeds=states.unsqueeze(0)).logits[0]  # (n, V)
    if temperature != 1:
        logits = logits.float() / temperature
    all_logprobs = logits.log_softmax(dim=-1, dtype=torch.float32)  # (n, V)
    logprobs = all_logprobs.gather(-1, tokens.unsqueeze(-1)).squeeze(-1)
    if not with_entropy:
        return logprobs, None
    with torch.no_grad():
        entropy = -(all_logprobs.exp() * all_logprobs).sum(dim=-1)
    return logprobs, entropy
