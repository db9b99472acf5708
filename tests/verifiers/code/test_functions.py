"""Ground truths that call a function: its name, its arguments, its value."""

import time

import pytest
from code_helpers import CORRECT, WRONG


@pytest.mark.parametrize(
    ("program", "inputs", "outputs"),
    [
        ("def f(a, b): return a + b", "1\n2", "3"),
        ("def f(a, b): return a + b", [1, 2], 3),
        ("def f(a, b): return a + b", [1, 2], [3]),
        ("def f(a): return a", "[1, 2]", "[1, 2]"),
        ("def f(a): return a", [[1, 2]], [[1, 2]]),
        ("def f(a): return tuple(a)", "[1, 2]", "[1, 2]"),
        ("def f(a): return [(1, (2,))]", "0", "[[1, [2]]]"),
        ("class Solution:\n    def f(self, a): return a", "5", "5"),
        ("class Solution:\n    @staticmethod\n    def f(a): return a", "5", "5"),
        ("f = lambda a: a", "5", "5"),
        ("from functools import lru_cache\n@lru_cache(None)\ndef f(a): return a", "5", "5"),
        ("def f(a): return a / 3", "1", "0.33333333"),
        ("def f(a): return 2.0", "1", "2"),
        ("def f(a): return 2", "1", "2.0"),
        ("def f(a): return True", "1", "true"),
        ("def f(a): return None", "1", "null"),
        ("def f(a): return a", '"x"', '"x"'),
        ("def f(a): return a", ["x"], "x"),
        ("def f(a): return {2: 'a', None: 2, True: 3}", "0", '{"2": "a", "null": 2, "true": 3}'),
        ("def f(a): return Counter('aab')", "0", '{"a": 2, "b": 1}'),
        ("def f(a): return np.int64(3)", "0", "3"),
        ("def f(a): return np.array([[1, 2], [3, 4]])", "0", "[[1, 2], [3, 4]]"),
        ("def f(a): return float('nan')", "0", "NaN"),
        ("def f(a): return 10 ** 5000", "0", "1" + "0" * 5000),
        ("def f(a): return a", "1" + "0" * 5000, "1" + "0" * 5000),
        ("print('noise')\ndef f(a):\n    print('more')\n    return a", "5", "5"),
        ("def f(a): return a\nif __name__ == '__main__':\n    f(int(input()))", "5", "5"),
        ("class I(int): pass\ndef f(a): return I(5)", "0", "5"),
        ("def sub(a): return a\nf = sub", "5", "5"),
        ("def f(a): return '\\ud800'", "0", '"\\ud800"'),
    ],
)
def test_functions_that_are_right(grade, program, inputs, outputs):
    truth = {"fn_name": "f", "inputs": [inputs], "outputs": [outputs]}
    assert grade(program, truth) == CORRECT


@pytest.mark.parametrize(
    ("program", "inputs", "outputs"),
    [
        ("def f(a): return True", "0", "1"),
        ("def f(a): return 1", "0", "true"),
        ("def f(a): return '3'", "0", "3"),
        ("def f(a): return 3", "0", '"3"'),
        ("def f(a): return {1, 2}", "0", "[1, 2]"),
        ("def f(a): return range(2)", "0", "[0, 1]"),
        ("def f(a): return (x for x in [1])", "0", "[1]"),
        ("def f(a): return b'x'", "0", '"x"'),
        ("def f(a): return [1]", "0", "1"),
        ("def f(a): return 10 ** 18", "0", "1000000000000000001"),
        ("def f(a): return float(10 ** 18)", "0", "1000000000000000001"),
        ("def f(a): return 0.3334", "0", "0.33333333"),
        ("def f(a): return 10 ** 5000 + 1", "0", "1" + "0" * 5000),
        ("def f(a): return {'a': 1, 'b': 2}", "0", '{"a": 1}'),
        ("def f(a): return [1, 2, 3]", "0", "[1, 2]"),
        ("def f(a): return None", "0", "0"),
        ("def f(a): return ''", "0", "null"),
        ("def g(a): return a", "5", "5"),
        ("def f(a, b): return a", "5", "5"),
        ("def f(a): print(a)", "5", "5"),
        ("def f(a): return a\nraise ValueError", "5", "5"),
        ("def f(a):\n    x = []\n    x.append(x)\n    return x", "5", "5"),
    ],
)
def test_functions_that_are_wrong(grade, program, inputs, outputs):
    truth = {"fn_name": "f", "inputs": [inputs], "outputs": [outputs]}
    assert grade(program, truth) == WRONG


def test_a_name_of_the_usual_imports_is_no_solution(grade):
    truth = {"fn_name": "gcd", "inputs": ["4\n6"], "outputs": ["2"]}
    assert grade("pass", truth) == WRONG
    assert grade("from math import gcd as g\ndef gcd(a, b): return g(a, b)", truth) == CORRECT


@pytest.mark.parametrize(
    "shape",
    ["[1000000000, 0]", "[0, 1000000000]", "[10000, 10000, 10000, 0]", "[-1, -1]", "[1e9, 0]"],
)
def test_a_result_that_names_a_huge_array_costs_nothing(grade, shape):
    result = f'{{"type": "array", "items": ["<i8", {shape}, []]}}'
    program = f"import os\ndef f(a):\n    os.write(4, b'{result}')\n    os._exit(0)"
    started = time.process_time()
    assert grade(program, {"fn_name": "f", "inputs": ["5"], "outputs": ["5"]}) == WRONG
    assert time.process_time() - started < 2


def test_arrays_without_items(grade):
    program = "import numpy as np\ndef f(a): return np.zeros((2, 0))"
    assert grade(program, {"fn_name": "f", "inputs": ["5"], "outputs": ["[[], []]"]}) == CORRECT


def test_module_state_is_fresh_for_every_test(grade):
    program = "seen = []\ndef f(a):\n    seen.append(a)\n    return len(seen)"
    truth = {"fn_name": "f", "inputs": ["1", "2", "3"], "outputs": ["1", "1", "1"]}
    assert grade(program, truth) == CORRECT
