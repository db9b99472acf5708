"""What can be known to be wrong before a model loads, each as one message naming what to change."""

import fcntl
import importlib.util
import json
import os
import shutil
import uuid
from io import TextIOWrapper
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PretrainedConfig,
    PreTrainedTokenizerBase,
)

_MANY = 10**9
_TRACKERS = (None, "tensorboard", "wandb", "trackio")  # of accelerate, without keys of their own
_SWITCHES = (
    "GRADIENT_CHECKPOINTING WHITEN RESUME CODE_ALL_OR_NOTHING ALLOW_UNSANDBOXED_CODE"
).split()
_BYTES_TRAINED = 12  # a parameter in a checkpoint: float32 weight and AdamW's two moments
_BYTES_EXPORTED = 4  # a parameter in an exported folder: float32 weight


class UserError(SystemExit):
    """A mistake of the user: the script prints its message and ends with status 1."""


class Constants(dict):
    """A script's constants by name; one that is asked for and not there was renamed or deleted."""

    def __missing__(self, name: str) -> object:
        raise UserError(f"{name} is missing among the constants at the top of the script.")


def read_constants(names: dict) -> Constants:
    """Return the UPPER_CASE constants among a script's global names."""
    return Constants(
        {name: v for name, v in names.items() if name.isupper() and not name.startswith("_")}
    )


def check_choices(constants: dict, choices: dict[str, tuple]) -> None:
    """Raise UserError for the first constant whose value is none of its choices."""
    for name, allowed in choices.items():
        if constants[name] not in allowed:
            options = ", ".join(map(repr, allowed))
            raise UserError(f"{name} = {constants[name]!r} is unknown: choose one of {options}.")


def check_ranges(constants: dict, ranges: dict[str, tuple[float, float]]) -> None:
    """Raise UserError for the first constant that is not a number within its (lowest, highest)."""
    for name, (lowest, highest) in ranges.items():
        value = constants[name]
        wants_integer = isinstance(lowest, int)
        if isinstance(value, bool) or not isinstance(value, int if wants_integer else (int, float)):
            kind = "a whole number" if wants_integer else "a number"
            raise UserError(f"{name} = {value!r} must be {kind}.")
        if not lowest <= value <= highest:
            raise UserError(f"{name} = {value!r} must lie between {lowest} and {highest}.")


def check_sandbox(fault: str, allow_unsandboxed: bool) -> None:
    """Raise UserError if there are programs to run and no sandbox to run them in.

    Args:
        fault: of Verifier.sandbox_fault: what is missing and what to enable, "" if nothing is.
    """
    if fault and not allow_unsandboxed:
        raise UserError(
            f"The prompts hold code, but generated programs cannot be run safely here: {fault} "
            'Or set ABILITIES = ("math",) to leave code out, or ALLOW_UNSANDBOXED_CODE = True '
            "to run them with your own rights on this machine."
        )


def check_texts(constants: dict, required: list[str], optional: list[str]) -> None:
    """Raise UserError for the first constant that is not text, or not None where it may be."""
    for name in [*required, *optional]:
        value = constants[name]
        if value is None and name in optional:
            continue
        if not isinstance(value, str) or not value:
            raise UserError(f"{name} = {value!r} must be text in quotes.")
        if value.startswith("~"):
            raise UserError(f"{name} = {value!r}: write the folder of ~ in full.")


def check_divides(constants: dict, whole: str, part: str) -> None:
    """Raise UserError unless the constant named part divides the constant named whole."""
    if constants[whole] % constants[part]:
        raise UserError(
            f"{part} = {constants[part]} does not divide {whole} = {constants[whole]}: "
            f"make {whole} a multiple of {part}."
        )


