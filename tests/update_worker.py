"""One update of all models on given rollouts in several modes, on one process of some."""

from dataclasses import replace
from pathlib import Path

import torch
from accelerate import Accelerator
from pytest import MonkeyPatch
from small_runs import load_script
from stub_verifier import only_train

from generation.groups import Collected, Group


def update(groups: list[Group], modes: dict[str, dict], folder: Path) -> None:
    """Run one iteration of train_prime.py in each mode; write what the docstring of keep() says.

    Args:
        modes: constants by mode.
        folder: for the runs, one a mode.
    """
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    own_folder = folder / f"scripts-{rank}"
    own_folder.mkdir()
    with MonkeyPatch.context() as patch:
        only_train(patch)
        # The next mode needs the process group.
        patch.setattr(Accelerator, "end_training", lambda self: self.wait_for_everyone())
        for mode, constants in modes.items():
            script = load_script("train_prime.py", own_folder, **{**constants, "RUN_NAME": mode})
            own = [replace(group) for group in groups]
            collected = Collected(own, [], own, 1.0, 1)
            patch.setattr(script.rollout, "collect_rollouts", lambda *_, c=collected, **__: c)
            compute = script.prime_advantages

            def keep(*values, mode=mode, compute=compute, **settings):
                """Write the advantages to a file of mode and rank."""
                advantages = compute(*values, **settings)
                torch.save(advantages, folder / f"{mode}-advantages-{rank}.pt")
                return advantages

            script.prime_advantages = keep
            script.main()
