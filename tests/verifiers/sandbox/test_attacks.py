"""The sandbox against hostile programs: nothing earned, nothing left, in every kind of sandbox."""

import concurrent.futures
import dataclasses
import os
import resource
import socket
import string
import subprocess
import sys
import textwrap
import time

import pytest
from attacks import ESCAPES, FORGERIES, KILLED, LASTING
from code_helpers import HONEST, LAYERS, MODES, TRUTH, find_descendants, start_server, wait_until

from verifiers.code.ground_truth import parse_ground_truth
from verifiers.code.program import _Run, grade
from verifiers.sandbox.layers import explain, is_safe


class World:
    """What an attack could do something to, and whether it has."""

    def __init__(self, folder, server, server_process):
        self.folder, self.server, self.server_process = folder, server, server_process
        self.canary = folder / "canary"
        self.canary.write_text("alive")
        self.bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.unix = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "socket"))
        self.abstract = socket.socket(socket.AF_UNIX)
        self.abstract.bind(f"\0sandbox-test-{os.getpid()}")
        for listener in (self.tcp, self.unix, self.abstract):
            listener.listen()
            listener.setblocking(False)
        self.before = self.observe()

    @property
    def names(self) -> dict[str, object]:
        return {
            "canary": self.canary,
            "folder": self.folder,
            "bystander": self.bystander.pid,
            "server": self.server_process,
            "port": self.tcp.getsockname()[1],
            "unix": self.folder / "socket",
            "abstract": f"sandbox-test-{os.getpid()}",
        }

    def observe(self) -> dict[str, object]:
        pid, stat = self.bystander.pid, self.canary.stat()
        scratch = ("/dev/shm", "/tmp", os.path.dirname(os.__file__))
        return {
            "canary": (self.canary.read_text(), stat.st_mode, stat.st_uid, stat.st_mtime),
            "folder": sorted(os.listdir(self.folder)),
            "planted": [p for p in scratch if any("planted" in n for n in os.listdir(p))],
            "library": os.path.getsize(os.__file__),
            "bystander": self.bystander.poll(),
            "limits": [resource.prlimit(pid, kind) for kind in range(16)],  # all there are
            "affinity": os.sched_getaffinity(pid),
            "priority": os.getpriority(os.PRIO_PROCESS, pid),
            "host": socket.gethostname(),
            "connections": [self.has_connection(s) for s in (self.tcp, self.unix, self.abstract)],
            "shared memory": self.count_ipc(),
        }

    @staticmethod
    def has_connection(listener) -> bool:
        try:
            listener.accept()
        except BlockingIOError:
            return False
        return True

    @staticmethod
    def count_ipc() -> int:
        paths = ("/proc/sysvipc/shm", "/proc/sysvipc/msg", "/proc/sysvipc/sem")
        lines = 0
        for path in filter(os.path.exists, paths):
            with open(path) as file:
                lines += sum("4242" in line for line in file)
        return lines

    def grade(self, attack) -> tuple[float, str]:
        program = string.Template(attack.program).substitute(self.names)
        response = f"```python\n{program}\n```"
        return grade(response, attack.ground_truth, self.server, attack.seconds)

    def check(self) -> None:
        """Nothing is left of the attacks, and the server is as it was."""
        assert self.observe() == self.before
        assert wait_until(lambda: not find_descendants(self.server_process))
        assert grade(HONEST, TRUTH, self.server, 10.0) == (1.0, "correct")

    def close(self) -> None:
        self.bystander.kill()
        self.bystander.wait()
        for listener in (self.tcp, self.unix, self.abstract):
            listener.close()


@pytest.fixture(scope="module", params=MODES)
def world(request, tmp_path_factory):
    layers = {**LAYERS, **MODES[request.param]}
    if not is_safe(layers):
        pytest.skip(explain(layers))
    server, process = start_server(layers)
    world = World(tmp_path_factory.mktemp("world"), server, process)
    yield world
    world.close()
    server.close()
    assert wait_until(lambda: not os.path.exists(f"/proc/{process}"))


def test_there_are_enough_attacks():
    names = [attack.name for attack in ESCAPES + LASTING + FORGERIES]
    assert len(names) == len(set(names)) > 150


@pytest.mark.parametrize("attack", ESCAPES + FORGERIES, ids=lambda attack: attack.name)
def test_nothing_is_earned_and_nothing_left(world, attack):
    started = time.monotonic()
    reward, status = world.grade(attack)
    assert reward == 0 and status in ("wrong", "forbidden", "timeout")
    assert time.monotonic() - started < attack.seconds + 30  # it ended
    world.check()


def test_attacks_are_refused_and_not_just_broken(world):
    """An attack that fails by a slip of its own would show nothing."""
    for attack in ESCAPES:
        body = textwrap.indent(attack.program.removesuffix("print('escaped')"), "    ")
        refusals = "(OSError, AssertionError, MemoryError, RuntimeError, ValueError)"
        program = f"try:\n{body}\nexcept {refusals}:\n    print('escaped')"
        verdict = world.grade(dataclasses.replace(attack, program=program))
        assert verdict == (1.0, "correct") or attack.name in KILLED, attack.name


def test_what_does_not_end_is_ended(world):
    """All at once: a time-out costs the others nothing."""
    started = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(6) as threads:
        verdicts = list(threads.map(world.grade, LASTING))
    assert {reward for reward, _ in verdicts} == {0.0}
    assert {status for _, status in verdicts} <= {"timeout", "wrong", "forbidden"}
    assert time.monotonic() - started < sum(attack.seconds for attack in LASTING)
    world.check()


def test_state_of_one_test_does_not_reach_the_next(world):
    program = (
        "```python\nimport os, collections\n"
        "print(len(os.listdir('.')), hasattr(collections, 'seen'))\n"
        "open('trace', 'w').write('x')\ncollections.seen = True\n```"
    )
    truth = {"inputs": ["", "", ""], "outputs": ["0 False"] * 3}
    assert grade(program, truth, world.server, 10.0) == (1.0, "correct")


@pytest.mark.parametrize("count", [1, 2])
def test_a_client_that_goes_takes_its_run_along(world, count):
    truth = {name: values * count for name, values in TRUTH.items()}
    run = parse_ground_truth(truth)
    with _Run(world.server, run, ["while True: pass"], time.monotonic() + 600) as lost:
        lost.wait_for_start()
        assert wait_until(lambda: find_descendants(world.server_process))
    assert wait_until(lambda: not find_descendants(world.server_process))