def check_training_constants(constants: dict) -> None:
    """Raise UserError for what is wrong among the constants of train_prime.py alone."""
    check_texts(
        constants,
        "MODEL TRAIN_DATA TRAIN_SPLIT EVAL_SPLIT RUN_NAME OUTPUT_DIR".split(),
        "PRM_MODEL EVAL_DATA SYSTEM_PROMPT".split(),
    )
    abilities = constants["ABILITIES"]
    if abilities is not None and not (
        isinstance(abilities, (tuple, list)) and all(isinstance(a, str) for a in abilities)
    ):
        raise UserError(f'ABILITIES = {abilities!r} must be None or a tuple such as ("math",).')
    check_choices(
        constants,
        {
            "MIXED_PRECISION": ("no", "bf16"),
            "PRM_UPDATE": ("after", "before", "none"),
            "PRM_REFERENCE": ("sft", "policy"),
            "PROCESS_SCALE": ("none", "batch"),
            "PROCESS_GRANULARITY": ("token", "response"),
            "LOG_WITH": _TRACKERS,
            **dict.fromkeys(_SWITCHES, (True, False)),
        },
    )
    counts = (
        "EVAL_PROMPTS MAX_PROMPT_TOKENS PROMPTS_PER_ITERATION MAX_RESPONSE_TOKENS "
        "MAX_ROLLOUT_ROUNDS MAX_EMPTY_ITERATIONS ROLLOUT_BATCH_SIZE PRM_OPTIMIZER_STEPS "
        "OPTIMIZER_STEPS MICRO_BATCH_SIZE NUM_ITERATIONS EVAL_EVERY SAVE_EVERY"
    ).split()
    optional_counts = [n for n in ("VERIFIER_WORKERS", "CPU_THREADS") if constants[n] is not None]
    positive = "TEMPERATURE VERIFIER_TIMEOUT BETA PRM_GRADIENT_CLIP POLICY_GRADIENT_CLIP".split()
    not_negative = "PRM_LR OUTCOME_COEF PROCESS_COEF CLIP_RANGE POLICY_LR WEIGHT_DECAY".split()
    check_ranges(
        constants,
        {
            **dict.fromkeys([*counts, *optional_counts], (1, _MANY)),
            **dict.fromkeys(positive, (1e-9, _MANY)),
            **dict.fromkeys(not_negative, (0.0, _MANY)),
            **dict.fromkeys(("PRM_WARMUP_STEPS", "POLICY_WARMUP_STEPS", "SEED"), (0, _MANY)),
            **dict.fromkeys(("ACCURACY_LOW", "ACCURACY_HIGH", "GAMMA"), (0.0, 1.0)),
            "SAMPLES_PER_PROMPT": (2, _MANY),  # leave-one-out needs another response
        },
    )
    if constants["ACCURACY_LOW"] > constants["ACCURACY_HIGH"]:
        raise UserError("ACCURACY_LOW is above ACCURACY_HIGH: no prompt would ever be kept.")
    check_divides(constants, "PROMPTS_PER_ITERATION", "OPTIMIZER_STEPS")
    check_divides(constants, "PROMPTS_PER_ITERATION", "PRM_OPTIMIZER_STEPS")
    check_divides(constants, "ROLLOUT_BATCH_SIZE", "SAMPLES_PER_PROMPT")
    _check_tracker(constants["LOG_WITH"])


def check_sft_constants(constants: dict) -> None:
    """Raise UserError for what is wrong among the constants of sft.py alone."""
    check_texts(constants, "MODEL DATA SPLIT OUTPUT".split(), ["SYSTEM_PROMPT"])
    output = Path(constants["OUTPUT"])
    if output.exists() and any(output.iterdir()) and not (output / "config.json").exists():
        raise UserError(
            f"OUTPUT = {str(output)!r} holds something that is no model and would be lost: name "
            "another folder."
        )
    check_choices(
        constants,
        {
            "MIXED_PRECISION": ("no", "bf16"),
            "LOG_WITH": _TRACKERS,
            "GRADIENT_CHECKPOINTING": (True, False),
        },
    )
    counts = "MAX_TOKENS STEPS BATCH_SIZE MICRO_BATCH_SIZE LOG_EVERY SAVE_EVERY".split()
    check_ranges(
        constants,
        {
            **dict.fromkeys(counts, (1, _MANY)),
            **dict.fromkeys(("LR", "WEIGHT_DECAY"), (0.0, _MANY)),
            **dict.fromkeys(("WARMUP_STEPS", "SEED"), (0, _MANY)),
            "GRADIENT_CLIP": (1e-9, _MANY),
        },
    )
    _check_tracker(constants["LOG_WITH"])


def check_same_constants(
    new_constants: dict, old_constants: dict, folder: Path, free_to_change: list[str]
) -> None:
    """Raise UserError if a checkpoint in a folder was made with other constants, naming which."""
    new = json.loads(json.dumps(new_constants))  # tuples come back from a file as lists
    changes = [
        f"  {name}: was {old_constants.get(name)!r}, is {new.get(name)!r}"
        for name in sorted(old_constants.keys() | new.keys())
        if name not in free_to_change and old_constants.get(name) != new.get(name)
    ]
    if changes:
        raise UserError(
            f"{folder} holds a checkpoint made with other constants:\n"
            + "\n".join(changes)
            + "\nSet them back to go on with it, or name another folder, or delete that one."
        )


def load_config(model: str, constant: str) -> PretrainedConfig:
    """Return the configuration of a model folder or hub id, without its weights.

    Raises:
        UserError: no such folder, something missing in it, no such hub id, or no causal LM that
            transformers has the code of.
    """
    _check_path(model, constant)
    try:
        config = AutoConfig.from_pretrained(model, trust_remote_code=False)
        count_parameters(config)
        return config
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"{constant} = {model!r} is no causal LM in a folder or on the hub, or the hub was not "
            f"reached: {error}"
        ) from error


