"""The code verifier: which programs pass which tests, clause by clause."""

import concurrent.futures
import json
import time

import pytest
from code_helpers import CORRECT, ERROR, NO_ANSWER, TIMEOUT, WRONG, io

from verifiers import code_compare, python_code
from verifiers.code_extraction import find_code
from verifiers.code_runner import compile_first

pytest_plugins = ["code_fixtures"]
SUM_TESTS = {"test_list": ["assert total([1, 2]) == 3", "assert total([]) == 0"]}


# --- where the program is ---


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        ("```python\na = 1\n```", "a = 1"),
        ("```py\na = 1\n```", "a = 1"),
        ("```python3\na = 1\n```", "a = 1"),
        ("```Python\na = 1\n```", "a = 1"),
        ("``` python\na = 1\n```", "a = 1"),
        ("~~~python\na = 1\n~~~", "a = 1"),
        ("````python\na = '```'\n````", "a = '```'"),
        ("```\na = 1\n```", "a = 1"),
        ("```python\na = 1", "a = 1"),
        ("```python\na = 1```", "a = 1"),
        ("```python\r\na = 1\r\n```\r\n", "a = 1"),
        ("1. so:\n   ```python\n   a = 1\n   ```", "a = 1"),
        ("```python\na = 1\n```\nno:\n```python\na = 2\n```", "a = 2"),
        ("```python\na = 1\n```python\na = 2\n```", "a = 2"),
        ("```python\na = 1\n```\nrun it:\n```bash\npython a.py\n```", "a = 1"),
        ("```python\na = 1\n```\nprints\n```\n1\n```", "a = 1"),
        ("```python\na = 1\n```\n```python\n```", "a = 1"),
        ("```cpp\nint a;\n```\n```\na = 1\n```", "a = 1"),
        ('```python\ndef f():\n    """\n    ```\n    f()\n    ```\n    """\n```', "def f()"),
        ("Use this:\n\n    def f():\n        return 1\n\nThat is all.", "def f():\n    return 1"),
        ("import sys\nprint(sys.stdin.read())", "import sys"),
    ],
)
def test_the_program_of_a_response(response, expected):
    program = next(text for text in find_code(response) if compile_first([text]))
    assert program.strip().startswith(expected)


@pytest.mark.parametrize(
    "response",
    ["", "no idea", "42", "yes", "```bash\nls\n```", "```python\n```", "```json\n{}\n```"],
)
def test_responses_without_a_program(response, server):
    assert python_code.grade(response, io(("", "")), server, 5.0) == NO_ANSWER


@pytest.mark.parametrize(
    "program",
    ["def f(:", "print('a", "for x in y", "a\0b", "x = \ud800", "(" * 5000, "return 5 +"],
)
def test_what_does_not_parse_is_no_answer(grade, program):
    assert grade(program, io(("", ""))) == NO_ANSWER


# --- programs: stdin to stdout ---


@pytest.mark.parametrize(
    "program",
    [
        "a, b = map(int, input().split())\nprint(a + b)",
        "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
        "import sys\nprint(sum(map(int, sys.stdin.readline().split())))",
        "import sys\nfor line in sys.stdin: print(sum(map(int, line.split())))",
        "print(sum(map(int, open(0).read().split())))",
        "import os\nprint(sum(map(int, os.read(0, 99).split())))",
        "import io, os\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\n"
        "print(sum(map(int, input().split())))",
        "from sys import stdin, stdout\nstdout.write(str(sum(map(int, stdin.read().split()))))",
        "print(sum(map(int, stdin.read().split())))",
        "import sys\nsys.stdout.buffer.write(b'7\\n')",
        "import os\nos.write(1, b'7')",
        "print(7); exit()",
        "print(7); quit(0)",
        "import sys\nprint(7)\nsys.exit()",
        "import os, sys\nprint(7)\nsys.stdout.flush()\nos._exit(0)",
        "if __name__ == '__main__':\n    print(7)",
        "total = 0\ndef add(x):\n    global total\n    total += x\nadd(3); add(4)\nprint(total)",
        "import __main__\nx = 7\nprint(__main__.x)",
        "import sys, threading\nthreading.stack_size(64 * 2**20)\nsys.setrecursionlimit(10**6)\n"
        "def down(n): return 7 if n == 0 else down(n - 1)\n"
        "t = threading.Thread(target=lambda: print(down(50000)))\nt.start()",
        "import sys\nsys.setrecursionlimit(10**6)\n"
        "def down(n): return 7 if n == 0 else down(n - 1)\nprint(down(20000))",
        "import atexit\natexit.register(print, 7)",
        "import io, sys\nout = sys.stdout\nsys.stdout = io.StringIO()\nprint(7)\n"
        "out.write(sys.stdout.getvalue())",
        "f = open(1, 'w')\nf.write('7')",
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\nprint(P(7).x)",
        "import asyncio\nasync def main(): print(7)\nasyncio.run(main())",
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(2) as p: print(sum(p.map(int, '34')))",
        "import tempfile\nwith tempfile.TemporaryFile() as f: print(7)",
        "with open('x', 'w') as f: f.write('7')\nprint(open('x').read())",
        "import sys\nprint(7)\nprint('note', file=sys.stderr)",
        "exec('print(7)')",
        "import pickle\nclass A: pass\npickle.loads(pickle.dumps(A())).x = 1\nprint(7)",
        "import sqlite3, urllib.parse, unittest\nprint(7)",
        "try:\n    raise ValueError\nexcept ValueError:\n    print(7)",
        "import random\nrandom.seed(1)\nprint(7)",
        "import signal\nprint(7)",
        "print(sum(map(int, open('/dev/stdin').read().split())))",
        "with open('/dev/stdout', 'w') as f: f.write('7')",
        "import io, os, sys\nclass Out(io.IOBase):\n"
        "    def flush(self): os.fstat(1)\n    def write(self, text): os.write(1, text.encode())\n"
        "sys.stdout = Out()\nprint(7)\nsys.stdout.flush()",
    ],
)
def test_programs_behave_as_in_an_interpreter(grade, program):
    assert grade(program, io(("3 4\n", "7\n"))) == CORRECT


