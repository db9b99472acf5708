"""The allowed values of the constants of the scripts that have constants at their top."""

import importlib.util
import re
from pathlib import Path

import huggingface_hub

from checks.constants import check_choices, check_divides, check_ranges, check_texts
from checks.errors import UserError
from checks.files import make_file_name
from checks.prm_record import is_own_reference

_MANY = 10**9
_TRACKERS = (None, "tensorboard", "wandb", "trackio")  # of accelerate; no other constants
_SWITCHES = (
    "GRADIENT_CHECKPOINTING SHARD LORA_MERGE OFFLOAD_MODELS OFFLOAD_OPTIMIZERS WHITEN RESUME "
    "KEEP_BEST STRICT_FORM CODE_ALL_OR_NOTHING ALLOW_UNSANDBOXED_CODE DETERMINISTIC "
    "SAVE_ON_INTERRUPT"
).split()


def check_training_constants(constants: dict) -> None:
    """Raise UserError if a constant of train_prime.py is wrong or does not fit another one."""
    check_texts(
        constants,
        "MODEL TRAIN_DATA TRAIN_SPLIT EVAL_SPLIT RUN_NAME OUTPUT_DIR".split(),
        "PRM_MODEL EVAL_DATA SYSTEM_PROMPT PUSH_TO".split(),
    )
    _check_push(constants["PUSH_TO"])
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
            "PRM_LOSS": ("ce", "pairs"),
            "PRM_REFERENCE": ("sft", "prm", "policy"),
            "PROCESS_SCALE": ("none", "batch"),
            "ADVANTAGE_ESTIMATOR": ("rloo", "grpo", "reinforce", "gae"),
            "VALUE": ("head", "prm", None),
            "ROLLOUT_DTYPE": ("float32", "bfloat16"),
            "IMPORTANCE_LEVEL": ("token", "sequence"),
            "TRUNCATED": ("keep", "mask", "filter"),
            "POLICY_SCHEDULE": ("constant", "cosine"),
            "LOG_WITH": _TRACKERS,
            **dict.fromkeys(_SWITCHES, (True, False)),
        },
    )
    _check_numbers(constants)
    if constants["LORA_RANK"]:
        _check_shared_model(constants)
    if constants["ACCURACY_LOW"] > constants["ACCURACY_HIGH"]:
        raise UserError("ACCURACY_LOW is above ACCURACY_HIGH, so no prompt passes: lower it.")
    check_divides(constants, "PROMPTS_PER_ITERATION", "OPTIMIZER_STEPS")
    check_divides(constants, "PROMPTS_PER_ITERATION", "PRM_OPTIMIZER_STEPS")
    check_divides(constants, "PROMPTS_PER_ITERATION", "VALUE_OPTIMIZER_STEPS")
    _check_value(constants)
    if constants["KEEP_BEST"] and not constants["EVAL_DATA"]:
        raise UserError(
            "KEEP_BEST = True needs held-out prompts to tell the best policy: set EVAL_DATA, or "
            "KEEP_BEST = False."
        )
    _check_room(constants)
    _check_tracker(constants["LOG_WITH"])


def _check_numbers(constants: dict) -> None:
    """Raise UserError if a number of train_prime.py is out of its range."""
    counts = (
        "EVAL_PROMPTS MAX_PROMPT_TOKENS PROMPTS_PER_ITERATION MAX_RESPONSE_TOKENS "
        "MAX_ROLLOUT_ROUNDS MAX_EMPTY_ITERATIONS ROLLOUT_TOKENS PRM_OPTIMIZER_STEPS "
        "OPTIMIZER_STEPS VALUE_OPTIMIZER_STEPS MICRO_BATCH_TOKENS NUM_ITERATIONS EVAL_EVERY "
        "SAVE_EVERY"
    ).split()
    optional_counts = [n for n in ("VERIFIER_WORKERS", "CPU_THREADS") if constants[n] is not None]
    positive = (
        "LORA_ALPHA TEMPERATURE VERIFIER_TIMEOUT BETA PRM_GRADIENT_CLIP POLICY_GRADIENT_CLIP "
        "VALUE_GRADIENT_CLIP VALUE_CLIP_RANGE"
    ).split()
    not_negative = (
        "PRM_LR OUTCOME_COEF PROCESS_COEF CLIP_RANGE KL_COEF POLICY_LR VALUE_LR WEIGHT_DECAY"
    ).split()
    not_negative += ["CLIP_RANGE_HIGH"] if constants["CLIP_RANGE_HIGH"] is not None else []
    from_zero = (
        "LORA_RANK PRM_WARMUP_STEPS POLICY_WARMUP_STEPS VALUE_WARMUP_STEPS "
        "VALUE_WARMUP_ITERATIONS SEED LOG_SAMPLES"
    ).split()
    shares = ("ACCURACY_LOW", "ACCURACY_HIGH", "GAMMA", "GAE_LAMBDA")
    caps = [name for name in ["IMPORTANCE_CAP"] if constants[name] is not None]
    check_ranges(
        constants,
        {
            **dict.fromkeys([*counts, *optional_counts], (1, _MANY)),
            **dict.fromkeys(positive, (1e-9, _MANY)),
            **dict.fromkeys(not_negative, (0.0, _MANY)),
            **dict.fromkeys(from_zero, (0, _MANY)),
            **dict.fromkeys(shares, (0.0, 1.0)),
            **dict.fromkeys(caps, (1.0, _MANY)),
            "MAX_SURPLUS_AGE": (0, _MANY),
            "SAMPLES_PER_PROMPT": (2, _MANY),  # leave-one-out needs another response
        },
    )


