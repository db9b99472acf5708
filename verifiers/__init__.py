"""Outcome rewards: is a response right? `Verifier` is the one entry point; it uses a process pool.

The pool (pool.py) runs in a fresh interpreter, so threads and CUDA in the caller are safe. It goes
on verifying while the caller does something else, and ends when the caller ends.
"""

import contextlib
import fcntl
import itertools
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from checks.errors import UserError

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
    # Where VERIFIERS weighs functions; the first of them is the outcome:
    shaped_reward: float | None = None  # the weighted sum of their rewards
    parts: dict[str, tuple[float, str]] | None = None  # reward and status of each, by its name


def list_judges(verifiers: dict, ability: str) -> list[tuple[str, float]]:
    """Return what judges an ability, the outcome first, with weights in the policy's reward.

    Args:
        verifiers: the constant VERIFIERS; see docs/rewards.md.

    Returns:
        built-in abilities and functions, "file.py:function" or "module:function".
    """
    judges = verifiers.get(ability, ability)
    return [(judges, 1.0)] if isinstance(judges, str) else list(judges)


def collect_judges(verifiers: dict, abilities: Iterable[str]) -> set[str]:
    """Return all that judges some abilities: built-in abilities and functions."""
    return {judge for ability in abilities for judge, _ in list_judges(verifiers, ability)}


def name_rewards(verifiers: dict) -> list[str]:
    """Return the names of the functions that VERIFIERS weighs, without file or module."""
    weighed = [judges for judges in verifiers.values() if not isinstance(judges, str)]
    names = [judge.rpartition(":")[2] for judges in weighed for judge, _ in judges]
    return list(dict.fromkeys(names))


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
        verifiers: functions of the user's own by ability, the constant VERIFIERS.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        timeout_seconds: float = 5.0,
        *,
        all_or_nothing: bool = False,
        allow_unsandboxed_code: bool = False,
        strict_form: bool = True,
        verifiers: dict | None = None,
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
        self.verifiers = verifiers or {}
        self.sandbox_layers: dict[str, str] = {}  # layer: why it does not work; "" if it works
        self.sandbox_fault = ""  # why programs cannot run safely here, and what to enable
        self._lock = threading.RLock()
        self._process = 0  # the one that started the pool
        self._pool: subprocess.Popen | None = None
        self._socket: socket.socket | None = None
        self._connection: Connection | None = None
        self._abilities: list[str] = []  # of the responses submitted and not yet collected
        self._rows: list[tuple] = []  # what the pool works on: a row for each that judges
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
        rows: Sequence[dict | None] | None = None,
    ) -> list[Verdict]:
        """Return one verdict per row, in order, whatever a row does to its worker.

        A failure of the verifier itself ("timeout", "error") has reward 0. For errors see submit.
        """
        self._check_process()
        with self._lock:
            self.discard()  # rows that an interrupted call has left
            self.submit(responses, ground_truths, abilities, questions, rows)
            return self.collect()

    def submit(
        self,
        responses: Sequence[str],
        ground_truths: Sequence[str],
        abilities: Sequence[str],
        questions: Sequence[str | None] | None = None,
        rows: Sequence[dict | None] | None = None,
    ) -> None:
        """Hand rows to the pool and return at once; the pool works on them meanwhile.

        Args:
            questions: the text of each question. None: it is not known, and the value decides;
                "": it is not known, and work left to do counts all the same (see strict_form).
            rows: for functions of verifiers that take a row.

        Raises:
            ValueError: an ability has no verifier.
            RuntimeError: no with block, or a code row where programs cannot run safely.
        """
        unknown = set(abilities) - set(ABILITIES) - set(self.verifiers)
        if unknown:
            raise ValueError(
                f"no verifier for ability {sorted(unknown)}; there is one for {ABILITIES}"
            )
        self._check_process()
        if questions is None or not self.strict_form:
            questions = [None] * len(responses)
        jobs = []
        for response, truth, ability, question, row in zip(
            responses,
            ground_truths,
            abilities,
            questions,
            rows or [None] * len(responses),
            strict=True,
        ):
            for judge, _ in list_judges(self.verifiers, ability):
                rest = (question,) if judge in ABILITIES else (None, row)
                jobs.append((response, truth, judge, *rest))
        is_code = any(job[2] == "code" for job in jobs)
        if is_code and self.sandbox_fault and not self.allow_unsandboxed_code:
            raise RuntimeError(self.sandbox_fault)
        with self._lock:
            self._send_rows(list(enumerate(jobs, start=len(self._rows))))
            self._abilities += abilities
            self._rows += jobs
            self._verdicts += [None] * len(jobs)

    def collect(self, on_verdicts: Callable[[int], object] | None = None) -> list[Verdict]:
        """Wait for all rows submitted since the last call and return their verdicts, in order.

        Args:
            on_verdicts: called whenever verdicts on outcomes arrive, with their number.
        """
        self._check_process()
        with self._lock:
            return self._collect(on_verdicts)

    def _collect(self, on_verdicts: Callable[[int], object] | None) -> list[Verdict]:
        deaths = 0
        counts = [len(list_judges(self.verifiers, ability)) for ability in self._abilities]
        outcomes = set(itertools.accumulate(counts, initial=0))  # rows; one more at the end
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
                on_verdicts(sum(row in outcomes for row, *_ in news))
        verdicts, abilities = iter(self._verdicts), self._abilities
        self._verdicts, self._rows, self._abilities = [], [], []
        return [self._join(ability, verdicts) for ability in abilities]

    def _join(self, ability: str, verdicts: Iterator[Verdict]) -> Verdict:
        """Take the next verdicts, one for each that judges the ability, and make them one."""
        judges = self.verifiers.get(ability, ability)
        if isinstance(judges, str):
            return next(verdicts)
        own = list(itertools.islice(verdicts, len(judges)))
        shaped = sum(weight * verdict.reward for (_, weight), verdict in zip(judges, own))
        names = [judge.rpartition(":")[2] for judge, _ in judges]
        parts = {name: (verdict.reward, verdict.status) for name, verdict in zip(names, own)}
        return Verdict(own[0].reward, own[0].status, shaped, parts)

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
            "functions": sorted(collect_judges(self.verifiers, self.verifiers) - set(ABILITIES)),
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
            self.sandbox_layers, self.sandbox_fault, own_fault = self._connection.recv()
            if own_fault:
                raise UserError(own_fault)
        except (EOFError, OSError) as error:
            self._stop_pool()
            hint = ", or a file of VERIFIERS ended it" if self.verifiers else ""
            message = f"the verifier did not start: see its message above{hint}"
            raise RuntimeError(message) from error
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
        self._abilities, self._rows, self._verdicts = [], [], []

    def _restart_pool(self) -> None:
        submitted = self._abilities, self._rows, self._verdicts
        self._stop_pool()
        self._start_pool()
        self._abilities, self._rows, self._verdicts = submitted


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
