"""What a run prints about itself before it starts."""

from pathlib import Path

import torch
from accelerate import Accelerator

from checks.constants import list_roles
from checks.prm_record import explain_prm, find_reference, is_own_reference

_CUT_OFF = {  # what TRUNCATED says of responses that are cut off
    "keep": "",
    "mask": "; no loss counts a response that is cut off",
    "filter": ", no response cut off",
}


def describe_run(
    constants: dict,
    accelerator: Accelerator,
    folder: Path,
    parameters: dict[str, int],
    counts: tuple[int, int, int, int],
    first: int,
    memory: str,
) -> dict[str, str]:
    """Return what is about to run, by heading: models, data, sampling, batch sizes, device, folder.

    Args:
        folder: of the run.
        parameters: of the policy and of each other role that is trained.
        counts: prompts to train on, dropped for their length, held out, dropped there.
        first: the iteration that comes next.
        memory: the estimate, as text.
    """
    c, (prompts, dropped, held_out, too_long) = constants, counts
    responses = c["PROMPTS_PER_ITERATION"] * c["SAMPLES_PER_PROMPT"]
    per_step = responses // c["OPTIMIZER_STEPS"]
    per_process = -(-per_step // accelerator.num_processes)
    longer = "raise NUM_ITERATIONS, or " if c["POLICY_SCHEDULE"] == "constant" else ""
    lines = {
        **_describe_models(c, parameters, accelerator.num_processes),
        "data": f"{prompts} prompts of {c['TRAIN_DATA']} ({dropped} too long, dropped), "
        f"{held_out} held out of {c['EVAL_DATA']}"
        + (f" ({too_long} too long, dropped)" if too_long else ""),
        "sampling": f"{c['SAMPLES_PER_PROMPT']} responses per prompt of up to "
        f"{c['MAX_RESPONSE_TOKENS']} tokens, temperature {c['TEMPERATURE']}, no top-k or top-p",
        "filter": f"accuracy within [{c['ACCURACY_LOW']}, {c['ACCURACY_HIGH']}]"
        + _CUT_OFF[c["TRUNCATED"]],
        "batch": f"{c['PROMPTS_PER_ITERATION']} prompts x {c['SAMPLES_PER_PROMPT']} = "
        f"{responses} responses = {c['OPTIMIZER_STEPS']} optimizer step(s) of {per_step}; "
        f"{per_process} per process in micro-batches of {c['MICRO_BATCH_TOKENS']} tokens",
        "device": f"{accelerator.num_processes} process(es) on {accelerator.device.type}, "
        f"{torch.get_num_threads()} thread(s) each, mixed precision {c['MIXED_PRECISION']}",
        "memory": memory,
        "run": f"{folder}, iterations {first} to {c['NUM_ITERATIONS'] - 1}"
        if first < c["NUM_ITERATIONS"]
        else f"{folder} is complete: {longer}choose another RUN_NAME",
    }
    if c["VALUE_WARMUP_ITERATIONS"] >= c["NUM_ITERATIONS"]:
        lines["warm-up"] = "every iteration trains the value model alone: VALUE_WARMUP_ITERATIONS"
    reference = find_reference(c)
    if c["PUSH_TO"] and reference and Path(reference).exists():
        lines["push"] = (
            f"the PRM on the hub will name its reference {reference}, a folder of this machine: "
            "others cannot score with it. Name a MODEL of the hub"
        )
    if c["VERIFIERS"]:
        judges = ", ".join(f"{ability!r} by {own}" for ability, own in c["VERIFIERS"].items())
        lines["rewards"] = f"{judges}; not sandboxed"
    return lines


def _describe_models(constants: dict, parameters: dict[str, int], processes: int) -> dict[str, str]:
    """Return the lines of describe_run() on the models."""
    c, trained, reference = constants, list_roles(constants), find_reference(constants)
    apart = "prm" in trained and c["PRM_MODEL"]  # a PRM with a start of its own
    names = {"policy": "policy", "prm": "PRM", "value": "value model"}
    roles = ", ".join(names[role] for role in trained if role != "prm" or not apart)
    roles += "" if "prm" in trained else " (outcome alone: no PRM)"
    roles += ", reference" if reference == c["MODEL"] or c["KL_COEF"] else ""
    how = "each"
    if c["LORA_RANK"]:
        how = f"adapters of rank {c['LORA_RANK']} on one model of"
    elif c["SHARD"]:
        how = f"split over {processes} process(es), each"
    size = f"{parameters['policy'] / 1e6:.2f} M parameters"
    lines = {"models": f"{roles}, {how} {size}, from {c['MODEL']}"}
    if apart:
        lines["PRM"] = f"{parameters['prm'] / 1e6:.2f} M parameters, from {explain_prm(c)}"
    if is_own_reference(c):
        lines["note"] = "the frozen PRM is its own reference and gives no reward: set PRM_MODEL"
    return lines
