"""What this machine offers a script: cores, and a sandbox for generated programs."""

import os

from checks.errors import UserError


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


def count_cores() -> int:
    """Return the cores that each of the script's processes on this machine may use, at least 1."""
    return max(1, len(os.sched_getaffinity(0)) // count_local_processes())


def count_local_processes() -> int:
    """Return how many processes of the script the launcher has started on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", 1))
