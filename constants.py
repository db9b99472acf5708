"""The constants at the top of a script: read, overridden from the command line, checked."""

import ast
import difflib
import importlib.util
import json
import re
from collections.abc import Sequence
from pathlib import Path

from preflight import UserError

_MANY = 10**9
_TRACKERS = (None, "tensorboard", "wandb", "trackio")  # of accelerate, without keys of their own
_SWITCHES = (
    "GRADIENT_CHECKPOINTING SHARD LORA_MERGE OFFLOAD_MODELS OFFLOAD_OPTIMIZERS WHITEN RESUME "
    "KEEP_BEST CODE_ALL_OR_NOTHING ALLOW_UNSANDBOXED_CODE"
).split()


class Constants(dict):
    """A script's constants by name; one that is asked for and not there was renamed or deleted."""

    def __missing__(self, name: str) -> object:
        raise UserError(f"{name} is missing among the constants at the top of the script.")


def read_constants(names: dict, overrides: Sequence[str] = ()) -> Constants:
    """Return the UPPER_CASE constants among a script's global names.

    Args:
        names: the script's globals(); those that are overridden are changed in it.
        overrides: arguments of the command line, such as "BETA=0.1" or "MODEL=models/mine" (the
            value as Python writes it, or else text), or a file of such lines, "recipes/mine.py".

    Raises:
        UserError: an argument that is neither, or no constant of the script.
    """
    own = [name for name in names if name.isupper() and not name.startswith("_")]
    for override in overrides:
        name, equals, text = override.partition("=")
        is_recipe = not equals and name.endswith(".py")
        values = _read_recipe(name) if is_recipe else {name: _read_value(text)}
        for name, value in values.items():
            if name not in own or not (equals or is_recipe):
                close = difflib.get_close_matches(name, own, n=1)
                advice = f" Did you mean {close[0]}?" if close else ""
                what = f"{override}: {name}" if is_recipe else override
                raise UserError(
                    f"{what!r} sets no constant of this script: write NAME=value with a name from "
                    f"its top.{advice}"
                )
            names[name] = value
    return Constants({name: names[name] for name in own})


def _read_recipe(path: str) -> dict[str, object]:
    """Return the values of a file of lines NAME = value."""
    try:
        lines = ast.parse(Path(path).read_text()).body
    except (OSError, SyntaxError) as error:
        raise UserError(f"{path}: cannot be read as lines NAME = value: {error}") from error
    values = {}
    for line in lines:
        if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant):
            continue  # a docstring
        try:
            values[line.targets[0].id] = ast.literal_eval(line.value)
        except (AttributeError, ValueError) as error:
            raise UserError(f"{path}, line {line.lineno}: write NAME = value.") from error
    return values


def _read_value(text: str) -> object:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


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
            "ADVANTAGE_ESTIMATOR": ("rloo", "grpo", "reinforce"),
            "ROLLOUT_DTYPE": ("float32", "bfloat16"),
            "PROCESS_GRANULARITY": ("token", "response"),
            "LOG_WITH": _TRACKERS,
            **dict.fromkeys(_SWITCHES, (True, False)),
        },
    )
    counts = (
        "EVAL_PROMPTS MAX_PROMPT_TOKENS PROMPTS_PER_ITERATION MAX_RESPONSE_TOKENS "
        "MAX_ROLLOUT_ROUNDS MAX_EMPTY_ITERATIONS ROLLOUT_TOKENS PRM_OPTIMIZER_STEPS "
        "OPTIMIZER_STEPS MICRO_BATCH_TOKENS NUM_ITERATIONS EVAL_EVERY SAVE_EVERY REPORT_EVERY"
    ).split()
    optional_counts = [n for n in ("VERIFIER_WORKERS", "CPU_THREADS") if constants[n] is not None]
    positive = (
        "LORA_ALPHA TEMPERATURE VERIFIER_TIMEOUT BETA PRM_GRADIENT_CLIP POLICY_GRADIENT_CLIP"
    ).split()
    not_negative = "PRM_LR OUTCOME_COEF PROCESS_COEF CLIP_RANGE POLICY_LR WEIGHT_DECAY".split()
    from_zero = "LORA_RANK PRM_WARMUP_STEPS POLICY_WARMUP_STEPS SEED LOG_SAMPLES".split()
    check_ranges(
        constants,
        {
            **dict.fromkeys([*counts, *optional_counts], (1, _MANY)),
            **dict.fromkeys(positive, (1e-9, _MANY)),
            **dict.fromkeys(not_negative, (0.0, _MANY)),
            **dict.fromkeys(from_zero, (0, _MANY)),
            **dict.fromkeys(("ACCURACY_LOW", "ACCURACY_HIGH", "GAMMA"), (0.0, 1.0)),
            "SAMPLES_PER_PROMPT": (2, _MANY),  # leave-one-out needs another response
        },
    )
    if constants["LORA_RANK"]:
        _check_shared_model(constants)
    if constants["ACCURACY_LOW"] > constants["ACCURACY_HIGH"]:
        raise UserError("ACCURACY_LOW is above ACCURACY_HIGH: no prompt would ever be kept.")
    check_divides(constants, "PROMPTS_PER_ITERATION", "OPTIMIZER_STEPS")
    check_divides(constants, "PROMPTS_PER_ITERATION", "PRM_OPTIMIZER_STEPS")
    _check_room(constants)
    _check_tracker(constants["LOG_WITH"])


