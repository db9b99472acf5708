"""Bookkeeping of train_prime.py's iterations: metrics, log, report, checkpoint, giving up."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from accelerate import Accelerator

import rollout
from checks.errors import UserError
from generation.groups import Collected, Group
from reporting import run_log
from reporting.run_log import PhaseTimer, RunLog
from reporting.trackers import log_completions
from training.interrupt import Interrupt
from training.row_order import RowStream
from training.saving import Saver
from verifiers import name_rewards


@dataclass
class Bookkeeper:
    """Keeps the record of a run, and the values that one iteration hands to the next."""

    accelerator: Accelerator
    constants: dict  # of train_prime.py
    stream: RowStream
    saver: Saver
    log: RunLog
    interrupt: Interrupt
    surplus: list[Group] = field(default_factory=list)  # passed the filter, kept for the next
    kept_fraction: float = 1.0  # share of recent prompts that passed the filter
    empty_iterations: int = 0  # consecutive, without a prompt that passed

    def resume(self, saved: Path | None) -> int:
        """Restore everything from a checkpoint, if there is one. Return the first iteration."""
        if not saved:
            return 0
        state = self.saver.resume(saved)
        self.stream.load_state_dict(state["stream"])
        saved_groups = [Group(**group) for group in state["surplus"]]
        self.surplus = [group for group in saved_groups if group.sampling_logprobs]
        if lost := len(saved_groups) - len(self.surplus):
            self.log.print(
                f"  {lost} surplus prompt(s) dropped: an earlier version sampled their responses, "
                "and did not record with what log-probabilities"
            )
        self.kept_fraction = state["kept_fraction"]
        self.empty_iterations = state.get("empty_iterations", 0)  # earlier versions have none
        return int(saved.name)

    def conclude(
        self,
        iteration: int,
        timer: PhaseTimer,
        collected: Collected,
        learned: dict,
        eval_accuracy: float | None,
        evaluate_after: Callable[[], float | None],
    ) -> None:
        """Log an iteration, keep the values for the next one, save and push if due.

        Args:
            timer: seconds of the iteration by phase.
            learned: metrics of the updates; empty if no prompt was kept.
            eval_accuracy: of the policy before the iteration; None if not evaluated.
            evaluate_after: evaluates the policy, called after the last iteration.

        Raises:
            UserError: no prompt has passed the filter for MAX_EMPTY_ITERATIONS iterations.
            KeyboardInterrupt: Ctrl-C was pressed. The run is saved.
        """
        c = self.constants
        self.empty_iterations = 0 if collected.kept else self.empty_iterations + 1
        gives_up = self.empty_iterations >= c["MAX_EMPTY_ITERATIONS"]
        is_last = gives_up or iteration + 1 == c["NUM_ITERATIONS"]
        accuracy_after = evaluate_after() if is_last else None
        metrics = {
            "iteration": iteration,
            **rollout.compute_metrics(
                collected, name_rewards(c["VERIFIERS"]), c["TRUNCATED"] == "mask"
            ),
            **dict.fromkeys(run_log.UPDATE_METRICS),
            **learned,
            "eval_accuracy_before": eval_accuracy if is_last else None,
            "eval_accuracy": accuracy_after if is_last else eval_accuracy,
            **timer.totals,
        }
        self.log.log_metrics(self.accelerator, metrics)
        self.log.print_row(metrics, c["NUM_ITERATIONS"])
        self.log.print_warnings(metrics, c["PROMPTS_PER_ITERATION"])
        self.log.print_new_warnings(c)
        log_completions(self.accelerator, iteration, collected, self.saver.tokenizer)
        stops = self.interrupt.is_noted() and not is_last
        self.surplus, self.kept_fraction = collected.surplus, collected.kept_fraction
        if is_last or stops or (iteration + 1) % c["EVAL_EVERY"] == 0:
            self.log.write_report(self.saver.tokenizer, ends=is_last or stops)
        if is_last or stops or (iteration + 1) % c["SAVE_EVERY"] == 0:
            self.saver.save(iteration + 1, self._state_dict())
            if gives_up or (not stops and iteration + 1 < c["NUM_ITERATIONS"]):
                self.saver.push(iteration + 1, is_last=gives_up)
        if stops:
            self.interrupt.stop()
        if gives_up:  # raised last, so that log, report and checkpoint are written
            bounds = c["ACCURACY_LOW"], c["ACCURACY_HIGH"]
            raise UserError(run_log.explain_giving_up(metrics, *bounds))

    def _state_dict(self) -> dict:
        """Return what resume() restores. A run that has given up may try as often again."""
        gives_up = self.empty_iterations >= self.constants["MAX_EMPTY_ITERATIONS"]
        return {
            "surplus": [asdict(group) for group in self.surplus],
            "kept_fraction": self.kept_fraction,
            "empty_iterations": 0 if gives_up else self.empty_iterations,
            "stream": self.stream.state_dict(),
        }
