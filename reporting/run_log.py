"""Writes a run's constants.json, metrics.jsonl and rollouts/; prints its progress."""

import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from accelerate import Accelerator
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from checks.errors import UserError, advising_on_memory
from checks.files import replace_file, writing
from checks.saved_constants import write_constants
from generation.groups import Collected
from reporting import run_report
from reporting.health import find_warnings
from reporting.response_files import list_iterations, make_iteration_records
from reporting.steps import token_texts
from reporting.terminal import print_responses

_COLUMNS = {  # metric: heading of its column
    "iteration": "iter",
    "train_accuracy": "train acc",
    "kept_fraction": "kept",
    "prm_accuracy": "prm acc",
    "eval_accuracy": "held-out",
    "response_tokens": "tokens",
    "seconds_generate": "gen s",
    "seconds_verify": "verify s",
    "seconds_prm": "prm s",
    "seconds_policy": "policy s",
    "seconds": "total s",
}
_HEADER_EVERY = 20  # lines
UPDATE_METRICS = """
    prm_accuracy prm_loss prm_gradient_norm prm_clipped_steps process_reward_mean
    process_return_largest value_loss value_explained_variance value_gradient_norm
    value_clipped_steps policy_loss entropy clip_fraction approx_kl reference_kl sampler_kl
    capped_fraction policy_gradient_norm policy_clipped_steps
""".split()  # null in metrics.jsonl if nothing was updated

_UNJUDGED = {  # verdicts that say little about the model, and what to do
    "no_answer": "the prompts must ask for what the verifier reads (maths: \\boxed{}), and "
    "MAX_RESPONSE_TOKENS must leave room for it.",
    "error": "mend the function of VERIFIERS, whose first traceback is printed above.",
    "timeout": "raise VERIFIER_TIMEOUT, or mend what the verifier runs.",
}
_MORE_ON_MEMORY = (
    "python train_prime.py --estimate shows what else takes memory. The run goes on from its last "
    "checkpoint when it is started again."
)
_TO_LOWER = {
    "seconds_generate": "ROLLOUT_TOKENS",
    "seconds_evaluate": "ROLLOUT_TOKENS",
    "seconds": "ROLLOUT_TOKENS or MICRO_BATCH_TOKENS",
}
_ELSE_LOWER = "MICRO_BATCH_TOKENS"


class PhaseTimer:
    """Adds up the seconds spent in named phases, and says what to lower if memory runs out.

    Args:
        more: what else to say then.
    """

    def __init__(self, more: str = _MORE_ON_MEMORY):
        self.more = more
        self.totals: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        start = time.perf_counter()
        place = f"in the phase {phase.removeprefix('seconds_')}"
        if phase == "seconds":  # the whole iteration, where no other phase is
            place = "between the phases"
        advice = f"Out of memory {place}: lower {_TO_LOWER.get(phase, _ELSE_LOWER)}. {self.more}"
        try:
            with advising_on_memory(advice):
                yield
        finally:
            self.totals[phase] += time.perf_counter() - start


