"""Estimate of the memory that a run needs on each device, from model configurations alone."""

import os
from collections.abc import Sequence

import psutil
import torch
from accelerate import Accelerator
from transformers import AutoModelForCausalLM, PretrainedConfig

from checks import machine, model_files
from checks.constants import list_roles
from checks.errors import UserError
from checks.prm_record import find_reference
from models.activations import TRIED_LAYERS, extrapolate_activations, list_generated, with_layers
from models.adapters import add_adapters, is_adapter

GIB = 2**30
_FLOAT, _MOMENTS = 4, 8  # bytes per parameter: a float32; AdamW's two moments
_CUDA_CONTEXT = GIB  # for CUDA and its libraries' workspaces
_NCCL = GIB  # for the buffers of several processes
_OFFLOAD = "OFFLOAD_MODELS = True (on several processes: and SHARD = True)"
_LESS_OF_A_MODEL = ("SHARD = True on several processes", _OFFLOAD, "LORA_RANK = 16")
_ADVICE = {  # how to make a part smaller; the first word is the constant to change
    "policy": (*_LESS_OF_A_MODEL, 'ROLLOUT_DTYPE = "bfloat16"'),
    "model": _LESS_OF_A_MODEL,
    "PRM": _LESS_OF_A_MODEL,
    "value": _LESS_OF_A_MODEL,
    "reference": _LESS_OF_A_MODEL,
    "KL reference": ("KL_COEF = 0", *_LESS_OF_A_MODEL),
    "rollout copy": ('ROLLOUT_DTYPE = "bfloat16"', _OFFLOAD, "LORA_RANK = 16"),
    "gradients": ("SHARD = True on several processes", "LORA_RANK = 16"),
    "optimizers": (
        "OFFLOAD_OPTIMIZERS = True",
        "SHARD = True on several processes",
        "LORA_RANK = 16",
    ),
    "cache": ("ROLLOUT_TOKENS lowered",),
    "activations": (
        "GRADIENT_CHECKPOINTING = True",
        "MICRO_BATCH_TOKENS lowered (in the phase generate: ROLLOUT_TOKENS)",
    ),
    "gathered layers": ("LORA_RANK = 16",),
    "libraries": (),
}
# Constants that are not advised where they are already set.
_USELESS_TWICE = "SHARD OFFLOAD_MODELS OFFLOAD_OPTIMIZERS LORA_RANK GRADIENT_CHECKPOINTING".split()


class Estimate(dict):
    """Bytes by phase ("generate", "PRM", "value", "policy") and, in each phase, by part."""

    @property
    def total(self) -> int:
        return max(sum(parts.values()) for parts in self.values())

    @property
    def certain(self) -> int:
        """Return the most bytes of a phase, without the parts that are only estimated."""
        guessed = ("activations", "cache", "libraries")
        return max(
            sum(size for name, size in parts.items() if name not in guessed)
            for parts in self.values()
        )

    def advise(self, constants: dict) -> str:
        """Return the largest parts of the largest phase, and constants to set that reduce them."""
        set_already = {name for name in constants if name in _USELESS_TWICE and constants[name]}
        if constants.get("LORA_RANK"):
            set_already |= {"SHARD", "OFFLOAD_MODELS"}  # not possible with adapters
        if constants.get("ROLLOUT_DTYPE") == "bfloat16":
            set_already.add("ROLLOUT_DTYPE")
        phase, parts = max(self.items(), key=lambda item: sum(item[1].values()))
        lines = [f"The phase {phase} needs most:"]
        for name in sorted(parts, key=lambda name: -parts[name])[:3]:
            known = constants.keys() - set_already
            options = [text for text in _ADVICE[name] if text.split()[0] in known]
            advice = " or ".join(options) or "a smaller model, or a larger device"
            lines.append(f"  {name} {parts[name] / GIB:.1f} GiB: {advice}")
        return "\n".join(lines)

    def as_table(self) -> str:
        """Return a table in GiB with a line for each part and a column for each phase."""
        names = list(dict.fromkeys(name for parts in self.values() for name in parts))
        rows = [["GiB", *self]]
        for name in names:
            sizes = [parts.get(name, 0) / GIB for parts in self.values()]
            rows.append([name, *(f"{size:.2f}" if size else "-" for size in sizes)])
        rows.append(["sum", *(f"{sum(parts.values()) / GIB:.2f}" for parts in self.values())])
        lines = (f"{row[0]:>16}" + "".join(f"{cell:>10}" for cell in row[1:]) for row in rows)
        return "\n".join(lines)


