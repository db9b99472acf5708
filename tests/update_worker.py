"""One update of PRM and policy on given rollouts, in several modes: run under accelerate launch.

Arguments: a JSON file of rollout groups, one of constants by mode, a folder for the runs.
"""

import json
import os
import sys
from pathlib import Path

import torch
from accelerate import Accelerator
from small_runs import load_script

from generation.groups import Group

groups_file, modes_file, folder = map(Path, sys.argv[1:])
rank = int(os.environ.get("RANK", 0))
Accelerator.end_training = lambda self: self.wait_for_everyone()  # the next mode needs the group
own_folder = folder / f"scripts-{rank}"
own_folder.mkdir(parents=True)
for mode, constants in json.loads(modes_file.read_text()).items():
    script = load_script("train_prime.py", own_folder, **{**constants, "RUN_NAME": mode})
    groups = [Group(**group) for group in json.loads(groups_file.read_text())]
    collected = script.Collected(groups, [], groups, 1.0, 1)
    script.rollout.collect_rollouts = lambda *_, c=collected, **__: c
    compute_advantages = script.prime_advantages

    def keep(*values, mode=mode, compute=compute_advantages, **settings):
        advantages = compute(*values, **settings)
        torch.save(advantages, folder / f"{mode}-advantages-{rank}.pt")
        return advantages

    script.prime_advantages = keep
    script.main()
