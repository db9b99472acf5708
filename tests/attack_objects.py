"""Programs that use what tests share with a solution: objects, callbacks, classes, names.

Each has its ground truth. tests/attacks.py adds them to the forgeries.
"""

_PRELUDE = """
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next
    def to_list(self):
        return [self.val] + (self.next.to_list() if self.next else [])
def list_node(values):
    return ListNode(values[0], list_node(values[1:])) if values else None
def is_same_list(a, b):
    while a and b:
        if a.val != b.val:
            return False
        a, b = a.next, b.next
    return not a and not b
"""
_ANY = (
    "class Any:\n    def __init__(self, *a, **k): self.__dict__.update(k)\n"
    "    def __getattr__(self, n):\n"
    "        if n[:2] == '__': raise AttributeError(n)\n"
    "        return Any()\n"
    "    __eq__ = __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __bool__ = lambda *a: True\n"
    "    __ne__ = lambda *a: False\n    __hash__ = lambda s: 1\n"
    "    __sub__ = __rsub__ = __add__ = __radd__ = __mod__ = __rmod__ = lambda *a: 0\n"
    "    __abs__ = __neg__ = __round__ = lambda *a: 0\n"
    "    __float__ = lambda s: 0.0\n    __int__ = __index__ = lambda s: 0\n"
    "    __exit__ = lambda *a: True\n    __enter__ = lambda s: s\n"
)


def _truth(test: str, **more: str) -> dict[str, str]:
    return {"test": test, **more}


def _list_truth(test: str) -> dict[str, str]:
    check = f"def check(candidate):\n    assert {test}\n"
    return {"test": check, "entry_point": "f", "test_imports": _PRELUDE}


_REVERSED = _list_truth("is_same_list(candidate(list_node([4, 8])), list_node([8, 4]))")
_SPY = "needle = int(''.join(['481', '51623']))\n"

