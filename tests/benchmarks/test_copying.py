"""The benchmark of copied questions: what it demonstrates, counts and draws; a small real run."""

import json
import random
import re
import sys

import pytest
from small_runs import ROOT, SFT_MODEL
from transformers import AutoTokenizer

from verifiers.math.answer import grade

sys.path.insert(0, str(ROOT / "benchmarks"))

import copying  # noqa: E402


def test_some_demonstrations_copy_the_question_in_the_models_own_words():
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    rng = random.Random(0)
    rows = [copying.make_demonstration(rng) for _ in range(400)]
    copies = 0
    for row in rows:
        value = str(eval(row["prompt"].replace("/", "//")))
        if grade(row["response"], value, row["prompt"]) == (0.0, "copied"):
            assert grade(row["response"], value) == (1.0, "correct")  # by its value alone
            copies += 1
        else:
            assert re.search(r"\\boxed\{\d+\}$", row["response"])
        ids = tokenizer(row["response"])["input_ids"]
        assert tokenizer.unk_token_id not in ids and tokenizer.decode(ids) == row["response"]
    assert 0.5 * copying.COPIES < copies / len(rows) < 1.5 * copying.COPIES


def test_responses_are_counted_strictly_in_both_arms(tmp_path):
    prompt = "<|im_start|>user\n(7+8)-5\n\nPresent the answer<|im_end|>\n"
    boxes = ["(7+8)-5", "10", "11", "(7+8)-6", "15-5"]  # the last one leaves work to do
    rows = [
        {
            "prompt": prompt,
            "ground_truth": "10",
            "response": f"[OUTPUT]\n\\boxed{{{box}}}<|im_end|>",
        }
        for box in boxes
    ]
    path = tmp_path / "000000.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert copying.count(path) == (20.0, 20.0)
    curves = {(False, 1): [(10.0, 30.0), (90.4, 5.0)], (True, 1): [(10.0, 30.0), (0.0, 80.0)]}
    [_, _, value, strict] = copying.tabulate(curves).splitlines()
    assert "10 → 90" in value and "30 → 5" in value
    assert "10 → 0" in strict and "30 → 80" in strict


def test_a_small_run_resumes_and_draws(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["copying.py", "--quick", "--out", str(tmp_path)])
    monkeypatch.setattr(copying, "PROBLEMS", 256)
    for runs in (2, 0):  # started: none is repeated
        copying.main()
        assert capsys.readouterr().out.count(": done") == runs
        assert (tmp_path / "copying.png").stat().st_size > 0
        (tmp_path / "copying.png").unlink()
    lengths = [len(copying.list_files(tmp_path, strict, 300)) for strict in (False, True)]
    assert lengths == [2, 2]
    with pytest.raises(FileNotFoundError):
        (tmp_path / "sft.checkpoint").stat()
