"""Outcome rewards: is a response right? One entry point, `Verifier`, over a pool of processes.

A worker that exceeds the time limit is killed, whatever it is doing, and replaced; a worker that
dies costs its row and nothing else. Workers are fresh interpreters, so threads and CUDA in the
caller are safe, and they end by themselves when the caller is gone.
"""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path

ABILITIES = ("math",)  # abilities there is a verifier for
STATUSES = ("correct", "partial", "wrong", "no_answer", "timeout", "error")

_START_SECONDS = 120  # a worker that takes longer to import its libraries is broken


@dataclass(frozen=True)
class Verdict:
    reward: float  # outcome reward r_o in [0, 1]
    status: str  # one of STATUSES


class Verifier:
    """A pool of verifying processes, to be used in a with block.

    Args:
        num_workers: processes; None for one for each core this process may use.
        timeout_seconds: wall-clock limit a row, after which its worker is killed.
    """

    def __init__(self, num_workers: int | None = None, timeout_seconds: float = 5.0):
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.timeout_seconds = timeout_seconds
        self._workers: list[_Worker] = []

    def __enter__(self) -> "Verifier":
        self._workers = [_Worker(self.timeout_seconds) for _ in range(self.num_workers)]
        return self

    def __exit__(self, *exception) -> None:
        for worker in self._workers:
            worker.stop()
        self._workers = []

    def verify(
        self, responses: Sequence[str], ground_truths: Sequence[str], abilities: Sequence[str]
    ) -> list[Verdict]:
        """Return one verdict a row, in order, whatever a row does to its worker.

        A failure of the verifier itself ("timeout", "error") has reward 0.

        Raises:
            ValueError: an ability without a verifier.
            RuntimeError: outside a with block, or the workers do not start.
        """
        unknown = set(abilities) - set(ABILITIES)
        if unknown:
            raise ValueError(
                f"no verifier for ability {sorted(unknown)}; there is one for {ABILITIES}"
            )
        if not self._workers:
            raise RuntimeError("use Verifier in a with block")
        jobs = list(zip(responses, ground_truths, abilities, strict=True))
        verdicts: list[Verdict | None] = [None] * len(jobs)
        waiting = list(reversed(range(len(jobs))))  # rows, the next one last
        while waiting or any(worker.row is not None for worker in self._workers):
            for number, worker in enumerate(self._workers):
                if worker.row is None and worker.process.poll() is not None and worker.is_ready:
                    self._replace(number)  # it died while it had nothing to do
                elif waiting and worker.is_ready and worker.row is None:
                    worker.start(waiting.pop(), jobs)
            self._wait_for_news()
            for number, worker in enumerate(self._workers):
                verdict = worker.poll()
                if verdict is None:
                    continue
                verdicts[worker.row] = verdict
                worker.row = None
                if worker.is_dead:
                    self._replace(number)
        return verdicts

    def _replace(self, number: int) -> None:
        self._workers[number].stop()
        self._workers[number] = _Worker(self.timeout_seconds)

    def _wait_for_news(self) -> None:
        """Sleep until a worker says something or the earliest deadline is reached."""
        listened_to = [w for w in self._workers if w.row is not None or not w.is_ready]
        earliest = min(worker.deadline for worker in listened_to)
        seconds = max(0.0, earliest - time.monotonic())
        wait([worker.connection for worker in listened_to], timeout=seconds)


class _Worker:
    """One verifying process, the row it works on, and when that has to be finished."""

    def __init__(self, timeout_seconds: float):
        self.timeout_seconds = timeout_seconds
        self.row: int | None = None
        self.is_ready = False
        self.is_dead = False
        self.deadline = time.monotonic() + _START_SECONDS
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parent.parent)
        python_path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "verifiers.worker", str(theirs.fileno()), str(timeout_seconds)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": python_path, "OMP_NUM_THREADS": "1"},
        )
        theirs.close()
        self.connection = Connection(ours.detach())

    def start(self, row: int, jobs: list[tuple[str, str, str]]) -> None:
        self.row = row
        self.deadline = time.monotonic() + self.timeout_seconds
        try:
            self.connection.send(jobs[row])
        except OSError:  # it died just now: poll() sees the closed connection
            pass

    def poll(self) -> Verdict | None:
        """Return the verdict of the row in work, if it is settled in whichever way."""
        try:
            if self.connection.poll():
                message = self.connection.recv()
                if self.is_ready:
                    return Verdict(*message)
                self.is_ready = True
        except (EOFError, OSError) as error:
            if not self.is_ready:
                raise RuntimeError("a verifier process did not start: see its message") from error
            self.is_dead = True
            return Verdict(0.0, "error") if self.row is not None else None
        if time.monotonic() < self.deadline or (self.is_ready and self.row is None):
            return None
        if not self.is_ready:
            raise RuntimeError(f"a verifier process did not start within {_START_SECONDS} seconds")
        self.is_dead = True
        return Verdict(0.0, "timeout")

    def stop(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()
