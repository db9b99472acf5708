"""The Verifier contract: a verdict for every row, in order, whatever a row does."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest
from code_helpers import ADD, RIGHT, SUM, wait_until

from verifiers import Verdict, Verifier

# Two sides of an equation that sympy works on for hours.
ENDLESS = "\\boxed{\\int_0^\\infty \\frac{\\sin(x^x)}{x}\\,dx}"


def pool_processes() -> set[int]:
    """Return the processes that run the pool's module or were forked from one that does."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"verifiers.pool" in path.read_bytes():
                found.add(int(path.parent.name))
        except OSError:
            pass
    return found


def are_gone(pids: set[int]) -> bool:
    """Wait until none of these processes of a pool is left. Kill those that do not end."""
    gone = wait_until(lambda: not pids & pool_processes())
    for pid in pids & pool_processes():
        os.kill(pid, signal.SIGKILL)
    return gone


def children_of(pid: int) -> list[int]:
    return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def find_workers(pool: int) -> set[int]:
    return set(children_of(pool)[2:])  # the two code servers are forked first


def wait_for_work(pool: int, count: int) -> set[int]:
    """Wait until so many workers compute; return them."""
    seconds: dict[int, float] = {}  # of computation, when a worker was first seen

    def find() -> set[int]:
        found = set()
        for pid in find_workers(pool):
            with contextlib.suppress(psutil.NoSuchProcess):  # it was just replaced
                now = psutil.Process(pid).cpu_times().user
                if now - seconds.setdefault(pid, now) > 0.2:  # far more than a start takes
                    found.add(pid)
        return found

    assert wait_until(lambda: len(find()) == count)
    return find()


def test_math_and_code_in_one_batch(verifier):
    responses = ["\\boxed{5}", ADD, "\\boxed{6}", ADD.replace("+", "-"), "5", "no code"]
    truths = ["5", SUM, "5", SUM, "5", SUM]
    verdicts = verifier.verify(responses, truths, ["math", "code"] * 3)
    assert [verdict.status for verdict in verdicts] == [
        "correct",
        "correct",
        "wrong",
        "wrong",
        "no_answer",
        "no_answer",
    ]
    assert [verdict.reward for verdict in verdicts] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]


def test_verdicts_come_in_order_and_a_time_out_costs_its_row_alone():
    responses = ["\\boxed{1}", ENDLESS, "\\boxed{2}", "nothing", ENDLESS, "\\boxed{6}"]
    truths = ["1", "2", "3", "4", "5", "6"]
    with Verifier(num_workers=2, timeout_seconds=1.0) as verifier:
        verdicts = verifier.verify(responses, truths, ["math"] * 6)
        again = verifier.verify(responses[:1], truths[:1], ["math"])  # on replaced workers
    statuses = ["correct", "timeout", "wrong", "no_answer", "timeout", "correct"]
    assert [verdict.status for verdict in verdicts] == statuses
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert again == [RIGHT]


def test_hundreds_of_rows_keep_their_order(verifier):
    numbers = range(700)
    responses = [f"\\boxed{{{n}}}" for n in numbers]
    truths = [str(n if n % 3 else n + 1) for n in numbers]
    verdicts = verifier.verify(responses, truths, ["math"] * len(numbers))
    assert [verdict.reward for verdict in verdicts] == [float(n % 3 != 0) for n in numbers]


def test_rows_are_worked_on_between_submit_and_collect():
    with Verifier(num_workers=1, timeout_seconds=1.0) as verifier:
        verifier.verify(["\\boxed{1}"], ["1"], ["math"])
        workers = find_workers(verifier._pool.pid)
        verifier.submit(["\\boxed{1}"] * 3, ["1", "2", "1"], ["math"] * 3)
        verifier.submit([ENDLESS], ["1"], ["math"])
        assert are_gone(workers)  # out of time with the last row, after all the others
        counts: list[int] = []
        verdicts = verifier.collect(on_verdicts=counts.append)
        assert counts == [4]  # all were there
        assert [v.status for v in verdicts] == ["correct", "wrong", "correct", "timeout"]
        assert verifier.collect() == []


def test_large_rows_and_strange_text(verifier):
    responses = ["x" * 10**7 + "\\boxed{1}", "\ud800\0 \\boxed{1}", "\\boxed{\ud800}", ""]
    verdicts = verifier.verify(responses, ["1"] * 4, ["math"] * 4)
    assert [v.status for v in verdicts] == ["correct", "correct", "wrong", "no_answer"]


def test_an_answer_that_would_eat_memory_disturbs_no_other(verifier):
    eats = "\\boxed{\\sum_{k=1}^{10} " + "(x+1)^{400000}}"
    [verdict, beside] = verifier.verify([eats, "\\boxed{1}"], ["1"] * 2, ["math"] * 2)
    assert verdict.reward == 0.0 and beside == RIGHT
    workers = [psutil.Process(pid) for pid in find_workers(verifier._pool.pid)]
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = 4 * 2**30 if hard == resource.RLIM_INFINITY else min(hard, 4 * 2**30)
    assert len(workers) == 2 and wait_until(
        lambda: all(worker.rlimit(psutil.RLIMIT_AS) == (limit, limit) for worker in workers)
    )


def test_a_failure_of_the_verifier_is_no_reward(verifier):
    rows = (["\\boxed{1}"] * 2, [None, "1"], ["math"] * 2)  # a truth that is no text
    assert verifier.verify(*rows) == [Verdict(0.0, "error"), RIGHT]


