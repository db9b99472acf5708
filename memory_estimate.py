"""What a run will need of each device's memory, from the model's configuration alone.

Weights, gradients and optimizer states are counted. Activations are measured: a model of a few
layers of the same kind runs forward and backward on tensors that have shapes and no content, and
the bytes alive at the same time are extrapolated to all layers.
"""

import copy
import math
import os
import weakref
from collections.abc import Callable

import psutil
import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedModel

import preflight
from adapters import add_adapters, is_adapter
from micro_batching import pays_together
from policy import apply_head, count_at_once, isolate_head
from preflight import UserError

GIB = 2**30
_FLOAT, _MOMENTS = 4, 8  # bytes a parameter: a float32; AdamW's two moments
_CUDA_CONTEXT = GIB  # of CUDA, its libraries' workspaces, NCCL
_LOGIT_BYTES = 12  # a logit of a decoding step: itself, in float32, as a probability
_TRIED_LAYERS = (2, 4)
_ADVICE = {
    "policy": "SHARD = True on several processes, OFFLOAD_MODELS = True, or LORA_RANK = 16",
    "PRM": "SHARD = True on several processes, OFFLOAD_MODELS = True, or LORA_RANK = 16",
    "reference": "SHARD = True on several processes, OFFLOAD_MODELS = True, or LORA_RANK = 16",
    "gradients": "SHARD = True on several processes, or LORA_RANK = 16",
    "optimizers": "OFFLOAD_OPTIMIZERS = True, SHARD = True on several processes, or LORA_RANK = 16",
    "rollout copy": 'ROLLOUT_DTYPE = "bfloat16", or OFFLOAD_MODELS = True',
    "cache": "lower ROLLOUT_TOKENS",
    "activations": "GRADIENT_CHECKPOINTING = True, or lower MICRO_BATCH_TOKENS (in generation: "
    "ROLLOUT_TOKENS)",
    "gathered layers": "LORA_RANK = 16",
    "libraries": "a larger device",
}
PHASES = ("generate", "PRM", "policy")


