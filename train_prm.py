"""An implicit PRM from labelled responses of any origin: `accelerate launch train_prm.py`.

The PRM learns by Eq. 3 and line 8 of Algorithm 1, as in train_prime.py, but from responses that are
already there, in several epochs. The constants below train it on the responses of the default run.
"""

import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from datasets import Dataset
from torch import Tensor
from transformers import PretrainedConfig

from checks import files, model_files
from checks.allowed_values import check_prm_constants
from checks.constants import read_constants
from checks.errors import UserError, advising_on_memory
from checks.prm_record import find_start, make_record
from checks.saved_constants import check_same_constants, read_saved_constants, write_constants
from evaluation import scoring
from generation.ending import find_pad_token_id
from models import estimate, sharding
from models.batches import Rollouts, pad_rows, send
from models.trainee import make_trainee, warmup_then_cosine
from models.waiting import first_on_each_machine
from prm import pair_accuracy, pair_loss
from training import checkpoint, labelled, processes
from training.optimizer_steps import take_step
from training.prm_pass import judge_rows, pass_rows
from training.row_order import RowStream

# Model
MODEL = "embedded/arithmetic-sft"  # folder or hub id that the PRM starts from
REFERENCE_MODEL = None  # of the log-ratio; None: what MODEL records if it is a PRM, else MODEL
MIXED_PRECISION = "no"  # "no", "bf16": compute; trained weights are float32
GRADIENT_CHECKPOINTING = False  # recompute activations in backward: less memory, more time
SHARD = False  # True: each process holds a part of PRM and reference (FSDP2)

# Data
DATA = "runs/arithmetic/rollouts"  # rollouts/ of a run, hub id, parquet / json / jsonl file, folder
SPLIT = "train"  # split of DATA, if it has several
EVAL_FRACTION = 0.1  # share of the prompts that is held out, with all their responses
SYSTEM_PROMPT = None  # text, a name in data.SYSTEM_PROMPTS ("eurus"), or None
MAX_TOKENS = 512  # prompt and response together; longer rows are dropped and counted

# Optimization
BETA = 0.05  # beta of Eq. 3, weight of the log-ratio
TEMPERATURE = 1.0  # divides all logits: that of the run that will use the PRM
LOSS = "ce"  # "ce" (line 8), "pairs" (DPO on the right-wrong pairs of a prompt)
EPOCHS = 3  # passes over the prompts
PROMPTS_PER_STEP = 8  # prompts of an optimizer step, each with all its responses
MICRO_BATCH_TOKENS = 4096  # of a process's forward pass; changes memory, not results
LR = 1e-3  # AdamW, peak
WARMUP_STEPS = 5  # optimizer steps of linear rise; a cosine to 0 follows
WEIGHT_DECAY = 0.0
GRADIENT_CLIP = 10.0  # largest gradient norm

# Run
RUN_NAME = "prm"  # folder under OUTPUT_DIR; the trained PRM is its folder prm/
OUTPUT_DIR = "runs"
SEED = 0  # of the order of prompts, and of which are held out
LOG_EVERY = 10  # optimizer steps; also at the end of every epoch and at every checkpoint
SAVE_EVERY = 500  # optimizer steps between checkpoints; also after the last
LOG_WITH = None  # None, "tensorboard", "wandb", "trackio"
CPU_THREADS = None  # torch threads per process without GPU; None: cores / processes

# Constants that may change when training resumes: none of them changes what is learned.
_FREE_TO_CHANGE = """
    MICRO_BATCH_TOKENS GRADIENT_CHECKPOINTING SHARD RUN_NAME OUTPUT_DIR LOG_EVERY SAVE_EVERY
    LOG_WITH CPU_THREADS
""".split()