@pytest.mark.parametrize(
    "expression",
    [
        "sqrt(16) == 4",
        "Counter('aab')['a'] == 2",
        "defaultdict(int)[0] == 0",
        "deque([1]).popleft() == 1",
        "heappop([1]) == 1",
        "bisect_left([1, 2], 2) == 1",
        "bisect.bisect([1], 1) == 1",
        "list(accumulate([1, 2])) == [1, 3]",
        "reduce(lambda a, b: a + b, [1, 2]) == 3",
        "lru_cache(None)(abs)(-1) == 1",
        "ascii_lowercase[0] == 'a'",
        "re.findall('a', 'ba') == ['a']",
        "deepcopy([1]) == [1]",
        "List[int] is not None and Optional[int]",
        "datetime.datetime(2020, 1, 1).year == 2020",
        "pow(3, 4, 5) == 1 and sum([1, 2]) == 3",
        "compile('1', '', 'eval')",
        "math.gcd(4, 6) == gcd(4, 6) == 2",
        "np.array([1, 2]).sum() == numpy.int64(3)",
        "Fraction(1, 2) + Decimal(1).is_zero() == Fraction(1, 2)",
        "random.randint(1, 1) == 1",
        "json.dumps([1]) == '[1]' and sys.maxsize and itertools and operator.add(1, 1)",
        "'add' not in globals() and 'mul' not in globals()",
        "'__file__' in globals() and __name__ == '__main__'",
        "open.__module__ == 'io' or open.__module__ == '_io'",
    ],
)
def test_names_that_solutions_take_for_granted(grade, expression):
    assert grade(f"print(bool({expression}))", io(("", "True"))) == CORRECT


@pytest.mark.parametrize(
    "program",
    [
        "print(8)",
        "print(7); 1 / 0",
        "print(7); raise SystemExit(1)",
        "print(7); exit('bad')",
        "import os\nprint(7, flush=True)\nos._exit(1)",
        "import os\nprint(7)\nos._exit(0)",  # what is buffered is lost, as in an interpreter
        "import os\nprint(7, flush=True)\nos.abort()",
        "import sys\nprint(7)\nsys.stdout.flush()\nsys.exit(256 + 3)",
        "x = [7]\nprint(x[1])",
        "print(7)\nprint(input())\ninput()",
        "import sys\nsys.stderr.write('7')",
        "def main(): print(7)",
        "print('\\ud800')",
    ],
)
def test_programs_that_fail(grade, program):
    assert grade(program, io(("3 4\n", "7\n"))) == WRONG


@pytest.mark.parametrize(
    ("printed", "expected", "is_same"),
    [
        ("7", "7\n", True),
        ("7  \n\n\n", "7", True),
        ("7\r\n8\r\n", "7\n8\n", True),
        ("", "", True),
        ("\n \n", "", True),
        ("7", "", False),
        ("", "7", False),
        ("7\n8", "7 8", False),
        ("7\n\n8", "7\n8", False),
        ("7 8", "7  8", False),
        (" 7", "7", False),
        ("1000000000000000000", "1000000000000000001", False),
        ("1000000000000000001", "1000000000000000001", True),
        ("1e18", "1000000000000000001", False),
        ("1e18", "1000000000000000000", True),
        ("10000", "9999", False),
        ("2.0", "2", True),
        ("2.00001", "2", False),
        ("2", "2.0", True),
        ("0.333333", "0.3333333333", True),
        ("0.3334", "0.3333333333", False),
        ("1e-7", "1.1e-7", False),
        ("0.00001", "0.0", False),
        ("0.0000000001", "0.0", True),
        ("-0.0", "0.0", True),
        ("-0", "0", True),
        ("+7", "7", True),
        ("101", "0101", False),
        ("0101", "101", False),
        ("1_000", "1000", False),
        ("nan", "nan", True),
        ("1e999999999", "1", False),
        ("1e400", "2e400", False),
        ("1e" + "9" * 300, "1.5", False),
        ("10e399", "1e400", True),
        ("1e999999999", "1.0", False),
        ("9" * 5000, "9" * 5000 + "1", False),
        ("YES", "yes", False),
        ("a 0.5 b", "a 0.50000001 b", True),
        ("[1, 2]", "[1,2]", False),
        ("Case #1: 3.0", "Case #1: 3.000001", True),
    ],
)
def test_output_is_compared_line_by_line(printed, expected, is_same):
    assert code_compare.is_same_output(printed.encode(), expected) is is_same


