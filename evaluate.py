"""Evaluates one model or several on benchmarks, as a table: `accelerate launch evaluate.py`.

Responses and their verdicts go to a file as soon as they are ready, so a stopped evaluation
resumes where it stopped. Edit the constants below, or pass NAME=value after the script's name.
"""

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed

from checks import files, machine, model_files, saved_constants
from checks.allowed_values import check_evaluation_constants
from checks.constants import read_constants
from checks.errors import advising_on_memory
from checks.files import make_file_name
from evaluation import metrics, scoring, table
from evaluation.notes import write_notes
from evaluation.published import check_published, find_token_limit
from evaluation.sets import load_benchmark
from evaluation.tasks import Task, check_unchanged, digest, make_task, score_task
from generation.ending import find_eos_token_ids
from generation.seeds import derive_seed
from models.loading import load_model
from models.waiting import first_on_each_machine, wait_patiently
from reporting import response_files, run_log
from reporting.run_log import PhaseTimer
from training import processes
from verifiers import Verifier, collect_judges
from verifiers.own import check_verifiers

# Models
MODELS = ("embedded/arithmetic-sft",)  # folders or hub ids; the first is the baseline of the others
DTYPE = "float32"  # "float32", "bfloat16": weights and compute

# Problems
BENCHMARKS = {  # name in the table: file, folder or hub id; None: the hub set of that name
    "Arithmetic": "arithmetic",
}
VERIFIERS = {}  # own rewards: ability -> "file.py:function", as in train_prime.py
TEMPLATES = {}  # own templates: ability -> text with {question}
LIMIT = None  # the first problems of each benchmark; None: all
SYSTEM_PROMPT = None  # text, "eurus", "eurus-as-published" (the published evaluation's), or None

# Responses
SAMPLES = 1  # K, responses per problem
TEMPERATURE = 0.0  # of sampling, without top-k; 0: greedy
TOP_P = 1.0  # tokens come from the fewest likeliest ones that hold this share; 1: from all
MAX_RESPONSE_TOKENS = None  # new tokens; None: those of the published evaluation, by benchmark
ROLLOUT_TOKENS = 400000  # prompts and responses in memory of a process at once, at most
VERIFIER_WORKERS = None  # processes that verify; None: the cores of this process
VERIFIER_TIMEOUT = 10.0  # seconds per response
ALLOW_UNSANDBOXED_CODE = False  # True: run generated programs even without a sandbox

# Best of K by a process reward model
PRM = None  # folder or hub id; chooses among K responses; None: no such metric
REFERENCE = None  # reference of its log-ratio; None: as its config.json records
MICRO_BATCH_TOKENS = 16384  # tokens that it scores at once

# Table
PUBLISHED = ("card",)  # published figures beside the measured: names in evaluation.published.TABLES

# Run
OUTPUT = "runs/evaluation"  # folder of responses, scores, table.md and table.csv
SEED = 0
CPU_THREADS = None  # torch threads per process without GPU; None: cores / processes

# The published table: uncomment these lines. All other constants stay as above.
#
# MODELS = ("PRIME-RL/Eurus-2-7B-SFT", "PRIME-RL/Eurus-2-7B-PRIME")
# DTYPE = "bfloat16"
# BENCHMARKS = dict.fromkeys(("AIME 2024", "MATH-500", "AMC", "Minerva Math", "OlympiadBench"))
# SYSTEM_PROMPT = "eurus-as-published"
# OUTPUT = "runs/evaluation-eurus-2-7b"
#
# The published means of 16 responses (avg@16, Table 12): uncomment the lines above and these.
#
# BENCHMARKS = dict.fromkeys(("AIME 2024", "AMC"))
# SAMPLES = 16
# TEMPERATURE = 0.3
# TOP_P = 0.95
# PUBLISHED = ("Table 12",)
# OUTPUT = "runs/evaluation-eurus-2-7b-avg16"

_FILLINGS = 4  # a call of generation gets so many times the problems that ROLLOUT_TOKENS holds

# Constants that may change when an evaluation resumes: none changes a response in its files.
_FREE_TO_CHANGE = """
    MODELS BENCHMARKS LIMIT ROLLOUT_TOKENS VERIFIER_WORKERS ALLOW_UNSANDBOXED_CODE
    PRM REFERENCE MICRO_BATCH_TOKENS PUBLISHED OUTPUT CPU_THREADS
""".split()