def estimate_memory(
    constants: dict, configs: dict[str, PretrainedConfig], num_processes: int, device_type: str
) -> Estimate:
    """Return the most bytes that a process needs on its device in each phase of an iteration.

    Args:
        constants: of train_prime.py.
        configs: from load_configs, by role.
        device_type: "cuda" or "cpu". Nothing is offloaded from a CPU.
    """
    c = constants
    on_cpu = device_type == "cpu"
    parts = num_processes if c["SHARD"] else 1
    sizes = {role: _count(role, own) / parts for role, own in configs.items()}
    resident = {role: int(_FLOAT * size) for role, size in sizes.items()}
    trained = {role: size for role, size in sizes.items() if not role.endswith("reference")}
    whole = model_files.count_parameters(configs["policy"]) * _rollout_bytes(c)
    if c["LORA_RANK"]:
        trained = {role: _count_adapter(c, configs[role]) for role in trained}
        # The head of a value model is small next to an adapter.
        resident = {role: int(_FLOAT * size) for role, size in trained.items()}
        resident["policy"] += whole  # the model that all roles share
    elif c["SHARD"] or c["ROLLOUT_DTYPE"] != "float32":
        resident["rollout copy"] = whole
    steps = {role: n for role, n in trained.items() if role != "PRM" or c["PRM_UPDATE"] != "none"}
    generating = "rollout copy" if "rollout copy" in resident else "policy"
    used = {"generate": [generating], "PRM": ["PRM", "reference"]}
    used |= {"value": ["value"], "policy": ["policy"]}
    estimate = Estimate()
    for phase in ("generate", *(role for role in ("PRM", "value", "policy") if role in configs)):
        kept = used[phase] if c["OFFLOAD_MODELS"] and not on_cpu else resident
        own = {name: size for name, size in resident.items() if name in kept}
        gradients = steps.get(phase, 0)
        if num_processes > parts:  # data-parallel training keeps all gradients
            gradients = sum(trained.values())
        own["gradients"] = int(_FLOAT * gradients)
        offloads = c["OFFLOAD_OPTIMIZERS"] and not on_cpu
        own["optimizers"] = int(
            _MOMENTS * (steps.get(phase, 0) if offloads else sum(steps.values()))
        )
        config = configs.get(phase, configs["policy"])
        if phase == "generate":
            own["cache"] = _size_cache(c, config, num_processes)
        elif c["SHARD"]:
            own["gathered layers"] = _size_gathered(c, config)
        if phase == "policy" and config is configs.get("PRM"):  # the same passes
            own["activations"] = estimate["PRM"]["activations"]
        else:
            own["activations"] = extrapolate_activations(
                c, config, phase, num_processes, device_type
            )
        if phase == "generate" and c["MIXED_PRECISION"] == "bf16" and generating == "policy":
            # Autocast keeps a bfloat16 copy of weights that are trained, of no frozen ones.
            if c["ROLLOUT_DTYPE"] == "float32" and not c["LORA_RANK"]:
                own["activations"] += whole // 2
        own["libraries"] = _size_libraries(num_processes, device_type)
        estimate[phase] = own
    return estimate


