"""Scripts of statements as tests, and the classes that come with a row."""

import json

import pytest
from code_helpers import CORRECT, TIMEOUT, WRONG

from verifiers.code import program as program_module
from verifiers.code.program import find_ground_truth_fault
from verifiers.code.rewriting import split_script

SCRIPT = """
my_solution = Solution()

test_input = { "word": "abcde" }
assert my_solution.count(**test_input) == 5

test_input = { "word": "" }
assert my_solution.count(**test_input) == 0
"""
PRELUDE = """
from typing import *
class ListNode:
    def __init__(self, val=0, next=None):
        self.val = val
        self.next = next
def list_node(values):
    return ListNode(values[0], list_node(values[1:])) if values else None
def is_same_list(a, b):
    while a and b:
        if a.val != b.val:
            return False
        a, b = a.next, b.next
    return not a and not b
class TreeNode:
    def __init__(self, val=0, left=None, right=None):
        self.val, self.left, self.right = val, left, right
"""
REVERSE = """class Solution:
    def reverse(self, head: Optional[ListNode]) -> Optional[ListNode]:
        before = None
        while head:
            head.next, before, head = before, head, head.next
        return before
"""
OWN_NODE = "class ListNode:\n    def __init__(self, val=0, next=None):\n"
OWN_NODE += "        self.val, self.next = val, next\n"
LIST_CHECK = """
def check(candidate):
    assert is_same_list(candidate(list_node([1, 2, 3])), list_node([3, 2, 1]))
    assert candidate(None) is None
"""
LIST_TRUTH = {"test": LIST_CHECK, "entry_point": "Solution().reverse", "test_imports": PRELUDE}


def test_a_script_of_statements(grade):
    right = "class Solution:\n    def count(self, word): return len(word)"
    assert grade(right, {"test": SCRIPT}) == CORRECT
    assert grade(right.replace("len(word)", "5"), {"test": SCRIPT}) == (0.5, "partial")
    assert grade(right.replace("len(word)", "4"), {"test": SCRIPT}) == WRONG
    assert grade("def count(word): return len(word)", {"test": SCRIPT}) == WRONG


COUNTER = """class Solution:
    total = 0
    def add(self, n):
        {}
        self.total += n
        return self.total
"""
STATEFUL = """
s = Solution()
assert s.add(1) == 1
seen = [s.add(2)]
assert seen == [3]
more = s.add(3)
assert more == 6
assert s.total == 6
for n in (s.total,):
    assert n == 6
"""


@pytest.mark.parametrize(
    ("line", "verdict"),
    [
        ("pass", CORRECT),
        ("n += n == 3", (0.5, "partial")),  # the third sum and the total are wrong
        ("n = 5", WRONG),
        ("assert n != 2", (0.25, "partial")),  # what raises fails its own assert, and the rest
        ("if n == 3: self.total = 0; return 6", (0.75, "partial")),
        ("if n == 2: exit()", (0.25, "partial")),
        ("if n == 3: os._exit(0)", (0.5, "partial")),
        ("if n == 2: os.fork()", (0.25, "partial")),
    ],
)
def test_each_assert_of_a_script_is_a_test_on_the_same_objects(grade, line, verdict):
    program = COUNTER.format(line)
    assert grade(program, {"test": STATEFUL}) == verdict
    reward, _ = grade(program, {"test": STATEFUL}, all_or_nothing=True)
    assert reward == (verdict == CORRECT)


def test_a_script_that_never_gets_to_its_first_assert(grade):
    assert grade("class Other: pass", {"test": STATEFUL}) == WRONG
    refused = COUNTER.format("os.fork()")
    assert grade(refused, {"test": STATEFUL}) == (0.0, "forbidden")


def test_a_program_cannot_write_the_results(grade):
    line = "n = 5\n        for d in range(4, 64):\n            try: os.write(d, b'1111')\n"
    line += "            except OSError: pass"
    assert grade(COUNTER.format(line), {"test": STATEFUL}) == WRONG


@pytest.mark.parametrize(
    ("result", "rest", "verdict"),
    [(None, None, (0.25, "partial")), (False, False, (0.25, "partial")), (None, None, TIMEOUT)],
)
def test_asserts_after_the_time_ran_out_did_not_finish(result, rest, verdict):
    class Run:
        notes = b"10" if verdict != TIMEOUT else b""
        run_test = staticmethod(lambda number, seconds: result)

    results = program_module._run_script(Run(), 4, 0.0)
    assert results == [note == 49 for note in Run.notes] + [rest] * (4 - len(Run.notes))
    assert program_module._judge(results, False) == verdict