def load_tokenizer(model: str, constant: str) -> PreTrainedTokenizerBase:
    """Return the tokenizer of a model folder or hub id.

    Raises:
        UserError: there is none, or it has no EOS token and so could never tell where to stop.
    """
    _check_path(model, constant)
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{constant} = {model!r} has no tokenizer to load: {error}") from error
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"{constant} = {model!r}: its tokenizer has no EOS token, so no response would ever "
            "end. Set eos_token in its tokenizer_config.json."
        )
    return tokenizer


def find_eos_token_ids(model: str, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Return every token id that ends a response, by tokenizer and generation config.

    Chat models often stop at several ids, of which the tokenizer knows one.
    """
    ids = {tokenizer.eos_token_id}
    try:
        stops = GenerationConfig.from_pretrained(model).eos_token_id
    except OSError:  # a folder without generation_config.json
        stops = None
    if stops is not None:
        ids.update(stops if isinstance(stops, list) else [stops])
    return sorted(ids)


def check_folder(folder: Path, constant: str, num_parameters: int, num_trained: int) -> None:
    """Make the folder and raise UserError if it cannot be written or its disk is too full.

    Needed are, for each trained model, two checkpoints (a new one is written before the old one
    goes) and two exported folders.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".write-test-{uuid.uuid4().hex}"
        probe.write_bytes(b"0" * 4096)
        probe.unlink()
    except OSError as error:
        raise UserError(f"{constant}: cannot write to {folder}: {error}.") from error
    needed = num_trained * num_parameters * 2 * (_BYTES_TRAINED + _BYTES_EXPORTED)
    already_there = sum(path.stat().st_size for path in folder.rglob("*.safetensors"))
    already_there += sum(path.stat().st_size for path in folder.rglob("*.bin"))
    free = shutil.disk_usage(folder).free + already_there
    if free < needed:
        raise UserError(
            f"{constant}: the disk of {folder} has {free / 2**30:.1f} GiB free; checkpoints and "
            f"models take up to {needed / 2**30:.1f} GiB. Free some, or set {constant} elsewhere."
        )


def check_length(config: PretrainedConfig, tokens: int, constants: str) -> None:
    """Raise UserError if sequences may be longer than the positions that the model knows."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    if positions and tokens > positions:
        raise UserError(
            f"{constants} allow sequences of {tokens} tokens, but the model knows {positions} "
            "positions (max_position_embeddings in its config.json): lower them."
        )


def check_same_vocabulary(config: PretrainedConfig, prm_config: PretrainedConfig) -> None:
    """Raise UserError if PRM and policy cannot read the same token ids."""
    sizes = [c.get_text_config().vocab_size for c in (config, prm_config)]
    if sizes[0] != sizes[1]:
        raise UserError(
            f"PRM_MODEL has a vocabulary of {sizes[1]} tokens, MODEL of {sizes[0]}: they must "
            "share one tokenizer."
        )


def lock_folder(folder: Path) -> TextIOWrapper:
    """Return an open file that keeps other runs out of the folder until this process ends.

    Raises:
        UserError: another run is in it.
    """
    file = (folder / ".lock").open("w")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise UserError(f"Another process is running in {folder}: stop it first.") from error
    return file


def count_cores(num_processes: int) -> int:
    """Return the cores that each of the processes on this machine may use, at least 1."""
    return max(1, len(os.sched_getaffinity(0)) // num_processes)


def count_parameters(config: PretrainedConfig) -> int:
    """Return how many parameters a model of this configuration has, without making it."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config).num_parameters()


def _check_tracker(tracker: str | None) -> None:
    if tracker and importlib.util.find_spec(tracker) is None:
        raise UserError(f"LOG_WITH = {tracker!r} is not installed: pip install {tracker}.")


def _check_path(model: str, constant: str) -> None:
    """Tell a missing folder from a hub id before the hub is asked for something it never had."""
    path = Path(model)
    if path.is_dir() and not (path / "config.json").exists():
        raise UserError(f"{constant} = {model!r}: the folder holds no config.json.")
    if path.is_dir() and not [*path.glob("*.safetensors"), *path.glob("*.bin")]:
        raise UserError(f"{constant} = {model!r}: the folder holds no weights (*.safetensors).")
    beside_others = "/" in model and path.parent.is_dir()
    looks_local = model.startswith((".", "/", "~")) or model.count("/") > 1 or beside_others
    if looks_local and not path.is_dir():
        raise UserError(f"{constant} = {model!r}: there is no such folder.")
