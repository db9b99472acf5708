"""Fixtures of the tests of the code verifier; a plugin of theirs."""

import pytest
from code_helpers import LAYERS, start_server

from verifiers import python_code, sandbox


@pytest.fixture(scope="module")
def server():
    if not sandbox.is_safe(LAYERS):
        pytest.skip(sandbox.explain(LAYERS))
    server, _ = start_server(LAYERS)
    yield server
    server.close()


@pytest.fixture
def grade(server):
    def grade_program(program, ground_truth, seconds=6.0, **options):
        response = f"Here it is:\n```python\n{program}\n```\nDone."
        return python_code.grade(response, ground_truth, server, seconds, **options)

    return grade_program