def estimate_training(
    constants: dict, configs: dict[str, PretrainedConfig], num_processes: int, device_type: str
) -> Estimate:
    """Return the most bytes that a process of sft.py or train_prm.py needs on its device.

    Args:
        constants: of the script.
        configs: of the trained model ("model" or "PRM") and, if there is one, its "reference".
    """
    [role] = [role for role in configs if role != "reference"]
    parts = num_processes if constants["SHARD"] else 1
    own = {name: int(_FLOAT * _count(name, config) / parts) for name, config in configs.items()}
    size = _count(role, configs[role])
    own["gradients"] = int(_FLOAT * size / parts)
    own["optimizers"] = int(_MOMENTS * size / parts)
    if constants["SHARD"]:
        own["gathered layers"] = _size_gathered(constants, configs[role])
    # Its pass is one of train_prime.py over single responses.
    longest = {"MAX_PROMPT_TOKENS": 1, "MAX_RESPONSE_TOKENS": constants["MAX_TOKENS"] - 1}
    c = {**constants, **longest, "SAMPLES_PER_PROMPT": 1, "LORA_RANK": 0}
    own["activations"] = extrapolate_activations(c, configs[role], role, num_processes, device_type)
    own["libraries"] = _size_libraries(num_processes, device_type)
    return Estimate({role: own})


def load_configs(constants: dict) -> dict[str, PretrainedConfig]:
    """Return the configurations of the policy and, if there are any, of the other models."""
    configs = {"policy": model_files.load_config(constants["MODEL"], "MODEL")}
    trained = list_roles(constants)
    if "value" in trained:
        configs["value"] = configs["policy"]
    if "prm" in trained:
        other = constants["PRM_MODEL"]
        configs["PRM"] = model_files.load_config(other, "PRM_MODEL") if other else configs["policy"]
    reference = find_reference(constants)
    if reference:
        configs["reference"] = model_files.load_config(reference, "PRM_REFERENCE")
    if constants["KL_COEF"] and reference != constants["MODEL"]:
        configs["KL reference"] = configs["policy"]
    return configs


def check_run(accelerator: Accelerator, constants: dict) -> str:
    """Return one line on the memory that a run needs and has; "" if not on the main process.

    Raises:
        UserError: the run cannot fit.
    """
    if not accelerator.is_main_process:
        return ""
    configs = load_configs(constants)
    count, device = accelerator.num_processes, accelerator.device
    try:
        estimate = estimate_memory(constants, configs, count, device.type)
    except Exception as error:  # some models do not run without content: train them anyway
        return f"not estimated: {error!r}. The run goes on."
    return check_fits(constants, estimate, find_available(device), count)


def check_fits(constants: dict, estimate: Estimate, available: int, num_processes: int) -> str:
    """Return one line on the memory needed and available; if too little, also what to change.

    Raises:
        UserError: weights, gradients and optimizer states alone exceed the available memory.
    """
    need = f"{estimate.total / GIB:.1f} GiB on each of {num_processes} device(s), estimated"
    if estimate.certain > available:
        raise UserError(
            f"This will not fit: {need}; {available / GIB:.1f} GiB available. "
            f"{estimate.advise(constants)}\n(--estimate behind the script's name shows all parts.)"
        )
    if estimate.total > available:
        return f"{need}; {available / GIB:.1f} GiB available, too few. {estimate.advise(constants)}"
    return f"{need}; {available / GIB:.1f} GiB available"


