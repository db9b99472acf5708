"""What an implicit PRM's folder records of its training, and so the reference of a log-ratio."""

from functools import cache

from checks import model_files
from checks.constants import list_roles

_KEY = "implicit_prm"  # in config.json


def make_record(
    reference: str | None, beta: float, temperature: float, loss: str, templates: dict[str, str]
) -> dict:
    """Return the entries of a PRM's config.json from which its rewards can be computed again.

    Args:
        reference: folder or hub id; None if it was a policy in training.
        beta: weight of the log-ratio.
        temperature: divides the logits of PRM and reference.
        loss: "ce", or "pairs", which leaves open how likely a response is to be right.
        templates: by ability, where the run had its own.
    """
    record = {"reference": reference, "beta": beta, "temperature": temperature, "loss": loss}
    return {_KEY: {**record, "templates": templates} if templates else record}


@cache  # a run asks again when it saves, and the PRM's folder may be gone by then
def read_record(model: str, constant: str) -> dict:
    """Return what a model records of make_record(); {} if it is no implicit PRM.

    Raises:
        UserError: the model does not exist.
    """
    return getattr(model_files.load_config(model, constant), _KEY, None) or {}


def find_start(model: str, constant: str) -> str:
    """Return the model that a PRM started from: the reference that it records, or itself."""
    return read_record(model, constant).get("reference") or model


def find_reference(constants: dict) -> str | None:
    """Return the reference of train_prime.py's PRM as a folder or hub id.

    None: there is no PRM, or its reference is the policy of each iteration.
    """
    c = constants
    if "prm" not in list_roles(c) or c["PRM_REFERENCE"] == "policy":
        return None
    if c["PRM_REFERENCE"] == "prm" and c["PRM_MODEL"]:
        return find_start(c["PRM_MODEL"], "PRM_MODEL")
    return c["MODEL"]


def is_own_reference(constants: dict) -> bool:
    """Return whether train_prime.py's PRM stays its reference, so that all its rewards are 0."""
    c = constants
    return c["PRM_UPDATE"] == "none" and find_reference(c) == (c["PRM_MODEL"] or c["MODEL"])


def find_loss(constants: dict) -> str:
    """Return the loss from which train_prime.py's PRM has learned last."""
    c = constants
    if c["PRM_UPDATE"] == "none" and c["PRM_MODEL"]:
        return read_record(c["PRM_MODEL"], "PRM_MODEL").get("loss", "ce")
    return c["PRM_LOSS"]


def explain_prm(constants: dict) -> str:
    """Return what PRM_MODEL is compared with, and what it records that differs from the run."""
    c, record = constants, read_record(constants["PRM_MODEL"], "PRM_MODEL")
    reference = find_reference(c)
    used = {"reference": reference, "beta": c["BETA"], "temperature": c["TEMPERATURE"]}
    used["loss"] = find_loss(c)
    others = [
        f"{name} {record[name]}"
        for name, value in used.items()
        if record.get(name) not in (None, value)
    ]
    text = f"{c['PRM_MODEL']} against {reference or 'the policy of each iteration'}"
    return f"{text}; it was trained with {', '.join(others)}" if others else text
