"""The code server: forks a supervisor for each job, and ends what has lost its client.

It is a small process with one thread that has loaded what solutions import, and it never sees
an expected result. A job arrives with its socket and its program; the supervisor runs in
namespaces of its own (where there are any) and answers on the socket. When the client closes
the socket, the server kills the supervisor, and with it all it has started.
"""

import contextlib
import gc
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import warnings
from dataclasses import dataclass, field

from verifiers import sandbox_kernel as kernel
from verifiers import sandbox_tree as tree
from verifiers.sandbox_seccomp import FilterTemplate

NAMESPACES = (
    kernel.CLONE_NEWUSER
    | kernel.CLONE_NEWPID
    | kernel.CLONE_NEWNS
    | kernel.CLONE_NEWNET
    | kernel.CLONE_NEWIPC
)
READY = b"ready"
MESSAGE_BYTES = 65536  # of a job's description
_NOBODY = 65534
_ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


@dataclass(frozen=True)
class Walls:
    """The layers of the sandbox that are used."""

    namespaces: bool
    landlock: bool
    seccomp: bool


@dataclass(frozen=True)
class Resources:
    """What the server prepares once and every supervisor uses."""

    walls: Walls
    work_root: str  # the folder of the work directories, "" with namespaces
    proc: int  # descriptor of /proc
    uid: int  # of the server: in a new user namespace a process has none until it is mapped
    gid: int
    read_only: list[int] = field(default_factory=list)  # O_PATH descriptors
    filter_template: FilterTemplate | None = None

    @property
    def highest(self) -> int:
        return max([2, self.proc, *self.read_only])


@dataclass
class _Job:
    process: int
    ended: int  # descriptor, readable when the supervisor has ended
    connection: socket.socket  # its end of the client's socket, to see the client go
    work_directory: str
    is_lone: bool  # it is the process of a lone test: the server says how it ended


def serve(requests: socket.socket, walls: Walls, with_numpy: bool) -> None:
    """Serve jobs until every client has closed the other end of the socket."""
    requests = _leave_the_caller(requests)
    from verifiers import code_runner, sandbox_supervisor  # after the environment is set

    if with_numpy:
        import numpy  # as the user it is installed for

        if numpy.__file__ is None:
            raise RuntimeError("numpy cannot be read")
    resources = _prepare(walls)
    code_runner.prepare(with_numpy)
    gc.collect()
    gc.freeze()  # a collection in a child would copy all pages
    requests.send(READY)
    server = _Server(requests, resources, sandbox_supervisor.supervise)
    try:
        server.run()
    finally:
        server.end_all()


def _leave_the_caller(requests: socket.socket) -> socket.socket:
    """Keep nothing of the process that forked this one but the socket and stderr."""
    os.setsid()  # Ctrl-C is for the caller: this process ends when its clients have gone
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
    paths = tree.find_read_paths()
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
    read_only = tree.open_paths(paths) if walls.landlock else []
    template = FilterTemplate() if walls.seccomp else None
    ids = os.geteuid(), os.getegid()
    return Resources(walls, work_root, proc, *ids, read_only, template)


def _enter_own_mounts(paths: list[str]) -> None:
    """Make the tree that all runs copy; as root, become nobody afterwards."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        try:
            kernel.unshare(kernel.CLONE_NEWNS)
        except OSError:  # root without the capability, as in a container
            pass
        else:
            tree.enter_tree(paths)
            _become_nobody()
            return
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    kernel.unshare(kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS)
    kernel.map_own_ids(proc, uid, gid)
    os.close(proc)
    tree.enter_tree(paths)


def _become_nobody() -> None:
    os.setgroups([])
    os.setresgid(_NOBODY, _NOBODY, _NOBODY)
    os.setresuid(_NOBODY, _NOBODY, _NOBODY)
    kernel.allow_own_proc_files()


def _become_nobody_if_able_to_read(paths: list[str], work_root: str) -> None:
    """Where Python lies in root's own home, root without capabilities has to do."""
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
    """Return where work directories go: memory, if there is such a folder."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK | os.X_OK) else tempfile.gettempdir()


class _Server:
    """The loop of the server: new jobs, clients that have gone, supervisors that have ended."""

    def __init__(self, requests: socket.socket, resources: Resources, supervise) -> None:
        self.requests = requests
        self.resources = resources
        self.supervise = supervise
        self.jobs: dict[int, _Job] = {}  # by both descriptors
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
        """Take a job from the socket; False when no client is left."""
        message, descriptors, _, _ = socket.recv_fds(self.requests, MESSAGE_BYTES, 4)
        if not message:
            return False
        if len(descriptors) in (2, 4):
            connection = socket.socket(fileno=descriptors[0])
            try:
                self._fork_supervisor(connection, descriptors[1:], message)
            except OSError:  # no memory, no room: this job's client sees the connection end
                sys.excepthook(*sys.exc_info())
                connection.close()
            for descriptor in descriptors[1:]:
                os.close(descriptor)
        return True

    def _fork_supervisor(self, connection: socket.socket, files: list[int], message: bytes) -> None:
        walls = self.resources.walls
        self.started += 1
        work_directory = tree.WORK_DIRECTORY
        if not walls.namespaces:
            work_directory = f"{self.resources.work_root}/{self.started}"
            os.mkdir(work_directory, 0o700)
        process = kernel.fork_into(NAMESPACES if walls.namespaces else 0)
        if process == 0:
            try:
                arguments = (message, work_directory, self.resources, files[1:])
                self.supervise(connection, files[0], *arguments)
            except BaseException:  # of ours: the client sees the end, a person the message
                sys.excepthook(*sys.exc_info())
            finally:
                os._exit(1)
        is_lone = len(files) > 1 and walls.namespaces
        job = _Job(process, os.pidfd_open(process), connection, work_directory, is_lone)
        for descriptor, event in ((job.ended, select.POLLIN), (connection.fileno(), 0)):
            self.poll.register(descriptor, event)  # no event: only that the client hangs up
            self.jobs[descriptor] = job

    def _end_job(self, descriptor: int, job: _Job) -> None:
        """Kill what has lost its client; once it has ended, and only then, wait for it."""
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
            shutil.rmtree(job.work_directory, ignore_errors=True)

    def _forget(self, descriptor: int) -> None:
        if self.jobs.pop(descriptor, None):
            self.poll.unregister(descriptor)

    def end_all(self) -> None:
        for job in {job.process: job for job in self.jobs.values()}.values():
            signal.pidfd_send_signal(job.ended, signal.SIGKILL)
            self._end_job(job.ended, job)
        if self.resources.work_root:
            shutil.rmtree(self.resources.work_root, ignore_errors=True)
