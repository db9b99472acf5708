"""Fixtures of the tests of the code verifier: a code server, and the verdict of a program."""

import pytest
from code_helpers import LAYERS, start_server

from verifiers.code.program import grade as grade_response
from verifiers.sandbox.layers import explain, is_safe


@pytest.fixture(scope="module")
def server():
    if not is_safe(LAYERS):
        pytest.skip(explain(LAYERS))
    server, _ = start_server(LAYERS)
    yield server
    server.close()


@pytest.fixture
def grade(server):
    def grade_program(program, ground_truth, seconds=6.0, **options):
        response = f"Here it is:\n```python\n{program}\n```\nDone."
        return grade_response(response, ground_truth, server, seconds, **options)

    return grade_program