class Estimate(dict):
    """Bytes by phase ("generate", "PRM", "policy") and, in it, by what takes them."""

    @property
    def total(self) -> int:
        return max(sum(parts.values()) for parts in self.values())

    @property
    def certain(self) -> int:
        """Return the bytes of a phase without those that were only measured on a few layers."""
        guessed = ("activations", "cache", "libraries")
        return max(
            sum(size for name, size in parts.items() if name not in guessed)
            for parts in self.values()
        )

    def advise(self) -> str:
        """Return what the largest parts of the largest phase are, and which constants make less."""
        phase, parts = max(self.items(), key=lambda item: sum(item[1].values()))
        largest = sorted(parts, key=lambda name: -parts[name])[:3]
        lines = [f"  {name} {parts[name] / GIB:.1f} GiB: {_ADVICE[name]}" for name in largest]
        return f"Most is taken while {phase} is at work:\n" + "\n".join(lines)

    def as_table(self) -> str:
        """Return a line a part and a column a phase, in GiB."""
        names = list(dict.fromkeys(name for parts in self.values() for name in parts))
        rows = [["GiB", *self]]
        for name in names:
            sizes = [parts.get(name, 0) / GIB for parts in self.values()]
            rows.append([name, *(f"{size:.2f}" if size else "-" for size in sizes)])
        rows.append(["sum", *(f"{sum(parts.values()) / GIB:.2f}" for parts in self.values())])
        lines = (f"{row[0]:>16}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)
        return "\n".join(lines)


def estimate_memory(
    constants: dict, config: PretrainedConfig, num_processes: int, device_type: str
) -> Estimate:
    """Return the bytes that a process needs on its device, at most, in each phase of an iteration.

    Args:
        constants: of train_prime.py.
        config: of MODEL, which the other roles are taken to share.
        device_type: "cuda" or "cpu".
    """
    c = constants
    roles = ["policy"] if c["PROCESS_COEF"] == 0 else ["policy", "PRM"]
    has_reference = len(roles) == 2 and c["PRM_REFERENCE"] == "sft"
    size = preflight.count_parameters(config)
    parts = num_processes if c["SHARD"] else 1
    weights = math.ceil(_FLOAT * size / parts)
    trained = size / parts
    resident = {name: weights for name in roles}
    if has_reference:
        resident["reference"] = weights
    if c["LORA_RANK"]:
        trained = _count_adapter(c, config)
        resident = {name: int(_FLOAT * trained) for name in roles}
        resident["policy"] += size * _rollout_bytes(c)  # the model that all of them share
    elif c["SHARD"] or c["ROLLOUT_DTYPE"] != "float32":
        resident["rollout copy"] = size * _rollout_bytes(c)
    libraries = psutil.Process().memory_info().rss if device_type == "cpu" else _CUDA_CONTEXT
    estimate = Estimate()
    for phase in [name for name in PHASES if name in ("generate", *roles)]:
        used = {
            "generate": ["rollout copy"] if "rollout copy" in resident else ["policy"],
            "PRM": ["PRM", "reference"],
            "policy": ["policy"],
        }[phase]
        kept = used if c["OFFLOAD_MODELS"] else resident
        estimate[phase] = {name: own for name, own in resident.items() if name in kept}
        at_once = len(roles) if num_processes > parts else int(phase != "generate")
        estimate[phase]["gradients"] = int(_FLOAT * trained * at_once)  # DDP keeps all of them
        with_optimizer = int(phase != "generate") if c["OFFLOAD_OPTIMIZERS"] else len(roles)
        estimate[phase]["optimizers"] = int(_MOMENTS * trained * with_optimizer)
        if c["SHARD"] and phase != "generate":
            estimate[phase]["gathered layers"] = _size_gathered(c, config)
        if phase == "generate":
            estimate[phase]["cache"] = _size_cache(c, config, num_processes)
        estimate[phase]["activations"] = _extrapolate(c, config, phase, num_processes, device_type)
        estimate[phase]["libraries"] = libraries
    return estimate


def check_run(accelerator: Accelerator, constants: dict) -> str:
    """Return one line on what a run needs and what there is, on the main process.

    Raises:
        UserError: it cannot fit.
    """
    if not accelerator.is_main_process:
        return ""
    config = preflight.load_config(constants["MODEL"], "MODEL")
    count, device = accelerator.num_processes, accelerator.device
    estimate = estimate_memory(constants, config, count, device.type)
    return check_fits(estimate, find_available(device), count)


def check_fits(estimate: Estimate, available: int, num_processes: int) -> str:
    """Return one line that says what is needed and what there is, or what to change.

    Raises:
        UserError: weights, gradients and optimizer states alone exceed what there is.
    """
    need = f"{estimate.total / GIB:.1f} GiB on each of {num_processes} device(s), estimated"
    if estimate.certain > available:
        raise UserError(
            f"This will not fit: {need}; there are {available / GIB:.1f}. {estimate.advise()}\n"
            "(python train_prime.py --estimate shows all of it.)"
        )
    if estimate.total > available:
        return f"{need}; there are {available / GIB:.1f}, too few. {estimate.advise()}"
    return f"{need}; there are {available / GIB:.1f}"


def find_available(device: torch.device) -> int:
    """Return the bytes of memory that this process can have of a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = psutil.virtual_memory().available // preflight.count_local_processes()
    return free + psutil.Process().memory_info().rss  # which the estimate counts


def describe(constants: dict, wish: str) -> str:
    """Return the estimate for this machine, or for what `--estimate=8x80` asks for.

    Args:
        wish: the argument of the command line; 8x80 are 8 processes with GPUs of 80 GB each.
    """
    _, _, machine = wish.partition("=")
    count = int(os.environ.get("WORLD_SIZE", 0)) or max(1, torch.cuda.device_count())
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    available = None if machine else find_available(torch.device(kind))
    if machine:
        try:
            count, gigabytes = map(int, machine.split("x"))
        except ValueError:
            raise UserError(
                f"{wish!r}: write --estimate for this machine, or --estimate=8x80 for 8 processes "
                "with a GPU of 80 GB each."
            ) from None
        kind, available = "cuda", gigabytes * 10**9
    config = preflight.load_config(constants["MODEL"], "MODEL")
    estimate = estimate_memory(constants, config, count, kind)
    try:
        verdict = check_fits(estimate, available, count)
    except UserError as error:
        verdict = str(error)
    size = preflight.count_parameters(config) / 1e9
    title = f"{constants['MODEL']}, {size:.2f} B parameters, {count} process(es) on {kind}"
    return f"{title}\n{estimate.as_table()}\n{verdict}"


def _rollout_bytes(constants: dict) -> int:
    return 2 if constants["ROLLOUT_DTYPE"] == "bfloat16" else 4


def _count_adapter(constants: dict, config: PretrainedConfig) -> int:
    """Return the parameters of one adapter."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        add_adapters(model, ("policy",), constants["LORA_RANK"], 1.0)
    return sum(value.numel() for name, value in model.named_parameters() if is_adapter(name))


def _size_gathered(constants: dict, config: PretrainedConfig) -> int:
    """Return the bytes of what a sharded model gathers: the layer at work, the next, the rest.

    Of the layer at work also the gradient, before and while it is handed out; of the rest,
    embedding and head, the gradient stays until the end.
    """
    size = [preflight.count_parameters(_with_layers(config, layers)) for layers in _TRIED_LAYERS]
    layer = (size[1] - size[0]) // (_TRIED_LAYERS[1] - _TRIED_LAYERS[0])
    rest = size[0] - _TRIED_LAYERS[0] * layer
    compute = 2 if constants["MIXED_PRECISION"] == "bf16" else 4
    return layer * (3 * compute + 2 * _FLOAT) + rest * 2 * _FLOAT


def _size_cache(constants: dict, config: PretrainedConfig, num_processes: int) -> int:
    """Return the bytes of keys and values of all responses in memory at once."""
    c, text = constants, config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    column = 2 * text.num_hidden_layers * heads * width * _rollout_bytes(c)
    return _count_generated(c, num_processes) * _prompt_and_responses(c) * column


def _prompt_and_responses(constants: dict) -> int:
    """Return the tokens of a prompt and its responses."""
    c = constants
    return c["MAX_PROMPT_TOKENS"] + c["SAMPLES_PER_PROMPT"] * c["MAX_RESPONSE_TOKENS"]


def _count_generated(constants: dict, num_processes: int) -> int:
    """Return how many prompts a process generates for at once, at most."""
    fit = constants["ROLLOUT_TOKENS"] // _prompt_and_responses(constants)
    return max(1, min(fit, math.ceil(constants["PROMPTS_PER_ITERATION"] / num_processes)))


def _with_layers(config: PretrainedConfig, layers: int) -> PretrainedConfig:
    """Return a configuration with fewer layers."""
    smaller = copy.deepcopy(config)
    text = smaller.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    return smaller


def _extrapolate(
    constants: dict, config: PretrainedConfig, phase: str, num_processes: int, device_type: str
) -> int:
    """Return the activation bytes of a model with all its layers, from those with a few."""
    all_layers = config.get_text_config().num_hidden_layers
    few, more = (min(all_layers, layers) for layers in _TRIED_LAYERS)
    sizes = {}
    for layers in {few, more}:
        run = _generate_once if phase == "generate" else _train_once
        sizes[layers] = run(constants, _with_layers(config, layers), num_processes, device_type)
    slope = (sizes[more] - sizes[few]) / max(1, more - few)
    return int(sizes[few] + slope * (all_layers - few))


def _train_once(
    constants: dict, config: PretrainedConfig, num_processes: int, device_type: str
) -> int:
    """Return the largest number of bytes alive in a training pass over a full micro-batch."""
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
            if parameter.requires_grad:  # gradients are counted elsewhere
                parameter.register_post_accumulate_grad_hook(_drop_gradient)
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            output, states = _run_backbone(model, rows, length, bf16)
            chunk = count_at_once(config, device_type)
            states = states[: min(tokens, 2 * chunk)]  # the rest would be more of the same
            ids = torch.zeros(len(states), dtype=torch.long)
            logprobs, _ = apply_head(isolate_head(model, output), states, ids, 1.0, chunk)
        logprobs.sum().backward()

    frozen = getattr(torch, c["ROLLOUT_DTYPE"]) if c["LORA_RANK"] else torch.float32
    return _measure(c, config, frozen, forward)


def _generate_once(
    constants: dict, config: PretrainedConfig, num_processes: int, device_type: str
) -> int:
    """Return the largest number of bytes alive while prompts are computed or tokens drawn."""
    prompts = _count_generated(constants, num_processes)
    bf16 = constants["ROLLOUT_DTYPE"] == "bfloat16"

    @torch.no_grad()
    def forward(model: PreTrainedModel) -> None:
        _run_backbone(model, prompts, constants["MAX_PROMPT_TOKENS"], bf16)

    rows = prompts * constants["SAMPLES_PER_PROMPT"]
    drawing = rows * config.get_text_config().vocab_size * _LOGIT_BYTES
    dtype = torch.bfloat16 if bf16 else torch.float32
    return max(drawing, _measure(constants, config, dtype, forward))


def _run_backbone(
    model: PreTrainedModel, rows: int, length: int, bf16: bool
) -> tuple[object, Tensor]:
    """Return the backbone's output on tokens without content, and its states (tokens, H)."""
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
    """Return the bytes that are alive at once in forward, beside the model, without content."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
        if constants["LORA_RANK"]:
            add_adapters(model, ("policy",), constants["LORA_RANK"], 1.0)
        for layer in model.modules():
            if constants["SHARD"] and constants["MIXED_PRECISION"] == "bf16":
                if type(layer).__name__ in model._no_split_modules:
                    layer.to(torch.bfloat16)  # as they are gathered
    with FakeTensorMode():
        _take_content(model)
        with _LargestSum(model) as largest:
            forward(model)
    return largest.most


def _take_content(model: PreTrainedModel) -> None:
    """Replace what lies on the meta device by tensors without content, which autocast works on."""
    made: dict[int, Tensor] = {}
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
    """Adds up the storages that operations within make beside a model's, until they are freed."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.now = self.most = 0
        own = [*model.parameters(), *model.buffers()]
        self.known = WeakIdKeyDictionary({value.untyped_storage(): True for value in own})

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        for value in tree_leaves(output):
            if isinstance(value, Tensor) and value.untyped_storage() not in self.known:
                storage = value.untyped_storage()
                self.known[storage] = True
                weakref.finalize(storage, self._free, storage.nbytes())
                self.now += storage.nbytes()
                self.most = max(self.most, self.now)
        return output

    def _free(self, size: int) -> None:
        self.now -= size
