"""Activation memory of a run, measured on tensors that have shapes but no content.

A model of a few layers runs forward and backward on such tensors. Each further layer adds the same
number of bytes to those alive at once. So the bytes of the whole model are extrapolated.

Shapes: P prompt tokens, K responses of T tokens, H hidden width.
"""

import copy
import math
import weakref
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

from generation.groups import MIN_KEPT_FRACTION
from models.adapters import add_adapters
from models.logprobs import apply_head, count_at_once, isolate_head
from models.packing import pays_together

TRIED_LAYERS = (2, 4)  # layers of the two models that are measured
_DRAWING_BYTES = 12  # of a decoding step, for each logit: its probability, and that in float64


def list_generated(
    constants: dict, num_processes: int, prompt_tokens: int
) -> list[tuple[int, int]]:
    """Return how many prompts of a length, at most, a process generates for at once, and responses
    to each. The first pair is for training, the second for evaluation, if there is any.
    """
    c = constants
    wanted = [(c["PROMPTS_PER_ITERATION"] / MIN_KEPT_FRACTION, c["SAMPLES_PER_PROMPT"])]
    if c["EVAL_DATA"]:
        wanted.append((c["EVAL_PROMPTS"], 1))
    loads = []
    for prompts, samples in wanted:
        fit = c["ROLLOUT_TOKENS"] // (prompt_tokens + samples * c["MAX_RESPONSE_TOKENS"])
        loads.append((max(1, min(fit, math.ceil(prompts / num_processes))), samples))
    return loads