def _check_value(constants: dict) -> None:
    """Raise UserError if VALUE does not fit the estimator, or gives no value."""
    c = constants
    if (c["ADVANTAGE_ESTIMATOR"] == "gae") != (c["VALUE"] is not None):
        raise UserError(
            f"ADVANTAGE_ESTIMATOR = {c['ADVANTAGE_ESTIMATOR']!r} does not go with VALUE = "
            f'{c["VALUE"]!r}: "gae" needs VALUE = "head" or "prm", the others need VALUE = None.'
        )
    if c["VALUE"] == "prm" and is_own_reference(c):
        raise UserError(
            'VALUE = "prm" needs a PRM that differs from its reference, or all values are 0: set '
            'PRM_MODEL to a trained one, or PRM_UPDATE to "after" or "before".'
        )
    if c["VALUE_WARMUP_ITERATIONS"] and c["VALUE"] != "head":
        raise UserError(
            f"VALUE_WARMUP_ITERATIONS = {c['VALUE_WARMUP_ITERATIONS']} trains a value model alone: "
            'set VALUE = "head" and ADVANTAGE_ESTIMATOR = "gae", or VALUE_WARMUP_ITERATIONS = 0.'
        )


def _check_room(constants: dict) -> None:
    """Raise UserError if ROLLOUT_TOKENS has no room for one prompt and its responses."""
    most = constants["SAMPLES_PER_PROMPT"] * constants["MAX_RESPONSE_TOKENS"]
    most += constants["MAX_PROMPT_TOKENS"]
    if constants["ROLLOUT_TOKENS"] < most:
        raise UserError(
            f"ROLLOUT_TOKENS = {constants['ROLLOUT_TOKENS']} has no room for one prompt and its "
            f"responses: MAX_PROMPT_TOKENS + SAMPLES_PER_PROMPT x MAX_RESPONSE_TOKENS = {most}. "
            "Raise ROLLOUT_TOKENS, or lower one of these."
        )


def _check_shared_model(constants: dict) -> None:
    """Raise UserError if a constant conflicts with LORA_RANK: one frozen model serves all roles."""
    conflicts = {
        "SHARD": "each process holds the whole frozen model",
        "OFFLOAD_MODELS": "every phase needs the frozen model",
        "PRM_MODEL": "policy and PRM are adapters of the same model",
    }
    for name, reason in conflicts.items():
        if constants[name]:
            raise UserError(
                f"{name} = {constants[name]!r} does not go with LORA_RANK = "
                f"{constants['LORA_RANK']}: {reason}. Change one of them."
            )


