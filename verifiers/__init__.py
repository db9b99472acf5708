"""Outcome rewards: is a response right? `Verifier` is the one entry point; it uses a process pool.

The pool (pool.py) runs in a fresh interpreter, so threads and CUDA in the caller are safe. It goes
on verifying while the caller does something else, and ends when the caller ends.
"""

import contextlib
import fcntl
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

ABILITIES = ("math", "code")  # abilities that have a verifier
STATUSES = "correct partial wrong copied forbidden no_answer timeout error".split()

_START_SECONDS = 120  # to import its libraries; a pool that takes longer is broken
_STOP_SECONDS = 5
_MOST_SECONDS = 10**6  # of a time limit; clocks and timers of the system take no endless one
# Other variables may hold keys, and programs run in processes forked from the pool.
_KEPT_ENVIRONMENT = """
    PATH HOME LANG LC_ALL LC_CTYPE TMPDIR LD_LIBRARY_PATH PYTHONHOME VIRTUAL_ENV CONDA_PREFIX
""".split()


@dataclass(frozen=True)
class Verdict:
    reward: float  # outcome reward r_o in [0, 1]
    status: str  # one of STATUSES


class Verifier:
    """A pool of processes that verify responses; use it in a with block.

    Threads may share it: their calls wait for each other. A process forked from this one may not.

    Args:
        num_workers: number of processes; None: one for each core that this process may use.
        timeout_seconds: wall-clock limit a row; a worker that exceeds it is killed and replaced.
        all_or_nothing: programs that pass only some tests get 0, not the share that they pass.
        allow_unsandboxed_code: run programs even where the system offers no sandbox.
        strict_form: refuse a maths answer that copies a formula of its question, or leaves work to
            do that the ground truth has done. It needs the questions; without, the value decides.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        timeout_seconds: float = 5.0,
        *,
        all_or_nothing: bool = False,
        allow_unsandboxed_code: bool = False,
        strict_form: bool = True,
    ):
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers = {num_workers} must be at least 1, or None")
        if not 0 < timeout_seconds <= _MOST_SECONDS:  # nan too
            raise ValueError(
                f"timeout_seconds = {timeout_seconds} must be a number of seconds above 0, "
                f"at most {_MOST_SECONDS:,}"
            )
        self.num_workers = num_workers or len(os.sched_getaffinity(0))
        self.timeout_seconds = timeout_seconds
        self.all_or_nothing = all_or_nothing
        self.allow_unsandboxed_code = allow_unsandboxed_code
        self.strict_form = strict_form
        self.sandbox_layers: dict[str, str] = {}  # layer: why it does not work; "" if it works
        self.sandbox_fault = ""  # why programs cannot run safely here, and what to enable
        self._lock = threading.RLock()
        self._process = 0  # the one that started the pool
        self._pool: subprocess.Popen | None = None
        self._socket: socket.socket | None = None
        self._connection: Connection | None = None
        self._rows: list[tuple[str, str, str, str | None]] = []  # submitted, not yet collected
        self._verdicts: list[Verdict | None] = []  # of these rows; None: not yet known

    def __enter__(self) -> "Verifier":
        self._start_pool()
        return self

    def __exit__(self, *exception) -> None:
        self._stop_pool()

    def verify(
        self,
        responses: Sequence[str],
        ground_truths: Sequence[str],
        abilities: Sequence[str],
        questions: Sequence[str | None] | None = None,
    ) -> list[Verdict]:
        """Return one verdict per row, in order, whatever a row does to its worker.

        A failure of the verifier itself ("timeout", "error") has reward 0. For errors see submit.
        """
        self._check_process()
        with self._lock:
            self.discard()  # rows that an interrupted call has left
            self.submit(responses, ground_truths, abilities, questions)
            return self.collect()

    def submit(
        self,
        responses: Sequence[str],
        ground_truths: Sequence[str],
        abilities: Sequence[str],
        questions: Sequence[str | None] | None = None,
    ) -> None:
        """Hand rows to the pool and return at once; the pool works on them meanwhile.

        Args:
            questions: the text of each question. None: it is not known, and the value decides;
                "": it is not known, and work left to do counts all the same (see strict_form).

        Raises:
            ValueError: an ability has no verifier.
            RuntimeError: no with block, or a code row where programs cannot run safely.
        """
        unknown = set(abilities) - set(ABILITIES)
        if unknown:
            raise ValueError(
                f"no verifier for ability {sorted(unknown)}; there is one for {ABILITIES}"
            )
        self._check_process()
        if "code" in abilities and self.sandbox_fault and not self.allow_unsandboxed_code:
            raise RuntimeError(self.sandbox_fault)
        if questions is None or not self.strict_form:
            questions = [None] * len(responses)
        rows = list(zip(responses, ground_truths, abilities, questions, strict=True))
        with self._lock:
            self._send_rows(list(enumerate(rows, start=len(self._rows))))
            self._rows += rows
            self._verdicts += [None] * len(rows)

    def collect(self, on_verdicts: Callable[[int], object] | None = None) -> list[Verdict]:
        """Wait for all rows submitted since the last call and return their verdicts, in order.

        Args:
            on_verdicts: called whenever verdicts arrive, with their number.
        """
        self._check_process()
        with self._lock:
            return self._collect(on_verdicts)

    def _collect(self, on_verdicts: Callable[[int], object] | None) -> list[Verdict]:
        deaths = 0
        while missing := [row for row, verdict in enumerate(self._verdicts) if verdict is None]:
            try:
                self._connection.send(("collect", None))
                news = self._connection.recv()
            except (OSError, EOFError):  # the pool died: its rows get one more try
                deaths += 1
                self._restart_pool()
                news = [(row, 0.0, "error") for row in missing] if deaths > 1 else []
                self._send_rows([(row, self._rows[row]) for row in missing] if not news else [])
            for row, reward, status in news:
                self._verdicts[row] = Verdict(reward, status)
            if on_verdicts and news:
                on_verdicts(len(news))
        verdicts, self._verdicts, self._rows = self._verdicts, [], []
        return verdicts

    def discard(self) -> None:
        """Forget the rows that were submitted and not yet collected."""
        with self._lock:
            if self._rows:
                self._check_process()
                self._stop_pool()
                self._start_pool()

    def _check_process(self) -> None:
        """Raise an error outside a with block, and in another process than its own.

        A forked process has a copy of the socket: it would take verdicts away from its parent.
        """
        if self._connection is None:
            raise RuntimeError("use Verifier in a with block")
        if self._process != os.getpid():
            raise RuntimeError(
                f"this Verifier belongs to process {self._process}; process {os.getpid()}, "
                "forked from it, must make its own"
            )

    def _send_rows(self, rows: list[tuple[int, tuple]]) -> None:
        message = pickle.dumps(("submit", rows))  # an error here changes nothing
        try:
            self._connection.send_bytes(message)
        except OSError:
            pass  # the pool died: collect() notices

    def _start_pool(self) -> None:
        self._process = os.getpid()
        self._socket, theirs = map(_move_up, socket.socketpair())
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
            stdout=subprocess.DEVNULL,
            stderr=None if _is_open(2) else subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for the caller to handle
            env={
                **{name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ},
                "PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")])),
                **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
            },
        )
        theirs.close()
        self._connection = Connection(fcntl.fcntl(self._socket, fcntl.F_DUPFD_CLOEXEC, 3))
        try:
            if not self._connection.poll(_START_SECONDS):
                raise RuntimeError(f"the verifier did not start within {_START_SECONDS} seconds")
            self.sandbox_layers, self.sandbox_fault = self._connection.recv()
        except (EOFError, OSError) as error:
            self._stop_pool()
            raise RuntimeError("the verifier did not start: see its message above") from error
        except BaseException:
            self._stop_pool()
            raise

    def _stop_pool(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                if self._process != os.getpid():  # only the process that started the pool ends it
                    raise ProcessLookupError
                # Unlike close, this works where a forked process holds a copy of the socket: the
                # pool sees it and ends, with all its processes.
                self._socket.shutdown(socket.SHUT_RDWR)
            self._socket.close()
            self._connection.close()
            self._connection = None
        if self._pool is not None and self._process == os.getpid():
            try:
                self._pool.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._pool.kill()
                self._pool.wait()
        self._pool = None
        self._rows, self._verdicts = [], []

    def _restart_pool(self) -> None:
        rows, verdicts = self._rows, self._verdicts
        self._stop_pool()
        self._start_pool()
        self._rows, self._verdicts = rows, verdicts


def _move_up(end: socket.socket) -> socket.socket:
    """Return the socket with a descriptor that no closed standard stream has left free."""
    with end:
        return socket.socket(fileno=fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 3))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True