def test_an_assert_in_a_callback_fails_the_assert_that_called_it(grade):
    test = "class Check:\n    def __init__(self, n): self.n = n\n"
    test += "    def __call__(self): assert self.n == 4\n"
    test += "".join(f"assert f(Check({n})) == 1\n" for n in (4, 5, 4))
    program = "def f(h):\n    try: h()\n    except BaseException: pass\n    return 1"
    assert grade(program, {"test": test}) == (2 / 3, "partial")


def test_the_parts_of_a_script():
    assert [len(part.body) for part in split_script(STATEFUL)] == [2, 2, 2, 2]
    assert [len(part.body) for part in split_script("f(1)\nf(2)")] == [2]


@pytest.mark.parametrize(
    "program",
    [
        REVERSE,
        OWN_NODE + REVERSE,
        REVERSE.replace("return before", "self.seen = before; return before"),
        "class Solution:\n    def reverse(self, head):\n        out = None\n        while head:\n"
        "            out = ListNode(head.val, out)\n            head = head.next\n"
        "        return out",
    ],
)
def test_list_nodes_of_the_row(grade, program):
    assert grade(program, LIST_TRUTH) == CORRECT


@pytest.mark.parametrize(
    "program",
    [
        REVERSE.replace("return before", "return None"),
        REVERSE.replace("return before", "return ListNode(before.val) if before else None"),
        "is_same_list = lambda a, b: 1\nclass Solution:\n    def reverse(self, head): return head",
        "class Solution:\n    def reverse(self, head): return [3, 2, 1] if head else None",
    ],
)
def test_wrong_lists(grade, program):
    assert grade(program, LIST_TRUTH) == WRONG


@pytest.mark.parametrize(
    ("program", "test"),
    [
        ("def f(n): n.val = 5", "n = ListNode(1)\nf(n)\nassert n.val == 5"),
        ("def f(n): n.next = ListNode(2)", "n = ListNode(1)\nf(n)\nassert n.next.val == 2"),
        ("def f(n): return n.next", "a = ListNode(1)\nb = ListNode(2, a)\nassert f(b) is a"),
        ("def f(n): n.next = n", "n = ListNode(1)\nf(n)\nassert n.next.next is n"),
        ("def f(t): t.left, t.right = t.right, t.left", "t = TreeNode(1, TreeNode(2))\nf(t)\n"
         "assert t.left is None and t.right.val == 2"),
        ("def f(): return [ListNode(4)]", "assert f()[0].val == 4 and type(f()[0]) is ListNode"),
        ("def f(n):\n    k = 0\n    while n: n = n.next; k += 1\n    return k",
         "n = None\nfor i in range(3000): n = ListNode(i, n)\nassert f(n) == 3000"),
    ],
)  # fmt: skip
def test_nodes_are_changed_in_place(grade, program, test):
    assert grade(program, {"test": test, "test_imports": PRELUDE}) == CORRECT


@pytest.mark.parametrize(
    ("truth", "fault"),
    [
        ({"test": SCRIPT}, ""),
        ({"test": SCRIPT, "entry_point": ""}, ""),
        ({"test": SCRIPT, "test_imports": PRELUDE}, ""),
        ({"test_list": [SCRIPT]}, ""),
        ({"test": "def test_f():\n    assert f(1) == 2"}, ""),
        ({"test": "def check(c):\n    assert c(1) == 2\ncheck(f)"}, ""),
        ({"test": "def helper():\n    assert f(1) == 2"}, "tests nothing"),
        ({"test_list": ["def helper():\n    assert f(1) == 2"]}, "tests nothing"),
        ({"test": "x = 5"}, "tests nothing"),
        ({"test": "class D(Pet): pass\nassert D().legs == 4"}, "class D from the solution's Pet"),
        ({"test": "def g(x):\n    assert x == 4\neach(g, [1])"}, "g, a function with asserts"),
        ({"test": "@twice\ndef g(x):\n    assert x == 4\ng(4)"}, "g, a function with asserts"),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_is_refused_when_rows_are_read(truth, fault):
    found = find_ground_truth_fault(json.dumps(truth))
    assert fault in found and bool(found) == bool(fault)
