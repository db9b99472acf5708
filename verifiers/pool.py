r"""The pool process of a Verifier: forks workers, gives them rows, kills those that take too long.

    caller -- socket --> pool -- fork --> workers --> verdicts
                          \-- fork (first, while small) --> code servers --> sandboxes

The libraries are loaded once, so replacing a worker costs a fork and not a start of Python.
verifiers/__init__.py starts this module.
"""

import ctypes
import json
import os
import re
import resource
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from multiprocessing.connection import Connection, wait

from checks.errors import UserError
from verifiers import own
from verifiers.sandbox.kernel import adopt_orphans
from verifiers.sandbox.layers import detect_layers, explain, is_safe, start_server

_MEMORY_BYTES = 4 * 2**30  # address space of a worker; beyond it, a row ends in MemoryError
_JOBS_PER_WORKER = 2000  # then it is replaced, with all that it has cached or leaked
_MAX_DEATHS = 100  # of workers in a row; more mean that something is wrong with all of them
_CODE_GRACE_SECONDS = 1.0  # a worker limits programs itself; if it fails, it is killed
_PR_SET_PDEATHSIG = 1

_OUT_OF_MEMORY = "ran out of memory: reward 0, status error"

_NUMPY = re.compile(r"\bnumpy\b|\bnp\.|\bscipy\b|\bpandas\b")  # in programs that use it

# response, ground truth, judge (a built-in ability or a function), question; a function: and row
Job = tuple[str, str, str, str | None] | tuple[str, str, str, None, dict]
CodeServers = tuple[socket.socket, ...]  # without and with numpy; none if they do not start


class _Worker:
    """A forked process, the row it works on, and the deadline of the row."""

    def __init__(self, pid: int, connection: Connection):
        self.pid = pid
        self.connection = connection
        self.row: int | None = None
        self.job: Job | None = None
        self.deadline = float("inf")
        self.jobs_left = _JOBS_PER_WORKER

    def stop(self) -> None:
        self.connection.close()
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


class _Pool:
    def __init__(
        self,
        caller: Connection,
        code_servers: CodeServers,
        settings: dict,
        functions: dict[str, Callable],
    ):
        self.caller = caller
        self.code_servers = code_servers
        self.settings = settings
        self.functions = functions  # of VERIFIERS
        self.told: set[tuple[str, str]] = set()  # functions, and what the user knows of them
        self.children = own.list_children()  # code servers, and what the functions' files started
        self.waiting: deque[tuple[int, Job]] = deque()
        self.retried: set[int] = set()  # rows on their second try
        self.verdicts: list[tuple[int, float, str]] = []  # not yet sent
        self.is_asked = False
        self.deaths = 0  # of workers, without a verdict in between
        self.workers: list[_Worker] = []
        for _ in range(settings["num_workers"]):
            self.workers.append(self.start_worker(self.workers))

    def run(self) -> None:
        """Serve until the caller or a code server ends, or until too many workers die in a row."""
        while True:
            self.assign()
            deadline = min((worker.deadline for worker in self.workers), default=float("inf"))
            seconds = None if deadline == float("inf") else max(0.0, deadline - time.monotonic())
            connections = [worker.connection for worker in self.workers]
            ready = set(wait([self.caller, *self.code_servers, *connections], timeout=seconds))
            if ready & set(self.code_servers) or (self.caller in ready and not self.listen()):
                return
            for worker in list(self.workers):
                if worker.connection in ready:
                    self.read(worker)
                elif time.monotonic() >= worker.deadline:
                    self.tell(
                        worker, "ran out of time (VERIFIER_TIMEOUT): reward 0, status timeout"
                    )
                    self.settle(worker, 0.0, "timeout")
                    self.replace(worker)
            if self.deaths > _MAX_DEATHS:
                return
            if self.is_asked and self.verdicts:
                self.is_asked = False
                try:
                    self.caller.send(self.verdicts)
                except OSError:
                    return
                self.verdicts = []

    def listen(self) -> bool:
        """Take a message from the caller; return whether the caller is still there."""
        try:
            kind, rows = self.caller.recv()
        except (EOFError, OSError):
            return False
        if kind == "submit":
            self.waiting.extend(rows)
        else:
            self.is_asked = True
        return True

    def assign(self) -> None:
        """Give each idle worker a row, as long as rows are waiting."""
        for worker in list(self.workers):
            if worker.row is not None or not self.waiting:
                continue
            if worker.connection.poll():  # it died while it had nothing to do
                worker = self.replace(worker)
            worker.row, worker.job = self.waiting.popleft()
            is_code = worker.job[2] == "code"
            limit = self.settings["timeout_seconds"] + (_CODE_GRACE_SECONDS if is_code else 0.0)
            worker.deadline = time.monotonic() + limit
            try:
                worker.connection.send(worker.job)
            except OSError:  # it died just now: read() settles the row
                pass

    def read(self, worker: _Worker) -> None:
        try:
            reward, status, *news = worker.connection.recv()
        except (EOFError, OSError):
            self.give_up(worker)
            self.replace(worker)
            return
        self.deaths = 0
        if news:
            self.tell(worker, *news)
        self.settle(worker, reward, status)
        worker.jobs_left -= 1
        if worker.jobs_left == 0 or _OUT_OF_MEMORY in news:  # the rows after it need room
            self.replace(worker)

    def give_up(self, worker: _Worker) -> None:
        """Give the row of a dead worker another try: the row may not be why the worker died."""
        if worker.row is None or worker.job[2] not in self.functions:
            self.deaths += 1  # a function can kill its worker for every row: others go on
        if worker.row is None:
            return
        if worker.row in self.retried:
            self.tell(worker, "ended its worker process: reward 0, status error")
            self.settle(worker, 0.0, "error")
        else:
            self.retried.add(worker.row)
            self.waiting.appendleft((worker.row, worker.job))

    def settle(self, worker: _Worker, reward: float, status: str) -> None:
        self.verdicts.append((worker.row, reward, status))
        self.retried.discard(worker.row)
        worker.row, worker.job, worker.deadline = None, None, float("inf")

    def tell(self, worker: _Worker, what: str, details: str = "") -> None:
        """Write to the user, once, what a function of VERIFIERS did wrong."""
        judge = worker.job[2]
        if judge in self.functions and (judge, what) not in self.told:
            self.told.add((judge, what))
            os.write(2, f"VERIFIERS: {judge} {what} (said once){details}\n".encode())

    def end_strays(self) -> None:
        """Kill what functions have started and left, once their worker is gone."""
        if self.functions:
            own.end_strays(self.children | {worker.pid for worker in self.workers})

    def replace(self, worker: _Worker) -> _Worker:
        worker.stop()
        self.end_strays()
        others = [other for other in self.workers if other is not worker]
        fresh = self.start_worker(others)
        self.workers[self.workers.index(worker)] = fresh
        return fresh

    def start_worker(self, others: list[_Worker]) -> _Worker:
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                ours.close()
                self.caller.close()
                for other in others:
                    other.connection.close()
                connection = Connection(theirs.detach())
                _work(connection, self.code_servers, self.settings, self.functions)
                status = 0
            finally:
                os._exit(status)
        theirs.close()
        return _Worker(pid, Connection(ours.detach()))


