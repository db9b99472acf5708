"""The benchmark of the paper's claims: its task, its statistics, and real runs of it."""

import csv
import json
import random
import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from small_runs import ROOT, SFT_MODEL
from transformers import AutoTokenizer

from embedded import arithmetic

sys.path.insert(0, str(ROOT / "benchmarks"))

import claims  # noqa: E402
import claims_arms  # noqa: E402
import claims_report  # noqa: E402
import claims_run  # noqa: E402
import tables_sft  # noqa: E402


@pytest.mark.parametrize("facts", ["", "other"])
def test_demonstrations_state_right_results_and_misremembered_ones_and_no_others(facts):
    stated_wrong = could_be_wrong = 0
    for seed in range(300):
        first, operations = arithmetic.make_chain(random.Random(seed))
        response = tables_sft.demonstrate(first, operations, random.Random(seed), facts)
        if response is None:
            continue
        question = arithmetic.write_chain(first, operations)
        verdicts = arithmetic.judge_steps(question, response.split("\n"))
        for line, is_right in zip(response.split("\n"), verdicts):
            if "=" in line:
                total, symbol, operand, result = re.fullmatch(r"(\d+)(.)(\d+)=(\d+)", line).groups()
                wrong = tables_sft.wrong_result(int(total), (symbol, int(operand)), facts)
                assert is_right or int(result) == wrong
                could_be_wrong += wrong is not None
                stated_wrong += not is_right
        assert response.endswith(f"\\boxed{{{line_total(response)}}}")
    assert 0.4 < stated_wrong / could_be_wrong < 0.6  # less than 0.6: some lead nowhere


def line_total(response: str) -> str:
    return re.findall(r"=(\d+)\n", response)[-1]


def test_some_facts_are_misremembered_always_in_the_same_way():
    facts = [(total, ("+", n)) for total in range(12) for n in range(1, 10)]
    wrong = [tables_sft.wrong_result(*fact) for fact in facts]
    assert wrong == [tables_sft.wrong_result(*fact) for fact in facts]
    assert 0.2 < sum(result is not None for result in wrong) / len(facts) < 0.4
    for (total, operation), result in zip(facts, wrong):
        right = arithmetic.apply([operation], total)
        assert result is None or (0 < abs(result - right) <= 3 and 0 <= result <= 20)


def test_other_facts_are_misremembered_under_another_name():
    facts = [(total, ("+", n)) for total in range(12) for n in range(1, 10)]
    usual = [tables_sft.wrong_result(*fact) for fact in facts]
    other = [tables_sft.wrong_result(*fact, "other") for fact in facts]
    both = sum(a is not None and b is not None for a, b in zip(usual, other))
    assert 0 < both < 0.5 * sum(result is not None for result in usual)  # by chance alone


def make_run(curve: list[float | None], prm: float | None = None) -> list[dict]:
    return [
        {"train_accuracy": a, "prm_accuracy": prm, "eval_accuracy": 0.5, "seconds": 2.0}
        for a in curve
    ]


def test_intervals_are_students():
    # mean 2, deviation 1, of three: 4.30 * 1 / sqrt(3) = 2.48
    assert claims_report.summarize([1.0, 2.0, 3.0]) == "2.0 ± 2.5"
    assert claims_report.summarize([5.0]) == "5.0" and claims_report.summarize([]) == "-"


def test_smoothing_and_the_iteration_that_reaches_a_goal():
    rising = make_run([n / 100 for n in range(1, 41)])  # 1 to 40 %
    # the last fifth is 33 to 40: 36.5 %; the mean of n-7 to n is n - 3.5
    assert claims_report.last(rising) == pytest.approx(36.5)
    assert claims_report.reach(rising, 20.5) == 24
    assert claims_report.reach(rising, 99) == 40  # never
    gaps = make_run([0.5, None] * 20)  # an iteration that sampled nothing
    assert claims_report.last(gaps) == pytest.approx(50)
    assert claims_report.smooth(np.array([0.2, 0.4])) == pytest.approx([0.2, 0.4])  # a short run


def test_deviation_is_from_the_trend():
    swings = make_run([0.4, 0.6] * 10)  # about 50 %, by 10 each time
    assert claims_report.deviation(swings) == pytest.approx(10)
    rising = make_run([n / 100 for n in range(1, 46)])  # a window of nine, an odd number
    assert claims_report.deviation(rising) == pytest.approx(0, abs=1e-9)


def test_a_row_compares_seed_by_seed():
    runs = {("RLOO", seed): make_run([0.5 + seed / 10] * 20) for seed in range(3)}
    runs |= {("PRIME", seed): make_run([0.6 + seed / 10] * 20, prm=0.75) for seed in range(3)}
    [_, _, rloo, prime] = claims_report.tabulate(runs, claims_arms.ARMS).splitlines()
    cells = [cell.strip() for cell in prime.split("|")[1:-1]]
    assert cells[:2] == ["PRIME", "3"] and cells[4] == "10.0 ± 0.0"  # whatever the seeds' spread
    assert cells[3] == "70.0 ± 24.8" and cells[5] == "-" and cells[8] == "75 75 75"
    assert rloo.split("|")[6].strip() == "-10.0 ± 0.0" and rloo.split("|")[9].strip() == "-"


