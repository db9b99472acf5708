"""The tests' side of assert-style tests: runs the tests, without the solution in its process.

The solution runs in another process (solution.py); only plain data passes between the two. In the
process of the tests, stand-ins take the place of the solution's names: a call sends the arguments
over, brings the value back, and copies changes to the arguments back. Objects without a plain
form stay with the solution, and a Handle refers to them (handles.py). `==` with a value of the
tests is always evaluated where the solution has no influence: values there are of Python's own
types. Functions of the tests are called back, and objects of their classes answer for themselves
(guests.py). Classes that come with a row as imports or set-up, such as ListNode, are on both sides,
and their objects cross as data (nodes.py).

The solution keeps influence on what a test leaves to it: its own helpers that a test calls, the
state of the arguments after a call, the order and number of the items of its iterators and of the
calls of a callback, and the truth value, text and comparison of its own objects among themselves.

What cannot be judged without the solution's word fails: an object of the solution compared with a
value of the tests (`Money(5) == 5`), an operator with such a value whose result is one
(`Money(5) - 5 == 0`). ground_truth.py refuses rows that derive a class from one of the solution.
"""

import ast
import os

from verifiers.code import compare, json_text, runner
from verifiers.code.handles import Handle, MaySuppress, note_name, type_of
from verifiers.code.names import TestNames, split_names
from verifiers.code.prelude import list_test_functions, list_visible, write_prelude
from verifiers.code.rewriting import IS_EQUAL, MAY_SUPPRESS, TYPE_OF, rewrite, split_script
from verifiers.code.tester import Tester

TESTS, RESULTS = 4, 5  # descriptors: a file with the JSON of the test, one for its results


def _may_suppress(manager: object) -> object:
    return MaySuppress(manager) if type(manager) is Handle else manager


def _is_equal(value: object, expected: object) -> bool:
    """Compare as == does, or as return values are compared: lists equal tuples, floats to 1e-5."""
    return bool(value == expected) or _is_same(value, expected)


def _is_same(value: object, expected: object) -> bool:
    kinds = {tuple if isinstance(own, tuple) else type(own) for own in (value, expected)}
    if kinds <= {list, tuple}:
        return len(value) == len(expected) and all(map(_is_same, value, expected))
    if kinds == {dict}:
        same_keys = value.keys() == expected.keys()
        return same_keys and all(_is_same(value[key], expected[key]) for key in expected)
    if kinds <= {int, float}:
        return compare.is_same_value(value, expected)
    return len(kinds) == 1 and bool(value == expected)


def _raise_not_defined(*arguments: object, **keywords: object) -> None:
    raise NameError("the solution does not define what the test asks for")


def run_tests() -> int:
    """Run one test against the solution in the other process; return 0 if it passes."""
    try:
        return _run_tests()
    except PermissionError:
        return runner.FORBIDDEN


def _run_tests() -> int:
    with open(TESTS, "rb", closefd=False) as file:
        test = json_text.load_trusted_json(file.read())
    module = runner.run_module(compile("", "tests", "exec"))
    names, own = module.__dict__, split_names(test)
    tester = Tester(module)
    if "unittest" in test["test"]:
        import unittest  # few tests need it

        unittest.main = _do_nothing  # its test cases run below
    prelude, classes = write_prelude(test)
    tester.channel.send({"wanted": sorted(own.wanted), "prelude": prelude, "classes": classes})
    given = tester.channel.receive()["names"]
    if given is None:
        raise PermissionError("the sandbox refused what the solution does when it is loaded")
    names.update({IS_EQUAL: _is_equal, MAY_SUPPRESS: _may_suppress, TYPE_OF: type_of})
    names["__name__"] = "__main__"
    # The imports first: `from operator import *` must not hide a solution's add.
    _run(rewrite(test["imports"]), names)
    tester.classes = {name: names[name] for name in classes if name in names}
    _take_names(tester, own, given)
    _run(rewrite(test["setup"]), names)
    tester.classes = {name: names[name] for name in classes if name in names}
    visible = list_visible(test) - own.judging
    tester.visible = {name: names[name] for name in visible if name in names}
    if test["is_script"]:
        return _run_script(test["test"], tester)
    _run(rewrite(test["test"]), names)
    if test["entry_point"]:
        names["check"](eval(test["entry_point"], names))
    for name in list_test_functions(test["test"]):
        names[name]()
    if "unittest" in test["test"]:
        _run_test_cases(names)
    return 1 if tester.has_failed else 0


def _take_names(tester: Tester, own: TestNames, given: dict[str, object]) -> None:
    """Put the solution's names into the module of the tests.

    What the solution should define and does not is no function of an imported module's either.
    """
    names = tester.module.__dict__
    tester.allowed = own.wanted
    found = own.wanted & set(given)
    is_given = {name for name in own.required if name in names} if own.required & found else set()
    names.update(dict.fromkeys(own.required - is_given, _raise_not_defined))
    names.update({name: note_name(tester.decode(given[name])) for name in found})
    if "type" in found:
        names[TYPE_OF] = names["type"]


def _do_nothing(*arguments: object, **keywords: object) -> None:
    pass


def _run(tree: ast.Module, names: dict[str, object]) -> None:
    exec(compile(tree, "test", "exec", optimize=0, dont_inherit=True), names)


def _run_script(text: str, tester: Tester) -> int:
    """Run the tests of a script one after another, all on the same objects.

    RESULTS gets a character for each that has ended, "1" if it passed. One that fails does not end
    the script, unless the sandbox refused something.
    """
    for part in split_script(text):
        tester.has_failed = False
        try:
            _run(part, tester.module.__dict__)
            passes = not tester.has_failed
        except PermissionError:
            raise
        except Exception:
            passes = False
        os.write(RESULTS, b"1" if passes else b"0")
    return 0


def _run_test_cases(names: dict[str, object]) -> None:
    """Run the test cases of unittest that a test defines.

    Raises:
        AssertionError: one fails.
    """
    import unittest  # few tests need it

    kinds = [value for value in names.values() if isinstance(value, type)]
    kinds = [kind for kind in kinds if issubclass(kind, unittest.TestCase)]
    kinds = [kind for kind in kinds if kind.__module__ == names["__name__"]]
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    result = unittest.TestResult()
    unittest.TestSuite(map(load, kinds)).run(result)
    is_left_out = result.skipped or result.expectedFailures or (kinds and not result.testsRun)
    if is_left_out or not result.wasSuccessful():
        raise AssertionError("a test case failed")