class RunLog:
    """Writes constants.json, metrics.jsonl and rollouts/, on the main process only."""

    def __init__(self, folder: Path, is_main: bool):
        self.folder = folder
        self.is_main = is_main
        self.lines_printed = 0
        self.metrics: list[dict] = []  # the lines of metrics.jsonl
        self.warnings: list[str] = []  # printed so far
        self.first, self.started = 0, time.monotonic()  # iteration and time at the start

    def start(self, constants: dict, device: str, iteration: int) -> None:
        """Write constants.json; delete what an earlier start logged from this iteration on."""
        if not self.is_main:
            return
        self.started, self.first = time.monotonic(), iteration
        write_constants(self.folder / "constants.json", constants, device=device)
        metrics = self.folder / "metrics.jsonl"
        lines = metrics.read_text().splitlines(keepends=True) if metrics.exists() else []
        whole = [line for line in lines if line.endswith("\n")]  # a full disk cuts off the last one
        done = [line for line in whole if json.loads(line)["iteration"] < iteration]
        self.metrics = [json.loads(line) for line in done]
        self.warnings = find_warnings(self.metrics, constants)  # said before the run was stopped
        replace_file(metrics, "".join(done))
        rollouts = self.folder / "rollouts"
        rollouts.mkdir(exist_ok=True)
        for number, path in list_iterations(rollouts).items():
            if number >= iteration:
                path.unlink()

    def log_metrics(self, accelerator: Accelerator, metrics: dict) -> None:
        """Append metrics to metrics.jsonl, null if not a finite number; send them to trackers."""
        known = {name: value for name, value in metrics.items() if not _is_missing(value)}
        accelerator.log(known, step=metrics["iteration"])
        if self.is_main:
            line = {name: known.get(name) for name in metrics}
            self.metrics.append(line)
            path = self.folder / "metrics.jsonl"
            with writing(path), path.open("a") as file:
                file.write(json.dumps(line) + "\n")

    def write_rollouts(
        self,
        iteration: int,
        collected: Collected,
        tokenizer: PreTrainedTokenizerBase,
        process_rewards: Tensor | None = None,
        advantages: Tensor | None = None,
    ) -> None:
        """Write the responses of an iteration, in the form of make_iteration_records()."""
        if self.is_main:
            decode = partial(tokenizer.decode, skip_special_tokens=False)
            records = make_iteration_records(collected, decode, process_rewards, advantages)
            lines = "".join(json.dumps(record) + "\n" for record in records)
            replace_file(self.folder / "rollouts" / f"{iteration:06d}.jsonl", lines)

    def print_samples(
        self,
        collected: Collected,
        tokenizer: PreTrainedTokenizerBase,
        process_rewards: Tensor,
        count: int,
    ) -> None:
        """Print the first responses that an iteration trained on, coloured by token reward.

        Args:
            process_rewards: (B, T) of the kept groups.
            count: number of responses, at most.
        """
        ids = [own for group in collected.kept for own in group.response_ids][:count]
        if self.is_main and ids:
            print_responses(
                "responses of this iteration",
                [status for group in collected.kept for status in group.statuses][:count],
                [token_texts(tokenizer, own) for own in ids],
                [row[: len(own)] for row, own in zip(process_rewards[: len(ids)].tolist(), ids)],
            )

    def write_report(self, tokenizer: PreTrainedTokenizerBase, ends: bool) -> None:
        """Write curves.png and report.html; an error is printed and does not stop the run.

        Args:
            ends: the run ends now. A page of before loads itself again, as long as it is only read.
        """
        if not self.is_main:
            return
        try:
            run = run_report.read_run(self.folder, tokenizer)
            run_report.write_report([run], self.folder, reloads=not ends)
        except (Exception, UserError) as error:  # of any kind: training matters more
            self.print(f"  WARNING: no report was written: {error!r}")

    def print(self, text: str) -> None:
        if self.is_main:
            print(text, flush=True)

    def print_row(self, metrics: dict, num_iterations: int) -> None:
        """Print an iteration as one line of a table, with the time that the others will take."""
        done = metrics["iteration"] + 1
        seconds_each = (time.monotonic() - self.started) / (done - self.first)
        seconds_left = seconds_each * (num_iterations - done)
        if self.lines_printed % _HEADER_EVERY == 0:
            self.print("  ".join(f"{heading:>9}" for heading in [*_COLUMNS.values(), "left"]))
        cells = [_cell(metrics.get(name)) for name in _COLUMNS] + [duration(seconds_left)]
        self.print("  ".join(f"{cell:>9}" for cell in cells))
        self.lines_printed += 1

    def print_sandbox(self, layers: dict[str, str], fault: str) -> None:
        """Print which layers of the sandbox work, and which are missing and why."""
        working = [name for name, reason in layers.items() if not reason]
        self.print(f"  sandbox: {', '.join(working) or 'none'}")
        for name, reason in layers.items():
            if reason:
                self.print(f"  sandbox: no {name}: {reason}")
        if fault:
            self.print("  WARNING: ALLOW_UNSANDBOXED_CODE: generated programs run with your rights")

    def print_copyable(self, count: int, questions: int, strict_form: bool) -> None:
        """Print how many of the first questions hold a formula of their answer, if any does."""
        if count:
            then = "earns nothing" if strict_form else "EARNS THE REWARD (STRICT_FORM = False)"
            self.print(
                f"   copies  {count} of the first {questions} questions hold a formula of their "
                f"answer's value; a response that copies it {then}"
            )

    def print_summary(self, lines: dict[str, str]) -> None:
        """Print what is about to run, a line for each heading."""
        for name, text in lines.items():
            self.print(f"{name:>9}  {text}")

    def print_outcome(self) -> None:
        """Print what the run achieved and where it is saved."""
        path = self.folder / "metrics.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if self.is_main else []
        keys = ("eval_accuracy_before", "eval_accuracy")
        accuracies = [x[key] for x in lines for key in keys if x[key] is not None]
        if len(accuracies) > 1:
            self.print(f"held-out accuracy {accuracies[0]:.3f} -> {accuracies[-1]:.3f}")
        self.print(f"models, report.html, metrics.jsonl and rollouts are in {self.folder}")

    def print_new_warnings(self, constants: dict) -> None:
        """Print the warnings about the run as a whole that have not been printed before."""
        for warning in find_warnings(self.metrics, constants):
            if warning not in self.warnings:
                self.print(f"  WARNING: {warning}")
                self.warnings.append(warning)

    def print_warnings(self, metrics: dict, prompts_wanted: int) -> None:
        """Print what went wrong in an iteration."""
        if metrics["prompts"] < prompts_wanted:
            self.print(
                f"  only {metrics['prompts']} of {prompts_wanted} prompts passed the filter in "
                f"{metrics['rollout_rounds']} rounds; the accuracy of all sampled responses is "
                f"{metrics['train_accuracy']:.3f}"
            )
        if expired := metrics["prompts_expired"]:
            self.print(
                f"  {expired} surplus prompt(s) dropped: their responses were sampled more than "
                "MAX_SURPLUS_AGE iterations ago"
            )
        if cut := metrics["prompts_truncated"]:
            self.print(
                f"  {cut} prompt(s) did not pass, because a response to them was cut off "
                '(TRUNCATED = "filter")'
            )
        if masked := metrics["responses_masked"]:
            self.print(
                f"  {masked} response(s) of the batch were cut off, and no loss counts them "
                '(TRUNCATED = "mask")'
            )
        unread, verdicts = metrics["verdicts_no_answer"], _count_verdicts(metrics)
        if 2 * unread > verdicts:
            self.print(
                f"  verifier: {unread} of {verdicts} responses hold no answer that it can read "
                "(of maths: no \\boxed{}), given reward 0"
            )
        timeouts, errors = metrics["verdicts_timeout"], metrics["verdicts_error"]
        if timeouts or errors:
            self.print(f"  verifier: {timeouts} time-outs and {errors} errors, given reward 0")
        if copied := metrics["verdicts_copied"]:
            self.print(f"  verifier: {copied} copied from the question, given reward 0")