def main(arguments: Sequence[str] = ()) -> None:
    request, overrides = estimate.take_request(arguments)
    constants = read_constants(globals(), overrides)
    check_prm_constants(constants)
    reference = REFERENCE_MODEL or find_start(MODEL, "MODEL")
    if request:
        print(estimate.describe(constants, request, load_configs(reference)))
        return
    folder = Path(OUTPUT_DIR) / RUN_NAME
    saved = find_run(folder, constants)
    names = ("MODEL", name_reference(), "BETA")
    settings, tokenizer = scoring.read_settings(MODEL, reference, BETA, names)
    configs = load_configs(reference)
    for role, config in configs.items():
        model_files.check_length(config, MAX_TOKENS, "MAX_TOKENS", f"the {role}")
    size = model_files.count_parameters(configs["PRM"])
    files.check_folder(folder, "OUTPUT_DIR", trained=[size], exported=[size])
    accelerator = processes.make_accelerator(MIXED_PRECISION, LOG_WITH, folder, CPU_THREADS)
    with first_on_each_machine(accelerator):
        responses, dropped = labelled.load_responses(
            DATA,
            SPLIT,
            tokenizer,
            system_prompt=SYSTEM_PROMPT,
            templates=settings.templates,
            max_tokens=MAX_TOKENS,
            constant="DATA",
        )
    checksum = labelled.compute_checksum(responses)
    if broadcast_object_list([checksum]) != [checksum]:  # on another process
        raise UserError("DATA changed while it was read: start again when the run has ended.")
    groups = labelled.group_by_prompt(responses)
    trained, held_out = labelled.hold_out(groups, EVAL_FRACTION, SEED)
    labelled.check_labels(responses, trained, LOSS, "DATA")
    lock, saved = processes.claim_folder(accelerator, folder, saved)
    pad_token_id = find_pad_token_id(tokenizer)
    if settings.temperature != TEMPERATURE:
        was = f"{MODEL} was trained with {settings.temperature}"
        accelerator.print(f"TEMPERATURE = {TEMPERATURE}, but {was}.")
    learner = Learner(accelerator, settings, responses, checksum, pad_token_id, len(trained))
    stream = RowStream(trained, SEED)
    first = learner.resume(saved, stream) if saved else 0
    start_log(accelerator, folder, constants, first)
    accelerator.print(
        f"{MODEL}, {size / 1e6:.2f} M parameters, against {reference}, on {len(responses)} "
        f"responses to {len(groups)} prompts of {DATA} ({dropped} were too long and dropped), "
        f"{len(held_out)} prompts held out: steps {first + 1} to {learner.steps} of "
        f"{PROMPTS_PER_STEP} prompts, on {accelerator.num_processes} process(es), "
        f"{accelerator.device.type}"
    )
    if LOG_WITH:
        accelerator.init_trackers("log", config={k: str(v) for k, v in constants.items()})
    train(learner, stream, held_out, folder, first)
    record = make_record(reference, BETA, TEMPERATURE, LOSS, settings.templates)
    module = learner.trainee.module
    checkpoint.export_model(accelerator, module, tokenizer, folder / "prm", record)
    accelerator.print(f"saved in {folder / 'prm'}")
    accelerator.end_training()
    if lock:
        lock.close()


def find_run(folder: Path, constants: dict) -> Path | None:
    """Return the last checkpoint in the folder, None if there is none yet.

    Raises:
        UserError: the folder is another script's, or its constants were others.
    """
    saved = checkpoint.find_checkpoint(folder / "checkpoint")
    # A run of before TEMPERATURE was a constant had 1.
    old_constants = {"TEMPERATURE": 1.0, **(read_saved_constants(folder) or {})}
    if "TRAIN_DATA" in old_constants:
        raise UserError(f"{folder} holds a run of train_prime.py: name another RUN_NAME.")
    if saved:
        check_same_constants(constants, old_constants, folder, _FREE_TO_CHANGE)
    return saved


def load_configs(reference: str) -> dict[str, PretrainedConfig]:
    """Return the configurations of the PRM and of its reference."""
    names = {"PRM": (MODEL, "MODEL"), "reference": (reference, name_reference())}
    return {role: model_files.load_config(*name) for role, name in names.items()}


def name_reference() -> str:
    """Return what the user knows the reference by, for messages."""
    return "REFERENCE_MODEL" if REFERENCE_MODEL else f"The reference (recorded by MODEL = {MODEL})"