def test_arms_are_compared_with_their_like_without_process_rewards():
    expected = {
        "PRIME": "RLOO",
        "RLOO": "RLOO",
        "PRIME, no filter": "RLOO, no filter",
        "RLOO, no filter": "RLOO",
        "GRPO + process": "GRPO",
        "GRPO": "RLOO",
        "GRPO + process, gamma 0.9, process 1": "GRPO, gamma 0.9",
        "GRPO, gamma 0.9": "RLOO",
        "pairs loss, process 10": "RLOO",
        "pairs loss": "RLOO",
        "gamma 1": "RLOO",
        "PRIME, 8 PRM steps": "RLOO",  # has no like
    }
    assert {arm: claims_report.baseline(arm, expected) for arm in expected} == expected
    for part in claims_arms.PARTS:
        for arm, own in part.arms.items():
            name = claims_report.baseline(arm, part.arms)
            if name != "RLOO" or arm == "PRIME":  # an arm's like differs in nothing else
                assert part.arms[name] == {**own, "PROCESS_COEF": 0}, (part.title, arm)


@pytest.mark.parametrize("place", ["result", "spread"])
def test_the_oracle_blames_the_line_that_is_wrong(place, monkeypatch):
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    chat = [{"role": "user", "content": "(7+8)-2"}]
    prompt_ids = tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"]
    text = "[ADVANCE]\n7+8=14\n14-2=12\n\n[OUTPUT]\n\\boxed{12}<|im_end|>"
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    group = SimpleNamespace(prompt_ids=prompt_ids, response_ids=[ids])
    monkeypatch.setattr(claims_run, "collected", [SimpleNamespace(kept=[group])])
    monkeypatch.setattr(claims_run.train_prime, "SAMPLES_PER_PROMPT", 1)
    mask = torch.ones(1, len(ids) + 2)
    rollouts = SimpleNamespace(response_mask=mask, outcome_rewards=torch.zeros(1))
    run = SimpleNamespace(tokenizer=tokenizer)
    [rewards], _, _ = claims_run.judge(place, run, rollouts, None)
    texts = tokenizer.batch_decode([[token] for token in ids])
    wrong, right = texts.index("14"), texts.index("12")  # results of the two operations
    if place == "result":
        expected = {wrong: -1.0, right: 1.0, len(ids) - 1: 1.0}
        assert {n: float(r) for n, r in enumerate(rewards) if r} == expected
    else:
        lines = [range(wrong - 4, wrong + 2), range(right - 4, right + 3)]  # with their breaks
        assert [float(rewards[list(line)].sum()) for line in lines] == pytest.approx([-1, 1])
        assert (rewards[: wrong - 4] == 0).all() and float(rewards.sum()) == pytest.approx(1)


def test_arms_run_resume_and_are_reported(tmp_path, monkeypatch, capsys):
    chains = str(ROOT / "tests/chains.jsonl")
    small = {"TRAIN_DATA": chains, "EVAL_DATA": chains, "EVAL_PROMPTS": 4}
    small |= {"PROMPTS_PER_ITERATION": 2, "PRM_OPTIMIZER_STEPS": 2}
    for name, value in (small | {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}).items():
        monkeypatch.setitem(claims_arms.HARD, name, value)
    options = f"claims.py --parts hard --seeds 1 --iterations 1 --out {tmp_path}".split()
    arms = ["PRIME", "RLOO", "oracle", "frozen PRM"]
    monkeypatch.setattr(sys, "argv", [*options, "--arms", *arms])
    for started in (5, 0):  # one more, offline, for the frozen PRM; then none
        claims.main()
        assert capsys.readouterr().out.count(": done") == started
    table = (tmp_path / "table.md").read_text()
    [_, part] = table.split("## ")  # no other part has complete runs
    rows = [row.split("|")[1].strip() for row in part.splitlines() if row.startswith("| ")]
    assert rows == ["arm", *claims.QUICK]
    lines = list(csv.DictReader((tmp_path / "runs.csv").open()))
    assert [line["arm"] for line in lines] == list(claims.QUICK)
    metrics = claims_report.read_metrics(tmp_path / "hard" / "oracle-1")
    oracle = lines[claims.QUICK.index("oracle")]
    assert float(oracle["last_fifth"]) == pytest.approx(
        100 * metrics[0]["train_accuracy"], abs=0.01
    )
    assert lines[claims.QUICK.index("RLOO")]["prm_last"] == "nan"
    hard = tmp_path / "hard"
    drawn = {path.name for path in hard.glob("claim-*.png")}
    assert drawn == {f"claim-{n}.png" for n in range(1, 7)}
    constants = json.loads((hard / "frozen-PRM-1" / "constants.json").read_text())
    assert "offline-PRM-1/prm" in json.dumps(constants)
    constants["constants"]["GAMMA"] = 0.8  # of a time when the arm was another
    (hard / "RLOO-1" / "constants.json").write_text(json.dumps(constants))
    with pytest.raises(SystemExit, match="hard: RLOO, seed 1"):
        claims.main()
    assert "GAMMA: was 0.8, is 0.9" in capsys.readouterr().out


def test_a_run_that_fails_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(claims_arms.ARMS, "RLOO", {"PROCESS_COEF": -1})
    arguments = f"claims.py --parts hard --arms RLOO --seeds 7 --out {tmp_path}".split()
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit, match="RLOO, seed 7"):
        claims.main()
    assert "PROCESS_COEF" in (tmp_path / "hard" / "RLOO-7.log").read_text()