def duration(seconds: float) -> str:
    """Return seconds as hours:minutes:seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def explain_giving_up(metrics: dict, accuracy_low: float, accuracy_high: float) -> str:
    """Return why the run stops and what to do, when no prompt passes the filter any more."""
    return (
        f"Stopped after iteration {metrics['iteration']}: no prompt of the last iterations was "
        f"solved at a rate within [{accuracy_low}, {accuracy_high}]; the accuracy of all sampled "
        f"responses is {metrics['train_accuracy']:.3f}. "
        f"{_advise(metrics, accuracy_low, accuracy_high)} What was learned is saved. To start a "
        "new run from it, set MODEL to this run's folder policy/ (adapters: LORA_MERGE = True "
        "writes it)."
    )


def _advise(metrics: dict, accuracy_low: float, accuracy_high: float) -> str:
    """Return what to do about prompts none of which passes."""
    accuracy, cut = metrics["train_accuracy"], metrics["prompts_truncated"]
    verdicts = _count_verdicts(metrics)
    if cut:
        return (
            f"{cut} prompts of the last iteration did not pass only because a response was cut "
            'off: raise MAX_RESPONSE_TOKENS, or set TRUNCATED = "mask".'
        )
    for status, advice in _UNJUDGED.items():
        if 2 * (count := metrics[f"verdicts_{status}"]) > verdicts:
            return f"{count} of {verdicts} responses had the verdict {status}: {advice}"
    if accuracy < accuracy_low:
        return (
            "The prompts are too hard for this model: use easier ones, train it with sft.py first, "
            "raise MAX_RESPONSE_TOKENS if truncated_fraction is high, or raise SAMPLES_PER_PROMPT."
        )
    if accuracy > accuracy_high:
        return "The prompts are too easy for this model: use harder ones."
    return "Each prompt is always or never solved: raise SAMPLES_PER_PROMPT or TEMPERATURE."


def _count_verdicts(metrics: dict) -> int:
    return sum(count for name, count in metrics.items() if name.startswith("verdicts_"))


def _is_missing(value: float | None) -> bool:
    return value is None or not math.isfinite(value)


def _cell(value: float | int | None) -> str:
    if _is_missing(value):
        return "-"
    return (
        str(value) if isinstance(value, int) else f"{value:.3f}" if value < 1.5 else f"{value:.1f}"
    )
