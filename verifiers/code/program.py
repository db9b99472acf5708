"""Grades a program: how many tests of the ground truth does it pass?

The program runs in a sandbox (verifiers/sandbox) that is given inputs only. What it printed or
returned comes back as bytes and is compared here (compare.py). Assert-style tests run in a second
sandbox that never holds the program (asserts.py).
"""

import json
import os
import re
import socket
import time

from verifiers.code import compare, json_text
from verifiers.code.extraction import find_code
from verifiers.code.ground_truth import (
    ASSERTS,
    PROGRAM,
    CodeTests,
    GroundTruthFault,
    parse_ground_truth,
)
from verifiers.code.runner import FORBIDDEN

_SIGNALS = re.compile("signal|kill|abort|ctypes|alarm")
_LEAST_SECONDS = 0.01  # with less left, a test is not started
_GRACE_SECONDS = 0.5  # the supervisor keeps the time limit; after this it is given up
_OUTPUT_BYTES = 32 * 2**20  # the limit of the sandbox: a larger output was cut off
_SPARE_BYTES = 2**16  # a value may be this much longer than expected, apart from its notation


class SandboxFailure(RuntimeError):
    """The sandbox failed, not the program."""


class _NoCode(Exception):
    """None of the texts that may be the program is Python."""


class _OutOfTime(Exception):
    """The supervisor did not answer in time, for example because compiling takes long."""


def find_ground_truth_fault(ground_truth: str) -> str:
    """Return what is wrong with a ground truth, as words that follow "row 17"; "" if nothing is."""
    try:
        parse_ground_truth(ground_truth)
    except GroundTruthFault as fault:
        return str(fault)
    return ""


def grade(
    response: str,
    ground_truth: str | dict,
    server: socket.socket,
    timeout_seconds: float,
    all_or_nothing: bool = False,
) -> tuple[float, str]:
    """Return (outcome reward, status) of a response.

    The reward is the share of all tests that pass. Status: all passed "correct", some "partial",
    none "wrong", or "timeout" if a test ran out of time, or "forbidden" if the program ends by a
    call that the sandbox refused: a hint for people, and a program can pretend it. "no_answer":
    there is no program. "error": the ground truth or the sandbox is at fault.

    Args:
        server: the code server's socket, from sandbox.layers.start_server().
        timeout_seconds: wall-clock limit for all tests together. Each test gets an equal share
            of what is left. Tests that did not finish run once more with all that is then left.
        all_or_nothing: a program that passes only some tests gets 0 and "wrong".
    """
    deadline = time.monotonic() + timeout_seconds
    try:
        tests = parse_ground_truth(ground_truth)
    except GroundTruthFault:
        return 0.0, "error"
    candidates = find_code(response)
    if not candidates:
        return 0.0, "no_answer"
    try:
        with _Run(server, tests, candidates, deadline) as run:
            run.wait_for_start()
            if tests.asserts > 1:
                results = _run_script(run, tests.asserts, deadline)
            else:
                results = _run_tests(run, len(tests.inputs), deadline)
            was_refused = run.was_refused
    except _NoCode:
        return 0.0, "no_answer"
    except _OutOfTime:
        return 0.0, "timeout"
    except (SandboxFailure, OSError):
        return 0.0, "error"
    reward, status = _judge(results, all_or_nothing)
    return reward, "forbidden" if status == "wrong" and was_refused else status


def _judge(results: list[bool | None], all_or_nothing: bool) -> tuple[float, str]:
    passed = sum(result is True for result in results)
    if passed == len(results):
        return 1.0, "correct"
    if not passed:
        return 0.0, "timeout" if None in results else "wrong"
    return (0.0, "wrong") if all_or_nothing else (passed / len(results), "partial")


def _run_tests(run: "_Run", count: int, deadline: float) -> list[bool | None]:
    """Return for each test whether it passed; None if it did not finish."""
    results: list[bool | None] = [None] * count
    for number in range(count):
        left = deadline - time.monotonic()
        results[number] = run.run_test(number, left / (count - number))
    if count > 1:
        for number in [n for n, result in enumerate(results) if result is None]:
            results[number] = run.run_test(number, deadline - time.monotonic())
    return results


def _run_script(run: "_Run", count: int, deadline: float) -> list[bool | None]:
    """Return for each assert of a script whether it holds; None where the time ran out before."""
    result = run.run_test(0, deadline - time.monotonic())
    held = [note == ord("1") for note in run.notes]
    return held + [None if result is None else False] * (count - len(held))


