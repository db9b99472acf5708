"""The supervisor of one job: runs each test in a confined process, and reports how it ended.

The supervisor is trusted. It runs no code of a solution and reads none of its output, which goes
to files that the client made and holds. It answers only when every process of a test is dead. With
namespaces it is process 1 of its own namespace, so killing it kills all. Only where a lone test
came with the job does the supervisor become the process of that test; the server, which is outside,
then reports how it ended.
"""

import gc
import json
import os
import resource
import select
import signal
import socket
import time
import types
from collections.abc import Callable

from verifiers.code import runner
from verifiers.code.asserts import RESULTS, TESTS, run_tests
from verifiers.code.peer import CHANNEL
from verifiers.code.solution import serve_solution
from verifiers.sandbox import file_tree, kernel
from verifiers.sandbox.walls import Resources, Walls

_CONNECTION = 3  # descriptor, in the place of the server's socket
_MEMORY_BYTES = 4 * 2**30  # address space of a process
_FILE_BYTES = 32 * 2**20  # of a file, and so of the output
_WORK_BYTES = 64 * 2**20  # of the work directory
_STACK_BYTES = 120 * 2**20  # the kernel leaves no more room for the main stack
_DESCRIPTORS = 256
_THREADS = 256
_POLL_SECONDS = 0.05  # between checks of the limits that the kernel does not enforce


def supervise(
    connection: socket.socket,
    program: int,
    message: bytes,
    work_directory: str,
    resources: Resources,
    files: list[int],
) -> None:
    """Run the tests that the client asks for, until it closes the connection.

    A lone test that comes with the job runs at once. With namespaces this process becomes the
    process of the test, which saves a fork, and the server tells the client how it ended.

    Args:
        files: descriptors of the input and output of a lone test; else empty.
        program: descriptor of a file with a JSON list of texts; the first that is Python runs.
        message: JSON, {"kind": "program", "function" or "asserts", "function": its name}.
    """
    gc.disable()  # the processes of tests enable it again
    kernel.die_with_parent()
    candidates = json.loads(os.pread(program, os.fstat(program).st_size, 0))
    os.dup2(connection.fileno(), _CONNECTION)
    connection.detach()
    if not files:
        kernel.close_from(resources.highest + 1)
    client = socket.socket(fileno=_CONNECTION)
    _limit(resource.RLIMIT_AS, _MEMORY_BYTES)
    if resources.walls.namespaces:
        kernel.map_own_ids(resources.proc, resources.uid, resources.gid)
        file_tree.mount_work_directory(_WORK_BYTES)
    else:
        kernel.adopt_orphans()
    _offer_to_be_killed(resources.proc)
    os.environ["HOME"] = os.environ["TMPDIR"] = work_directory
    code = runner.compile_first(candidates)
    if not code or not files:
        client.send(json.dumps({"state": "ready" if code else "no_code"}).encode())
    if not code:
        os._exit(0)
    description = json.loads(message)
    supervisor = _Supervisor(code, description, work_directory, resources)
    if not files:
        supervisor.answer_all(client)
    elif resources.walls.namespaces:
        client.detach()  # it is closed with all else that the test must not have
        supervisor.become_test(description["seconds"], files)
    else:
        answer = supervisor.run_test(description["seconds"], files)
        client.send(json.dumps(answer).encode())
    os._exit(0)