def find_available(device: torch.device) -> int:
    """Return the bytes of a device's memory that this process can have."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    free = machine.find_free_memory() // machine.count_local_processes()
    return free + psutil.Process().memory_info().rss  # the estimate counts this too


def take_request(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """Return the argument --estimate or --estimate=8x80 ("" if there is none), and the others."""
    requests = [text for text in arguments if text.startswith("--estimate")]
    return (requests or [""])[0], [text for text in arguments if text not in requests]


def describe(
    constants: dict, request: str, configs: dict[str, PretrainedConfig] | None = None
) -> str:
    """Return the estimate for this machine, or for the machine that `--estimate=8x80` names.

    Args:
        request: the argument of the command line. 8x80 means 8 processes with a GPU of 80 GB each.
        configs: of estimate_training, for sft.py and train_prm.py. None: of train_prime.py.
    """
    _, _, other = request.partition("=")
    count = int(os.environ.get("WORLD_SIZE", 0)) or max(1, torch.cuda.device_count())
    kind = "cuda" if torch.cuda.is_available() else "cpu"
    available = None if other else find_available(torch.device(kind))
    if other:
        try:
            count, gigabytes = map(int, other.split("x"))
        except ValueError:
            raise UserError(
                f"{request!r}: write --estimate for this machine, or --estimate=8x80 for 8 "
                "processes with a GPU of 80 GB each."
            ) from None
        kind, available = "cuda", gigabytes * 10**9
    if configs is None:
        configs = load_configs(constants)
        estimate = estimate_memory(constants, configs, count, kind)
    else:
        estimate = estimate_training(constants, configs, count, kind)
    try:
        if "OFFLOAD_MODELS" in constants:
            machine.check_offloading(constants, count)
        verdict = check_fits(constants, estimate, available, count)
    except UserError as error:
        verdict = str(error)
    size = model_files.count_parameters(next(iter(configs.values()))) / 1e9
    title = f"{constants['MODEL']}, {size:.2f} B parameters, {count} process(es) on {kind}"
    return f"{title}\n{estimate.as_table()}\n{verdict}"


def _count(role: str, config: PretrainedConfig) -> int:
    """Return how many parameters the model of a role has."""
    if role == "value":
        return model_files.count_value_parameters(config)
    return model_files.count_parameters(config)


def _size_libraries(num_processes: int, device_type: str) -> int:
    if device_type == "cpu":
        return psutil.Process().memory_info().rss
    return _CUDA_CONTEXT + _NCCL * (num_processes > 1)


def _rollout_bytes(constants: dict) -> int:
    return 2 if constants["ROLLOUT_DTYPE"] == "bfloat16" else 4


def _count_adapter(constants: dict, config: PretrainedConfig) -> int:
    """Return the parameters of one adapter."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
        add_adapters(model, ("policy",), constants["LORA_RANK"], 1.0)
    return sum(value.numel() for name, value in model.named_parameters() if is_adapter(name))


def _size_gathered(constants: dict, config: PretrainedConfig) -> int:
    """Return the bytes that a sharded model gathers: the layer at work, the next one, the rest.

    The layer at work also has its gradient, before and while that is handed out. The rest is
    embedding and head, whose gradient stays until the end.
    """
    size = [model_files.count_parameters(with_layers(config, layers)) for layers in TRIED_LAYERS]
    layer = (size[1] - size[0]) // (TRIED_LAYERS[1] - TRIED_LAYERS[0])
    rest = size[0] - TRIED_LAYERS[0] * layer
    compute = 2 if constants["MIXED_PRECISION"] == "bf16" else 4
    return layer * (3 * compute + 2 * _FLOAT) + rest * 2 * _FLOAT


def _size_cache(constants: dict, config: PretrainedConfig, num_processes: int) -> int:
    """Return the bytes of the keys and values of all responses in memory at once."""
    c, text = constants, config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    width = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    # Bytes of a column: a key and a value in each layer.
    column = 2 * text.num_hidden_layers * heads * width * _rollout_bytes(c)
    P, T = c["MAX_PROMPT_TOKENS"], c["MAX_RESPONSE_TOKENS"]
    columns = []
    for prompts, samples in list_generated(c, num_processes, P):
        apart = prompts * samples * (P + T)  # when few run, each gets a prompt of its own
        together = prompts * (P + samples * T)
        columns.append(max(together, min(apart, c["ROLLOUT_TOKENS"])))
    return column * max(columns)
