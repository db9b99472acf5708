"""What a run will need of each device's memory, from the model's configuration alone."""

import math
import os

import psutil
import torch
from accelerate import Accelerator
from transformers import AutoModelForCausalLM, PretrainedConfig

import preflight
from activation_memory import (
    TRIED_LAYERS,
    count_generated,
    extrapolate_activations,
    prompt_and_responses,
    with_layers,
)
from adapters import add_adapters, is_adapter
from preflight import UserError

GIB = 2**30
_FLOAT, _MOMENTS = 4, 8  # bytes a parameter: a float32; AdamW's two moments
_CUDA_CONTEXT = GIB  # of CUDA, its libraries' workspaces, NCCL
_LESS_OF_A_MODEL = ("SHARD = True on several processes", "OFFLOAD_MODELS = True", "LORA_RANK = 16")
_ADVICE = {  # what makes a part smaller, by the constant that each begins with
    "policy": (*_LESS_OF_A_MODEL, 'ROLLOUT_DTYPE = "bfloat16"'),
    "PRM": _LESS_OF_A_MODEL,
    "reference": _LESS_OF_A_MODEL,
    "rollout copy": ('ROLLOUT_DTYPE = "bfloat16"', "OFFLOAD_MODELS = True", "LORA_RANK = 16"),
    "gradients": ("SHARD = True on several processes", "LORA_RANK = 16"),
    "optimizers": (
        "OFFLOAD_OPTIMIZERS = True",
        "SHARD = True on several processes",
        "LORA_RANK = 16",
    ),
    "cache": ("ROLLOUT_TOKENS lowered",),
    "activations": (
        "GRADIENT_CHECKPOINTING = True",
        "MICRO_BATCH_TOKENS lowered (while responses are generated, ROLLOUT_TOKENS)",
    ),
    "gathered layers": ("LORA_RANK = 16",),
    "libraries": (),
}
_USELESS_TWICE = "SHARD OFFLOAD_MODELS OFFLOAD_OPTIMIZERS LORA_RANK GRADIENT_CHECKPOINTING".split()
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

    def advise(self, constants: dict) -> str:
        """Return the largest parts of the largest phase, and which other constants make less."""
        set_already = {name for name in constants if name in _USELESS_TWICE and constants[name]}
        if constants["LORA_RANK"]:
            set_already |= {"SHARD", "OFFLOAD_MODELS"}  # which do not go with it
        if constants["ROLLOUT_DTYPE"] == "bfloat16":
            set_already.add("ROLLOUT_DTYPE")
        phase, parts = max(self.items(), key=lambda item: sum(item[1].values()))
        lines = [f"Most is needed in the phase {phase}:"]
        for name in sorted(parts, key=lambda name: -parts[name])[:3]:
            options = [text for text in _ADVICE[name] if text.split()[0] not in set_already]
            advice = " or ".join(options) or "a smaller model, or a larger device"
            lines.append(f"  {name} {parts[name] / GIB:.1f} GiB: {advice}")
        return "\n".join(lines)

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
        kept = used if c["OFFLOAD_MODELS"] and device_type != "cpu" else resident
        estimate[phase] = {name: own for name, own in resident.items() if name in kept}
        at_once = len(roles) if num_processes > parts else int(phase != "generate")
        estimate[phase]["gradients"] = int(_FLOAT * trained * at_once)  # DDP keeps all of them
        offloads = c["OFFLOAD_OPTIMIZERS"] and device_type != "cpu"
        with_optimizer = int(phase != "generate") if offloads else len(roles)
        estimate[phase]["optimizers"] = int(_MOMENTS * trained * with_optimizer)
        if c["SHARD"] and phase != "generate":
            estimate[phase]["gathered layers"] = _size_gathered(c, config)
        if phase == "generate":
            estimate[phase]["cache"] = _size_cache(c, config, num_processes)
        estimate[phase]["activations"] = extrapolate_activations(
            c, config, phase, num_processes, device_type
        )
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
    try:
        estimate = estimate_memory(constants, config, count, device.type)
    except Exception as error:  # a model of a kind that does not run without content: train it
        return f"not estimated: {error!r}"
    return check_fits(constants, estimate, find_available(device), count)


def check_fits(constants: dict, estimate: Estimate, available: int, num_processes: int) -> str:
    """Return one line that says what is needed and what there is, or what to change.

    Raises:
        UserError: weights, gradients and optimizer states alone exceed what there is.
    """
    need = f"{estimate.total / GIB:.1f} GiB on each of {num_processes} device(s), estimated"
    if estimate.certain > available:
        raise UserError(
            f"This will not fit: {need}; there are {available / GIB:.1f}. "
            f"{estimate.advise(constants)}\n(python train_prime.py --estimate shows all of it.)"
        )
    if estimate.total > available:
        return f"{need}; there are {available / GIB:.1f}, too few. {estimate.advise(constants)}"
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
        verdict = check_fits(constants, estimate, available, count)
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
    size = [preflight.count_parameters(with_layers(config, layers)) for layers in TRIED_LAYERS]
    layer = (size[1] - size[0]) // (TRIED_LAYERS[1] - TRIED_LAYERS[0])
    rest = size[0] - TRIED_LAYERS[0] * layer
    compute = 2 if constants["MIXED_PRECISION"] == "bf16" else 4
    return layer * (3 * compute + 2 * _FLOAT) + rest * 2 * _FLOAT


def _size_cache(constants: dict, config: PretrainedConfig, num_processes: int) -> int:
    """Return the bytes of keys and values of all responses in memory at once."""
    c, text = constants, config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    column = 2 * text.num_hidden_layers * heads * width * _rollout_bytes(c)
    return count_generated(c, num_processes) * prompt_and_responses(c) * column
