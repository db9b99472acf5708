"""What the log adds up and says."""

import json
import math
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from groups import make_group
from small_runs import load_script

from checks.errors import UserError
from generation.groups import Collected
from reporting import run_log, summary
from reporting.response_files import make_iteration_records
from reporting.run_log import PhaseTimer, RunLog, explain_giving_up
from reporting.summary import describe_run

GOOD = dict(prompts=4, verdicts_timeout=0, verdicts_error=0, verdicts_copied=0)
GOOD |= dict(prompts_expired=0, prompts_truncated=0, responses_masked=0)
GOOD |= dict(verdicts_correct=8, verdicts_no_answer=0)


def test_a_phase_adds_up_however_often_it_is_entered(monkeypatch):
    clock = iter([0.0, 2.0, 10.0, 13.0, 20.0, 21.0])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    timer = PhaseTimer()
    for phase in ("generate", "generate", "verify"):
        with timer(phase):
            pass
    assert timer.totals == {"generate": 5.0, "verify": 1.0}


@pytest.mark.parametrize("phase", ["generate", "evaluate", "prm", "policy"])
def test_where_memory_runs_out_the_constant_to_lower_is_named(phase):
    constant = "ROLLOUT_TOKENS" if phase in ("generate", "evaluate") else "MICRO_BATCH_TOKENS"
    timer = PhaseTimer()
    with pytest.raises(UserError, match=f"in the phase {phase}: lower {constant}"):
        with timer("seconds"), timer(f"seconds_{phase}"):
            raise torch.OutOfMemoryError("tried to allocate")
    assert set(timer.totals) == {"seconds", f"seconds_{phase}"}
    with pytest.raises(UserError, match="between the phases: lower ROLLOUT_TOKENS or MICRO_BATCH"):
        with PhaseTimer()("seconds"):  # a model moves to its device there
            raise torch.OutOfMemoryError("tried to allocate")


@pytest.mark.parametrize(
    "accuracy, words",
    [
        (0.1, "too hard for this model: use easier ones"),
        (0.9, "too easy"),
        (0.5, "always or never"),
    ],
)
def test_the_advice_on_giving_up_is_for_what_happened(accuracy, words):
    metrics = {**GOOD, "iteration": 7, "train_accuracy": accuracy}
    text = explain_giving_up(metrics, 0.2, 0.8)
    assert words in text and "after iteration 7" in text and f"{accuracy:.3f}" in text


@pytest.mark.parametrize(
    "status, words",
    [("no_answer", "must ask for"), ("error", "VERIFIERS"), ("timeout", "VERIFIER_TIMEOUT")],
)
def test_where_most_responses_were_not_judged_the_prompts_are_not_blamed(status, words):
    metrics = {**GOOD, "iteration": 7, "train_accuracy": 0.0, f"verdicts_{status}": 9}
    text = explain_giving_up(metrics, 0.2, 0.8)
    assert f"9 of 17 responses had the verdict {status}" in text and words in text
    assert "too hard" not in text
    text = explain_giving_up({**metrics, f"verdicts_{status}": 8}, 0.2, 0.8)
    assert "too hard" in text


def test_every_response_is_written_once_with_values_of_its_own():
    groups = (make_group(["1", str(n)], "1") for n in (2, 3, 4))
    drawn = [[-0.25], [-0.5]]
    kept, surplus, dropped = (replace(group, sampling_logprobs=drawn) for group in groups)
    collected = Collected([kept], [surplus], [surplus, kept, dropped], 0.5, 1)
    rows = torch.arange(8.0).view(2, 4)
    kept = collected.kept[0]
    records = list(make_iteration_records(collected, str, rows, -rows))
    assert [record["decision"] for record in records] == (
        ["trained"] * 2 + ["surplus"] * 2 + ["filtered out"] * 2
    )
    for row, record in enumerate(records[:2]):
        length = len(kept.response_ids[row])
        assert record["process_rewards"] == rows[row, :length].tolist()
        assert record["advantages"] == (-rows[row, :length]).tolist()
        assert record["response"] == kept.responses[row]
    assert "process_rewards" not in records[2]
    assert [record["sampling_logprobs"] for record in records] == 3 * drawn


def test_a_surplus_that_is_too_old_is_said(tmp_path, capsys):
    RunLog(tmp_path, True).print_warnings({**GOOD, "prompts_expired": 3}, 4)
    said = "3 surplus prompt(s) dropped: their responses were sampled more than MAX_SURPLUS_AGE"
    assert said in capsys.readouterr().out
    RunLog(tmp_path, True).print_warnings({**GOOD, "verdicts_no_answer": 8}, 4)
    assert capsys.readouterr().out == ""