def _work(
    connection: Connection,
    code_servers: CodeServers,
    settings: dict,
    functions: dict[str, Callable],
) -> None:
    """Answer each job that the pool sends with a verdict, until it closes the connection."""
    from verifiers.code.program import grade as grade_program  # loaded by main()
    from verifiers.math.answer import grade as grade_answer

    _die_with_parent()
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(hard, _MEMORY_BYTES)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if functions:
        adopt_orphans()
    timeout_seconds, all_or_nothing = settings["timeout_seconds"], settings["all_or_nothing"]
    while True:
        try:
            response, ground_truth, judge, question, *row = connection.recv()
        except EOFError:
            return
        try:
            if judge == "math":
                verdict = grade_answer(response, ground_truth, question)
            elif judge == "code":
                uses_numpy = _NUMPY.search(f"{response} {ground_truth}")
                server = code_servers[-1 if uses_numpy else 0]
                verdict = grade_program(
                    response, ground_truth, server, timeout_seconds, all_or_nothing
                )
            else:
                verdict = _ask(functions[judge], response, ground_truth, *row)
        except Exception:  # an error of ours or of a library: reward 0, which the caller counts
            verdict = (0.0, "error")
        connection.send(verdict)


def _ask(function: Callable, response: str, ground_truth: str, row: dict) -> tuple:
    """Return a function's reward and status, and if it did wrong, what and its traceback."""
    reward, status, fault = own.call(function, response, ground_truth, row)
    if own.end_strays():
        return reward, status, "left a process running, which was killed; its reward counts"
    if fault:
        what = _OUT_OF_MEMORY if fault.endswith("MemoryError") else "failed: reward 0, status error"
        return reward, status, what, "\n" + fault
    return reward, status


def _die_with_parent() -> None:
    parent = os.getppid()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


def main() -> None:
    caller = Connection(int(sys.argv[1]))
    settings = json.loads(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # a caller may ignore it, which is inherited
    layers = detect_layers()
    fault = "" if is_safe(layers) else explain(layers)
    code_servers: CodeServers = ()
    try:  # first, while this process is small; the server without numpy forks faster
        for with_numpy in (False, True):
            code_servers += (start_server(layers, with_numpy),)
    except RuntimeError as error:  # maths needs none; programs use the first, if it started
        fault = fault or ("" if code_servers else str(error))
    import verifiers.code.program  # loaded once, for all workers
    import verifiers.math.answer  # noqa: F401

    try:
        functions = own.load_functions(settings["functions"])
    except UserError as error:
        caller.send((layers, fault, str(error)))
        return
    if functions:
        adopt_orphans()
    caller.send((layers, fault, ""))
    pool = _Pool(caller, code_servers, settings, functions)
    try:
        pool.run()
    finally:
        for worker in pool.workers:
            worker.stop()
        pool.end_strays()


if __name__ == "__main__":
    main()
