"""Hostile programs, as data: test_attacks.py grades each; it must earn and leave nothing.

An escape prints "escaped" if it succeeds, which its ground truth expects: any reward is an escape.
Names with a dollar sign are filled in: $canary (a file), $folder (its directory), $bystander (the
id of a process), $server (of the code server), $port (TCP), $unix and $abstract (unix sockets).
"""

from dataclasses import dataclass

from attack_escapes import ESCAPES as _ESCAPES
from attack_forgeries import ESCAPED as _ESCAPED
from attack_forgeries import FORGERIES as _FORGERIES
from attack_objects import FORGERIES as _OBJECTS


@dataclass(frozen=True)
class Attack:
    name: str
    program: str
    ground_truth: dict
    seconds: float = 4.0  # time limit; 1 where the program goes on until it is stopped


_LASTING = {  # stopped by the time limit, or by another one
    "endless loop": "while True: pass",
    "sleep": "import time; time.sleep(1000)",
    "pause": "import signal; signal.pause()",
    "wait for a lock": "import threading\nx = threading.Lock(); x.acquire(); x.acquire()",
    "wait for a pipe": "import os; r, w = os.pipe(); os.read(r, 1)",
    "ignore all signals": (
        "import signal\nfor n in range(1, 65):\n"
        "    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass\n"
        "while True: pass"
    ),
    "block all signals": (
        "import signal\nsignal.pthread_sigmask(0, range(1, 65))\nwhile True: pass"
    ),
    "catch everything": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass"
    ),
    "memory by and by": "x = []\nwhile True: x.append(bytearray(2**22))",
    "output without end": "while True: print('escaped' * 1000)",
    "output without a line": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "loop in a thread": (
        "import threading\nthreading.Thread(target=lambda: exec('while 1: pass')).start()"
    ),
    "loop at exit": (
        "import atexit\nprint('escaped')\natexit.register(lambda: exec('while 1: pass'))"
    ),
    "loop in a finalizer": (
        "class A:\n    def __del__(self):\n        while True: pass\na = A()\nprint('escaped')"
    ),
    "folders ever deeper": (
        "import os\nwhile True:\n    try: os.mkdir('d', 0o300); os.chdir('d')\n"
        "    except OSError: pass"
    ),
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "regular expression": "import re; re.match('(a+)+$$', 'a' * 50 + 'b')",
    "huge power": "print(len(str(10 ** 10 ** 9)))",
    "compile without end": "x = " + "+".join(["(" * 60 + "1" + ")" * 60] * 20000),
}

KILLED = {
    "int 0x80",
    "files without end",
    "folders without end",
    "threads without end",
}  # rather than refused
ESCAPES = [Attack(name, f"{body}\nprint('escaped')", _ESCAPED) for name, body in _ESCAPES.items()]
LASTING = [Attack(name, body, _ESCAPED, 0.7) for name, body in _LASTING.items()]
FORGERIES = [
    Attack(name, body, truth, 0.7 if "never" in name else 4.0)
    for name, (body, truth) in {**_FORGERIES, **_OBJECTS}.items()
]
