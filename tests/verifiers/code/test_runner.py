"""Programs that read stdin and write stdout: they behave as in an interpreter."""

import pytest
from code_helpers import CORRECT, WRONG, io


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
        "import os\nos.makedirs('a/b')\nopen('a/b/x', 'w').write('7')\nos.rename('a/b', 'c')\n"
        "print(open('c/x').read(), end='')\nassert sorted(os.listdir()) == ['a', 'c']",
        "import tempfile\nwith tempfile.TemporaryDirectory() as d: print(7)",
        "with open('/dev/null', 'w') as f: f.write('8')\nprint(7)",
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
    ("program", "output"),
    [
        ("print([input(), input()])", "['a\\r', 'b\\rc']"),
        ("import sys\nprint(sys.stdin.readlines())", "['a\\r\\n', 'b\\rc\\n']"),
        ("import sys\nprint(repr(sys.stdin.read()))", "'a\\r\\nb\\rc\\n'"),
        ("import sys\nprint(sys.stdin.read().split())", "['a', 'b', 'c']"),
        ("print(open(0, newline='').read().count('\\r'))", "2"),
    ],
)
def test_line_ends_are_those_of_python_on_linux(grade, program, output):
    assert grade(program, io(("a\r\nb\rc\n", output))) == CORRECT


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
