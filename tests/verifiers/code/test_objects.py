"""Assertions on objects: of the solution, of the test, and on both sides."""

import pytest
from code_helpers import CORRECT, WRONG

VECTOR = """
class V:
    def __init__(self, x, y): self.x, self.y = x, y
    def __eq__(self, o): return isinstance(o, V) and (self.x, self.y) == (o.x, o.y)
    def __hash__(self): return hash((self.x, self.y))
    def __add__(self, o): return V(self.x + o.x, self.y + o.y)
    def __mul__(self, k): return V(self.x * k, self.y * k)
    __rmul__ = __mul__
    def __neg__(self): return V(-self.x, -self.y)
    def __abs__(self): return (self.x ** 2 + self.y ** 2) ** 0.5
    def __matmul__(self, o): return self.x * o.x + self.y * o.y
    def __lt__(self, o): return abs(self) < abs(o)
    def __repr__(self): return f"V({self.x}, {self.y})"
    def __iter__(self): yield self.x; yield self.y
    def __bool__(self): return bool(self.x or self.y)
    @classmethod
    def of(cls, text): return cls(*map(int, text.split(',')))
    @property
    def norm(self): return abs(self)
"""
ACCOUNT = """
class Insufficient(Exception):
    def __init__(self, need, have):
        super().__init__(f"need {need}, have {have}")
        self.need, self.have = need, have
class Account:
    count = 0
    def __init__(self, owner, balance=0):
        self.owner, self._balance, self.log = owner, balance, []
        Account.count += 1
    @property
    def balance(self): return self._balance
    @balance.setter
    def balance(self, value):
        if value < 0: raise ValueError("negative")
        self._balance = value
    def deposit(self, n):
        self._balance += n
        self.log.append(n)
        return self
    def withdraw(self, n):
        if n > self._balance: raise Insufficient(n, self._balance)
    def __setitem__(self, k, v): self.log[k] = v
    def __getitem__(self, k): return self.log[k]
    def __delitem__(self, k): del self.log[k]
    def __contains__(self, x): return x in self.log
    def __enter__(self): self.open = True; return self
    def __exit__(self, kind, error, trace): self.open = False; return kind is ZeroDivisionError
"""
APPLY = "def f(g, x): return g(x)\n"
MEMO = """
import functools
def memo(g):
    kept = {}
    @functools.wraps(g)
    def inner(x):
        if x not in kept: kept[x] = g(x)
        return kept[x]
    inner.kept = kept
    return inner
"""
ENUM = (
    "from enum import Enum, IntEnum\nclass C(Enum):\n    A = 1\n    B = 2\nclass L(IntEnum):\n    "
)
ENUM += "LOW = 1\n    HIGH = 5\n"
CATCH = "try:\n    {}\n    assert False\nexcept {} as e:\n    assert {}"


@pytest.mark.parametrize(
    "test",
    [
        "assert V(1, 2) == V(1, 2) and V(1, 2) != V(2, 2) and not V(1, 2) == V(2, 1)",
        "assert V(1, 2) + V(3, 4) == V(4, 6) and V(1, 2) * 3 == 3 * V(1, 2) == V(3, 6)",
        "assert -V(1, 2) == V(-1, -2) and abs(V(3, 4)) == 5 and V(1, 2) @ V(3, 4) == 11",
        "assert V(1, 2) < V(3, 4) and sorted([V(3, 4), V(1, 1)]) == [V(1, 1), V(3, 4)]",
        "assert repr(V(1, 2)) == str(V(1, 2)) == f'{V(1, 2)}' == 'V(1, 2)'",
        "x, y = V(1, 2)\nassert (x, y) == (1, 2) and list(V(1, 2)) == [1, 2]",
        "assert V(1, 0) and not V(0, 0) and V.of('1,2') == V(1, 2) and V(3, 4).norm == 5",
        "assert len({V(1, 2), V(1, 2)}) == 1 and {V(1, 2): 'a'}[V(1, 2)] == 'a'",
        "assert V(1, 2) in [V(0, 0), V(1, 2)] and sum([V(1, 1), V(2, 2)], V(0, 0)) == V(3, 3)",
        "assert type(V(1, 2)) is V and type(V(1, 2)).__name__ == V(1, 2).__class__.__name__ == 'V'",
        "import copy\nv = V(1, 2)\nw = copy.deepcopy(v)\nw.x = 5\nassert v.x == 1 and w != v",
        "v = V(1, 2)\nv += V(1, 1)\nassert v == V(2, 3) and vars(v) == {'x': 2, 'y': 3}",
        "v = V(1, 2)\nv.x = 9\nassert v.x == 9 and hasattr(v, 'y') and not hasattr(v, 'z')",
    ],
)
def test_operators_of_the_solutions_objects(grade, test):
    assert grade(VECTOR, {"test": test}) == CORRECT


