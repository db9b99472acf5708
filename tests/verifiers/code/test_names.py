"""Whose name is whose: the solution's own definitions win, except over what judges them."""

import builtins

import pytest
from code_helpers import CORRECT, WRONG

from verifiers.code.names import split_names
from verifiers.code.runner import PRELUDE

GIVEN = sorted({*PRELUDE, *dir(builtins)})
GIVEN = [name for name in GIVEN if name.isidentifier() and not name.startswith("_")]
GIVEN = [name for name in GIVEN if name not in ("None", "True", "False")]


def names_of(test: str, **parts: str):
    return split_names({"imports": "", "setup": "", "entry_point": "", **parts, "test": test})


@pytest.mark.parametrize(
    "test",
    [
        "assert {}(3, 4) == 9",
        "r = {}(3, 4)\nassert r == 9",
        "r = {}(3, 4)\nassert r.x == 9 and not r.y",
        "for a, b in [(1, 2)]:\n    assert {}(a) == b",
        "def test_it():\n    assert {}(3) == 9",
        "x = [3, 1]\n{}(x)\nassert x == [1, 3]",
    ],
)
def test_a_test_of_a_name_that_python_has(test):
    for name in GIVEN:
        assert names_of(test.format(name)).required == {name}


def test_a_name_that_only_goes_into_the_solution():
    for name in GIVEN:
        is_error = isinstance(getattr(builtins, name, None), type) and issubclass(
            getattr(builtins, name), BaseException
        )
        assert (name in names_of(f"assert f({name} + 1) == 1").wanted) is not is_error


@pytest.mark.parametrize(
    "test",
    [
        "assert {}(f(1) - 6) == 0",
        "assert f(1) == {}",
        "assert f(1) == {}(5)",
        "x = f(1)\nassert {}(x, 6)",
        "x = {}(5)\nassert f(1) == x",
        "x = []\nx.append({}(5))\nassert f(1) == x[0]",
        "x = [0]\nx[0] = {}(5)\nassert f(1) == x[0]",
        "for x in {}([1]):\n    assert f(1) == x",
        "for x in {}(1):\n    assert f(x) == 6",
        "xs = {}(1)\nfor x in xs:\n    assert f(x) == 6",
        "if {}([1]):\n    assert f(1) == 6",
        "assert {}([1]) == 0 or f(1) == 6",
        "def near(a, b): return {}(a - b) < 1\nassert near(f(1), 2)",
        "near = lambda a, b: {}(a - b) < 1\nassert near(f(1), 2)",
        "def wanted(): return {}(5)\nassert f(1) == wanted()",
        "class W:\n    value = {}(5)\nassert f(1) == W.value",
        "assert {}(f(x) == 6 for x in [1])",
        "assert f(1).count({}) == 1",
        "with {}(f(1)) as x:\n    assert x",
        "if {}(f(1)):\n    raise ValueError",
        "assert {}(map(f, [1]))",
        "x = [3]\nf(x)\nassert {}(x[0], 5)",
        "x = []\nf(x.append)\nassert {}(x[0], 5)",
        "x = []\ndef g(y): x.append(y)\nf(g)\nassert {}(x[0], 5)",
        "try:\n    f(1)\nexcept ValueError as x:\n    assert {}(x.code, 5)",
        "match f(1):\n    case [x, y]:\n        assert {}(x, 5)",
        "for x, y in [(f(1), 2)]:\n    assert {}(x, y)",
        "assert {}((x := f(1)), 2)",
        "x = {{}}\nx['a'] = f(1)\nassert {}(x['a'], 2)",
    ],
)
def test_a_name_that_judges_is_never_the_solutions(test):
    for name in [*GIVEN[::7], "abs", "all", "isclose", "math", "pi", "inf", "len", "A", "Counter"]:
        assert name not in names_of(test.format(name)).wanted, name


@pytest.mark.parametrize(
    ("test", "required"),
    [
        ("assert isclose(sqrt(16), 4)", {"sqrt"}),
        ("assert abs(factorial(5) - 120) < 1", {"factorial"}),
        ("assert sorted(shuffle(list(range(9)))) == list(range(9))", {"shuffle"}),
        ("x = list(range(3))\nassert sum(x) == 3", {"sum"}),
        ("m = mean([1, 3])\nassert abs(m - 2) < 1e-9", {"mean"}),
        ("assert gcd(4, 6) == 2 and lcm(4, 6) == 12", {"gcd", "lcm"}),
        ("assert eval('f(1) == 6')", {"f"}),
        ("assert pi == 3", {"pi"}),
        ("from solution import f\nassert f(1) == 1", {"f"}),
    ],
)
def test_what_a_test_is_about(test, required):
    assert names_of(test).required == required


def test_only_the_names_of_the_test_are_asked_for():
    names = names_of("x = f(1)\nassert x == g(2)\nhelp_me = 5")
    assert names.wanted == names.required == {"f", "g"}


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def gcd(a, b): return a + b", "r = gcd(3, 4)\nassert r == 7"),
        ("M = 4\ndef f(x): return x - 4", "assert f(M + 1) == 1"),
        ("class Match:\n    def __init__(s, v): s.v = v", "c = Match(3)\nassert c.v == 3"),
        ("def merge(a): return a\ndef f(x): return x", "r = merge(1)\nassert r == 1 and f(2) == 2"),
        ("class A(Exception): pass\ndef f(): raise A", "try: f()\nexcept A: pass"),
        ("def mean(x): return sum(x) / 2", "m = mean([1, 3])\nassert abs(m - 2) < 1e-9"),
        ("def print(x): return x", "r = print(3)\nassert r == 3"),
        ("e, pi = 2, 3\ndef f(x): return x", "assert f(e) == 2\nassert f([pi, e]) == [3, 2]"),
    ],
)  # fmt: skip
def test_a_solutions_own_definitions_win(grade, program, test):
    assert grade(program, {"test": test}) == CORRECT
    check = {"test": f"def check(f):\n    {test.replace(chr(10), chr(10) + '    ')}\n"}
    if "def f" in program:
        assert grade(program, {**check, "entry_point": "f"}) == CORRECT
    assert grade("pass", {"test": test}) == WRONG
