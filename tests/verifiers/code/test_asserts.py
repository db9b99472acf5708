"""Assert-style tests, run beside the solution and never with it."""

import pytest
from code_helpers import CORRECT, SUM_TESTS, WRONG

PAIR = "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
BRINGS = """import json, os
class Judge:
    __call__ = lambda *a: 3
    __getitem__ = lambda self, name: self
name = {"type": "handle", "id": 0}
os.write(3, json.dumps({"names": {"f": name, %r: name}}).encode() + b"\\n")
from verifiers.code import solution
peer = solution.Solution()
peer.export(Judge())
while True:
    peer.answer(peer.channel.receive())
"""
RAISES = "try:\n    f(1)\n    assert False\nexcept {} as e:\n    assert str(e) == 'no'"


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(x): return x + 1", "assert f(1) == 2"),
        ("def f(x): return (1, 2)", "assert f(1) == (1, 2)"),
        ("def f(x): return {1, 2}", "assert f(1) == {1, 2}"),
        ("def f(x): return {1: (2, 3)}", "assert f(1) == {1: (2, 3)}"),
        ("def f(x): return 1j", "assert f(1) == 1j"),
        ("def f(x): return b'a'", "assert f(1) == b'a'"),
        ("def f(x): return Counter('aa')", "assert f(1) == {'a': 2}"),
        ("def f(x): return defaultdict(int, a=1)", "assert f(1) == {'a': 1}"),
        ("def f(x): return deque([1])", "assert list(f(1)) == [1]"),
        ("def f(x): return Fraction(1, 3)", "assert f(1) == Fraction(1, 3)"),
        ("def f(x): return datetime.date(2020, 1, 2)", "assert f(1).isoformat() == '2020-01-02'"),
        ("def f(x): return datetime.timedelta(days=1)", "assert f(1).days == 1"),
        ("def f(x): return np.array([1, 2])", "assert (f(1) == np.array([1, 2])).all()"),
        ("def f(x): return ...", "assert f(1) is ..."),
        ("import pathlib\ndef f(x): return pathlib.Path('a')", "assert f(1).name == 'a'"),
        ("def f(x): return {1: 2}.keys()", "assert f(1) == {1}"),
        ("def f(x): return x[1:]", "assert f([1, 2]) == [1, 2][slice(1, 2)]"),
        ("def f(x): return x * 2", "import numpy as np\nassert f(np.array([1]))[0] == 2"),
        ("def f(x): x.append(4)", "x = [3]\nf(x)\nassert x == [3, 4]"),
        ("def f(x): x['a'] = 1", "x = {}\nf(x=x)\nassert x == {'a': 1}"),
        ("def f(x): raise ValueError('no')", RAISES.format("ValueError")),
        ("class Bad(ValueError): pass\ndef f(x): raise Bad('no')", RAISES.format("Bad")),
        ("def f(x):\n    yield 1\n    yield 2", "assert list(f(1)) == [1, 2]"),
        ("def f(x): return iter([1])", "assert next(f(1)) == 1"),
        ("def f(g, x): return g(x)", "assert f(lambda v: v + 1, 2) == 3"),
        ("def f(g, x): return g(x)", "assert f(len, [1, 2]) == 2"),
        ("def f(x): return lambda y: x + y", "assert f(1)(2) == 3"),
        (PAIR + "def f(x): return x[0].b", "assert f([Pair(1, 5)]) == 5"),
        (PAIR, "p = Pair(1, 5)\np.a = 7\nassert p.a == 7 and isinstance(p, Pair)"),
        ("class A:\n    def __len__(self): return 3", "assert len(A()) == 3"),
        ("class A:\n    def __getitem__(self, i): return i", "assert A()[2] == 2"),
        ("class A:\n    def __str__(self): return 'A!'", "assert str(A()) == 'A!'"),
        ("def sum(a, b): return a + b + 1", "assert sum(1, 2) == 4"),
        ("def gcd(a, b): return 7", "assert gcd(1, 2) == 7"),
        ("P = namedtuple('P', 'x y')\ndef f(x): return P(1, 2)", "assert f(1) == (1, 2)"),
        ("def f(x): return 10 ** 5000", "assert f(1) == 10 ** 5000"),
        ("LIMIT = 5\ndef f(x): return LIMIT", "assert f(1) == LIMIT"),
        ("def f(x): return math.pi", "assert math.isclose(f(1), 3.14159265, rel_tol=1e-6)"),
        ("def f(x): return [1, (2, 3)]", "assert f(1) == (1, [2, 3])"),  # as for return values
        ("def f(x): return 1 / 3", "assert f(1) == 0.3333333"),
        ("def f(x):\n    x.append(1)\n    return x", "a = []\nassert f(a) is a and a == [1]"),
        ("def f(xs): return sum(xs)", "assert f(x for x in [1, 2]) == 3"),
        ("def f(xs): return range(len(xs))", "assert f(range(3)) == range(3)"),
        ("def gcd(a, b): return 2", "assert gcd(4, 6) == 2"),
        (
            "def shuffle(a): return a[::-1]",
            "assert sorted(shuffle(list(range(9)))) == list(range(9))",
        ),
    ],
)
def test_asserts_that_hold(grade, program, test):
    assert grade(program, {"test_list": [test]}) == CORRECT


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(x): return x", "assert f(1) == 2"),
        ("def f(x): return [1, 2]", "assert f(1) == (2, 1)"),
        ("def f(x): return [1, 2]", "assert f(1) == {1, 2}"),
        ("def f(x): return 1 / 0", "assert f(1) == 2"),
        ("def g(x): return 2", "assert f(1) == 2"),
        ("def f(x): return lambda: 2", "assert f(1) == 2"),
        (PAIR + "def f(x): return Pair(1, 2)", "assert f(1) == f(1)"),
        ("def f(x): return 2\nraise ValueError", "assert f(1) == 2"),
        ("pass", "assert gcd(4, 6) == 3"),
    ],
)
def test_asserts_that_fail(grade, program, test):
    assert grade(program, {"test_list": [test]}) == WRONG