@pytest.mark.parametrize(
    "test",
    [
        "a = Account('x')\nassert a.deposit(1).deposit(2).balance == 3 and a._balance == 3",
        "a = Account('x')\na.balance = 7\nassert a.balance == 7\n"
        + CATCH.format("a.balance = -1", "ValueError", "str(e) == 'negative'"),
        CATCH.format("Account('x').withdraw(5)", "Insufficient", "(e.need, e.have) == (5, 0)"),
        "e = Insufficient(1, 2)\nassert e.need == 1 and str(e) == 'need 1, have 2'",
        CATCH.format("raise Insufficient(1, 2)", "Exception", "type(e) is Insufficient"),
        "Account('a')\nAccount('b')\nassert Account.count == 2",
        "a = Account('x')\na.log.append(4)\na.deposit(5)\nassert a.log == [4, 5] and a[0] == 4",
        "a = Account('x')\nlog = a.log\na.deposit(5)\nassert log == [5]",
        "a = Account('x').deposit(5).deposit(6)\na[0] = 1\ndel a[1]\nassert 1 in a and 6 not in a",
        "a = Account('x').deposit(5).deposit(6).deposit(7)\nassert a[1:] == [6, 7] and a[-1] == 7",
        "with Account('x') as a:\n    assert a.open\nassert not a.open",
        "with Account('x') as a:\n    1 / 0\nassert not a.open",
        CATCH.format("with Account('x') as a: raise KeyError('k')", "KeyError", "not a.open"),
        "import unittest\nwith unittest.TestCase().assertRaises(Insufficient) as c:\n"
        "    Account('x').withdraw(9)\nassert c.exception.need == 9",
        "a = Account('x')\ndel a.owner\nassert not hasattr(a, 'owner') and isinstance(a, Account)",
    ],
)
def test_state_of_the_solutions_objects(grade, test):
    assert grade(ACCOUNT, {"test": test}) == CORRECT


