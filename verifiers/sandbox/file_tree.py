"""The file system that a solution sees: Python's files, read-only, and one empty directory."""

import os
import sys
import sysconfig

from verifiers.sandbox import kernel

WORK_DIRECTORY = "/box"  # the writable directory in a mount namespace
_SYSTEM_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib")
_SYSTEM_FILES = ("/etc/ld.so.cache", "/etc/localtime", "/usr/share/zoneinfo")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_TREE_BYTES = 2**20  # the tree itself holds only mount points
_OLD_ROOT = "/.old"


def find_read_paths() -> list[str]:
    """Return the files and directories that Python, its packages and the loader read.

    They are those of this interpreter: a virtual environment, a folder of pyenv or conda, or the
    system's Python. No path lies in another. Of PYTHONPATH, only package folders are included.
    """
    paths = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    paths += [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    paths += [f"{prefix}/lib" for prefix in (sys.prefix, sys.base_prefix)]
    paths += [*_SYSTEM_LIBRARIES, *_SYSTEM_FILES, *_DEVICES]
    existing = {os.path.normpath(path) for path in paths if os.path.exists(path)}
    return sorted(
        path
        for path in existing
        if not any(path.startswith(other + "/") for other in existing if other != path)
    )


def open_paths(paths: list[str]) -> list[int]:
    """Return O_PATH descriptors, which name the files but cannot read them."""
    return [os.open(path, os.O_PATH | os.O_CLOEXEC) for path in paths]


def enter_tree(paths: list[str]) -> None:
    """Make a tree of read-only mounts of these paths the root directory of this process.

    The process must be in its own mount namespace and must be allowed to mount there.
    """
    sources = {path: os.path.realpath(path) for path in paths}
    kernel.mount("", "/", "", kernel.MS_REC | kernel.MS_PRIVATE)
    base = "/tmp" if os.path.isdir("/tmp") else "/dev"  # any directory: it is hidden for a moment
    flags = kernel.MS_NOSUID | kernel.MS_NODEV
    kernel.mount("tmpfs", base, "tmpfs", flags, f"size={_TREE_BYTES},mode=755")
    os.mkdir(base + _OLD_ROOT)
    kernel.pivot_root(base, base + _OLD_ROOT)
    os.chdir("/")
    for path, source in sources.items():
        _mount_read_only(_OLD_ROOT + source, path)
    os.makedirs(WORK_DIRECTORY, exist_ok=True)
    kernel.unmount(_OLD_ROOT)
    os.rmdir(_OLD_ROOT)
    read_only = kernel.MOUNT_READ_ONLY | kernel.MOUNT_NOSUID
    kernel.restrict_mount("/", read_only)


def _mount_read_only(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_RDONLY, 0o444))
    kernel.mount(source, target, "", kernel.MS_BIND | kernel.MS_REC)
    attributes = kernel.MOUNT_READ_ONLY | kernel.MOUNT_NOSUID
    if not target.startswith("/dev/"):
        attributes |= kernel.MOUNT_NODEV
    kernel.restrict_mount(target, attributes)


def empty_directory(path: str) -> None:
    """Remove all that a program has left in a directory, however deep its folders are.

    Folders are moved up before they are removed, so no path becomes long. No process may use the
    directory any more.
    """
    token, moved = os.urandom(8).hex(), 0
    while True:
        with os.scandir(path) as entries:
            found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
        if not found:
            return
        for entry, is_directory in found:
            if not is_directory:
                os.unlink(entry)
                continue
            os.chmod(entry, 0o700)
            with os.scandir(entry) as inner:
                below = [(item.path, item.is_dir(follow_symlinks=False)) for item in inner]
            for item, is_folder in below:
                if is_folder:
                    os.chmod(item, 0o700)
                os.rename(item, f"{path}/{token}{moved}")
                moved += 1
            os.rmdir(entry)


def mount_work_directory(size_bytes: int) -> None:
    """Mount a new empty directory in memory, of limited size, in the tree."""
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    options = f"size={size_bytes},nr_inodes=4096,mode=700"
    kernel.mount("tmpfs", WORK_DIRECTORY, "tmpfs", flags, options)


def renew_work_directory(size_bytes: int) -> None:
    kernel.unmount(WORK_DIRECTORY)
    mount_work_directory(size_bytes)
