"""System calls that Python has no function for: namespaces, mounts, Landlock, capabilities.

Every function raises OSError where the kernel refuses. The flag values come from the kernel's
headers and are the same on x86_64 and aarch64.
"""

import ctypes
import os
import platform
import signal
import stat
import struct

MACHINE = platform.machine()

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
MNT_DETACH = 2
MOUNT_READ_ONLY, MOUNT_NOSUID, MOUNT_NODEV = 1, 2, 4

LANDLOCK_MINIMUM = 3  # an older one (before Linux 6.2) lets readable files be truncated
_READ_FILE, _READ_DIR, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_FILE, _REFER = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 13
_FILE_RIGHTS_BY_ABI = {3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}  # the same from 5 on
_NETWORK_RIGHTS = 0b11  # to bind and connect TCP, from ABI 4 on
_SCOPES = 0b11  # abstract unix sockets and signals, from ABI 6 on

_NULL_DEVICE = os.makedev(1, 3)  # /dev/null
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_CAPABILITY_VERSION_3 = 0x20080522
_AT_RECURSIVE, _AT_FDCWD = 0x8000, -100
_NUMBERS = {  # system calls without a function in the C library: x86_64, aarch64
    "clone": (56, 220),
    "capset": (126, 91),
    "pivot_root": (155, 41),
    "seccomp": (317, 277),
    "close_range": (436, 436),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}
_libc = ctypes.PyDLL(None, use_errno=True)  # PyDLL keeps the GIL, so a cloned child holds it
# Looked up once: in a child, each look-up would touch the symbol tables of all libraries.
_syscall, _unshare, _prctl = _libc.syscall, _libc.unshare, _libc.prctl
_mount, _umount = _libc.mount, _libc.umount2
_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_in_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_in_child = ctypes.pythonapi.PyOS_AfterFork_Child


def system_call(name: str, *arguments: int | bytes | ctypes.Array | None) -> int:
    """Make the system call and return its result.

    Raises:
        OSError: the kernel refuses, or this machine is neither x86_64 nor aarch64.
    """
    if MACHINE not in ("x86_64", "aarch64"):
        raise OSError(f"no system call numbers for {MACHINE}")
    number = _NUMBERS[name][MACHINE == "aarch64"]
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    words += [ctypes.c_long(0)] * (6 - len(words))
    return _check(_syscall(ctypes.c_long(number), *words), name)


def fork_into(namespaces: int) -> int:
    """Fork a child into new namespaces (CLONE_NEW*); return its process id, 0 in the child.

    With CLONE_NEWPID the child is process 1 of its namespace: when it is killed, all others there
    are killed too. Unlike unshare and fork, this makes no process in between. The caller must have
    one thread.
    """
    if not namespaces:
        return os.fork()
    _before_fork()
    process = -1
    try:
        process = system_call("clone", namespaces | signal.SIGCHLD)
    finally:
        if process == 0:
            _after_fork_in_child()
        else:
            _after_fork_in_parent()
    return process


def unshare(namespaces: int) -> None:
    _check(_unshare(namespaces), "unshare")


def map_own_ids(proc_descriptor: int, uid: int, gid: int) -> None:
    """Map the former ids of this process in its new user namespace; proc_descriptor: of /proc."""
    maps = (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"))
    for name, text in maps:
        descriptor = os.open(f"self/{name}", os.O_WRONLY, dir_fd=proc_descriptor)
        try:
            os.write(descriptor, text.encode())
        finally:
            os.close(descriptor)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    words = (source.encode(), target.encode(), kind.encode())
    flag_word = ctypes.c_ulong(flags)
    _check(_mount(*words, flag_word, options.encode()), f"mount on {target}")


def unmount(target: str) -> None:
    """Detach a mount; processes that still use it may go on."""
    _check(_umount(target.encode(), MNT_DETACH), f"umount of {target}")


def restrict_mount(target: str, attributes: int) -> None:
    """Set attributes (MOUNT_*) on a mount and all below it."""
    request = struct.pack("=QQQQ", attributes, 0, 0, 0)
    words = (_AT_FDCWD, target.encode(), _AT_RECURSIVE, request, len(request))
    system_call("mount_setattr", *words)


def pivot_root(new_root: str, old_root: str) -> None:
    system_call("pivot_root", new_root.encode(), old_root.encode())


def landlock_abi() -> int:
    """Return the version of Landlock that the kernel offers; it is at least LANDLOCK_MINIMUM."""
    version = system_call("landlock_create_ruleset", None, 0, 1)
    if version < LANDLOCK_MINIMUM:
        needed = f"{LANDLOCK_MINIMUM} (Linux 6.2) is needed"
        raise OSError(f"the kernel offers version {version}, {needed}")
    return version


def make_landlock_ruleset(read_only: list[int], writable: int) -> int:
    """Return a ruleset (descriptor) that denies all files and TCP except what the arguments allow.

    Args:
        read_only: O_PATH descriptors of files and directories that may be read. None may be
            executed as a program (libraries are mapped, which Landlock does not restrict).
        writable: O_PATH descriptor of a directory in which files and directories may be made, moved
            and removed.
    """
    abi = landlock_abi()
    file_rights = _FILE_RIGHTS_BY_ABI[min(abi, 5)]
    request = struct.pack("=QQQ", file_rights, _NETWORK_RIGHTS, _SCOPES)
    request = request[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = system_call("landlock_create_ruleset", request, len(request), 0)
    rules = [(descriptor, _READ_FILE | _READ_DIR) for descriptor in read_only]
    in_directory = _READ_FILE | _READ_DIR | _WRITE_FILE | _TRUNCATE | _REMOVE_FILE | _MAKE_FILE
    in_directory |= _REMOVE_DIR | _MAKE_DIR | _REFER
    for descriptor, rights in [*rules, (writable, in_directory)]:
        if os.fstat(descriptor).st_rdev == _NULL_DEVICE:
            rights |= _WRITE_FILE
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ~_READ_DIR
        rule = struct.pack("=Qi", rights, descriptor)
        system_call("landlock_add_rule", ruleset, 1, rule, 0)
    return ruleset


def restrict_with_landlock(ruleset: int) -> None:
    system_call("landlock_restrict_self", ruleset, 0)


def drop_capabilities() -> None:
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    system_call("capset", header, bytes(24))


def forbid_new_privileges() -> None:
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")


def close_from(lowest: int) -> None:
    """Close this descriptor and all higher ones."""
    system_call("close_range", lowest, 2**31 - 1, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent has ended."""
    _check(_prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "prctl")


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends; a change of user ids undoes this."""
    _check(_prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0), "prctl")


def allow_own_proc_files() -> None:
    """Make this process the owner of its files in /proc again after a change of user ids."""
    _check(_prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl")


def _check(result: int, name: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return result