def _check_room(constants: dict) -> None:
    """Raise UserError if no prompt with its responses fits into what may be generated at once."""
    most = constants["SAMPLES_PER_PROMPT"] * constants["MAX_RESPONSE_TOKENS"]
    most += constants["MAX_PROMPT_TOKENS"]
    if constants["ROLLOUT_TOKENS"] < most:
        raise UserError(
            f"ROLLOUT_TOKENS = {constants['ROLLOUT_TOKENS']} has no room for one prompt and its "
            f"responses, MAX_PROMPT_TOKENS + SAMPLES_PER_PROMPT x MAX_RESPONSE_TOKENS = {most}: "
            "raise it, or lower one of these."
        )


def _check_shared_model(constants: dict) -> None:
    """Raise UserError for what one frozen model that serves all roles has no place for."""
    conflicts = {
        "SHARD": "each process holds the frozen model whole",
        "OFFLOAD_MODELS": "no phase could do without the one model",
        "PRM_MODEL": "policy and PRM are adapters of the same model",
    }
    for name, reason in conflicts.items():
        if constants[name]:
            raise UserError(
                f"{name} = {constants[name]!r} does not go with LORA_RANK = "
                f"{constants['LORA_RANK']}: {reason}. Unset one of them."
            )


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
            **dict.fromkeys(("GRADIENT_CHECKPOINTING", "SHARD"), (True, False)),
        },
    )
    counts = "MAX_TOKENS STEPS BATCH_SIZE MICRO_BATCH_TOKENS LOG_EVERY SAVE_EVERY".split()
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


def check_evaluation_constants(constants: dict) -> None:
    """Raise UserError for what is wrong among the constants of evaluate.py alone."""
    check_texts(constants, ["OUTPUT"], "SYSTEM_PROMPT PRM REFERENCE".split())
    models, benchmarks = constants["MODELS"], constants["BENCHMARKS"]
    is_list = isinstance(models, (tuple, list)) and all(isinstance(m, str) for m in models)
    if not is_list or not models:
        raise UserError(f'MODELS = {models!r} must be a tuple of texts, such as ("models/mine",).')
    is_dict = isinstance(benchmarks, dict) and all(isinstance(name, str) for name in benchmarks)
    if not is_dict or not benchmarks:
        raise UserError(f"BENCHMARKS = {benchmarks!r} must map names to files or hub ids.")
    for name, values in (("MODELS", models), ("BENCHMARKS", benchmarks)):
        if len({make_file_name(value) for value in values}) < len(values):
            raise UserError(f"{name} = {values!r}: two of them would have the same file.")
    check_choices(
        constants,
        {"DTYPE": ("float32", "bfloat16"), "ALLOW_UNSANDBOXED_CODE": (True, False)},
    )
    counts = "SAMPLES MAX_RESPONSE_TOKENS ROLLOUT_TOKENS MICRO_BATCH_TOKENS".split()
    optional_counts = [
        name for name in ("LIMIT", "VERIFIER_WORKERS", "CPU_THREADS") if constants[name] is not None
    ]
    check_ranges(
        constants,
        {
            **dict.fromkeys([*counts, *optional_counts], (1, _MANY)),
            "VERIFIER_TIMEOUT": (1e-9, _MANY),
            "TEMPERATURE": (0.0, _MANY),
            "SEED": (0, _MANY),
        },
    )
    if constants["SAMPLES"] > 1 and constants["TEMPERATURE"] == 0:
        raise UserError(
            f"SAMPLES = {constants['SAMPLES']} greedy responses (TEMPERATURE = 0) would all be the "
            "same: set TEMPERATURE, such as 1.0, or SAMPLES = 1."
        )
    if constants["PRM"] and constants["SAMPLES"] == 1:
        raise UserError("PRM chooses the best of SAMPLES responses: set SAMPLES above 1.")


def make_file_name(name: str) -> str:
    """Return a name of a model or benchmark as one that any file system takes."""
    return re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._") or "_"


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
            f"{folder} holds work done with other constants:\n"
            + "\n".join(changes)
            + "\nSet them back to go on with it, or name another folder, or delete that one."
        )


def _check_tracker(tracker: str | None) -> None:
    if tracker and importlib.util.find_spec(tracker) is None:
        raise UserError(f"LOG_WITH = {tracker!r} is not installed: pip install {tracker}.")
