"""Reads the tests of a code row's ground truth in their six forms, and finds their faults."""

import ast
import json
from dataclasses import dataclass

from verifiers.code.json_text import dump_json, load_trusted_json
from verifiers.code.live_code_bench import read_cases
from verifiers.code.prelude import asks_something, find_fault, list_test_functions
from verifiers.code.rewriting import split_script

PROGRAM, FUNCTION, ASSERTS = "program", "function", "asserts"


class GroundTruthFault(ValueError):
    """What is wrong with a ground truth, as words that follow "row 17"."""


@dataclass(frozen=True)
class CodeTests:
    kind: str  # PROGRAM, FUNCTION or ASSERTS
    function: str  # the function to call; "" unless kind is FUNCTION
    inputs: list[bytes]  # for each test: stdin, JSON of the arguments, or JSON of the asserts
    expected: list[list]  # for each test: the accepted values; none for ASSERTS
    asserts: int = 1  # of a script, which is one input: each of them is a test


def parse_ground_truth(ground_truth: str | dict) -> CodeTests:
    """Read the tests of a ground truth (JSON, or the object itself).

    Raises:
        GroundTruthFault: it is not JSON, it has no tests, or they are not valid.
    """
    if isinstance(ground_truth, str):
        try:
            ground_truth = load_trusted_json(ground_truth)
        except ValueError as error:
            raise GroundTruthFault(f"is not JSON: {error}") from error
    if not isinstance(ground_truth, dict):
        raise GroundTruthFault("is not a JSON object")
    if "private_test_cases" in ground_truth:
        try:
            return _parse_pairs(read_cases(ground_truth))
        except GroundTruthFault:
            raise
        except ValueError as error:
            raise GroundTruthFault(str(error)) from error
    if "inputs" in ground_truth or "outputs" in ground_truth:
        return _parse_pairs(ground_truth)
    if "test_list" in ground_truth:
        return _parse_test_list(ground_truth)
    if "test" in ground_truth:
        return _parse_check(ground_truth)  # or a script
    raise GroundTruthFault(
        'has neither "inputs" and "outputs" nor "private_test_cases" nor "test_list" nor "test"'
    )


def _parse_pairs(ground_truth: dict) -> CodeTests:
    inputs, outputs = ground_truth.get("inputs"), ground_truth.get("outputs")
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise GroundTruthFault('needs lists "inputs" and "outputs"')
    if len(inputs) != len(outputs):
        raise GroundTruthFault(f"has {len(inputs)} inputs but {len(outputs)} outputs")
    if not inputs:
        raise GroundTruthFault("has no tests")
    name = ground_truth.get("fn_name") or ""
    if not name:
        expected = [[_join_lines(output, "output")] for output in outputs]
        texts = [_join_lines(value, "input") for value in inputs]
        return CodeTests(PROGRAM, "", [_to_bytes(text) for text in texts], expected)
    if not isinstance(name, str):
        raise GroundTruthFault('has an "fn_name" that is not a name')
    arguments = [dump_json(_parse_arguments(value)).encode() for value in inputs]
    expected = [_list_accepted(value, output) for value, output in zip(inputs, outputs)]
    return CodeTests(FUNCTION, name, arguments, expected)


def _join_lines(value: object, what: str) -> str:
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(line.removesuffix("\n") for line in value) + "\n"
    if isinstance(value, (int, float)):
        return str(value)
    if not isinstance(value, str):
        raise GroundTruthFault(f"has an {what} that is neither a text nor a list of lines")
    return value


def _to_bytes(text: str) -> bytes:
    return text.encode("utf-8", errors="surrogatepass")


def _parse_arguments(value: object) -> list:
    """Return the arguments of a call, given as a list or as text with one JSON value a line."""
    if isinstance(value, list):
        return value
    if not isinstance(value, str):
        raise GroundTruthFault("has an input that is neither a text nor a list of arguments")
    try:
        return _load_lines(value)
    except ValueError as error:
        fault = f"has an input that is not one JSON value a line: {error}"
        raise GroundTruthFault(fault) from error


def _load_lines(text: str) -> list:
    return [load_trusted_json(line) for line in text.split("\n") if line.strip()]


def _list_accepted(value: object, output: object) -> list:
    """Return the right values: as given, and unwrapped from a list of one element.

    The output may be the value itself or its JSON. If the arguments were given as JSON, the output
    is read as JSON where possible. If they were given as a list, both readings are accepted.
    """
    readings = [output]
    if isinstance(output, str):
        try:
            readings = [load_trusted_json(output)]
            readings += [output] if isinstance(value, list) else []
        except ValueError:
            pass
    is_wrapped = [reading for reading in readings if isinstance(reading, list)]
    return readings + [reading[0] for reading in is_wrapped if len(reading) == 1]


def _parse_test_list(ground_truth: dict) -> CodeTests:
    tests = ground_truth["test_list"]
    if not isinstance(tests, list) or not tests:
        raise GroundTruthFault("has no tests")
    setting = _parse_setting(ground_truth)
    inputs = [_make_assert(setting, test, "") for test in tests]
    return CodeTests(ASSERTS, "", inputs, [[] for _ in tests])


def _parse_check(ground_truth: dict) -> CodeTests:
    """Read a test that defines check(candidate), or a script whose statements are the test."""
    test, entry_point = ground_truth["test"], ground_truth.get("entry_point")
    _check_python(test)
    body = ast.parse(test).body
    has_check = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in body)
    calls = [node for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Name)]
    is_script = not entry_point and not (has_check and all(n.id != "check" for n in calls))
    if is_script:
        setting = _parse_setting(ground_truth)
        has_more = list_test_functions(test) or "unittest" in test  # run after the statements
        asserts = 1 if has_more else len(split_script(test))
        made = _make_assert(setting, test, "", is_script=asserts > 1)
        return CodeTests(ASSERTS, "", [made], [[]], asserts)
    if not has_check:
        raise GroundTruthFault('has a "test" that defines no function check')
    if not isinstance(entry_point, str):
        raise GroundTruthFault('needs an "entry_point"')
    try:
        ast.parse(entry_point.strip(), mode="eval")
    except (SyntaxError, ValueError) as error:
        raise GroundTruthFault('has an "entry_point" that is no expression') from error
    setting = _parse_setting(ground_truth)
    return CodeTests(ASSERTS, "", [_make_assert(setting, test, entry_point.strip())], [[]])


def _parse_setting(ground_truth: dict) -> tuple[str, str]:
    """Return what runs before each test: the imports, and the set-up."""
    imports = ground_truth.get("test_imports") or []
    imports = imports if isinstance(imports, str) else "\n".join(map(str, imports))
    setup = ground_truth.get("test_setup_code") or ""
    for text in (imports, setup):
        _check_python(text)
    return imports, setup


def _check_python(text: object) -> None:
    if not isinstance(text, str):
        raise GroundTruthFault("has a test that is not a text")
    try:
        ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise GroundTruthFault(f"has a test that is not Python: {error}") from error


def _make_assert(
    setting: tuple[str, str], test: object, entry_point: str, is_script: bool = False
) -> bytes:
    """Return the JSON of a test; of a script, each assert is one.

    Raises:
        GroundTruthFault: the test cannot be judged.
    """
    _check_python(test)
    if not asks_something(test, entry_point):
        raise GroundTruthFault("has a test that tests nothing")
    imports, setup = setting
    parts = {"imports": imports, "setup": setup, "test": test, "entry_point": entry_point}
    fault = find_fault(parts)
    if fault:
        raise GroundTruthFault(fault)
    return json.dumps({**parts, "is_script": is_script}).encode()
