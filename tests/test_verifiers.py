"""The Verifier contract: a verdict for every row, in order, whatever a row does."""

import os
import subprocess
import sys
import threading
import time

import pytest

from verifiers import Verdict, Verifier
from verifiers.math_answer import find_boxed_answer, grade

ENDLESS = "\\boxed{" + "(" * 3000 + "}"  # keeps the parser busy for minutes


@pytest.mark.parametrize(
    ("response", "ground_truth", "expected"),
    [
        ("so \\boxed{\\frac{1}{2}}.", "0.5", (1.0, "correct")),
        ("\\boxed{5}", "$5$", (1.0, "correct")),
        ("\\boxed{x+1}", "1 + x", (1.0, "correct")),
        ("\\boxed{\\text{Evelyn}}", "\\text{Evelyn}", (1.0, "correct")),
        ("\\boxed{5}", "\\boxed{5}", (1.0, "correct")),
        ("\\boxed{4}, no: \\boxed{5}", "5", (1.0, "correct")),
        ("\\boxed{5}, no: \\boxed{4}", "5", (0.0, "wrong")),
        ("\\boxed{6}", "5", (0.0, "wrong")),
        ("\\boxed{nonsense}", "5", (0.0, "wrong")),
        ("it is 5", "5", (0.0, "no_answer")),
        ("\\boxed{}", "5", (0.0, "no_answer")),
        ("\\boxed{\\frac{5}{1}", "5", (0.0, "no_answer")),  # cut off
        ("", "5", (0.0, "no_answer")),
    ],
)
def test_math_answers(response, ground_truth, expected):
    assert grade(response, ground_truth) == expected


def test_the_last_complete_box_counts():
    assert find_boxed_answer("\\boxed{1} \\boxed{ {2} } \\boxed{3") == "{2}"
    assert find_boxed_answer("\\boxed{\\boxed{7}}") == "7"


def test_verdicts_come_in_order_and_a_time_out_costs_its_row_alone():
    responses = ["\\boxed{1}", ENDLESS, "\\boxed{2}", "nothing", ENDLESS, "\\boxed{6}"]
    truths = ["1", "2", "3", "4", "5", "6"]
    with Verifier(num_workers=2, timeout_seconds=1.0) as verifier:
        started = time.monotonic()
        verdicts = verifier.verify(responses, truths, ["math"] * 6)
        assert time.monotonic() - started < 30
        again = verifier.verify(responses[:1], truths[:1], ["math"])  # on replaced workers
    statuses = ["correct", "timeout", "wrong", "no_answer", "timeout", "correct"]
    assert [verdict.status for verdict in verdicts] == statuses
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert again == [Verdict(1.0, "correct")]


def test_a_worker_that_dies_idle_costs_nothing():
    with Verifier(num_workers=1, timeout_seconds=5.0) as verifier:
        verifier.verify(["\\boxed{1}"], ["1"], ["math"])
        verifier._workers[0].process.kill()
        verifier._workers[0].process.wait()
        verdicts = verifier.verify(["\\boxed{1}"] * 2, ["1"] * 2, ["math"] * 2)
    assert verdicts == [Verdict(1.0, "correct")] * 2


def test_a_worker_that_dies_at_work_costs_its_row_alone():
    with Verifier(num_workers=1, timeout_seconds=30.0) as verifier:
        verifier.verify(["\\boxed{1}"], ["1"], ["math"])
        threading.Timer(0.5, verifier._workers[0].process.kill).start()
        verdicts = verifier.verify([ENDLESS, "\\boxed{1}"], ["1"] * 2, ["math"] * 2)
    assert verdicts == [Verdict(0.0, "error"), Verdict(1.0, "correct")]


def test_no_rows_and_unknown_abilities():
    with Verifier(num_workers=1) as verifier:
        assert verifier.verify([], [], []) == []
        with pytest.raises(ValueError, match="no verifier for ability \\['code'\\]"):
            verifier.verify(["x"], ["y"], ["code"])
    with pytest.raises(RuntimeError, match="with block"):
        verifier.verify(["x"], ["y"], ["math"])


def is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_no_worker_outlives_its_caller(script_environment):
    program = (
        "import sys\n"
        "from verifiers import Verifier\n"
        "with Verifier(num_workers=2) as verifier:\n"
        "    verifier.verify(['\\\\boxed{1}'] * 4, ['1'] * 4, ['math'] * 4)\n"
        "    print(*[w.process.pid for w in verifier._workers], flush=True)\n"
        "    sys.stdin.read()\n"
    )
    caller = subprocess.Popen(
        [sys.executable, "-c", program],
        env=script_environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    pids = list(map(int, caller.stdout.readline().split()))
    assert len(pids) == 2 and all(map(is_alive, pids)) and os.getpid() not in pids
    caller.kill()
    caller.wait()
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))