def test_a_program_out_of_time_keeps_what_it_passed():
    half = ADD.replace("print", "while a == 3: pass\nprint")
    with Verifier(num_workers=1, timeout_seconds=2.0) as verifier:
        assert verifier.verify([half], [SUM], ["code"]) == [Verdict(0.5, "partial")]


def test_a_worker_that_dies_costs_its_row_alone():
    with Verifier(num_workers=1, timeout_seconds=60.0) as verifier:
        pool = verifier._pool.pid
        verifier.submit([ENDLESS, "\\boxed{1}"], ["1"] * 2, ["math"] * 2)
        for _ in range(2):  # the row is tried once more: nobody knows who did it
            [worker] = wait_for_work(pool, 1)
            os.kill(worker, signal.SIGKILL)
        assert verifier.collect() == [Verdict(0.0, "error"), RIGHT]
        [worker] = find_workers(pool)
        os.kill(worker, signal.SIGKILL)  # while it has nothing to do
        assert are_gone({worker})
        assert verifier.verify(["\\boxed{1}"] * 2, ["1"] * 2, ["math"] * 2) == [RIGHT] * 2


def test_a_worker_is_replaced_after_so_many_jobs():
    rows = 2001
    with Verifier(num_workers=1) as verifier:
        verifier.verify(["\\boxed{1}"], ["1"], ["math"])
        workers = find_workers(verifier._pool.pid)
        verdicts = verifier.verify(["\\boxed{1}"] * rows, ["1"] * rows, ["math"] * rows)
        assert verdicts == [RIGHT] * rows
        assert not workers & find_workers(verifier._pool.pid) and are_gone(workers)


def kill_next_pool(verifier: Verifier, pool: int) -> None:
    """Kill the pool that takes the place of this one, as soon as it has started."""
    wait_until(lambda: verifier._pool and verifier._pool.pid != pool and verifier._rows)
    os.kill(verifier._pool.pid, signal.SIGKILL)


@pytest.mark.parametrize("victim", ["pool", "code server"])
def test_the_pool_itself_is_replaced(victim):
    with Verifier(num_workers=1, timeout_seconds=60.0) as verifier:
        pool = verifier._pool.pid
        verifier.submit([ENDLESS], ["1"], ["math"])
        [worker] = wait_for_work(pool, 1)
        os.kill(pool if victim == "pool" else children_of(pool)[0], signal.SIGKILL)
        threading.Thread(target=kill_next_pool, args=(verifier, pool)).start()
        assert verifier.collect() == [Verdict(0.0, "error")]  # lost twice
        assert verifier.verify(["\\boxed{1}", ADD], ["1", SUM], ["math", "code"]) == [RIGHT] * 2
    assert are_gone({pool, worker})


def test_rows_survive_the_pool():
    with Verifier(num_workers=1, timeout_seconds=1.0) as verifier:
        verifier.submit([ENDLESS, "\\boxed{1}", ADD], ["1", "1", SUM], ["math", "math", "code"])
        os.kill(verifier._pool.pid, signal.SIGKILL)
        assert verifier.collect() == [Verdict(0.0, "timeout"), RIGHT, RIGHT]


def test_an_interrupted_call_leaves_nothing_behind():
    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with Verifier(num_workers=1) as verifier:
        verifier.submit(["\\boxed{1}"] * 5, ["1"] * 5, ["math"] * 5)
        with pytest.raises(KeyboardInterrupt):
            verifier.collect(on_verdicts=interrupt)
        wrong = Verdict(0.0, "wrong")
        assert verifier.verify(["\\boxed{2}"] * 2, ["1"] * 2, ["math"] * 2) == [wrong] * 2
        with pytest.raises(Exception, match="pickle"):
            verifier.submit([lambda: 0], ["1"], ["math"])
        assert verifier.collect() == []


def test_a_low_memory_limit_is_respected(script_environment):
    program = (
        "from verifiers import Verifier\n"
        "with Verifier(num_workers=1) as v: print(v.verify(['\\\\boxed{1}'], ['1'], ['math']))"
    )
    limit = 39 * 10**8
    output = subprocess.run(
        [sys.executable, "-c", program],
        env=script_environment,
        capture_output=True,
        text=True,
        timeout=60,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
    )
    assert "correct" in output.stdout, output.stderr


def test_programs_cannot_read_the_callers_environment(monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "a-secret-key")
    with Verifier(num_workers=1) as verifier:
        pids = [verifier._pool.pid, *children_of(verifier._pool.pid)]
        assert not any(b"a-secret-key" in Path(f"/proc/{p}/environ").read_bytes() for p in pids)


CALLER = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & ignores it
from verifiers import Verifier
with Verifier(num_workers=2, timeout_seconds=60.0) as verifier:
    verifier.verify(['\\\\boxed{1}'] * 4, ['1'] * 4, ['math'] * 4)
    print(verifier._pool.pid, flush=True)
    verifier.verify([%r] * 4, ['1', '1', %r, %r], ['math', 'math', 'code', 'code'])
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_no_process_outlives_its_caller(script_environment, how):
    program = CALLER % (ENDLESS, SUM, SUM)
    caller = subprocess.Popen(
        [sys.executable, "-c", program],
        env=script_environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    pool = int(caller.stdout.readline())
    wait_for_work(pool, 2)
    children = psutil.Process(caller.pid).children(recursive=True)  # other tests have pools too
    mine = {child.pid for child in children} & pool_processes()
    assert pool in mine and len(mine) >= 5  # the pool, two workers, two code servers
    caller.send_signal(how)  # Ctrl-C is SIGINT
    caller.wait(timeout=20)
    assert are_gone(mine)
