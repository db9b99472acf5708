"""Saving a run of train_prime.py into its folder, and resuming it from there.

The checkpoint holds everything that a run needs to go on. Hugging Face folders hold the models for
use elsewhere.
"""

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

import data
from checks.prm_record import find_loss, find_reference, make_record
from models.adapters import merge_adapter
from models.roles import Roles
from models.trainee import Trainee
from models.values import merge_value_adapter
from models.waiting import wait_patiently
from reporting import model_card
from training import checkpoint
from training.pushing import Pusher, name_repository


@dataclass
class Saver:
    """Saves the models of a run, and remembers the best held-out accuracy."""

    accelerator: Accelerator
    constants: dict  # of train_prime.py
    tokenizer: PreTrainedTokenizerBase
    roles: Roles
    folder: Path  # of the run
    pusher: Pusher | None = None  # None: nothing goes to the hub
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
        if self._find_best().exists():
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
        """With KEEP_BEST, export the policy that reaches the best held-out accuracy so far."""
        if self.constants["KEEP_BEST"] and eval_accuracy > self.best_accuracy:
            self.best_accuracy = eval_accuracy
            self.export(self.roles.policy, "best_policy")

    def push(self, iteration: int, is_last: bool) -> None:
        """Push the models that were written last to the hub, if PUSH_TO names where."""
        if self.pusher and self.accelerator.is_main_process:
            names = ["policy", *["prm"] * bool(self.roles.prm)]
            folders = {name: self._find_folder(name) for name in names}
            if is_last:  # a complete run may get its PUSH_TO later, and the cards name it
                for name, folder in folders.items():
                    self._write_card(name, name, folder)
            self.pusher.push(folders, iteration, is_last)
        wait_patiently(self.accelerator)

    def export_all(self) -> None:
        """Write the policy and, if there are such, the PRM and the value model."""
        for trainee in self.roles.trainees:
            self.export(trainee, trainee.name.lower())

    def export(self, trainee: Trainee, name: str) -> None:
        """Write a model. With LoRA, write the adapter and, with LORA_MERGE, the merged model."""
        c = self.constants
        folder = self.folder / (f"{name}_adapter" if c["LORA_RANK"] else name)
        extras = self._describe_prm() if trainee is self.roles.prm else {}
        card = partial(self._write_card, trainee.name.lower(), name)
        common = self.tokenizer, folder, extras, card
        checkpoint.export_model(self.accelerator, trainee.module, *common)
        if c["LORA_RANK"] and c["LORA_MERGE"]:
            merged = self.folder / name
            merge = merge_value_adapter if trainee is self.roles.value else merge_adapter
            settings = folder, self.tokenizer, merged, extras, card
            checkpoint.export_merged(self.accelerator, merge, *settings)

    def _find_best(self) -> Path:
        return self.folder / ("best_policy" + "_adapter" * bool(self.constants["LORA_RANK"]))

    def _find_folder(self, name: str) -> Path:
        """Return the folder of a model: without LORA_MERGE, that of its adapter."""
        c = self.constants
        return self.folder / (f"{name}_adapter" if c["LORA_RANK"] and not c["LORA_MERGE"] else name)

    def _write_card(self, role: str, name: str, target: Path) -> None:
        """Write the card of a model into its folder; name is the folder's, without _adapter."""
        if role == "value":  # of use to its own run alone
            return
        c = self.constants
        where = str(self._find_folder(name))
        if c["PUSH_TO"] and name == role:
            where = name_repository(c["PUSH_TO"], role)
        try:
            model_card.write_card(
                target,
                role=role,
                run=self.folder,
                constants=c,
                licence=self._licences[role],
                name=where,
            )
        except Exception as error:  # of any kind: a model without a card is still a model
            print(f"  WARNING: no card was written into {target}: {error!r}", flush=True)

    @cached_property
    def _licences(self) -> dict[str, str | None]:
        """The licence of the model that each role started from."""
        c = self.constants
        bases = {"policy": c["MODEL"], "prm": c["PRM_MODEL"] or c["MODEL"]}
        return {role: model_card.find_licence(base) for role, base in bases.items()}

    def _describe_prm(self) -> dict:
        """Return what a PRM's config.json records; evaluation/scoring.py reads it."""
        c = self.constants
        has_own = c["VERIFIERS"] or c["TEMPLATES"]
        templates = data.choose_templates(c["VERIFIERS"], c["TEMPLATES"]) if has_own else {}
        return make_record(find_reference(c), c["BETA"], c["TEMPERATURE"], find_loss(c), templates)