def test_a_list_of_asserts_counts_each(grade):
    assert grade("def total(x): return sum(x)", SUM_TESTS) == CORRECT
    assert grade("def total(x): return 3", SUM_TESTS) == (0.5, "partial")
    assert grade("def total(x): return 3", SUM_TESTS, all_or_nothing=True) == WRONG


def test_imports_and_set_up_of_asserts(grade):
    truth = {
        "test_imports": ["import math as m"],
        "test_setup_code": "half = m.pi / 2",
        "test_list": ["assert abs(f(half) - 1) < 1e-9"],
    }
    assert grade("import math\ndef f(x): return math.sin(x)", truth) == CORRECT


def test_check_functions(grade):
    check = "def check(candidate):\n    assert candidate([2, 7], 9) == [0, 1]\n"
    truth = {"test": check, "entry_point": "Solution().twoSum"}
    method = "class Solution:\n    def twoSum(self, numbers, target): return [0, 1]"
    assert grade(method, truth) == CORRECT
    assert grade(method.replace("[0, 1]", "[1, 0]"), truth) == WRONG
    plain = {"test": check, "entry_point": "two_sum"}
    assert grade("def two_sum(a, b): return [0, 1]", plain) == CORRECT
    assert grade("def other(a, b): return [0, 1]", plain) == WRONG


def test_checks_may_call_helpers_of_the_solution(grade):
    program = (
        "def poly(xs, x): return sum(c * x ** i for i, c in enumerate(xs))\n"
        "def find_zero(xs): return -xs[0] / xs[1]"
    )
    check = (
        "METADATA = {}\ndef check(candidate):\n    import math\n    coefficients = [1, 2]\n"
        "    assert math.fabs(poly(coefficients, candidate(list(coefficients)))) < 1e-4\n"
    )
    assert grade(program, {"test": check, "entry_point": "find_zero"}) == CORRECT


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(x): return 5\ndef abs(x): return 0", "assert abs(f(1) - 6) < 1e-9"),
        ("def f(x): return 5\ndef all(x): return True", "assert all(f(x) == 6 for x in [1])"),
        ("def f(x): return 5\ndef isclose(*a, **k): return True", "assert isclose(f(1), 6)"),
        (
            "class math:\n    isclose = lambda *a: True\ndef f(x): return 5",
            "assert math.isclose(f(1), 6)",
        ),
        (
            "def f(x): return 5\nnp = type('N', (), {'allclose': print})",
            "assert not np.allclose(f(1), 5)",
        ),
        ("inf = 0\ndef f(x): return 0", "assert f(1) == inf"),
        (
            "def abs(x): return 0\ndef factorial(n): return 5",
            "assert abs(factorial(5) - 120) < 1e-6",
        ),
        ("def all(x): return True\ndef gcd(a, b): return 7", "assert all([gcd(6, 4) == 2])"),
        ("def isclose(*a): return True\ndef sqrt(x): return 5", "assert isclose(sqrt(16), 4)"),
        ("pass", "assert gcd(4, 6) == 2"),
        ("pass", "assert sum([1, 2]) == 3"),
        ("def f(x): return {'1': 2}", "assert f(1) == {1: 2}"),
        (BRINGS % "__builtins__", "assert len(f(1)) == 3"),
        (BRINGS % "__is_equal", "assert f(1) == 4"),
    ],
)
def test_a_solution_does_not_bring_its_judge(grade, program, test):
    assert grade(program, {"test_list": [test]}) == WRONG