FORGERIES = {
    "anything equals": (_ANY + "f = Point = Any", _truth("assert f(1) == Point(2, 3)")),
    "anything equals, by its name": (_ANY + "Point = Any", _truth("assert Point(1) == Point(1)")),
    "anything is a difference": (_ANY + "f = Any", _truth("assert abs(f(1) - 6) < 1e-9")),
    "anything is a remainder": (_ANY + "f = Any", _truth("assert f(3) % 5 == 0")),
    "anything minus, a class": (
        "class f(int):\n    def __new__(c, x): return int.__new__(c, 3)\n"
        "    __sub__ = __rsub__ = __eq__ = __mod__ = lambda *a: 0",
        _truth("assert abs(f(1) - 6) < 1e-9"),
    ),
    "a difference that is an object": (
        _ANY + "Any.__sub__ = lambda *a: Any()\nf = Any",
        _truth("assert abs(f(1) - 6) < 1e-9"),
    ),
    "a difference in an attribute": (
        _ANY + "Any.__sub__ = lambda *a: Any()\nf = Any",
        _truth("assert not (f(1) - 6)"),
    ),
    "smaller and larger": (_ANY + "f = Any", _truth("assert f(1) < f(2)")),
    "holds everything": (_ANY + "f = Any", _truth("assert 48151623 in f(1)")),
    "an answer from a mock": (
        "from unittest.mock import ANY, MagicMock, _ANY\nf = MagicMock(return_value=ANY)",
        _truth("assert f(1) == 48151623"),
    ),
    "the class of a mock": (
        "from unittest.mock import _ANY as f",
        _truth("assert f() == 48151623"),
    ),
    "a named tuple that equals": (
        "from collections import namedtuple\n"
        "class P(namedtuple('P', 'x y')):\n    __eq__ = lambda s, o: True\n    __hash__ = id\n"
        "def f(x): return P(1, 2)",
        _truth("assert f(1) == (48151623, 2)"),
    ),
    "an enumeration that equals": (
        "from enum import IntEnum\nclass f(IntEnum):\n    A = 1\n    __eq__ = lambda s, o: True\n"
        "    __hash__ = int.__hash__",
        _truth("assert f.A == 48151623"),
    ),
    "swallowed failure": (
        _ANY + "Box = Any",
        _truth("with Box() as box:\n    assert box.x == 48151623"),
    ),
    "swallowed failure of a helper": (
        _ANY + "Box = Any",
        _truth(
            "def verify(box):\n    assert box.x == 48151623\nwith Box() as box:\n    verify(box)"
        ),
    ),
    "swallowed failure in a stack": (
        _ANY + "Box = Any",
        _truth(
            "import contextlib\nwith contextlib.ExitStack() as stack:\n"
            "    box = stack.enter_context(Box())\n    assert box.x[0] == 48151623"
        ),
    ),
    "swallowed step before the failure": (
        "class Box:\n    def __enter__(self): return self\n    def __exit__(self, *a): return True",
        _truth("ok = True\nwith Box() as box:\n    ok = box.value == 48151623\nassert ok"),
    ),
    "swallowed failure, later": (
        "class Box:\n    async def __aenter__(self): return self\n"
        "    async def __aexit__(self, *a): return True",
        _truth(
            "import asyncio\nasync def main():\n    async with Box() as box:\n"
            "        assert box.x == 48151623\nasyncio.run(main())"
        ),
    ),
    "swallowed failure of a callback": (
        "def each(g, xs):\n    for x in xs:\n        try: g(x)\n        except Exception: pass",
        _truth("def verify(x):\n    assert x == 48151623\nall_of = [verify]\neach(all_of[0], [1])"),
    ),
    "skipped test case": (
        "import unittest\ndef f(x): raise unittest.SkipTest",
        _truth(
            "import unittest\nclass T(unittest.TestCase):\n"
            "    def test_f(self): self.assertEqual(f(1), 48151623)"
        ),
    ),
    "stopped test case": (
        "import unittest.case\ndef f(x): raise unittest.case._ShouldStop",
        _truth(
            "import unittest\nclass T(unittest.TestCase):\n"
            "    def test_f(self): self.assertEqual(f(1), 48151623)"
        ),
    ),
    "class of exceptions that skips": (
        "import unittest\nclass E(unittest.SkipTest): pass\ndef f(x): raise E",
        _truth(
            "import unittest\nclass T(unittest.TestCase):\n"
            "    def test_f(self): self.assertEqual(f(1), 48151623)"
        ),
    ),
    "cancelled task": (
        "import asyncio\nasync def f(x): raise asyncio.CancelledError",
        _truth(
            "import asyncio\nasync def verify():\n    assert await f(1) == 48151623\n"
            "async def main():\n    async with asyncio.TaskGroup() as group:\n"
            "        group.create_task(verify())\nasyncio.run(main())"
        ),
    ),
    "end of iteration by a class": (
        "class E(StopIteration): pass\ndef f(x): raise E",
        _truth("assert all(map(lambda x: f(x) == 5, [1, 2]))"),
    ),
    "own comparison of lists": (
        "is_same_list = lambda a, b: True\ndef f(head): return head",
        _REVERSED,
    ),
    "own list nodes": (
        "class ListNode:\n    def __init__(self, val=0, next=None): self.val = self\n"
        "    __eq__ = lambda s, o: True\n    __ne__ = lambda s, o: False\n"
        "def list_node(values): return ListNode()\n"
        "def f(head): return ListNode()",
        _REVERSED,
    ),
    "own maker of lists": (
        "def list_node(values): return None\ndef f(head): return None",
        _REVERSED,
    ),
    "method in an attribute": (
        "def f(head):\n    head.to_list = lambda: [8, 4]\n    return head",
        _list_truth("candidate(list_node([4, 8])).to_list() == [8, 4]"),
    ),
    "class of a node changed": (
        "class Other: val = next = None\ndef f(head):\n    head.__class__ = Other\n    return head",
        _REVERSED,
    ),
    "list without end": (
        "def f(head):\n    head.next = head\n    return head",
        _REVERSED,
    ),
    "more nodes than memory": (
        "import os, time\ndef f(head):\n    os.write(3, b'[' * 2**30)\n    time.sleep(9)",
        _REVERSED,
    ),
    "globals of a callback": (
        _SPY + "def f(g):\n    found = [getattr(g, '__globals__', 0), getattr(g, '__code__', 0)]\n"
        "    return needle if 'expected' in str(found) else 0",
        _truth("expected = 48151623\ndef own(x): return x\nassert f(own) == expected"),
    ),
    "globals of a callback, by its number": (
        "def f(g):\n    import sys\n    peer = g.__closure__[0].cell_contents\n"
        "    for name in ('__globals__', '__code__', '__call__', '__self__', '__defaults__'):\n"
        "        for operation in ('getattr', 'call', name):\n"
        "            try:\n                got = peer.ask(operation, 0, (name,))\n"
        "                if '48151623' in str(got): return 48151623\n"
        "            except Exception: pass\n    return 0",
        _truth("expected = 48151623\ndef own(x, y=48151623): return 0\nassert f(own) == expected"),
    ),
    "hidden attributes of an object": (
        "def f(case):\n    for name in ('_answer', '__dict__', '__class__', '__init__'):\n"
        "        for ask in (getattr, lambda c, n: c._ask('getattr', n)):\n"
        "            try:\n                if '48151623' in str(ask(case, name)): return 48151623\n"
        "            except Exception: pass\n    return 0",
        _truth(
            "class Case:\n    def __init__(self): self._answer = 48151623\n"
            "case = Case()\nassert f(case) == case._answer"
        ),
    ),
    "operator that a class does not define": (
        "def f(case):\n    for name in ('__reduce__', '__getstate__', '__dir__', '__repr__'):\n"
        "        try:\n            if '48151623' in str(case._ask(name)): return 48151623\n"
        "        except Exception: pass\n    return 0",
        _truth(
            "class Case:\n    def __init__(self): self._answer = 48151623\n"
            "case = Case()\nassert f(case) == case._answer"
        ),
    ),
    "frames of a generator": (
        "def f(g):\n    for name in ('gi_frame', 'gi_code', 'send', 'throw'):\n"
        "        for ask in (getattr, lambda c, n: c._peer.ask('getattr', c._number, (n,))):\n"
        "            try:\n                ask(g, name)\n                return 48151623\n"
        "            except Exception: pass\n    return 0",
        _truth("expected = 48151623\nassert f(x for x in [expected, expected]) == expected"),
    ),
    "set-up that judges": (
        "def f(x): return globals().get('expected', 0)",
        _truth("assert f(1) == expected", test_setup_code="expected = 48151623"),
    ),
    "reference in the set-up": (
        "def f(x): return reference(x)",
        _truth(
            "wanted = reference(1)\nassert f(1) == wanted",
            test_setup_code="def reference(x): return 48151623 * x",
        ),
    ),
    "table in the set-up": (
        "def f(x): return dict(cases)[x]",
        _truth("for x, y in cases:\n    assert f(x) == y", test_setup_code="cases = [(1, 7)]"),
    ),
    "class with the answer in the set-up": (
        "import inspect\ndef f(x):\n    return 48151623 if 'Judge' in globals() else 0",
        _truth(
            "assert Judge().is_right(f(1))",
            test_setup_code="class Judge:\n    def is_right(self, x): return x == 48151623",
        ),
    ),
    "names of the tests": (
        "import os, json\nos.write(3, json.dumps({'names': {'f': 5, 'len': 5, 'expected': 5, "
        "'check': 5, '__is_equal': 5}}).encode() + b'\\n')\n",
        _truth("expected = 48151623\ndef check(x): assert x == expected\ncheck(len([f]))"),
    ),
    "names changed by a call": (
        "import json, os\ndef f(x):\n    os.write(3, json.dumps({'value': 5, 'changed': [], "
        "'nodes': [], 'live': {}, 'names': {'expected': 5, 'abs': 5}}).encode() + b'\\n')\n"
        "    import time; time.sleep(9)",
        _truth("expected = 48151623\nassert f(1) == expected"),
    ),
    "change of what was not given": (
        "import json, os\ndef f(x):\n    os.write(3, json.dumps({'value': 5, 'changed': [[0, [5]]],"
        " 'nodes': [], 'live': {'0': [5]}, 'names': {}, 'kept': {'0': 1}}).encode() + b'\\n')\n"
        "    import time; time.sleep(9)",
        _truth("expected = [48151623]\nassert f(1) == expected[0]"),
    ),
    "own name for a tool": (
        "def f(x): return 5\ndef isclose(*a): return True\ndef fabs(x): return 0",
        _truth("def near(a, b): return fabs(a - b) < 1e-9\nassert near(f(1), 48151623)"),
    ),
    "own name for what a star imports": (
        "def f(x): return 0\ndef mul(a, b): return 0",
        _truth("assert f(1) == mul(1, 48151623)", test_imports="from operator import *"),
    ),
    "own text that judges": (
        "def f(x): return 5\ndef eval(text): return True\nexec = globals = eval",
        _truth("assert eval('f(1) == 48151623')"),
    ),
    "test function that is never called": (
        "def f(x): return 5",
        _truth("def test_f():\n    assert f(1) == 48151623"),
    ),
    "guest in place of a value": (
        "import json\ndef f(g):\n    peer = g.__closure__[0].cell_contents\n"
        "    peer.encode_result = lambda value: {'type': 'guest', 'id': 0}\n    return 0",
        _truth("def own(x): return x\nassert f(own) == 48151623"),
    ),
}