def main(arguments: Sequence[str] = ()) -> None:
    constants = read_constants(globals(), arguments)
    check_evaluation_constants(constants)
    check_published(PUBLISHED)
    check_verifiers(VERIFIERS, TEMPLATES)
    folder = Path(OUTPUT)
    files.check_folder(folder, "OUTPUT")
    settings, prm_tokenizer = None, None
    if PRM:
        names = ("PRM", "REFERENCE", "beta")
        beta = 1.0  # of the log-ratio; every value ranks the responses in the same order
        settings, prm_tokenizer = scoring.read_settings(PRM, REFERENCE, beta, names)
    for model in MODELS:
        model_files.load_config(model, "MODELS")
        if prm_tokenizer:
            own = model_files.load_tokenizer(model, "MODELS")
            model_files.check_same_vocabulary(own, prm_tokenizer, (model, "PRM"))
    scorers = (settings.prm, settings.reference) if settings else ()
    weights = check_unchanged(folder, constants, [*MODELS, *scorers], _FREE_TO_CHANGE)
    accelerator = processes.make_accelerator("no", None, folder, CPU_THREADS)
    lock = files.lock_folder(folder) if accelerator.is_main_process else None
    with first_on_each_machine(accelerator):
        benchmarks = {name: load_benchmark(name, BENCHMARKS[name], LIMIT) for name in BENCHMARKS}
        limits = list_limits()
        tasks = [
            make_task(
                folder,
                model,
                name,
                rows,
                samples=SAMPLES,
                system_prompt=SYSTEM_PROMPT,
                max_response_tokens=limits[name],
                verifiers=VERIFIERS,
                templates=TEMPLATES,
            )
            for model in MODELS
            for name, rows in benchmarks.items()
        ]
    wait_patiently(accelerator)
    if accelerator.is_main_process:
        saved_constants.write_constants(folder / "constants.json", constants, models=weights)
    wait_patiently(accelerator)
    with make_verifier(tasks) as verifier:
        respond(accelerator, verifier, tasks)
        scores = score(accelerator, settings, tasks, folder) if settings else {}
        if accelerator.is_main_process:
            values = collect_values(tasks, scores, verifier)
            write_table(folder, constants, values, tasks)
    wait_patiently(accelerator)  # for the process that compares all answers
    accelerator.end_training()
    if lock:
        lock.close()


def list_limits() -> dict[str, int]:
    """Return how many new tokens a response may have, at most, by benchmark."""
    return {name: MAX_RESPONSE_TOKENS or find_token_limit(name) for name in BENCHMARKS}


@contextmanager
def make_verifier(tasks: Sequence[Task]) -> Iterator[Verifier]:
    """Start the verifier and stop it at the end; raise UserError if it needs a sandbox in vain."""
    verifier = Verifier(
        num_workers=VERIFIER_WORKERS or machine.count_cores(),
        timeout_seconds=VERIFIER_TIMEOUT,
        all_or_nothing=True,  # as these benchmarks define it
        allow_unsandboxed_code=ALLOW_UNSANDBOXED_CODE,
        verifiers=VERIFIERS,
    )
    abilities = {prompt["ability"] for task in tasks for prompt in task.prompts}
    with verifier:
        if "code" in collect_judges(VERIFIERS, abilities):
            machine.check_sandbox(
                verifier.sandbox_fault,
                ALLOW_UNSANDBOXED_CODE,
                "take the benchmarks of code out of BENCHMARKS.",
            )
        yield verifier


