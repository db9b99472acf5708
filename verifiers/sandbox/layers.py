"""Finds which layers of the sandbox work on this system, and starts the server that uses them.

The sandbox has two walls. Each is sufficient on its own, and at least one must work: namespaces
(user, pid, mount, network, ipc) with a file system that holds nothing but Python, or Landlock.
Either needs a seccomp filter beside it. Resource limits always apply.
"""

import os
import socket
import sys
from collections.abc import Callable

from verifiers.sandbox import file_tree, kernel
from verifiers.sandbox.seccomp import FilterTemplate
from verifiers.sandbox.server import READY, serve
from verifiers.sandbox.walls import Walls

_START_SECONDS = 60


def detect_layers() -> dict[str, str]:
    """Return for each layer "" if it works here, else the reason why it does not.

    Each layer is tried in a child process, so that it has no lasting effect.
    """
    trials: dict[str, Callable[[], None]] = {
        "user namespace": lambda: _enter_namespaces(0),
        "pid namespace": _try_pid_namespace,
        "mount namespace": _try_mount_namespace,
        "network namespace": lambda: _enter_namespaces(kernel.CLONE_NEWNET),
        "ipc namespace": lambda: _enter_namespaces(kernel.CLONE_NEWIPC),
        "landlock": _try_landlock,
        "seccomp": _try_seccomp,
    }
    return {layer: _find_failure(trial) for layer, trial in trials.items()}


def is_safe(layers: dict[str, str]) -> bool:
    """Return whether the working layers confine a program: one complete wall, and seccomp."""
    walls = _choose_walls(layers)
    return (walls.namespaces or walls.landlock) and walls.seccomp


def explain(layers: dict[str, str]) -> str:
    """Return which layers are missing and what to enable, or that all layers work."""
    missing = {layer: reason for layer, reason in layers.items() if reason}
    if not missing:
        return "all layers of the sandbox work"
    lines = [f"  {layer}: {reason}" for layer, reason in missing.items()]
    if is_safe(layers):
        return "\n".join(["the sandbox does without:", *lines])
    return "\n".join(
        [
            "programs cannot be run safely here. These layers of the sandbox do not work:",
            *lines,
            "What helps: seccomp, and beside it either of",
            "  Landlock: Linux 6.2 or later with landlock in the list of security modules",
            "    (lsm=...,landlock on the kernel's command line); Docker's default profile",
            "    allows it from Docker 23 on",
            "  all namespaces: sysctl user.max_user_namespaces=10000, and where they exist",
            "    kernel.unprivileged_userns_clone=1 and",
            "    kernel.apparmor_restrict_unprivileged_userns=0;",
            "    Docker: --security-opt seccomp=unconfined --security-opt apparmor=unconfined",
            "    --security-opt systempaths=unconfined",
        ]
    )


def start_server(layers: dict[str, str], with_numpy: bool = True) -> socket.socket:
    """Fork the code server from this process, which must have one thread; return its socket.

    The socket is SOCK_SEQPACKET. Processes forked later inherit and share it. The server ends
    when the last of them has closed it.

    Args:
        layers: the result of detect_layers(); the server uses every layer that works.
        with_numpy: load numpy once, for all programs. A server without numpy is a smaller process
            that forks faster; a program that imports numpy there loads it itself.

    Raises:
        RuntimeError: the server does not start.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if sys.stdout is not None:  # it may be closed
        sys.stdout.flush()
    if os.fork() == 0:
        try:
            ours.close()
            serve(theirs, _choose_walls(layers), with_numpy)
            os._exit(0)
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)
    theirs.close()
    ours.settimeout(_START_SECONDS)
    try:
        is_ready = ours.recv(len(READY)) == READY
    except OSError:
        is_ready = False
    if not is_ready:
        ours.close()
        raise RuntimeError("the code server did not start: see its message")
    ours.settimeout(None)
    return ours


def _choose_walls(layers: dict[str, str]) -> Walls:
    namespaces = not any(reason for layer, reason in layers.items() if "namespace" in layer)
    return Walls(namespaces, not layers["landlock"], not layers["seccomp"])


def _find_failure(trial: Callable[[], None]) -> str:
    """Run the trial in a child process; return the message of its exception, or ""."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        message = "it ended without a message"
        try:
            trial()
            message = ""
        except Exception as error:
            message = str(error) or type(error).__name__
        finally:
            os.write(writing, message.encode()[:4096])
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:
        message = file.read().decode()
    status = os.waitpid(child, 0)[1]
    return message or (f"it ended with status {status}" if status else "")


def _enter_namespaces(flags: int) -> None:
    uid, gid = os.geteuid(), os.getegid()
    proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY)
    kernel.unshare(kernel.CLONE_NEWUSER | flags)
    kernel.map_own_ids(proc, uid, gid)


def _try_pid_namespace() -> None:
    _enter_namespaces(kernel.CLONE_NEWPID)
    child = os.fork()
    if child == 0:
        os._exit(0 if os.getpid() == 1 else 1)
    os.pidfd_open(child)
    if os.waitpid(child, 0)[1]:
        raise OSError("a process in it is not number 1")


def _try_mount_namespace() -> None:
    _enter_namespaces(kernel.CLONE_NEWNS)
    file_tree.enter_tree(file_tree.find_read_paths())
    file_tree.mount_work_directory(2**20)
    if os.path.exists("/proc/self"):
        raise OSError("the old root directory is still there")


def _try_landlock() -> None:
    work_directory = os.open("/dev", os.O_PATH)
    ruleset = kernel.make_landlock_ruleset([], work_directory)
    kernel.forbid_new_privileges()
    kernel.restrict_with_landlock(ruleset)
    try:
        os.close(os.open("/proc/self/status", os.O_RDONLY))
    except PermissionError:
        return
    raise OSError("a file could be read all the same")


def _try_seccomp() -> None:
    template = FilterTemplate()
    kernel.forbid_new_privileges()
    template.install(os.getpid())
    try:
        socket.socket().close()
    except PermissionError:
        return
    raise OSError("a socket could be made all the same")
