"""The start of a run: all that is checked, loaded and resumed before the first iteration."""

import itertools
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from accelerate import Accelerator
from datasets import Dataset
from transformers import PreTrainedTokenizerBase

import data
from checks import machine, model_files
from checks.training_run import check_training_run
from generation.ending import find_eos_token_ids
from models import estimate, roles
from models.roles import Roles
from models.waiting import first_on_each_machine
from reporting.run_log import RunLog
from reporting.summary import describe_run
from training import checkpoint, processes
from training.bookkeeping import Bookkeeper
from training.interrupt import Interrupt
from training.pushing import Pusher
from training.row_order import RowStream
from training.saving import Saver
from verifiers import Verifier, collect_judges
from verifiers.math.question import holds_answer
from verifiers.own import check_verifiers

_ROWS_LOOKED_AT = 1000  # for formulas in questions, some milliseconds each


@dataclass(frozen=True)
class Run:
    """What lasts for the whole run."""

    accelerator: Accelerator
    tokenizer: PreTrainedTokenizerBase
    eos_token_ids: list[int]
    eval_prompts: list[dict]
    roles: Roles
    siblings: int  # responses that share one computation of their prompt: K, or 1 if they cannot
    verifier: Verifier
    stream: RowStream
    log: RunLog
    bookkeeper: Bookkeeper


@contextmanager
def start_run(constants: dict) -> Iterator[tuple[Run, int]]:
    """Check, load and resume what the constants of train_prime.py ask for; close it at the end.

    Yields:
        the run, and the number of its first iteration.

    Raises:
        UserError: the run cannot start. A user's mistakes are found before a model loads.
    """
    c = constants
    check_verifiers(c["VERIFIERS"], c["TEMPLATES"])
    folder = Path(c["OUTPUT_DIR"]) / c["RUN_NAME"]
    saved = checkpoint.find_checkpoint(folder / "checkpoint")
    parameters = check_training_run(c, folder, saved)
    tokenizer = model_files.load_tokenizer(c["MODEL"], "MODEL")
    accelerator = processes.make_accelerator(
        c["MIXED_PRECISION"], c["LOG_WITH"], folder, c["CPU_THREADS"], c["DETERMINISTIC"]
    )
    machine.check_offloading(c, accelerator.num_processes)
    with first_on_each_machine(accelerator):
        prompts, dropped, eval_prompts, eval_dropped = load_prompts(c, tokenizer)
    has_code = needs_sandbox(c, {*prompts["ability"], *(row["ability"] for row in eval_prompts)})
    with make_verifier(c, has_code) as verifier:
        memory = estimate.check_run(accelerator, c)
        lock, saved = processes.claim_folder(accelerator, folder, saved)
        models = roles.load_roles(accelerator, c)  # Algorithm 1, line 1
        stream = RowStream(prompts, c["SEED"])
        log = RunLog(folder, accelerator.is_main_process)
        pusher = Pusher(c["PUSH_TO"], log.print) if c["PUSH_TO"] else None
        saver = Saver(accelerator, c, tokenizer, models, folder, pusher)
        interrupt = Interrupt(accelerator, c["SAVE_ON_INTERRUPT"])
        run = Run(
            accelerator=accelerator,
            tokenizer=tokenizer,
            eos_token_ids=find_eos_token_ids(c["MODEL"], tokenizer),
            eval_prompts=eval_prompts,
            roles=models,
            siblings=roles.count_siblings(accelerator, c, models),
            verifier=verifier,
            stream=stream,
            log=log,
            bookkeeper=Bookkeeper(accelerator, c, stream, saver, log, interrupt),
        )
        first = run.bookkeeper.resume(saved)
        log.start(c, str(accelerator.device), first)
        counts = len(prompts), dropped, len(eval_prompts), eval_dropped
        log.print_summary(describe_run(c, accelerator, folder, parameters, counts, first, memory))
        log.print_copyable(*count_copyable(c, prompts), c["STRICT_FORM"])
        if has_code:
            log.print_sandbox(verifier.sandbox_layers, verifier.sandbox_fault)
        if c["LOG_WITH"]:
            accelerator.init_trackers("prime", config={k: str(v) for k, v in c.items()})
        with interrupt.noted():
            yield run, first
            saver.push(c["NUM_ITERATIONS"], is_last=True)
        log.print_outcome()
    accelerator.end_training()
    if lock:
        lock.close()


def load_prompts(
    constants: dict, tokenizer: PreTrainedTokenizerBase
) -> tuple[Dataset, int, list[dict], int]:
    """Return the prompts to train on and how many were dropped, and the same of those held out."""
    prompts, dropped = data.load_prompts(constants, "TRAIN", tokenizer)
    if not constants["EVAL_DATA"]:
        return prompts, dropped, [], 0
    held_out, too_long = data.load_prompts(constants, "EVAL", tokenizer)
    first = itertools.islice(held_out, constants["EVAL_PROMPTS"])
    return prompts, dropped, list(first), too_long


def needs_sandbox(constants: dict, abilities: Iterable[str]) -> bool:
    return "code" in collect_judges(constants["VERIFIERS"], abilities)


def count_copyable(constants: dict, prompts: Dataset) -> tuple[int, int]:
    """Return how many questions hold a formula that equals their ground truth, of how many.

    A policy that copies it would be right by the value alone: see strict_form of Verifier. The
    first questions are looked at, and those of maths count.
    """
    first, verifiers = prompts[:_ROWS_LOOKED_AT], constants["VERIFIERS"]
    columns = zip(first["question"], first["ground_truth"], first["ability"])
    count = sum(
        "math" in collect_judges(verifiers, [ability]) and holds_answer(question, truth)
        for question, truth, ability in columns
    )
    return count, len(first["ability"])


@contextmanager
def make_verifier(constants: dict, has_code: bool) -> Iterator[Verifier]:
    """Start the verifier, and stop it at the end.

    Raises:
        UserError: there are programs to run, but no sandbox for them, or a function of VERIFIERS
            cannot be loaded.
    """
    c = constants
    verifier = Verifier(
        num_workers=c["VERIFIER_WORKERS"] or machine.count_cores(),
        timeout_seconds=c["VERIFIER_TIMEOUT"],
        strict_form=c["STRICT_FORM"],
        all_or_nothing=c["CODE_ALL_OR_NOTHING"],
        allow_unsandboxed_code=c["ALLOW_UNSANDBOXED_CODE"],
        verifiers=c["VERIFIERS"],
    )
    with verifier:
        if has_code:
            fault, leave_out = verifier.sandbox_fault, 'set ABILITIES = ("math",).'
            machine.check_sandbox(fault, c["ALLOW_UNSANDBOXED_CODE"], leave_out)
        yield verifier