def test_bytes_that_are_no_text_are_wrong(grade):
    program = "import os\nos.write(1, b'\\xff\\xfe7')"
    assert grade(program, io(("", "7"))) == WRONG


def test_inputs_and_outputs_may_be_lists_of_lines(grade):
    truth = {"inputs": [["3", "4"]], "outputs": [["7", "8"]]}
    assert grade("print(int(input()) + int(input()))\nprint(8)", truth) == CORRECT


def test_large_inputs_and_outputs(grade):
    lines = "\n".join(map(str, range(200_000)))
    program = "import sys\nprint('\\n'.join(sys.stdin.read().split()))"
    assert grade(program, io((lines, lines)), 20.0) == CORRECT


# --- functions ---


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


def test_module_state_is_fresh_for_every_test(grade):
    program = "seen = []\ndef f(a):\n    seen.append(a)\n    return len(seen)"
    truth = {"fn_name": "f", "inputs": ["1", "2", "3"], "outputs": ["1", "1", "1"]}
    assert grade(program, truth) == CORRECT


# --- rewards, time, faulty ground truths ---


def test_the_reward_is_the_share_of_all_tests(grade):
    truth = io(*[(f"{n}\n", f"{n if n < 3 else 99}\n") for n in range(12)])
    assert grade("print(input())", truth) == (0.25, "partial")
    assert grade("print(input())", truth, all_or_nothing=True) == WRONG
    assert grade("print(5)", io(("1", "1"), ("2", "2"))) == WRONG


def test_time_runs_out(grade):
    started = time.monotonic()
    assert grade("while True: pass", io(("1", "1"), ("2", "2")), 1.0) == TIMEOUT
    assert time.monotonic() - started < 1.6


def test_one_slow_test_costs_the_others_nothing(grade):
    program = "x = int(input())\nwhile x == 2: pass\nprint(x)"
    truth = io(("1", "1"), ("2", "2"), ("3", "3"), ("4", "4"))
    assert grade(program, truth, 2.0) == (0.75, "partial")


def test_a_test_out_of_its_share_gets_what_is_left(grade):
    program = "import time\nx = int(input())\ntime.sleep(1.2 * (x == 1))\nprint(x)"
    truth = io(*[(str(n), str(n)) for n in range(1, 6)])  # a first share is 0.6 s
    assert grade(program, truth, 3.0) == CORRECT


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
    assert fault in python_code.find_ground_truth_fault(ground_truth)
    assert grade("print(1)", ground_truth) == ERROR


def test_a_sound_ground_truth_has_no_fault():
    for truth in (io(("", "")), io(("1", "1"), fn_name="f"), SUM_TESTS):
        assert python_code.find_ground_truth_fault(json.dumps(truth)) == ""


def test_a_ground_truth_as_text(grade):
    assert grade("print(7)", json.dumps(io(("", "7")))) == CORRECT


@pytest.mark.parametrize(
    "response",
    [
        "`" * 200_000,
        "```" + " " * 200_000 + "`",
        " " * 200_000 + "=",
        ("a " * 100_000) + "=",
        "```python\n" * 20_000,
        "\t" * 200_000,
        "```python\n" + "-" * 100_000 + "1\n```",
        "```python\nx = " + "[" * 100 + "]" * 100 + "\n```",
        "```python\n" + "x" * 10**6 + "\n```",
    ],
    ids=lambda response: response[:12],
)
def test_odd_responses_cost_little(server, response):
    started = time.monotonic()
    reward, _ = python_code.grade(response, io(("", "1")), server, 2.0)
    assert reward == 0 and time.monotonic() - started < 3


def test_a_share_goes_to_each_program_beside_others(server):
    """A time-out costs nobody else: honest programs run beside endless ones."""
    truth = io(("3 4\n", "7\n"))
    programs = ["while True: pass", "print(sum(map(int, input().split())))"] * 4
    responses = [f"```python\n{program}\n```" for program in programs]
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        verdicts = list(
            threads.map(lambda text: python_code.grade(text, truth, server, 2.0), responses)
        )
    assert verdicts == [TIMEOUT, CORRECT] * 4