class Learner:
    """The PRM in training, its reference, and the responses that it learns from."""

    def __init__(
        self,
        accelerator: Accelerator,
        settings: scoring.ScorerSettings,
        responses: Dataset,
        checksum: int,
        pad_token_id: int,
        num_prompts: int,
    ):
        self.accelerator = accelerator
        self.responses = responses
        self.checksum = checksum
        self.pad_token_id = pad_token_id
        self.num_prompts = num_prompts
        self.prompts_per_step = min(PROMPTS_PER_STEP, num_prompts)
        self.steps = math.ceil(EPOCHS * num_prompts / self.prompts_per_step)
        self.trainee = make_trainee(
            accelerator,
            "PRM",
            sharding.load_module(accelerator, settings.prm, SHARD, GRADIENT_CHECKPOINTING),
            rate=LR,
            schedule=warmup_then_cosine(WARMUP_STEPS, self.steps),
            weight_decay=WEIGHT_DECAY,
            gradient_clip=GRADIENT_CLIP,
        )
        self.reference = sharding.load_module(
            accelerator, settings.reference, SHARD, GRADIENT_CHECKPOINTING
        ).to(accelerator.device)

    def resume(self, saved: Path, stream: RowStream) -> int:
        """Restore a checkpoint; return the number of steps that it has taken.

        Raises:
            UserError: DATA has other responses or labels now.
        """
        state = checkpoint.read_loop_state(saved)
        if state.get("checksum") != self.checksum:
            raise UserError(
                f"DATA = {DATA!r} has other responses or labels now than when training began: name "
                "another RUN_NAME."
            )
        checkpoint.load_trainee(self.accelerator, saved, self.trainee)
        stream.load_state_dict(state["stream"])
        return int(saved.name)

    def update(self, groups: Sequence[list[int]]) -> dict[str, float]:
        """Take one step on the responses to some prompts; return loss, accuracy and norm."""
        batch, prompts = self.make_batch(groups)
        rewards = self.compute_rewards(batch, prompts, LOSS)
        norm = take_step(self.trainee)
        margins, loss = judge_rows(rewards, batch, prompts, LOSS)
        return {"loss": loss, "accuracy": pair_accuracy(margins), "gradient_norm": norm}

    def evaluate(self, groups: Sequence[list[int]]) -> dict[str, float]:
        """Return accuracy and loss on held-out prompts; each is nan where there is nothing."""
        all_margins, losses = [torch.zeros(0, device=self.accelerator.device)], []
        for start in range(0, len(groups), PROMPTS_PER_STEP):
            batch, prompts = self.make_batch(groups[start : start + PROMPTS_PER_STEP])
            rewards = self.compute_rewards(batch, prompts, None)
            margins, loss = judge_rows(rewards, batch, prompts, LOSS)
            all_margins.append(margins)
            losses += [loss] * len(prompts)
        margins = torch.cat(all_margins)
        loss = pair_loss(margins).item() if LOSS == "pairs" else mean(losses)
        return {"eval_loss": loss, "eval_accuracy": pair_accuracy(margins)}

    def make_batch(self, groups: Sequence[list[int]]) -> tuple[Rollouts, Tensor]:
        """Return all responses to some prompts, and the number of each row's prompt (B,)."""
        rows = self.responses[[row for group in groups for row in group]]
        columns = (rows[name] for name in ("prompt_ids", "response_ids", "label"))
        numbers = [number for number, group in enumerate(groups) for _ in group]
        device = self.accelerator.device
        return pad_rows(*columns, self.pad_token_id, device), send(numbers, device)

    def compute_rewards(self, batch: Rollouts, prompts: Tensor, loss: str | None) -> Tensor:
        """Return process rewards (B, T); with a loss, add its gradient."""
        rewards, _ = pass_rows(
            self.accelerator,
            self.trainee,
            self.reference,
            batch,
            range(len(prompts)),
            prompts,
            loss=loss,
            beta=BETA,
            temperature=TEMPERATURE,
            micro_batch_tokens=MICRO_BATCH_TOKENS,
        )
        return self.accelerator.reduce(rewards)


@advising_on_memory(
    "Out of memory: lower MICRO_BATCH_TOKENS. python train_prm.py --estimate shows what else takes "
    "memory."
)
def train(
    learner: Learner,
    stream: RowStream,
    held_out: Sequence[list[int]],
    folder: Path,
    first: int,
) -> None:
    """Take the optimizer steps from `first` on; log, evaluate and save on the way."""
    accelerator, steps, lines = learner.accelerator, learner.steps, []
    for done in range(first + 1, steps + 1):
        lines.append(learner.update(stream.take(learner.prompts_per_step)))
        seen = done * learner.prompts_per_step % learner.num_prompts  # prompts of this epoch
        ends_epoch = seen < learner.prompts_per_step or done == steps
        saves = done % SAVE_EVERY == 0
        if done % LOG_EVERY == 0 or ends_epoch or saves:
            means = {name: mean([line[name] for line in lines]) for name in lines[0]}
            results = learner.evaluate(held_out) if ends_epoch else {}
            write_line(accelerator, folder, done, {**means, **results})
            lines = []
        if saves or done == steps:
            state = {"stream": stream.state_dict(), "checksum": learner.checksum}
            target = folder / "checkpoint"
            checkpoint.save_checkpoint(accelerator, target, done, [learner.trainee], state)


def start_log(accelerator: Accelerator, folder: Path, constants: dict, first: int) -> None:
    """Write constants.json; delete what an earlier start logged after step `first`."""
    if accelerator.is_main_process:
        write_constants(folder / "constants.json", constants, device=str(accelerator.device))
        path = folder / "metrics.jsonl"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # a full disk cuts off the last one
        kept = [line for line in whole if json.loads(line)["step"] <= first]
        files.replace_file(path, "".join(kept))


def write_line(accelerator: Accelerator, folder: Path, step: int, metrics: dict) -> None:
    """Print metrics, append them to metrics.jsonl (null if not finite), send them to trackers."""
    known = {name: value for name, value in metrics.items() if math.isfinite(value)}
    cells = [f"{name} {value:.4f}" for name, value in known.items()]
    accelerator.print("  ".join([f"step {step:6d}", *cells]), flush=True)
    accelerator.log(known, step=step)
    if accelerator.is_main_process:
        path = folder / "metrics.jsonl"
        with files.writing(path), path.open("a") as file:
            line = {"step": step, **{name: known.get(name) for name in metrics}}
            file.write(json.dumps(line) + "\n")


def mean(values: Sequence[float]) -> float:
    """Return the mean of the values that are finite; nan if none is."""
    finite = [value for value in values if math.isfinite(value)]
    return sum(finite) / len(finite) if finite else math.nan


if __name__ == "__main__":
    main(sys.argv[1:])
