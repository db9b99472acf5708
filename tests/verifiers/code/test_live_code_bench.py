"""Rows of LiveCodeBench as ground truths: encoded test cases, and what must never run."""

import base64
import json
import os
import pickle
import zlib

import pytest
from code_helpers import CORRECT, WRONG

from verifiers.code.ground_truth import FUNCTION, PROGRAM, parse_ground_truth
from verifiers.code.program import find_ground_truth_fault

SUMS = [("1 2\n", "3\n"), ("4 5\n", "9\n")]
CALLS = [("[1, 2]\n3", "[4, 5]"), ("[]\n1", "[]")]


def encode(value: object) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value))).decode()


def make_row(public, private, kind="stdin", metadata="{}"):
    """Return the columns of a row that hold its tests, the private ones encoded."""
    names = ("input", "output", "testtype")
    cases = [[dict(zip(names, (*pair, kind))) for pair in own] for own in (public, private)]
    public_text, private_text = map(json.dumps, cases)
    return {
        "public_test_cases": public_text,
        "private_test_cases": encode(private_text),
        "metadata": metadata,
    }


STDIN = make_row(SUMS[:1], SUMS[1:])
FUNCTIONAL = make_row(CALLS[:1], CALLS[1:], "functional", '{"func_name": "shift"}')


def test_public_and_private_tests_of_a_program(grade):
    tests = parse_ground_truth(json.dumps(STDIN))
    assert (tests.kind, tests.inputs) == (PROGRAM, [b"1 2\n", b"4 5\n"])
    assert tests.expected == [["3\n"], ["9\n"]]
    plain = {**STDIN, "private_test_cases": json.dumps([dict(input="", output="", testtype="x")])}
    plain["private_test_cases"] = plain["private_test_cases"].replace('"x"', '"stdin"')
    assert parse_ground_truth(plain).inputs == [b"1 2\n", b""]
    assert grade("print(sum(map(int, input().split())))", STDIN) == CORRECT
    assert grade("print(3)", STDIN) == (0.5, "partial")  # the private one is judged too
    assert grade("print(4)", STDIN) == WRONG


def test_tests_of_a_function(grade):
    tests = parse_ground_truth(FUNCTIONAL)
    assert (tests.kind, tests.function) == (FUNCTION, "shift")
    assert tests.inputs == [b"[[1, 2], 3]", b"[[], 1]"]
    method = "class Solution:\n    def shift(self, xs, n): return [x + n for x in xs]"
    assert grade(method, FUNCTIONAL) == CORRECT
    assert grade(method.replace("+ n", "- n"), FUNCTIONAL) == (0.5, "partial")


class _Acts:
    def __reduce__(self):
        return os.mkdir, ("made",)


CHANGES = [
    ({"private_test_cases": encode(_Acts())}, "cannot be decoded: it names posix.mkdir"),
    ({"private_test_cases": encode(os.system)}, "cannot be decoded: it names posix.system"),
    ({"private_test_cases": encode(["x"])}, "cannot be decoded: a list, not a text"),
    ({"private_test_cases": "?"}, "private_test_cases that cannot be decoded"),
    ({"private_test_cases": STDIN["private_test_cases"][:40]}, "cannot be decoded"),
    ({"private_test_cases": base64.b64encode(zlib.compress(b"x")).decode()}, "cannot be decoded"),
    ({"private_test_cases": encode("no JSON")}, "has private_test_cases that cannot be read"),
    ({"private_test_cases": None}, "has private_test_cases that cannot be read"),
    ({"private_test_cases": encode('[{"input": "1"}]')}, "no list of texts input, output"),
    ({"public_test_cases": '{"input": "1"}'}, "has public_test_cases that are no list"),
    ({"public_test_cases": None}, "has public_test_cases that cannot be read"),
    ({"metadata": ""}, "has metadata that cannot be read"),
    ({"metadata": '{"func_name": "f"}'}, "of the kinds ['stdin'], but the func_name 'f'"),
    ({"public_test_cases": "[]", "private_test_cases": "[]"}, "has no tests"),
]


@pytest.mark.parametrize(("change", "words"), CHANGES)
def test_what_cannot_be_decoded_is_refused_and_never_run(tmp_path, monkeypatch, change, words):
    monkeypatch.chdir(tmp_path)
    assert words in find_ground_truth_fault(json.dumps({**STDIN, **change}))
    assert not os.listdir()


def test_functional_tests_need_the_name_of_the_function():
    fault = find_ground_truth_fault(json.dumps({**FUNCTIONAL, "metadata": "{}"}))
    assert fault == "has test cases of the kinds ['functional'], but the func_name None"