@pytest.mark.parametrize(
    ("program", "test"),
    [
        (ENUM, "assert C.A.value == 1 and C(1) is C.A and C['B'].name == 'B' and C.A in C"),
        (ENUM, "assert [c.name for c in C] == ['A', 'B'] and len(C) == 2 and C.A != C.B"),
        (ENUM, "assert L.LOW < L.HIGH == 5 and L.HIGH + 1 == 6 and max(L).name == 'HIGH'"),
        (
            "from typing import NamedTuple\nclass P(NamedTuple):\n    x: int\n    y: int\n"
            "    def total(self): return self.x + self.y",
            "p = P(1, 2)\nassert p.x == p[0] == 1 and p == (1, 2) and p.total() == 3\n"
            "assert repr(p) == 'P(x=1, y=2)' and p._replace(x=5).x == 5",
        ),
        (
            "class S(list):\n    def peek(self): return self[-1]",
            "s = S()\ns.append(1)\nassert s == [1] and s.peek() == 1 and len(s) == 1",
        ),
        (
            "from dataclasses import dataclass\n@dataclass(frozen=True, order=True)\nclass P:\n"
            "    x: int",
            "import dataclasses\nassert P(1) == P(1) and P(1) < P(2) and repr(P(1)) == 'P(x=1)'\n"
            + CATCH.format("P(1).x = 2", "dataclasses.FrozenInstanceError", "True"),
        ),
        (
            "class I:\n    def __init__(self, n): self.n = n\n    def __iter__(self): return self\n"
            "    def __next__(self):\n        if not self.n: raise StopIteration\n"
            "        self.n -= 1\n        return self.n",
            "assert list(I(3)) == [2, 1, 0] and next(I(2)) == 1 and next(I(0), 'end') == 'end'",
        ),
        (
            "def g():\n    x = yield 1\n    return x",
            "i = g()\nassert next(i) == 1\n" + CATCH.format("i.send(5)", "StopIteration", "True"),
        ),
        ("def g(it): return next(it)", "i = iter([1, 2])\nassert g(i) == 1 and next(i) == 2"),
        ("def g(it): return next(it)", "import itertools\nassert g(itertools.count(4)) == 4"),
        (
            "async def g(h, x): return await h(x)",
            "import asyncio\nasync def h(x): return x + 1\nassert asyncio.run(g(h, 1)) == 2",
        ),
        (
            "class A:\n    n = 2\n    async def __aenter__(self): return self\n"
            "    async def __aexit__(self, *a): self.closed = True\n"
            "    def __aiter__(self): return self\n    async def __anext__(self):\n"
            "        if not self.n: raise StopAsyncIteration\n        self.n -= 1\n"
            "        return self.n",
            "import asyncio\nasync def main():\n    async with A() as a:\n"
            "        assert [x async for x in a] == [1, 0]\n    assert a.closed\n"
            "asyncio.run(main())",
        ),
        ("class A(Exception): pass\nclass B(A): pass", CATCH.format("raise B(1)", "A", "True")),
        (
            "def f():\n    try: {}[0]\n    except KeyError as e: raise ValueError('v') from e",
            CATCH.format("f()", "ValueError", "isinstance(e.__cause__, KeyError)"),
        ),
        ("def f(): return (i for i in [1])", "import inspect\nassert inspect.isgenerator(f())"),
        ("def f():\n    'Doc.'", "assert f.__doc__ == 'Doc.' and f.__name__ == 'f'"),
    ],
)
def test_kinds_of_the_solutions_objects(grade, program, test):
    assert grade(program, {"test": test}) == CORRECT


@pytest.mark.parametrize(
    ("program", "test"),
    [
        (
            APPLY,
            "assert f(str.upper, 'a') == 'A' and f(int, '3') == 3 and f(len, 'ba') == 2",
        ),
        (APPLY, "import math, operator\nassert f(math.sqrt, 9) == 3 == -f(operator.neg, 3)"),
        (APPLY, "from collections import Counter\nassert f(Counter, 'aab') == {'a': 2, 'b': 1}"),
        (APPLY, "out = []\nf(out.append, 3)\nassert out == [3] and f({1: 2}.get, 1) == 2"),
        (APPLY, "class K:\n    def __call__(self, x): return 5 * x\nassert f(K(), 2) == 10"),
        (
            APPLY,
            "class Own(Exception): pass\ndef g(x): raise Own(x)\n"
            + CATCH.format("f(g, 4)", "Own", "e.args == (4,)"),
        ),
        (
            MEMO,
            "calls = []\n@memo\ndef g(x):\n    'Doc.'\n    calls.append(x)\n    return x * x\n"
            "assert g(3) == g(3) == 9 and calls == [3] and g.kept == {3: 9}\n"
            "assert g.__name__ == 'g' and g.__doc__ == 'Doc.'",
        ),
        (
            "def area(s): return s.w * s.h\ndef grow(s): s.w = 9",
            "class R:\n    def __init__(self, w, h): self.w, self.h = w, h\nr = R(2, 3)\n"
            "assert area(r) == 6\ngrow(r)\nassert r.w == 9",
        ),
        (
            "def most(xs): return max(xs)\ndef total(xs):\n    t = xs[0]\n"
            "    for x in xs[1:]: t = t + x\n    return t",
            "class M:\n    def __init__(self, v): self.v = v\n"
            "    def __add__(self, o): return M(self.v + o.v)\n"
            "    def __gt__(self, o): return self.v > o.v\na, b = M(1), M(2)\n"
            "assert most([a, b]) is b and total([a, b]).v == 3",
        ),
        (
            "def norm(p): return p.x + p.y",
            "from collections import namedtuple\nP = namedtuple('P', 'x y')\n"
            "assert norm(P(1, 2)) == 3",
        ),
    ],
)
def test_functions_and_objects_of_the_test(grade, program, test):
    assert grade(program, {"test": test}) == CORRECT


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(m):\n    for r in m: r[0] = 0", "r = [1, 2]\nm = [r]\nf(m)\nassert r == [0, 2]"),
        ("def f(m): m.sort()", "a, b = [2], [1]\nm = [a, b]\nf(m)\nassert m[0] is b and a == [2]"),
        ("def f(t): t[0].append(1)", "x = []\nf((x, 2))\nassert x == [1]"),
        (
            "def f(m): m[:] = [list(r) for r in zip(*m)]",
            "m = [[1, 2]]\nf(m)\nassert m == [[1], [2]]",
        ),
        ("def f(x): x.add(3)", "s = {1}\nf(s)\nassert s == {1, 3}"),
        (
            "class A:\n    def __init__(self, x): self.x = x\n"
            "    def add(self, v): self.x.append(v)",
            "x = [1]\na = A(x)\na.add(2)\nx.append(3)\nassert x == a.x == [1, 2, 3]",
        ),
        ("n = 0\ndef f():\n    global n\n    n += 1", "f()\nf()\nassert n == 2"),
        ("xs = []\ndef f(x): xs.append(x)", "f(1)\nxs.append(2)\nf(3)\nassert xs == [1, 2, 3]"),
        ("xs = [(i, i) for i in range(10 ** 6)]\ndef f(): return len(xs)", "assert f() == 10 ** 6"),
        (
            "def f(): print('a')",
            "import contextlib, io\nout = io.StringIO()\n"
            "with contextlib.redirect_stdout(out): f()\nassert out.getvalue() == 'a\\n'",
        ),
        (
            "def f(): return int(input('n? ')) + int(input())",
            "import io, sys\nsys.stdin = io.StringIO('3\\n4\\n')\nassert f() == 7",
        ),
        (
            "def f(): return int(input())",
            "from unittest.mock import patch\nwith patch('builtins.input', return_value='5'):\n"
            "    r = f()\nassert r == 5",
        ),
    ],
)
def test_changes_and_output(grade, program, test):
    assert grade(program, {"test": test}) == CORRECT


