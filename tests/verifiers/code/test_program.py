"""The reward of a program: the share of its tests that pass, within the time limit."""

import concurrent.futures
import time

from code_helpers import CORRECT, TIMEOUT, WRONG, io

from verifiers.code.program import grade as grade_response


def test_the_reward_is_the_share_of_all_tests(grade):
    truth = io(*[(f"{n}\n", f"{n if n < 3 else 99}\n") for n in range(12)])
    assert grade("print(input())", truth) == (0.25, "partial")
    assert grade("print(input())", truth, all_or_nothing=True) == WRONG
    assert grade("print(5)", io(("1", "1"), ("2", "2"))) == WRONG


def test_all_tests_share_the_time_limit(grade):
    started = time.monotonic()
    truth = io(*[(str(n), str(n)) for n in range(60)])
    assert grade("while True: pass", truth, 1.0) == TIMEOUT
    assert time.monotonic() - started < 30  # not 60 limits of a second


def test_one_slow_test_costs_the_others_nothing(grade):
    program = "x = int(input())\nwhile x == 2: pass\nprint(x)"
    truth = io(("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"))
    assert grade(program, truth, 2.0) == (0.75, "partial")


def test_a_test_out_of_its_share_gets_what_is_left(grade):
    program = "import time\nx = int(input())\ntime.sleep(1.5 * (x == 1))\nprint(x)"
    truth = io(*[(str(n), str(n)) for n in range(1, 6)])  # a first share is 1.2 s
    assert grade(program, truth, 6.0) == CORRECT


def test_a_share_goes_to_each_program_beside_others(server):
    """A time-out costs nobody else: honest programs run beside endless ones."""
    truth = io(("3 4\n", "7\n"))
    programs = ["while True: pass", "print(sum(map(int, input().split())))"] * 4
    responses = [f"```python\n{program}\n```" for program in programs]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        verdicts = list(
            threads.map(lambda text: grade_response(text, truth, server, 2.0), responses)
        )
    assert verdicts == [TIMEOUT, CORRECT] * 4
