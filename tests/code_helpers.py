"""What the tests of the code verifier and the sandbox share: servers, verdicts, ground truths."""

import json
import os
import socket
import subprocess
import sys
import time

from verifiers import Verdict
from verifiers.sandbox.layers import detect_layers

CORRECT, WRONG = (1.0, "correct"), (0.0, "wrong")
NO_ANSWER, ERROR, TIMEOUT = (0.0, "no_answer"), (0.0, "error"), (0.0, "timeout")
LAYERS = detect_layers()
MODES = {  # the kinds of sandbox: layers that are left out
    "both walls": {},
    "landlock alone": {layer: "left out" for layer in LAYERS if "namespace" in layer},
    "namespaces alone": {"landlock": "left out"},
}
HONEST = "```python\nprint(sum(map(int, input().split())))\n```"
TRUTH = {"inputs": ["3 4\n"], "outputs": ["7\n"]}  # of HONEST
SUM = json.dumps({"inputs": ["1 2\n", "3 4\n"], "outputs": ["3\n", "7\n"]})
ADD = "```python\na, b = map(int, input().split())\nprint(a + b)\n```"  # right for SUM
RIGHT = Verdict(1.0, "correct")
SUM_TESTS = {"test_list": ["assert total([1, 2]) == 3", "assert total([]) == 0"]}
START = """
import json, os, socket, sys
from verifiers.sandbox.layers import start_server
server = start_server(json.loads(sys.argv[1]))
with open(f"/proc/self/task/{os.getpid()}/children") as file:
    pid = file.read().split()[0]
with socket.socket(fileno=int(sys.argv[2])) as channel:
    socket.send_fds(channel, [pid.encode()], [server.fileno()])
"""


def start_server(layers: dict[str, str]) -> tuple[socket.socket, int]:
    """Start a code server from a small process of its own; return its socket and process id."""
    ours, theirs = socket.socketpair()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    paths = os.pathsep.join([root, *sys.path])
    subprocess.run(
        [sys.executable, "-c", START, json.dumps(layers), str(theirs.fileno())],
        env={**os.environ, "A_SECRET": "x", "PYTHONPATH": paths},
        pass_fds=[theirs.fileno()],
        check=True,
    )
    message, descriptors, _, _ = socket.recv_fds(ours, 64, 1)
    ours.close()
    theirs.close()
    return socket.socket(fileno=descriptors[0]), int(message)


def find_descendants(process: int) -> list[int]:
    """Return the ids of the living processes below a process."""
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat") as file:
                state, parent = file.read().rsplit(")", 1)[1].split()[:2]
        except OSError:
            continue
        if state != "Z":
            parents.setdefault(int(parent), []).append(int(name))
    found = [process]
    for parent in found:
        found += parents.get(parent, [])
    return found[1:]


def wait_until(is_true, seconds: float = 120.0) -> bool:
    """Return whether something becomes true; the seconds only end a test that would hang."""
    deadline = time.monotonic() + seconds
    while not is_true() and time.monotonic() < deadline:
        time.sleep(0.01)
    return is_true()


def io(*pairs, **more) -> dict[str, object]:
    """Return a ground truth of (input, output) pairs."""
    return {"inputs": [i for i, _ in pairs], "outputs": [o for _, o in pairs], **more}
