"""Saving a run of train_prime.py into its folder, and resuming it from there.

The checkpoint holds everything that a run needs to go on. Hugging Face folders hold the models for
use elsewhere.
"""

from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

import data
from models.roles import Roles
from models.trainee import Trainee
from training import checkpoint


@dataclass
class Saver:
    """Saves the models of a run, and remembers the best held-out accuracy."""

    accelerator: Accelerator
    constants: dict  # of train_prime.py
    tokenizer: PreTrainedTokenizerBase
    roles: Roles
    folder: Path  # of the run
    best_accuracy: float = -1.0  # on the held-out prompts, so far

    def resume(self, saved: Path) -> dict:
        """Restore models, optimizers and schedules from a checkpoint. Return its loop state.

        A complete run saves no more, so its merged adapters are written here if LORA_MERGE is set.
        """
        for trainee in self.roles.trainees:
            with self.roles.on_device(trainee.module, trainee.optimizer):
                checkpoint.load_trainee(self.accelerator, saved, trainee)
        self.roles.refresh_rollout_model()
        loop_state = checkpoint.read_loop_state(saved)
        self.best_accuracy = loop_state["best_accuracy"]
        is_complete = int(saved.name) >= self.constants["NUM_ITERATIONS"]
        if is_complete and self.constants["LORA_RANK"] and self.constants["LORA_MERGE"]:
            self.export_all()
        return loop_state

    def save(self, iteration: int, loop_state: dict) -> None:
        """Write the models as Hugging Face folders, then the checkpoint, which marks them done."""
        self.export_all()
        checkpoint.save_checkpoint(
            self.accelerator,
            self.folder / "checkpoint",
            iteration,
            self.roles.trainees,
            {**loop_state, "best_accuracy": self.best_accuracy},
        )

    def keep_best(self, eval_accuracy: float) -> None:
        """Note the best held-out accuracy. With KEEP_BEST, export the policy that reaches it."""
        if eval_accuracy <= self.best_accuracy:
            return
        self.best_accuracy = eval_accuracy
        if self.constants["KEEP_BEST"]:
            self.export(self.roles.policy, "best_policy")

    def export_all(self) -> None:
        """Write the policy and, if there is one, the PRM."""
        for trainee in self.roles.trainees:
            self.export(trainee, trainee.name.lower())

    def export(self, trainee: Trainee, name: str) -> None:
        """Write a model. With LoRA, write the adapter and, with LORA_MERGE, the merged model."""
        c = self.constants
        folder = self.folder / (f"{name}_adapter" if c["LORA_RANK"] else name)
        extras = self._describe_prm() if trainee is self.roles.prm else {}
        checkpoint.export_model(self.accelerator, trainee.module, self.tokenizer, folder, extras)
        if c["LORA_RANK"] and c["LORA_MERGE"]:
            merged = self.folder / name
            checkpoint.export_merged(self.accelerator, folder, self.tokenizer, merged, extras)

    def _describe_prm(self) -> dict:
        """Return what a PRM's config.json records; evaluation/scoring.py reads it."""
        c = self.constants
        reference = c["MODEL"] if c["PRM_REFERENCE"] == "sft" else None
        settings = {"reference": reference, "beta": c["BETA"], "temperature": c["TEMPERATURE"]}
        if c["VERIFIERS"] or c["TEMPLATES"]:
            settings["templates"] = data.choose_templates(c["VERIFIERS"], c["TEMPLATES"])
        return {"implicit_prm": settings}
