"""What every run in the sandbox shares: the walls in use, and what the server prepared once."""

from dataclasses import dataclass, field

from verifiers.sandbox.seccomp import FilterTemplate


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
    work_root: str  # the folder of the work directories; "" with namespaces
    proc: int  # descriptor of /proc
    uid: int  # of the server; in a new user namespace a process has no id until it is mapped
    gid: int
    read_only: list[int] = field(default_factory=list)  # O_PATH descriptors
    filter_template: FilterTemplate | None = None

    @property
    def highest(self) -> int:
        """The highest descriptor that a supervisor must keep open."""
        return max([2, self.proc, *self.read_only])
