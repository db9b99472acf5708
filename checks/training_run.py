"""Checks of a training run before a model loads: its folder, its checkpoint, its models."""

from pathlib import Path

from transformers import PretrainedConfig

from checks import files, model_files
from checks.constants import list_roles
from checks.errors import UserError
from checks.prm_record import find_reference, is_own_reference
from checks.saved_constants import check_same_constants, read_saved_constants

# Constants that may change when a run resumes: none of them changes what is learned (but
# ROLLOUT_TOKENS says which random numbers a response gets where generation is plain).
FREE_TO_CHANGE = """
    GRADIENT_CHECKPOINTING SHARD LORA_MERGE OFFLOAD_MODELS OFFLOAD_OPTIMIZERS MICRO_BATCH_TOKENS
    ROLLOUT_TOKENS VERIFIER_WORKERS MAX_EMPTY_ITERATIONS ALLOW_UNSANDBOXED_CODE CPU_THREADS
    OUTPUT_DIR RUN_NAME NUM_ITERATIONS EVAL_EVERY SAVE_EVERY KEEP_BEST LOG_SAMPLES RESUME LOG_WITH
    DETERMINISTIC SAVE_ON_INTERRUPT PUSH_TO REPORT_EVERY
""".split()  # REPORT_EVERY is a constant of earlier versions

# What constants that came later amount to in a run of before.
EARLIER = {
    "STRICT_FORM": False,
    "IMPORTANCE_CAP": None,
    "IMPORTANCE_LEVEL": "token",
    "MAX_SURPLUS_AGE": 4,  # none was older than 3
    "VALUE": None,
    "PRM_LOSS": "ce",
    "TRUNCATED": "keep",
    "CLIP_RANGE_HIGH": None,
    "KL_COEF": 0.0,
    "POLICY_SCHEDULE": "constant",
    "VERIFIERS": {},
    "TEMPLATES": {},
}


def check_training_run(constants: dict, folder: Path, saved: Path | None) -> dict[str, int]:
    """Check folder and models of a run; return the number of parameters of each trained role.

    Args:
        folder: folder of the run.
        saved: its checkpoint, None if there is none. What a run logged before its first one is
            not lost to other constants either.

    Raises:
        UserError: folder or models do not fit the constants.
    """
    c = constants
    old_constants = read_saved_constants(folder)
    if old_constants and not c["RESUME"]:
        raise UserError(
            f"RESUME = False, but {folder} holds a run: set RESUME = True, choose another "
            "RUN_NAME, or delete the folder."
        )
    metrics = folder / "metrics.jsonl"
    if saved or (metrics.exists() and metrics.stat().st_size):  # starting again would delete it
        old = translate_earlier(old_constants or {}, c)
        # Along a cosine, the number of iterations says how fast the rate falls.
        fixed = ["NUM_ITERATIONS"] if c["POLICY_SCHEDULE"] == "cosine" else []
        check_same_constants(c, old, folder, [n for n in FREE_TO_CHANGE if n not in fixed])
    config = model_files.load_config(c["MODEL"], "MODEL")
    _check_length(c, config, "the model")
    if c["PRM_MODEL"]:
        prm_config = model_files.load_config(c["PRM_MODEL"], "PRM_MODEL")
        _check_length(c, prm_config, f"PRM_MODEL = {c['PRM_MODEL']}")
        tokenizers = [model_files.load_tokenizer(c[name], name) for name in ("PRM_MODEL", "MODEL")]
        model_files.check_same_vocabulary(*tokenizers, ("PRM_MODEL", "MODEL"))
    if c["PRM_REFERENCE"] == "prm":
        _check_reference(c)
    size = model_files.count_parameters(config)
    trained = dict.fromkeys(list_roles(c), size)
    if c["PRM_MODEL"] and "prm" in trained:
        trained["prm"] = model_files.count_parameters(prm_config)
    if c["VALUE"] == "head":
        trained["value"] = model_files.count_value_parameters(config)
    written, exported = list(trained.values()), [*trained.values(), *[size] * c["KEEP_BEST"]]
    if c["LORA_RANK"]:  # adapters are small next to their model
        written, exported = [], exported * c["LORA_MERGE"]
    files.check_folder(folder, "OUTPUT_DIR", trained=written, exported=exported)
    return trained


def translate_earlier(old_constants: dict, constants: dict) -> dict:
    """Return the constants of an earlier run as a run of today would have them.

    Args:
        constants: of today. Those of a value model count for nothing in a run that had none.
    """
    own = {n: v for n, v in constants.items() if n.startswith("VALUE_") or n == "GAE_LAMBDA"}
    old = {**own, **EARLIER, **old_constants}
    if "PROCESS_GRANULARITY" not in old:
        return old
    # From before Eq. 7 and 8: these names meant other baselines, "grpo" of process rewards alone.
    renamed = ("grpo", "reinforce") if old["PROCESS_COEF"] else ("reinforce",)
    if old["ADVANTAGE_ESTIMATOR"] in renamed:
        old["ADVANTAGE_ESTIMATOR"] += " of an earlier version"
    if old["PROCESS_GRANULARITY"] == "token":
        del old["PROCESS_GRANULARITY"]
    return old


def _check_length(constants: dict, config: PretrainedConfig, model: str) -> None:
    """Raise UserError if a prompt with its response may have more tokens than positions."""
    longest = constants["MAX_PROMPT_TOKENS"] + constants["MAX_RESPONSE_TOKENS"]
    limits = "MAX_PROMPT_TOKENS and MAX_RESPONSE_TOKENS"
    model_files.check_length(config, longest, limits, model)


def _check_reference(constants: dict) -> None:
    """Raise UserError if the PRM's own start cannot be its reference, or makes rewards of 0."""
    c = constants
    reference, name = find_reference(c), 'PRM_REFERENCE = "prm"'
    if reference is None:  # without a PRM
        return
    if is_own_reference(c):
        raise UserError(
            f'{name} with PRM_UPDATE = "none": the PRM stays its own reference, so all its rewards '
            "are 0. Set PRM_MODEL to a trained PRM that records its reference, or choose another "
            "PRM_UPDATE."
        )
    if c["PRM_MODEL"]:
        config = model_files.load_config(reference, f"{name} (recorded by {c['PRM_MODEL']})")
        _check_length(c, config, f"the reference {reference}")
        tokenizers = [model_files.load_tokenizer(n, name) for n in (reference, c["MODEL"])]
        model_files.check_same_vocabulary(*tokenizers, (f"The reference {reference}", "MODEL"))
