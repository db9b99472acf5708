"""The tests in a ground truth, and what can be wrong with them."""

import json

import pytest
from code_helpers import CORRECT, ERROR, SUM_TESTS, io

from verifiers.code.program import find_ground_truth_fault

FAULTS = {
    "not JSON": "is not JSON",
    "[]": "is not a JSON object",
    "{}": "has neither",
    json.dumps(io()): "has no tests",
    json.dumps({"inputs": ["1"], "outputs": []}): "has 1 inputs but 0 outputs",
    json.dumps({"inputs": ["1"]}): 'needs lists "inputs" and "outputs"',
    json.dumps({"inputs": [{}], "outputs": ["1"]}): "neither a text nor a list",
    json.dumps({"fn_name": "f", "inputs": ["x"], "outputs": ["1"]}): "not one JSON value a line",
    json.dumps({"fn_name": 5, "inputs": ["1"], "outputs": ["1"]}): "not a name",
    json.dumps({"test_list": []}): "has no tests",
    json.dumps({"test_list": ["assert f("]}): "not Python",
    json.dumps({"test_list": ["# nothing"]}): "tests nothing",
    json.dumps({"test_list": [5]}): "not a text",
    json.dumps({"test": "assert f() == 1", "entry_point": "f"}): "no function check",
    json.dumps({"test": "", "entry_point": "f"}): "no function check",
    json.dumps({"test": "def check(c): pass"}): 'needs an "entry_point"',
    json.dumps({"test": "def check(c): pass", "entry_point": "f("}): "no expression",
    "[" * 100_000: "is not JSON",
}


@pytest.mark.parametrize(("ground_truth", "fault"), FAULTS.items(), ids=FAULTS.values())
def test_a_faulty_ground_truth_is_an_error(grade, ground_truth, fault):
    assert fault in find_ground_truth_fault(ground_truth)
    assert grade("print(1)", ground_truth) == ERROR


def test_a_sound_ground_truth_has_no_fault():
    for truth in (io(("", "")), io(("1", "1"), fn_name="f"), SUM_TESTS):
        assert find_ground_truth_fault(json.dumps(truth)) == ""


def test_a_ground_truth_as_text(grade):
    assert grade("print(7)", json.dumps(io(("", "7")))) == CORRECT