def respond(accelerator: Accelerator, verifier: Verifier, tasks: Sequence[Task]) -> None:
    """Generate and verify the missing responses, and append them to their files chunk by chunk."""
    problems_left = sum(len(task.missing) for task in tasks)
    problems_done, started = 0, time.monotonic()
    for name in MODELS:
        own = [task for task in tasks if task.model == name and task.missing]
        if not own:
            continue
        with advising_on_memory(f"Out of memory: {name} does not fit beside what else is there."):
            model = load_model(name, dtype=getattr(torch, DTYPE)).to(accelerator.device)
        for task in own:
            missing = task.missing
            longest = max(len(task.prompts[number]["prompt_ids"]) for number in missing)
            tokens = longest + SAMPLES * task.max_response_tokens  # per problem, at most
            fit = max(1, ROLLOUT_TOKENS // tokens) * accelerator.num_processes
            chunk = _FILLINGS * fit  # the others begin as responses end
            for start in range(0, len(missing), chunk):
                numbers = missing[start : start + chunk]
                sample_chunk(accelerator, model, verifier, task, numbers)
                problems_done += len(numbers)
                seconds_each = (time.monotonic() - started) / problems_done
                left = run_log.duration(seconds_each * (problems_left - problems_done))
                right = sum(group.accuracy for group in task.groups.values()) / len(task.groups)
                accelerator.print(
                    f"{name}, {task.benchmark}: {len(task.groups)} of {len(task.prompts)} "
                    f"problems, accuracy {100 * right:.1f} %, {left} left",
                    flush=True,
                )
        del model
        accelerator.free_memory()


def sample_chunk(
    accelerator: Accelerator,
    model: torch.nn.Module,
    verifier: Verifier,
    task: Task,
    numbers: Sequence[int],
) -> None:
    """Add the groups of some problems to a task and to its file."""
    set_seed(derive_seed(SEED, numbers[0], accelerator.process_index))
    seeds = [derive_seed(SEED, number) for number in numbers]
    groups = processes.sample_groups(
        accelerator,
        model,
        task.tokenizer,
        verifier,
        [task.prompts[number] for number in numbers],
        seeds,
        samples_per_prompt=SAMPLES,
        rollout_tokens=ROLLOUT_TOKENS,
        max_response_tokens=task.max_response_tokens,
        temperature=TEMPERATURE,
        top_p=TOP_P,
        eos_token_ids=find_eos_token_ids(task.model, task.tokenizer),
        timer=PhaseTimer("Responses of earlier batches are kept."),
    )
    task.add_groups(numbers, groups, write=accelerator.is_main_process)


def score(
    accelerator: Accelerator,
    settings: scoring.ScorerSettings,
    tasks: Sequence[Task],
    folder: Path,
) -> dict[tuple[str, str], list[dict]]:
    """Return for each task the PRM's scores of its responses, one dict per problem.

    Returns:
        (model, benchmark) -> dicts of `sums` and `minima` over steps, K values each.
    """
    scorer = None
    scores = {}
    for task in tasks:
        own = Path(make_file_name(task.model)) / f"{make_file_name(task.benchmark)}.jsonl"
        scorer_name = f"{make_file_name(settings.prm)}-to-{make_file_name(settings.reference)}"
        path = folder / "scores" / scorer_name / own
        rows = response_files.read_rows(path)
        if [row.get("of") for row in rows] != [digest(group) for group in task.in_order()]:
            if scorer is None:
                dtype = getattr(torch, DTYPE)
                scorer = scoring.load_scorer(settings, dtype, accelerator.device)
            accelerator.print(f"{task.model}, {task.benchmark}: scored by {settings.prm}")
            rows = score_task(accelerator, scorer, task, MICRO_BATCH_TOKENS)
            wait_patiently(accelerator)  # no process reads the file any more
            if accelerator.is_main_process:
                response_files.write_rows(path, rows)
        scores[task.model, task.benchmark] = rows
    return scores


def collect_values(
    tasks: Sequence[Task], scores: dict[tuple[str, str], list[dict]], verifier: Verifier
) -> table.Values:
    """Return every metric of every task, one value per problem."""
    values: table.Values = {}
    for task in tasks:
        own_scores = scores.get((task.model, task.benchmark))
        by_metric = metrics.compute_metrics(task.in_order(), own_scores, verifier)
        for name, of_problems in by_metric.items():
            values.setdefault(name, {}).setdefault(task.benchmark, {})[task.model] = of_problems
    return values


def collect_rewards(tasks: Sequence[Task]) -> table.Rewards:
    """Return the outcome rewards of every response, K per problem."""
    rewards: table.Rewards = {}
    for task in tasks:
        own = [group.outcome_rewards for group in task.in_order()]
        rewards.setdefault(task.benchmark, {})[task.model] = own
    return rewards


def write_table(folder: Path, constants: dict, values: table.Values, tasks: Sequence[Task]) -> None:
    """Write table.md and table.csv, and print table.md."""
    rewards = collect_rewards(tasks) if SAMPLES > 1 else None
    cells = table.make_cells(values, rewards, PUBLISHED)
    text = table.write_markdown(cells, write_notes(constants, list_limits(), tasks, cells))
    files.replace_file(folder / "table.md", text)
    files.replace_file(folder / "table.csv", table.write_csv(cells))
    print(f"\n{text}\nresponses, table.md and table.csv are in {folder}")


if __name__ == "__main__":
    main(sys.argv[1:])