def with_layers(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """Return a copy of a configuration with fewer layers."""
    smaller = copy.deepcopy(config)
    text = smaller.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    return smaller


def extrapolate_activations(
    constants: dict, config: PretrainedConfig, phase: str, num_processes: int, device_type: str
) -> int:
    """Return a model's activation bytes, extrapolated from models with few of its layers."""
    all_layers = config.get_text_config().num_hidden_layers
    few, more = TRIED_LAYERS if all_layers > TRIED_LAYERS[1] else (all_layers, all_layers)
    sizes = {}
    for layers in {few, more}:
        run = _generate_once if phase == "generate" else partial(_train_once, phase=phase)
        sizes[layers] = run(constants, with_layers(config, layers), num_processes, device_type)
    slope = (sizes[more] - sizes[few]) / max(1, more - few)
    return int(sizes[few] + slope * (all_layers - few))


def _train_once(
    constants: dict,
    config: PretrainedConfig,
    num_processes: int,
    device_type: str,
    phase: str = "policy",
) -> int:
    """Return the most bytes alive at once in a training pass over a full micro-batch."""
    c = constants
    P, T = c["MAX_PROMPT_TOKENS"], c["MAX_RESPONSE_TOKENS"]
    responses = [T] * c["SAMPLES_PER_PROMPT"]
    budget, width = c["MICRO_BATCH_TOKENS"], config.get_text_config().hidden_size
    together = P + sum(responses) <= budget and pays_together(P, responses, width)
    length = P + sum(responses) if together else P + T
    rows = max(1, budget // length)
    tokens = rows * (length - P)
    bf16 = c["MIXED_PRECISION"] == "bf16"

    def forward(model: PreTrainedModel) -> None:
        if c["GRADIENT_CHECKPOINTING"]:
            model.activation_checkpointing_enable()
        model.train()
        for parameter in model.parameters():
            if parameter.requires_grad:  # estimate.py counts gradients
                parameter.register_post_accumulate_grad_hook(_drop_gradient)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output, states = _run_backbone(model, rows, length, bf16)
            if phase == "value":  # its head gives one number a token
                states.sum().backward()
                return
            chunk = count_at_once(config, device_type)
            states = states[: min(tokens, 2 * chunk)]  # further chunks repeat these
            ids = torch.zeros(len(states), dtype=torch.long)
            logprobs, _ = apply_head(isolate_head(model, output), states, ids, 1.0, chunk)
        logprobs.sum().backward()

    frozen = getattr(torch, c["ROLLOUT_DTYPE"]) if c["LORA_RANK"] else torch.float32
    return _measure(c, config, frozen, forward)


def _generate_once(
    constants: dict, config: PretrainedConfig, num_processes: int, device_type: str
) -> int:
    """Return the most bytes alive at once while prompts are computed or tokens drawn."""
    loads = list_generated(constants, num_processes, constants["MAX_PROMPT_TOKENS"])
    prompts = max(prompts for prompts, _ in loads)
    bf16 = constants["ROLLOUT_DTYPE"] == "bfloat16"

    @torch.no_grad()
    def forward(model: PreTrainedModel) -> None:
        _run_backbone(model, prompts, constants["MAX_PROMPT_TOKENS"], bf16)

    shortest = list_generated(constants, num_processes, 1)  # more of them fit at once
    rows = max(prompts * samples for prompts, samples in shortest)
    logit_bytes = 2 if bf16 or constants["MIXED_PRECISION"] == "bf16" else 4
    drawing = rows * config.get_text_config().vocab_size * (logit_bytes + _DRAWING_BYTES)
    dtype = torch.bfloat16 if bf16 else torch.float32
    return max(drawing, _measure(constants, config, dtype, forward))


def _run_backbone(
    model: PreTrainedModel, rows: int, length: int, bf16: bool
) -> tuple[object, Tensor]:
    """Return the backbone's output on tokens without content, and hidden states (tokens, H)."""
    ids = torch.zeros(rows, length, dtype=torch.long)
    mask = torch.zeros(rows, 1, length, length, dtype=torch.bfloat16 if bf16 else torch.float32)
    backbone = getattr(model, model.base_model_prefix)
    output = backbone(input_ids=ids, attention_mask=mask, position_ids=ids, use_cache=False)
    return output, output.last_hidden_state.flatten(0, 1)


def _measure(
    constants: dict,
    config: PretrainedConfig,
    dtype: torch.dtype,
    forward: Callable[[PreTrainedModel], None],
) -> int:
    """Return the most bytes alive at once in forward(), beside the model, without content."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if constants["LORA_RANK"]:
            add_adapters(model, ("policy",), constants["LORA_RANK"], 1.0)
        for layer in model.modules():
            if constants["SHARD"] and constants["MIXED_PRECISION"] == "bf16":
                if type(layer).__name__ in model._no_split_modules:
                    layer.to(torch.bfloat16)  # as sharding gathers it
    with FakeTensorMode():
        _take_content(model)
        with _LargestSum(model) as largest:
            forward(model)
    return largest.most


def _take_content(model: PreTrainedModel) -> None:
    """Replace meta tensors, on which autocast does not work, by CPU tensors without content."""
    made: dict[int, Tensor] = {}  # by id, so that tied weights stay tied
    for module in model.modules():
        for store in (module._parameters, module._buffers):
            for name, value in store.items():
                if value is not None and id(value) not in made:
                    empty = torch.empty(value.shape, dtype=value.dtype, device="cpu")
                    if isinstance(value, nn.Parameter):
                        empty = nn.Parameter(empty, requires_grad=value.requires_grad)
                    made[id(value)] = empty
                if value is not None:
                    store[name] = made[id(value)]


def _drop_gradient(parameter: nn.Parameter) -> None:
    parameter.grad = None


class _LargestSum(TorchDispatchMode):
    """Counts the bytes of tensors that operations make, until they are freed, and their peak.

    The model's own tensors do not count.
    """

    def __init__(self, model: nn.Module):
        super().__init__()
        self.now = self.most = 0
        own = [*model.parameters(), *model.buffers()]
        self.known = WeakIdKeyDictionary({value.untyped_storage(): True for value in own})

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for value in tree_leaves(output):
            # A view shares a storage that is already known.
            if isinstance(value, Tensor) and value.untyped_storage() not in self.known:
                storage = value.untyped_storage()
                self.known[storage] = True
                weakref.finalize(storage, self._free, storage.nbytes())
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
        return output

    def _free(self, size: int) -> None:
        self.now -= size
