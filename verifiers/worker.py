"""One verifying process: answers each job that a socket brings with a verdict, until it closes."""

import resource
import signal
import sys
from multiprocessing.connection import Connection

from verifiers import math_answer

_GRADERS = {"math": math_answer.grade}  # ability: grade(response, ground_truth) -> reward, status
_MEMORY_BYTES = 4 * 2**30  # address space of a worker: 10^{10^{10}} ends in MemoryError
_GRACE_SECONDS = 5  # how long after the time limit an orphaned worker ends by itself


def main() -> None:
    connection = Connection(int(sys.argv[1]))
    timeout_seconds = float(sys.argv[2])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    connection.send("ready")
    while True:
        try:
            response, ground_truth, ability = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, timeout_seconds + _GRACE_SECONDS)
        try:
            verdict = _GRADERS[ability](response, ground_truth)
        except Exception:  # a failure of ours or of a library: reward 0, counted by the caller
            verdict = (0.0, "error")
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send(verdict)


if __name__ == "__main__":
    main()