class _Run:
    """One program in the sandbox: a supervisor started by the server, and the socket to it."""

    def __init__(
        self,
        server: socket.socket,
        tests: CodeTests,
        candidates: list[str],
        deadline: float,
    ) -> None:
        self.tests = tests
        self.deadline = deadline
        self.is_lost = False
        self.was_refused = False  # a test ended because the sandbox refused something
        self.notes = b""  # of the tests' process: which asserts of a script hold
        # A lone test goes with the job: the sandbox then needs one process less, and the program is
        # process 1 of its namespace. But process 1 ignores signals that would end other processes.
        self.is_lone = (
            len(tests.inputs) == 1
            and tests.kind != ASSERTS
            and not any(map(_SIGNALS.search, candidates))
        )
        self.files = [] if not self.is_lone else [_make_file(tests.inputs[0]), _make_file(b"")]
        program = _make_file(json.dumps(candidates).encode())
        seconds = max(0.0, deadline - time.monotonic())
        details = {"kind": tests.kind, "function": tests.function, "seconds": seconds}
        description = json.dumps(details).encode()
        self.connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            socket.send_fds(server, [description], [theirs.fileno(), program, *self.files])
        except OSError as error:
            self.__exit__()
            raise SandboxFailure("the code server has ended") from error
        finally:
            theirs.close()
            os.close(program)

    def __enter__(self) -> "_Run":
        return self

    def __exit__(self, *exception: object) -> None:
        self.connection.close()  # the server then kills what is left of the run
        for file in self.files:
            os.close(file)

    def wait_for_start(self) -> None:
        """Wait until the program is compiled, unless a lone test went with it; call this first.

        Raises:
            _NoCode: none of the texts is Python.
        """
        if not self.is_lone:
            self._receive(self.deadline)

    def run_test(self, number: int, seconds: float) -> bool | None:
        """Return whether the test passes; None if it does not finish in time."""
        if seconds < _LEAST_SECONDS or self.is_lost:
            return None
        if self.is_lone:
            return self._judge_answer(number, self._receive(self.deadline, 0.0), self.files[1])
        files = [_make_file(self.tests.inputs[number]), os.memfd_create("result", os.MFD_CLOEXEC)]
        try:
            message = json.dumps({"seconds": seconds}).encode()
            socket.send_fds(self.connection, [message], files)
            answer = self._receive(time.monotonic() + seconds)
            return self._judge_answer(number, answer, files[1])
        except _OutOfTime:
            self.is_lost = True
            return None
        finally:
            if self.tests.kind == ASSERTS:
                self.notes = os.pread(files[1], self.tests.asserts, 0)
            for file in files:
                os.close(file)

    def _judge_answer(self, number: int, answer: dict, result: int) -> bool | None:
        if answer["state"] == "timeout":
            return None
        self.was_refused = self.was_refused or answer["status"] == FORBIDDEN
        return answer["status"] == 0 and self._is_right(number, result)

    def _receive(self, deadline: float, grace: float = _GRACE_SECONDS) -> dict[str, str | int]:
        self.connection.settimeout(max(1e-3, deadline - time.monotonic() + grace))
        try:
            message = self.connection.recv(1024)
        except TimeoutError as error:
            raise _OutOfTime from error
        if not message:
            raise SandboxFailure("the supervisor has ended")
        answer = json.loads(message)
        if answer["state"] == "no_code":
            raise _NoCode
        return answer

    def _is_right(self, number: int, result: int) -> bool:
        if self.tests.kind == ASSERTS:
            return True
        size = os.fstat(result).st_size
        expected = self.tests.expected[number]
        if size >= _OUTPUT_BYTES:
            return False
        content = os.pread(result, size, 0)
        if self.tests.kind == PROGRAM:
            return compare.is_same_output(content, expected[0])
        if size > _SPARE_BYTES + 20 * len(json_text.dump_json(expected)):  # tuples are longer
            return False
        value = json_text.read_value(content)
        return any(compare.is_same_value(value, wanted) for wanted in expected)


def _make_file(content: bytes) -> int:
    """Return the descriptor of a file in memory, ready to be read from its start."""
    descriptor = os.memfd_create("input", os.MFD_CLOEXEC)
    written = 0
    while written < len(content):
        written += os.pwrite(descriptor, content[written:], written)
    return descriptor
