"""Fixtures of the tests of the verifier as a whole."""

import pytest

from verifiers import Verifier


@pytest.fixture(scope="module")
def verifier():
    with Verifier(num_workers=2, timeout_seconds=60.0) as verifier:  # none needs a second
        yield verifier
