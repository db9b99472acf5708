"""The rows of the paper's Table 4, as docs/findings.md writes them: each trains two iterations."""

import json
import re

import pytest
from small_runs import ROOT, TINY_RUN, load_script, read_metrics
from stub_verifier import only_train
from tiny_models import save_tiny_model


def read_rows() -> dict[str, list[str]]:
    """Return the constants of each row, as they are written behind the script's name."""
    text = (ROOT / "docs" / "findings.md").read_text()
    [table] = re.findall(r"\| row of Table 4 \|.*?\n\|---.*?\n(.*?)\n\n", text, re.DOTALL)
    rows = [line.split("|")[1:3] for line in table.splitlines()]
    return {
        name.strip(" [").partition("]")[0]: re.findall(r"`([A-Z_]+=[^`]+)`", cells)
        for name, cells in rows
    }


ROWS = read_rows()


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("model"))


def test_there_are_nine_and_no_two_are_the_same():
    assert len(ROWS) == len(set(map(tuple, ROWS.values()))) == 9


@pytest.mark.parametrize("row", ROWS)
def test_a_row_trains(row, model, tmp_path, monkeypatch):
    settings = {**TINY_RUN, "MODEL": model, "NUM_ITERATIONS": 2, "OUTPUT_DIR": str(tmp_path)}
    script = load_script("train_prime.py", tmp_path, **settings)
    only_train(monkeypatch)
    script.main([*ROWS[row], "RUN_NAME=run"])
    lines = read_metrics(tmp_path / "run")
    assert len(lines) == 2 and all(line["policy_gradient_norm"] > 0 for line in lines)
    assert all((line["prm_loss"] is not None) == ("PRIM" in row or "PRM" in row) for line in lines)
    assert all((line["value_loss"] is not None) == ("PPO" in row) for line in lines)
    records = (tmp_path / "run" / "rollouts" / "000001.jsonl").read_text().splitlines()
    for record in map(json.loads, records):
        if row in ("REINFORCE", "PRM as value"):  # what Eq. 8 and section 5.4 make of a response
            rewards = [0.0] * len(record["response_ids"])
            if row == "PRM as value":
                rewards = record["process_rewards"]
            before = [sum(rewards[:t]) for t in range(len(rewards))]
            expected = [record["outcome_reward"] - value for value in before]
            assert record["advantages"] == pytest.approx(expected, abs=1e-3)
