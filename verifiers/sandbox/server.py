"""The code server: forks a supervisor for each job, and kills the jobs that lose their client.

The server is a small process with one thread. It has loaded the modules that solutions import, and
it never sees an expected result. A job arrives with its socket and its program. The supervisor
(supervisor.py) runs in its own namespaces, where the system has them, and answers on the socket.
When the client closes the socket, the server kills the supervisor and all that it has started.
"""

import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass

from verifiers.sandbox import file_tree, kernel
from verifiers.sandbox.seccomp import FilterTemplate
from verifiers.sandbox.walls import Resources, Walls

NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
)
READY = b"ready"
MESSAGE_BYTES = 65536  # of the description of a job
_NOBODY = 65534
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass
class _Job:
    process: int
    ended: int  # descriptor; readable once the supervisor has ended
    connection: socket.socket  # of the supervisor; shows that the client has gone
    work_directory: str
    is_lone: bool  # the process of a lone test: the server reports how it ended


def serve(requests: socket.socket, walls: Walls, with_numpy: bool) -> None:
    """Serve jobs until every client has closed the other end of the socket."""
    requests = _leave_the_caller(requests)
    # Only now: libraries read the environment while they load.
    from verifiers.code import runner
    from verifiers.sandbox.supervisor import supervise

    if with_numpy:
        import numpy  # still as the user who can read it

        if numpy.__file__ is None:
            raise RuntimeError("numpy cannot be read")
    resources = _prepare(walls)
    runner.prepare(with_numpy)
    gc.collect()
    gc.freeze()  # a garbage collection in a child would copy all pages
    requests.send(READY)
    server = _Server(requests, resources, supervise)
    try:
        server.run()
    finally:
        server.end_all()


