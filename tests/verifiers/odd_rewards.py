"""Reward functions that go wrong where the response is "bad"; tests/verifiers/test_own.py."""

import os
import sys
import time


def five_words(response, ground_truth):
    return float(len(response.split()) == 5)


def endless(response, ground_truth):
    if response == "bad":
        note_child(ground_truth)
    while response == "bad":
        pass
    return 1


def ends_the_process(response, ground_truth):
    if response == "bad":
        os._exit(0)
    return 1


def exits(response, ground_truth):
    if response == "bad":
        sys.exit("bye")
    return 1


def fills_memory(response, ground_truth):
    held = []
    while response == "bad":  # 10 GB would follow
        held.append(bytes(10**9))
    return 1


def raises(response, ground_truth):
    if response == "bad":
        raise ValueError(f"\x1b[31m is no colour of {response}")
    return 1


def prints(response, ground_truth):
    if response == "bad":
        for _ in range(10):
            print("x" * 10**6)
    return 1


def comes_back_twice(response, ground_truth):
    child = os.fork() if response == "bad" else None
    if child:
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    return float(child != 0)


def leaves_a_child(response, ground_truth):
    if response == "bad":
        note_child(ground_truth)
    return 1


def note_child(path):
    """Fork a process that leaves its session and stays, with another between; note its number."""
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork() == 0:
        with open(path, "w") as file:
            file.write(str(os.getpid()))
        time.sleep(10**6)
    while not os.path.exists(path) or not os.path.getsize(path):
        time.sleep(0.01)
    os._exit(0)


VALUES = {
    "nan": float("nan"),
    "7": 7,
    "-0.1": -0.1,
    "none": None,
    "text": "1.0",
    "tuple": (1, 2, 3),
}
VALUES |= {"status": (1.0, "good"), "failure": (1.0, "error"), "list": [1.0], "inf": float("inf")}


def odd_value(response, ground_truth):
    return VALUES.get(response, 1)


def with_status(response, ground_truth):
    return float(response), ground_truth


def shows_row(response, ground_truth, row):
    return float(row == {"prompt": "q", "data_source": "d", "extra_info": {"n": [1, 2]}})


def takes_one(response):
    return 1.0


constant = 1.0