def check_sft_constants(constants: dict) -> None:
    """Raise UserError if a constant of sft.py is wrong or does not fit another one."""
    check_texts(constants, "MODEL DATA SPLIT OUTPUT".split(), ["SYSTEM_PROMPT"])
    output = Path(constants["OUTPUT"])
    if output.exists() and any(output.iterdir()) and not (output / "config.json").exists():
        raise UserError(
            f"OUTPUT = {str(output)!r} holds files that are not a model, and saving would delete "
            "them: name another folder."
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
    counts += ["CPU_THREADS"] if constants["CPU_THREADS"] is not None else []
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


def check_prm_constants(constants: dict) -> None:
    """Raise UserError if a constant of train_prm.py is wrong or does not fit another one."""
    required = "MODEL DATA SPLIT RUN_NAME OUTPUT_DIR".split()
    check_texts(constants, required, ["REFERENCE_MODEL", "SYSTEM_PROMPT"])
    check_choices(
        constants,
        {
            "LOSS": ("ce", "pairs"),
            "MIXED_PRECISION": ("no", "bf16"),
            "LOG_WITH": _TRACKERS,
            **dict.fromkeys(("GRADIENT_CHECKPOINTING", "SHARD"), (True, False)),
        },
    )
    counts = "MAX_TOKENS EPOCHS PROMPTS_PER_STEP MICRO_BATCH_TOKENS LOG_EVERY SAVE_EVERY".split()
    counts += ["CPU_THREADS"] if constants["CPU_THREADS"] is not None else []
    check_ranges(
        constants,
        {
            **dict.fromkeys(counts, (1, _MANY)),
            **dict.fromkeys(("BETA", "TEMPERATURE", "GRADIENT_CLIP"), (1e-9, _MANY)),
            **dict.fromkeys(("LR", "WEIGHT_DECAY"), (0.0, _MANY)),
            **dict.fromkeys(("WARMUP_STEPS", "SEED"), (0, _MANY)),
            "EVAL_FRACTION": (0.0, 0.9),
        },
    )
    _check_tracker(constants["LOG_WITH"])


def check_evaluation_constants(constants: dict) -> None:
    """Raise UserError if a constant of evaluate.py is wrong or does not fit another one."""
    check_texts(constants, ["OUTPUT"], "SYSTEM_PROMPT PRM REFERENCE".split())
    models, benchmarks = constants["MODELS"], constants["BENCHMARKS"]
    is_list = isinstance(models, (tuple, list)) and all(isinstance(m, str) for m in models)
    if not is_list or not models:
        raise UserError(f'MODELS = {models!r} must be a tuple of texts, such as ("models/mine",).')
    is_dict = isinstance(benchmarks, dict) and all(isinstance(name, str) for name in benchmarks)
    if not is_dict or not benchmarks:
        raise UserError(f"BENCHMARKS = {benchmarks!r} must map names to files, folders or hub ids.")
    for name, values in (("MODELS", models), ("BENCHMARKS", benchmarks)):
        if len({make_file_name(value) for value in values}) < len(values):
            raise UserError(
                f"{name} = {values!r}: two of them would have the same file. Leave one out."
            )
    check_choices(
        constants,
        {"DTYPE": ("float32", "bfloat16"), "ALLOW_UNSANDBOXED_CODE": (True, False)},
    )
    counts = "SAMPLES ROLLOUT_TOKENS MICRO_BATCH_TOKENS".split()
    may_be_none = "LIMIT MAX_RESPONSE_TOKENS VERIFIER_WORKERS CPU_THREADS".split()
    optional_counts = [name for name in may_be_none if constants[name] is not None]
    check_ranges(
        constants,
        {
            **dict.fromkeys([*counts, *optional_counts], (1, _MANY)),
            "VERIFIER_TIMEOUT": (1e-9, _MANY),
            "TEMPERATURE": (0.0, _MANY),
            "TOP_P": (1e-9, 1.0),
            "SEED": (0, _MANY),
        },
    )
    if constants["TOP_P"] < 1 and constants["TEMPERATURE"] == 0:
        raise UserError(
            f"TOP_P = {constants['TOP_P']} changes no greedy response (TEMPERATURE = 0): set "
            "TEMPERATURE above 0, such as 0.3, or TOP_P = 1.0."
        )
    if constants["SAMPLES"] > 1 and constants["TEMPERATURE"] == 0:
        raise UserError(
            f"SAMPLES = {constants['SAMPLES']} greedy responses (TEMPERATURE = 0) would all be the "
            "same: set TEMPERATURE above 0, such as 1.0, or SAMPLES = 1."
        )
    if constants["PRM"] and constants["SAMPLES"] == 1:
        raise UserError("PRM needs several responses to choose from: set SAMPLES above 1.")


def _check_push(repository: str | None) -> None:
    """Raise UserError if a repository has no valid name, or if there is no token to write to it."""
    if repository is None:
        return
    if not re.fullmatch(r"[\w.-]+/[\w.-]{1,80}", repository, re.ASCII):
        raise UserError(f"PUSH_TO = {repository!r} must name a user and a model: 'user/name'.")
    if not huggingface_hub.get_token():
        raise UserError(
            f"PUSH_TO = {repository!r} needs a token that may write: run hf auth login, or set the "
            "environment variable HF_TOKEN. Or set PUSH_TO = None."
        )


def _check_tracker(tracker: str | None) -> None:
    if tracker and importlib.util.find_spec(tracker) is None:
        raise UserError(f"LOG_WITH = {tracker!r} is not installed: pip install {tracker}.")
