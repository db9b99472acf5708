"""Supervised fine-tuning (SFT) of any causal LM on chat data: `accelerate launch sft.py`.

The constants below make embedded/arithmetic-sft, the model that train_prime.py starts from.
"""

import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from transformers import AutoModelForCausalLM, PretrainedConfig, PreTrainedTokenizerBase

import data
from checks import files, model_files
from checks.allowed_values import check_sft_constants
from checks.constants import read_constants
from checks.errors import advising_on_memory
from checks.saved_constants import check_same_constants
from embedded import arithmetic, eurus
from generation.ending import find_eos_token_ids, find_pad_token_id
from models import estimate, sharding
from models.batches import Rollouts, pad_rows
from models.logprobs import ResponseLogprobs
from models.trainee import Trainee, make_trainee, warmup_then_cosine
from models.waiting import first_on_each_machine
from training import checkpoint, optimizer_steps, processes
from training.row_order import RowStream

# Model and data
MODEL = "arithmetic"  # folder or hub id; "arithmetic": the embedded task's untrained model
DATA = "arithmetic"  # hub id, parquet / json / jsonl file or folder of chat data; "arithmetic"
SPLIT = "sft"  # split of DATA, if it has several
SYSTEM_PROMPT = None  # text, a name in data.SYSTEM_PROMPTS ("eurus"), or None
MAX_TOKENS = 512  # prompt and response together; longer rows are dropped and counted
OUTPUT = "embedded/arithmetic-sft"  # folder of the trained model, written at the end

# Optimization
STEPS = 1000  # optimizer steps
BATCH_SIZE = 128  # rows per optimizer step, all processes together
MICRO_BATCH_TOKENS = 16384  # per forward pass of one process; changes memory, not results
LR = 2e-3  # AdamW, peak
WARMUP_STEPS = 50  # optimizer steps of linear rise; a cosine to 0 follows
WEIGHT_DECAY = 0.0
GRADIENT_CLIP = 1.0  # largest gradient norm
SHARD = False  # True: each process holds a part of the model (FSDP2), not all of it
MIXED_PRECISION = "no"  # "no", "bf16": compute; weights are float32
GRADIENT_CHECKPOINTING = False  # recompute activations in backward: less memory, more time

# Run
SEED = 0
LOG_EVERY = 50  # optimizer steps
SAVE_EVERY = 500  # optimizer steps between checkpoints, in OUTPUT + ".checkpoint"
LOG_WITH = None  # None, "tensorboard", "wandb", "trackio"; files go to OUTPUT + ".log"
CPU_THREADS = None  # torch threads per process without GPU; None: cores / processes

_BESIDE = (".checkpoint", ".log")  # folders beside OUTPUT: the first until the end
# Constants that may change when training resumes: none of them changes what is learned.
_FREE_TO_CHANGE = """
    MICRO_BATCH_TOKENS GRADIENT_CHECKPOINTING SHARD LOG_EVERY SAVE_EVERY LOG_WITH CPU_THREADS
    OUTPUT
""".split()


def main(arguments: Sequence[str] = ()) -> None:
    request, overrides = estimate.take_request(arguments)
    constants = read_constants(globals(), overrides)
    check_sft_constants(constants)
    if request:
        print(estimate.describe(constants, request, {"model": load_config()}))
        return
    folder, logs = (Path(OUTPUT).with_name(Path(OUTPUT).name + end) for end in _BESIDE)
    saved = checkpoint.find_checkpoint(folder)
    state = checkpoint.read_loop_state(saved) if saved else {}
    if state:
        check_same_constants(constants, state["constants"], folder, _FREE_TO_CHANGE)
    tokenizer, eos_token_ids = load_tokenizer()
    config = load_config()
    size = model_files.count_parameters(config)
    model_files.check_length(config, MAX_TOKENS, "MAX_TOKENS")
    files.check_folder(folder, "OUTPUT", trained=[size], exported=[size])
    accelerator = processes.make_accelerator(MIXED_PRECISION, LOG_WITH, logs, CPU_THREADS)
    with first_on_each_machine(accelerator):
        rows, dropped = data.encode_demonstrations(
            eurus.read_conversations(data.load_rows(DATA, SPLIT, "DATA")),
            tokenizer,
            eos_token_ids,
            system_prompt=SYSTEM_PROMPT,
            max_tokens=MAX_TOKENS,
            constant="DATA",
        )
    lock, saved = processes.claim_folder(accelerator, folder, saved)
    state = checkpoint.read_loop_state(saved) if saved else {}  # the main process's
    trainee = make_trainee(
        accelerator,
        "model",
        load_module(accelerator, config),
        rate=LR,
        schedule=warmup_then_cosine(WARMUP_STEPS, STEPS),
        weight_decay=WEIGHT_DECAY,
        gradient_clip=GRADIENT_CLIP,
    )
    stream = RowStream(rows, SEED)
    first = 0
    if state:
        checkpoint.load_trainee(accelerator, saved, trainee)
        stream.load_state_dict(state["stream"])
        first = int(saved.name)
    accelerator.print(
        f"{MODEL}, {size / 1e6:.2f} M parameters, on {len(rows)} rows of {DATA} ({dropped} were "
        f"too long and dropped): steps {first} to {STEPS - 1} of {BATCH_SIZE} rows, on "
        f"{accelerator.num_processes} process(es), {accelerator.device.type}"
    )
    if LOG_WITH:
        accelerator.init_trackers("sft", config={k: str(v) for k, v in constants.items()})
    train(accelerator, trainee, stream, tokenizer, folder, first, constants)
    checkpoint.export_model(accelerator, trainee.module, tokenizer, Path(OUTPUT))
    if lock:  # of the main process, in the folder
        lock.close()
        shutil.rmtree(folder)
    accelerator.print(f"saved in {OUTPUT}")
    accelerator.end_training()


