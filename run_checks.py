"""What a training run needs of its folder and its models, checked before anything is loaded."""

from pathlib import Path

import preflight
import run_log
from constants import check_same_constants
from preflight import UserError


def check_training_run(
    constants: dict, folder: Path, saved: Path | None, free_to_change: list[str]
) -> int:
    """Return the number of parameters of a model.

    Args:
        folder: of the run.
        saved: its checkpoint, if there is one.
        free_to_change: constants that may differ from those of the checkpoint.

    Raises:
        UserError: folder or models do not suit the constants.
    """
    c = constants
    old_constants = run_log.read_constants(folder)
    if old_constants and not c["RESUME"]:
        raise UserError(
            f"RESUME = False, but {folder} holds a run: delete it, or choose another RUN_NAME."
        )
    if saved:
        check_same_constants(c, old_constants or {}, folder, free_to_change)
    config = preflight.load_config(c["MODEL"], "MODEL")
    if c["PRM_MODEL"]:
        preflight.load_config(c["PRM_MODEL"], "PRM_MODEL")
        tokenizers = [preflight.load_tokenizer(c[name], name) for name in ("PRM_MODEL", "MODEL")]
        preflight.check_same_vocabulary(*tokenizers, ("PRM_MODEL", "MODEL"))
    longest = c["MAX_PROMPT_TOKENS"] + c["MAX_RESPONSE_TOKENS"]
    preflight.check_length(config, longest, "MAX_PROMPT_TOKENS and MAX_RESPONSE_TOKENS")
    size = preflight.count_parameters(config)
    trained = 2 if c["PROCESS_COEF"] else 1
    exported = trained + c["KEEP_BEST"]
    if c["LORA_RANK"]:  # adapters are small next to what they belong to
        trained, exported = 0, exported * c["LORA_MERGE"]
    preflight.check_folder(folder, "OUTPUT_DIR", size, num_trained=trained, num_exported=exported)
    return size
