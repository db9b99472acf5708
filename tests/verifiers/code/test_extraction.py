"""Which text of a response is its program."""

import time

import pytest
from code_helpers import NO_ANSWER, io

from verifiers.code.extraction import find_code
from verifiers.code.program import grade as grade_response
from verifiers.code.runner import compile_first


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
    assert grade_response(response, io(("", "")), server, 5.0) == NO_ANSWER


@pytest.mark.parametrize(
    "program",
    ["def f(:", "print('a", "for x in y", "a\0b", "x = \ud800", "(" * 5000, "return 5 +"],
)
def test_what_does_not_parse_is_no_answer(grade, program):
    assert grade(program, io(("", ""))) == NO_ANSWER


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
    started = time.process_time()
    reward, _ = grade_response(response, io(("", "1")), server, 2.0)
    assert reward == 0 and time.process_time() - started < 3