def load_config() -> PretrainedConfig:
    """Return the configuration of the model that training starts from."""
    if MODEL == arithmetic.NAME:
        return arithmetic.build_config()
    return model_files.load_config(MODEL, "MODEL")


def load_tokenizer() -> tuple[PreTrainedTokenizerBase, list[int]]:
    """Return tokenizer and EOS ids of the model that training starts from."""
    if MODEL == arithmetic.NAME:
        tokenizer = arithmetic.build_tokenizer()
        return tokenizer, [tokenizer.eos_token_id]
    tokenizer = model_files.load_tokenizer(MODEL, "MODEL")
    return tokenizer, find_eos_token_ids(MODEL, tokenizer)


def load_module(accelerator: Accelerator, config: PretrainedConfig) -> ResponseLogprobs:
    """Return the model that training starts from, whole or split over processes."""
    if MODEL == arithmetic.NAME:
        set_seed(SEED)  # random weights
        module = ResponseLogprobs(AutoModelForCausalLM.from_config(config))
        if GRADIENT_CHECKPOINTING:
            module.model.activation_checkpointing_enable()
        return sharding.shard(accelerator, module) if SHARD else module
    return sharding.load_module(accelerator, MODEL, SHARD, GRADIENT_CHECKPOINTING)


@advising_on_memory(
    "Out of memory: lower MICRO_BATCH_TOKENS. python sft.py --estimate shows what takes memory."
)
def train(
    accelerator: Accelerator,
    trainee: Trainee,
    stream: RowStream,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    first: int,
    constants: dict,
) -> None:
    """Take the optimizer steps from `first` on; log and save on the way."""
    pad_token_id = find_pad_token_id(tokenizer)
    started, losses = time.monotonic(), []
    for step in range(first, STEPS):
        rows = stream.take(BATCH_SIZE)
        batch = pad_rows(
            [row["prompt_ids"] for row in rows],
            [row["response_ids"] for row in rows],
            [1.0] * len(rows),
            pad_token_id,
            accelerator.device,
        )
        losses.append(update(accelerator, trainee, batch))
        done = step + 1
        if done % LOG_EVERY == 0 or done == STEPS:
            loss = sum(losses) / len(losses)
            minutes_left = (time.monotonic() - started) / (done - first) * (STEPS - done) / 60
            accelerator.print(f"step {done:6d}  loss {loss:.4f}  {minutes_left:.1f} min left")
            accelerator.log({"loss": loss}, step=done)
            losses = []
        if done % SAVE_EVERY == 0:
            state = {"constants": constants, "stream": stream.state_dict()}
            checkpoint.save_checkpoint(accelerator, folder, done, [trainee], state)


def update(accelerator: Accelerator, trainee: Trainee, batch: Rollouts) -> float:
    """Take one step on the mean cross-entropy of response tokens; return the loss, in nats."""
    token_count = batch.response_mask.sum()
    total = torch.zeros((), device=accelerator.device)
    rows = range(len(batch.input_ids))
    for _, micro, _, synchronise in optimizer_steps.micro_batches(
        accelerator, trainee, batch, rows, MICRO_BATCH_TOKENS
    ):
        with synchronise:
            logprobs, _ = trainee.module(*micro.model_inputs(), 1.0)  # (b, t)
            loss = -(logprobs * micro.response_mask).sum() / token_count
            processes.backward(accelerator, loss * accelerator.num_processes)
        total += loss.detach()
    optimizer_steps.take_step(trainee)
    return accelerator.reduce(total).item()


if __name__ == "__main__":
    main(sys.argv[1:])
