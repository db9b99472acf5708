"""Forgeries by objects, callbacks and names earn nothing; test_attacks.py has every sandbox."""

import json

import pytest
from attack_objects import FORGERIES

from verifiers.code.program import find_ground_truth_fault


@pytest.mark.parametrize("name", [name for name in FORGERIES if "more nodes" not in name])
def test_nothing_is_earned(grade, name):
    program, truth = FORGERIES[name]
    assert find_ground_truth_fault(json.dumps(truth)) == ""
    reward, status = grade(program, truth, 3.0)
    assert reward == 0 and status in ("wrong", "timeout")