@pytest.mark.parametrize(
    ("program", "setup", "test"),
    [
        ("def f(x): return x + limit", "limit = 5", "assert f(1) == 6"),
        ("def f(n): return [is_bad(i) for i in range(n)]", "def is_bad(v): return v > 0",
         "assert f(2) == [False, True]"),
        ("class N:\n    def __init__(self, v): self.v = v", "root = N(4)", "assert root.v == 4"),
    ],
)  # fmt: skip
def test_what_the_set_up_defines(grade, program, setup, test):
    assert grade(program, {"test": test, "test_setup_code": setup}) == CORRECT
    assert grade(program, {"test_list": [test], "test_setup_code": setup}) == CORRECT


@pytest.mark.parametrize(
    ("program", "test"),
    [
        (VECTOR.replace("self.x + o.x", "self.x - o.x"), "assert V(1, 2) + V(3, 4) == V(4, 6)"),
        (VECTOR, "assert V(1, 2) == V(1, 3)"),
        (VECTOR, "assert V(3, 4) < V(1, 2)"),
        (VECTOR, "assert V(1, 2) == 5"),
        (VECTOR + "    def __sub__(self, o): return 0", "assert V(1, 2) - 5 == 0"),  # by our rule
        (ACCOUNT, "with Account('x') as a:\n    assert 1 / 0"),
        (ACCOUNT.replace("_balance += n", "n = n"), "assert Account('x').deposit(2).balance == 2"),
        (APPLY, "assert f(str.upper, 'a') == 'a'"),
        ("def f(m):\n    for r in m: r = [0]", "r = [1, 2]\nm = [r]\nf(m)\nassert r == [0, 2]"),
        ("def f(): print('b')", "import contextlib, io\nout = io.StringIO()\n"
         "with contextlib.redirect_stdout(out): f()\nassert out.getvalue() == 'a\\n'"),
        ("def f(x): return x + 1", "import unittest\nclass T(unittest.TestCase):\n"
         "    def test_f(self): self.assertEqual(f(1), 3)\nunittest.main()"),
        ("def f(x): return x + 1", "def test_f():\n    assert f(1) == 3"),
    ],
)  # fmt: skip
def test_what_is_wrong_stays_wrong(grade, program, test):
    assert grade(program, {"test": test}) == WRONG