class _Supervisor:
    def __init__(
        self,
        code: types.CodeType,
        description: dict[str, str],
        work_directory: str,
        resources: Resources,
    ) -> None:
        self.code = code
        self.kind = description["kind"]
        self.function = description["function"]
        self.work_directory = work_directory
        self.resources = resources
        self.walls = resources.walls
        self.ruleset = self._make_ruleset()

    def _make_ruleset(self) -> int:
        if not self.walls.landlock:
            return -1
        writable = os.open(self.work_directory, os.O_PATH | os.O_CLOEXEC)
        ruleset = kernel.make_landlock_ruleset(self.resources.read_only, writable)
        os.close(writable)
        return ruleset

    def answer_all(self, client: socket.socket) -> None:
        while True:
            message, descriptors, _, _ = socket.recv_fds(client, 1024, 2)
            if not message:
                return
            seconds = json.loads(message)["seconds"]
            answer = self.run_test(seconds, descriptors)
            for descriptor in descriptors:
                os.close(descriptor)
            client.send(json.dumps(answer).encode())

    def run_test(self, seconds: float, descriptors: list[int]) -> dict[str, str | int]:
        """Run one test and return its state: "exit" with the status, or "timeout"."""
        deadline = time.monotonic() + seconds
        if self.kind == "asserts":
            decisive, others = self._fork_peers(seconds, descriptors)
        else:
            decisive, others = self._fork_lone(seconds, descriptors), []
        status = self._wait(decisive, deadline)
        for process in [decisive, *others]:
            _kill(process)
        self._end_strays()
        self._empty_work_directory()
        is_timeout = status is None or status == -signal.SIGXCPU
        return {"state": "timeout"} if is_timeout else {"state": "exit", "status": status}

    def become_test(self, seconds: float, descriptors: list[int]) -> None:
        """Confine this process and run the one test in it; this does not return."""
        leave = os._exit
        status = 1
        try:
            targets, run = self._prepare_lone(descriptors)
            self._confine(seconds, targets)
            gc.enable()
            status = run()
        finally:
            leave(status)

    def _fork_lone(self, seconds: float, descriptors: list[int]) -> int:
        targets, run = self._prepare_lone(descriptors)
        return self._fork(seconds, targets, run)

    def _prepare_lone(self, descriptors: list[int]) -> tuple[dict[int, int], Callable[[], int]]:
        """Return the descriptors (in, out) that a program or function gets, and what runs it."""
        if self.kind == "program":
            targets = dict(zip((0, 1), descriptors))
            return targets, lambda: runner.run_program(self.code)
        targets = dict(zip((runner.INPUT, runner.RESULT), descriptors))
        return targets, lambda: runner.run_function(self.code, self.function)

    def _fork_peers(self, seconds: float, descriptors: list[int]) -> tuple[int, list[int]]:
        """Fork the process of the tests, whose status decides, and the process of the solution.

        The solution's process does not inherit the tests and cannot find them: only the process of
        the tests reads them from the one descriptor, and notes their results in the other.
        """
        ours, theirs = socket.socketpair()
        solution_end = {CHANNEL: theirs.fileno()}
        tests_end = {CHANNEL: ours.fileno(), TESTS: descriptors[0], RESULTS: descriptors[1]}
        solution = self._fork(seconds, solution_end, lambda: serve_solution(self.code))
        tests = self._fork(seconds, tests_end, run_tests)
        ours.close()
        theirs.close()
        return tests, [solution]

    def _fork(self, seconds: float, targets: dict[int, int], run: Callable[[], int]) -> int:
        process = os.fork()
        if process:
            return process
        leave = os._exit
        status = 1
        try:
            self._confine(seconds, targets)
            gc.enable()
            status = run()
        finally:
            leave(status)

    def _confine(self, seconds: float, targets: dict[int, int]) -> None:
        """Put all walls around this process for good; targets: new descriptor: the one to keep."""
        os.setsid()
        _set_limits(seconds, self.walls)
        os.chdir(self.work_directory)
        kernel.forbid_new_privileges()
        kernel.drop_capabilities()
        if self.walls.landlock:
            kernel.restrict_with_landlock(self.ruleset)
        os.dup2(0, 2)
        for target, source in targets.items():
            os.dup2(source, target)
        kernel.close_from(max(2, *targets) + 1)
        kernel.die_with_parent()
        if self.walls.seccomp:
            self.resources.filter_template.install(os.getpid())

    def _wait(self, process: int, deadline: float) -> int | None:
        """Return the exit status (negative: the signal); None if the time runs out."""
        ended = os.pidfd_open(process)
        poll = select.poll()
        poll.register(ended, select.POLLIN)
        try:
            while (left := deadline - time.monotonic()) > 0:
                seconds = left if self.walls.namespaces else min(left, _POLL_SECONDS)
                if poll.poll(seconds * 1000 + 1):
                    result = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
                    is_exit = result.si_code == os.CLD_EXITED
                    return result.si_status if is_exit else -result.si_status
                if not self.walls.namespaces and self._is_over_limits(process):
                    return -signal.SIGKILL
            return None
        finally:
            os.close(ended)

    def _is_over_limits(self, process: int) -> bool:
        """Return whether the process has too many threads, or the work directory too many bytes."""
        size = _measure(self.work_directory)
        try:
            threads = len(os.listdir(f"/proc/{process}/task"))
        except OSError:  # it has just ended
            threads = 0
        return size > _WORK_BYTES or threads > _THREADS

    def _end_strays(self) -> None:
        """Kill what a test has left; under the seccomp filter it could start no process."""
        if self.walls.namespaces:
            _kill_all_others()
        elif not self.walls.seccomp:
            _kill_children()

    def _empty_work_directory(self) -> None:
        with os.scandir(self.work_directory) as entries:
            is_empty = next(entries, None) is None
        if not is_empty and self.walls.namespaces:
            file_tree.renew_work_directory(_WORK_BYTES)
            if self.walls.landlock:
                os.close(self.ruleset)
                self.ruleset = self._make_ruleset()
        elif not is_empty:
            file_tree.empty_directory(self.work_directory)


def _offer_to_be_killed(proc: int) -> None:
    """Have the kernel end this process, and not the training, if memory runs out."""
    descriptor = os.open("self/oom_score_adj", os.O_WRONLY, dir_fd=proc)
    os.write(descriptor, b"1000")
    os.close(descriptor)


def _limit(kind: int, value: int) -> None:
    """Set a limit for good; keep an existing lower one."""
    _, hard = resource.getrlimit(kind)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _set_limits(seconds: float, walls: Walls) -> None:
    cpu_seconds = int(seconds) + 2
    limits = {
        resource.RLIMIT_CPU: cpu_seconds,
        resource.RLIMIT_FSIZE: _FILE_BYTES,
        resource.RLIMIT_NOFILE: _DESCRIPTORS,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if walls.namespaces:  # outside, the kernel would count all processes of the user
        limits[resource.RLIMIT_NPROC] = _THREADS
    for kind, value in limits.items():
        _limit(kind, value)
    _, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if hard == resource.RLIM_INFINITY or hard > _STACK_BYTES:
        resource.setrlimit(resource.RLIMIT_STACK, (_STACK_BYTES, hard))


def _kill(process: int) -> None:
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)


def _kill_all_others() -> None:
    """As process 1, kill all other processes of the namespace."""
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        return


def _kill_children() -> None:
    """Kill all children, also those that become children when their parents die."""
    while True:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            children = file.read().split()
        if not children:
            return
        for child in children:
            _kill(int(child))


def _measure(directory: str) -> int:
    """Return the bytes in a directory and all below it; stop counting beyond the limit."""
    size, todo = 0, [directory]
    while todo and size <= _WORK_BYTES:
        try:
            with os.scandir(todo.pop()) as entries:
                for entry in entries:
                    size += 4096 + entry.stat(follow_symlinks=False).st_size
                    if entry.is_dir(follow_symlinks=False):
                        todo.append(entry.path)
        except FileNotFoundError:  # it has just been removed
            continue
        except OSError:  # its path is too long
            return _WORK_BYTES + 1
    return size
