"""Checks of a training run before a model loads: its folder, its checkpoint, its models."""

from pathlib import Path

from checks import files, model_files
from checks.errors import UserError
from checks.saved_constants import check_same_constants, read_saved_constants

# Constants that may change when a run resumes: none of them changes what is learned.
FREE_TO_CHANGE = """
    GRADIENT_CHECKPOINTING SHARD LORA_MERGE OFFLOAD_MODELS OFFLOAD_OPTIMIZERS MICRO_BATCH_TOKENS
    ROLLOUT_TOKENS VERIFIER_WORKERS MAX_EMPTY_ITERATIONS ALLOW_UNSANDBOXED_CODE CPU_THREADS
    OUTPUT_DIR RUN_NAME NUM_ITERATIONS EVAL_EVERY SAVE_EVERY KEEP_BEST LOG_SAMPLES RESUME LOG_WITH
    DETERMINISTIC REPORT_EVERY
""".split()  # REPORT_EVERY is a constant of earlier versions

# What constants that came later amount to in a run of before.
EARLIER = {"STRICT_FORM": False, "VERIFIERS": {}, "TEMPLATES": {}}


def check_training_run(constants: dict, folder: Path, saved: Path | None) -> int:
    """Check folder and models of a run; return the number of parameters of one model.

    Args:
        folder: folder of the run.
        saved: its checkpoint, None if there is none.

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
    if saved:
        check_same_constants(c, {**EARLIER, **(old_constants or {})}, folder, FREE_TO_CHANGE)
    config = model_files.load_config(c["MODEL"], "MODEL")
    if c["PRM_MODEL"]:
        model_files.load_config(c["PRM_MODEL"], "PRM_MODEL")
        tokenizers = [model_files.load_tokenizer(c[name], name) for name in ("PRM_MODEL", "MODEL")]
        model_files.check_same_vocabulary(*tokenizers, ("PRM_MODEL", "MODEL"))
    longest = c["MAX_PROMPT_TOKENS"] + c["MAX_RESPONSE_TOKENS"]
    model_files.check_length(config, longest, "MAX_PROMPT_TOKENS and MAX_RESPONSE_TOKENS")
    size = model_files.count_parameters(config)
    trained = 2 if c["PROCESS_COEF"] else 1
    exported = trained + c["KEEP_BEST"]
    if c["LORA_RANK"]:  # adapters are small next to their model
        trained, exported = 0, exported * c["LORA_MERGE"]
    files.check_folder(folder, "OUTPUT_DIR", size, num_trained=trained, num_exported=exported)
    return size
