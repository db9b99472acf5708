"""Outcome rewards: is a response right? One entry point, `Verifier`, over a pool of processes.

The pool is a process of its own (pool.py), a fresh interpreter, so threads and CUDA in the caller
are safe. It goes on verifying while the caller does something else, and ends when the caller ends.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ABILITIES = ("math", "code")  # abilities there is a verifier for
STATUSES = ("correct", "partial", "wrong", "no_answer", "timeout", "error")

_START_SECONDS = 120  # a pool that takes longer to import its libraries is broken
_STOP_SECONDS = 5


@dataclass(frozen=True)
class Verdict:
    reward: float  # outcome reward r_o in [0, 1]
    status: str  # one of STATUSES


class Verifier:
    """A pool of verifying processes, to be used in a with block.

    Args:
        num_workers: processes; None for one for each core this process may use.
        timeout_seconds: wall-clock limit a row; a worker that exceeds it is killed and replaced.
        all_or_nothing: programs that pass some of their tests get 0, not the fraction they pass.
        allow_unsandboxed_code: run programs even where the system offers no sandbox.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        timeout_seconds: float = 5.0,
        *,
        all_or_nothing: bool = False,
        allow_unsandboxed_code: bool = False,
    ):
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.timeout_seconds = timeout_seconds
        self.all_or_nothing = all_or_nothing
        self.allow_unsandboxed_code = allow_unsandboxed_code
        self.sandbox_layers: dict[str, str] = {}  # layer: why it does not work, "" if it does
        self.sandbox_fault = ""  # why programs cannot be run safely here, and what to enable
        self._pool: subprocess.Popen | None = None
        self._connection: Connection | None = None
        self._verdicts: list[Verdict | None] = []  # of the rows submitted and not yet collected

    def __enter__(self) -> "Verifier":
        self._start_pool()
        return self

    def __exit__(self, *exception) -> None:
        self._stop_pool()

    def verify(
        self, responses: Sequence[str], ground_truths: Sequence[str], abilities: Sequence[str]
    ) -> list[Verdict]:
        """Return one verdict a row, in order, whatever a row does to its worker.

        A failure of the verifier itself ("timeout", "error") has reward 0. Errors: see submit.
        """
        self.submit(responses, ground_truths, abilities)
        return self.collect()

    def submit(
        self, responses: Sequence[str], ground_truths: Sequence[str], abilities: Sequence[str]
    ) -> None:
        """Hand rows to the pool and return while it works on them.

        Raises:
            ValueError: an ability without a verifier.
            RuntimeError: outside a with block, or code where it cannot be run safely.
        """
        unknown = set(abilities) - set(ABILITIES)
        if unknown:
            raise ValueError(
                f"no verifier for ability {sorted(unknown)}; there is one for {ABILITIES}"
            )
        if self._connection is None:
            raise RuntimeError("use Verifier in a with block")
        if "code" in abilities and self.sandbox_fault and not self.allow_unsandboxed_code:
            raise RuntimeError(self.sandbox_fault)
        first = len(self._verdicts)
        rows = list(zip(responses, ground_truths, abilities, strict=True))
        self._verdicts += [None] * len(rows)
        try:
            self._connection.send(("submit", list(enumerate(rows, start=first))))
        except OSError:
            pass  # the pool died: collect() sees it

    def collect(self, on_verdicts: Callable[[int], object] | None = None) -> list[Verdict]:
        """Wait for all rows submitted since the last call and return their verdicts, in order.

        Args:
            on_verdicts: called with the number of verdicts that have come in, as they do.
        """
        if self._connection is None:
            raise RuntimeError("use Verifier in a with block")
        missing = sum(verdict is None for verdict in self._verdicts)
        while missing:
            try:
                self._connection.send(("collect", None))
                news = self._connection.recv()
            except (OSError, EOFError):  # the pool died: its rows are lost, the next ones are not
                self._restart_pool()
                news = [(row, 0.0, "error") for row, v in enumerate(self._verdicts) if v is None]
            for row, reward, status in news:
                self._verdicts[row] = Verdict(reward, status)
            missing -= len(news)
            if on_verdicts:
                on_verdicts(len(news))
        verdicts, self._verdicts = self._verdicts, []
        return verdicts

    def _start_pool(self) -> None:
        ours, theirs = socket.socketpair()
        root = str(Path(__file__).resolve().parent.parent)
        settings = {
            "num_workers": self.num_workers,
            "timeout_seconds": self.timeout_seconds,
            "all_or_nothing": self.all_or_nothing,
        }
        command = [sys.executable, "-P", "-m", "verifiers.pool"]
        self._pool = subprocess.Popen(
            [*command, str(theirs.fileno()), json.dumps(settings)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is the caller's to handle
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
                **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            },
        )
        theirs.close()
        self._connection = Connection(ours.detach())
        try:
            if not self._connection.poll(_START_SECONDS):
                raise RuntimeError(f"the verifier did not start within {_START_SECONDS} seconds")
            self.sandbox_layers, self.sandbox_fault = self._connection.recv()
        except (EOFError, OSError, RuntimeError) as error:
            self._stop_pool()
            if isinstance(error, RuntimeError):
                raise
            raise RuntimeError("the verifier did not start: see its message above") from error

    def _stop_pool(self) -> None:
        if self._connection is not None:
            self._connection.close()  # the pool sees it and ends, with all its processes
            self._connection = None
        if self._pool is not None:
            try:
                self._pool.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._pool.kill()
                self._pool.wait()
            self._pool = None
        self._verdicts = []

    def _restart_pool(self) -> None:
        verdicts = self._verdicts
        self._stop_pool()
        self._start_pool()
        self._verdicts = verdicts