def _leave_the_caller(requests: socket.socket) -> socket.socket:
    """Give up everything of the process that forked this one except the socket and stderr."""
    os.setsid()  # Ctrl-C is for the caller; this process ends when its clients have gone
    for number in (signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_IGN)
    for number in (signal.SIGTERM, signal.SIGCHLD, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    null = os.open(os.devnull, os.O_RDWR)
    moved = os.dup(requests.fileno())
    for target in (0, 1):
        os.dup2(null, target)
    os.dup2(moved, 3)
    requests.detach()
    kernel.close_from(4)
    os.environ.clear()
    os.environ.update(_ENVIRONMENT)
    warnings.simplefilter("ignore")
    return socket.socket(fileno=3)


def _prepare(walls: Walls) -> Resources:
    paths = file_tree.find_read_paths()
    sys.path[:] = [path for path in sys.path if path.startswith(tuple(paths))]
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    work_root = ""
    if walls.namespaces:
        _enter_own_mounts(paths)
    else:
        work_root = tempfile.mkdtemp(prefix="solutions-", dir=_scratch_folder())
        if os.geteuid() == 0:
            _become_nobody_if_able_to_read(paths, work_root)
        kernel.drop_capabilities()
    read_only = file_tree.open_paths(paths) if walls.landlock else []
    template = FilterTemplate() if walls.seccomp else None
    ids = os.geteuid(), os.getegid()
    return Resources(walls, work_root, proc, *ids, read_only, template)


def _enter_own_mounts(paths: list[str]) -> None:
    """Make the file tree that all runs copy; root then becomes user nobody."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
        except OSError:  # root without this capability, as in a container
            pass
        else:
            file_tree.enter_tree(paths)
            _become_nobody()
            return
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    kernel.map_own_ids(proc, uid, gid)
    os.close(proc)
    file_tree.enter_tree(paths)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    kernel.allow_own_proc_files()


def _become_nobody_if_able_to_read(paths: list[str], work_root: str) -> None:
    """Become user nobody; stay root, without capabilities, where only root can read Python."""
    child = os.fork()
    if child == 0:
        try:
            _become_nobody()
            os._exit(0 if all(os.access(path, os.R_OK) for path in paths) else 1)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1] == 0:
        os.chown(work_root, _NOBODY, _NOBODY)
        _become_nobody()


def _scratch_folder() -> str:
    """Return the folder of the work directories: in memory, if the system has such a folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else tempfile.gettempdir()


class _Server:
    """The server's loop: starts new jobs, and ends those whose client or supervisor has ended."""

    def __init__(
        self, requests: socket.socket, resources: Resources, supervise: Callable[..., None]
    ) -> None:
        self.requests = requests
        self.resources = resources
        self.supervise = supervise
        self.jobs: dict[int, _Job] = {}  # by descriptor; each job has two
        self.poll = select.poll()
        self.poll.register(requests, select.POLLIN)
        self.started = 0

    def run(self) -> None:
        while True:
            for descriptor, _ in self.poll.poll():
                if descriptor == self.requests.fileno():
                    if not self._start_job():
                        return
                elif descriptor in self.jobs:
                    self._end_job(descriptor, self.jobs[descriptor])

    def _start_job(self) -> bool:
        """Take a job from the socket; return False when no client is left."""
        message, descriptors, _, _ = socket.recv_fds(self.requests, MESSAGE_BYTES, 4)
        if not message:
            return False
        if len(descriptors) in (2, 4):
            connection = socket.socket(fileno=descriptors[0])
            try:
                self._fork_supervisor(connection, descriptors[1:], message)
            except OSError:  # no memory or no space: the client sees its connection end
                sys.excepthook(*sys.exc_info())
                connection.close()
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        return True

    def _fork_supervisor(self, connection: socket.socket, files: list[int], message: bytes) -> None:
        walls = self.resources.walls
        self.started += 1
        work_directory = file_tree.WORK_DIRECTORY
        if not walls.namespaces:
            work_directory = f"{self.resources.work_root}/{self.started}"
            os.mkdir(work_directory, 0o700)
        process = kernel.fork_into(NAMESPACES if walls.namespaces else 0)
        if process == 0:
            try:
                arguments = (message, work_directory, self.resources, files[1:])
                self.supervise(connection, files[0], *arguments)
            except BaseException:  # our own error: the client sees the end, stderr the message
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        is_lone = len(files) > 1 and walls.namespaces
        job = _Job(process, os.pidfd_open(process), connection, work_directory, is_lone)
        for descriptor, event in ((job.ended, select.POLLIN), (connection.fileno(), 0)):
            self.poll.register(descriptor, event)  # 0: report only that the client hangs up
            self.jobs[descriptor] = job

    def _end_job(self, descriptor: int, job: _Job) -> None:
        """Kill a job that has lost its client; clean up once its process has ended."""
        if descriptor == job.connection.fileno():
            self._forget(descriptor)
            signal.pidfd_send_signal(job.ended, signal.SIGKILL)
            return
        for known in (job.ended, job.connection.fileno()):
            self._forget(known)
        status = os.waitstatus_to_exitcode(os.waitpid(job.process, 0)[1])
        os.close(job.ended)
        if job.is_lone:
            is_timeout = status == -signal.SIGXCPU
            answer = {"state": "timeout" if is_timeout else "exit", "status": status}
            with contextlib.suppress(OSError):  # the client has gone
                job.connection.send(json.dumps(answer).encode(), socket.MSG_DONTWAIT)
        job.connection.close()
        if not self.resources.walls.namespaces:
            _remove(job.work_directory)

    def _forget(self, descriptor: int) -> None:
        if self.jobs.pop(descriptor, None):
            self.poll.unregister(descriptor)

    def end_all(self) -> None:
        for job in {job.process: job for job in self.jobs.values()}.values():
            signal.pidfd_send_signal(job.ended, signal.SIGKILL)
            self._end_job(job.ended, job)
        if self.resources.work_root:
            _remove(self.resources.work_root)


def _remove(directory: str) -> None:
    with contextlib.suppress(OSError):
        file_tree.empty_directory(directory)
        os.rmdir(directory)