def test_it_is_said_if_most_responses_hold_no_answer(tmp_path, capsys):
    RunLog(tmp_path, True).print_warnings({**GOOD, "verdicts_no_answer": 9}, 4)
    assert "9 of 17 responses hold no answer that it can read" in capsys.readouterr().out


def test_a_report_that_cannot_be_written_stops_nothing(tmp_path, capsys, monkeypatch):
    def fail(*_, **__):
        raise UserError("Could not write curves.png")

    monkeypatch.setattr(run_log.run_report, "read_run", fail)
    RunLog(tmp_path, True).write_report(None, ends=False)
    assert "no report was written: UserError('Could not write" in capsys.readouterr().out


def test_the_summary_names_the_models_and_how_a_complete_run_can_go_on(
    tmp_path, capsys, monkeypatch
):
    names = vars(load_script("train_prime.py", tmp_path, NUM_ITERATIONS=3, PROCESS_COEF=0))
    constants = {name: value for name, value in names.items() if name.isupper()}
    accelerator = SimpleNamespace(num_processes=1, device=SimpleNamespace(type="cpu"))
    another = {"PROCESS_COEF": 1.0, "PRM_MODEL": "other", "VALUE_WARMUP_ITERATIONS": 3}
    frozen = {"PROCESS_COEF": 1.0, "PRM_UPDATE": "none", "PUSH_TO": "me/mine"}
    sizes, said = {"policy": 7_000_000, "prm": 14_000_000}, []
    monkeypatch.setattr(summary, "explain_prm", lambda c: "its start")
    for changes in ({}, {"KL_COEF": 0.1, "POLICY_SCHEDULE": "cosine"}, another, frozen):
        own = {**constants, **changes}
        lines = describe_run(own, accelerator, tmp_path, sizes, (1, 0, 2, 7), 3, "")
        RunLog(tmp_path, True).print_summary(lines)
        said.append(capsys.readouterr().out)
    assert "models  policy, reference, each 7.00 M parameters" in said[2]
    assert "PRM  14.00 M parameters, from its start" in said[2] and "note" not in said[2]
    assert "models  policy, PRM, reference, each" in said[3]
    assert "note  the frozen PRM is its own reference" in said[3]
    assert "every iteration trains the value model alone" in said[2] and "warm-up" not in said[3]
    assert "2 held out of arithmetic (7 too long, dropped)" in said[3]
    assert "push  the PRM on the hub will name its reference" in said[3] and "push" not in said[0]
    assert "policy (outcome alone: no PRM), each" in said[0]
    assert "policy (outcome alone: no PRM), reference, each" in said[1]
    assert "is complete: raise NUM_ITERATIONS, or choose another RUN_NAME" in said[0]
    assert "is complete: choose another RUN_NAME" in said[1]  # its rate has fallen to 0


def test_what_is_no_number_is_null_in_metrics(tmp_path):
    told = []
    log, accelerator = (
        RunLog(tmp_path, True),
        SimpleNamespace(log=lambda *a, **k: told.append(a[0])),
    )
    log.log_metrics(accelerator, {"iteration": 3, "a": math.nan, "b": None, "c": 0.5})
    line = json.loads((tmp_path / "metrics.jsonl").read_text())
    assert line == {"iteration": 3, "a": None, "b": None, "c": 0.5}
    assert told == [{"iteration": 3, "c": 0.5}]


def test_a_start_keeps_the_whole_lines_of_the_iterations_before(tmp_path, monkeypatch):
    monkeypatch.setattr(run_log, "find_warnings", lambda *_: [])
    own = [json.dumps({"iteration": n}) + "\n" for n in (0, 1, 4, 5)]  # 2 and 3 were lost
    (tmp_path / "metrics.jsonl").write_text("".join(own) + '{"iterat')
    log = RunLog(tmp_path, True)
    log.start({}, "cpu", 5)
    assert (tmp_path / "metrics.jsonl").read_text() == "".join(own[:3])
    assert [line["iteration"] for line in log.metrics] == [0, 1, 4]


def test_a_warning_is_printed_when_it_first_appears(tmp_path, monkeypatch, capsys):
    log = RunLog(tmp_path, True)
    accelerator = SimpleNamespace(log=lambda *_, **__: None)
    monkeypatch.setattr(
        run_log, "find_warnings", lambda lines, c: [f"{c} {n}" for n in (1, 2) if len(lines) > n]
    )
    outputs = []
    for iteration in range(4):
        log.log_metrics(accelerator, {"iteration": iteration})
        log.print_new_warnings("fault")
        outputs.append(capsys.readouterr().out)
    assert outputs == ["", "  WARNING: fault 1\n", "  WARNING: fault 2\n", ""]
