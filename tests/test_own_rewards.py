"""Rewards of the user's own, from rows to reports: what VERIFIERS and TEMPLATES do to a run."""

import json
import os
import re
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from groups import make_group
from small_runs import (
    ROOT,
    SFT_MODEL,
    SMALL_RUN,
    launch,
    load_script,
    options_for,
    read_metrics,
    run_here,
)
from transformers import AutoConfig

import data
import rollout
from checks.errors import UserError
from embedded import arithmetic
from evaluation import metrics
from evaluation.scoring import encode_pairs, read_settings
from evaluation.sets import load_benchmark
from generation.groups import Collected
from reporting import response_files
from reporting.curves import draw_curves
from reporting.page import show_response
from training.start import count_copyable
from verifiers import name_rewards

EXAMPLE = ROOT / "recipes" / "countdown"
OWN = {"poetry": "poems.py:rhymes"}
MIX = {"math": (("math", 1.0), ("bonus.py:short", 0.5), ("bonus.py:long", -1))}


@pytest.fixture(scope="module")
def tokenizer():
    return arithmetic.build_tokenizer()


def encode(tokenizer, *rows: dict, **settings) -> Dataset:
    plain = dict(system_prompt=None, max_prompt_tokens=512, abilities=None, constant="TRAIN_DATA")
    return data.encode_prompts(Dataset.from_list(list(rows)), tokenizer, **plain, **settings)[0]


def text_of(tokenizer, prompts: Dataset) -> str:
    return tokenizer.decode(prompts[0]["prompt_ids"]).split("<|im_end|>")[0]


def test_rows_of_an_own_ability_are_read(tokenizer):
    row = {"problem": "7+8", "ability": "poetry", "extra_info": {"n": [1, 2]}}
    prompts = encode(tokenizer, row, verifiers=OWN)  # no ground truth: a function may need none
    assert (prompts[0]["ability"], prompts[0]["ground_truth"]) == ("poetry", "")
    assert json.loads(prompts[0]["extra_info"]) == {"n": [1, 2]}
    assert text_of(tokenizer, prompts).endswith("user\n7+8")  # the plain question
    prompts = encode(tokenizer, row, verifiers=OWN, templates={"poetry": "9+{question}"})
    assert text_of(tokenizer, prompts).endswith("user\n9+7+8")
    sum_row = {"problem": "7+8", "answer": "15"}
    prompts = encode(tokenizer, sum_row, templates={"math": "2*{question}"})
    assert text_of(tokenizer, prompts).endswith("user\n2*7+8")
    assert "extra_info" not in prompts.column_names


def test_other_rows_keep_their_checks(tokenizer):
    row = {"problem": "7+8", "ability": "poetry"}
    with pytest.raises(
        UserError, match="the unknown ability 'poets': use one of 'math', 'code', 'p"
    ):
        encode(tokenizer, {**row, "ability": "poets"}, verifiers=OWN)
    with pytest.raises(UserError, match="unknown ability 'poetry'.*VERIFIERS can name a function"):
        encode(tokenizer, {**row, "answer": "1"})
    with pytest.raises(UserError, match="row 0 has no ground truth"):  # the maths part needs one
        encode(tokenizer, row, verifiers={"poetry": (("math", 1.0), ("poems.py:rhymes", 1.0))})
    with pytest.raises(UserError, match="row 0 has a ground truth that"):
        encode(tokenizer, {**row, "answer": "15"}, verifiers={"poetry": "code"})
    with pytest.raises(UserError, match="row 0 has no prompt"):
        encode(tokenizer, {"problem": "", "ability": "poetry"}, verifiers=OWN)


def test_copies_are_counted_where_the_verifier_of_maths_judges():
    rows = Dataset.from_list([dict(question="7+8-3", ground_truth="12", ability="math")])
    for verifiers, count in (({}, 1), (MIX, 1), ({"math": "mine.py:f"}, 0)):
        assert count_copyable({"VERIFIERS": verifiers}, rows) == (count, 1)


def make_mixed_group(rewards: list[tuple[float, float]]):
    """Return a group of maths with parts; the second function fails where its reward is 0."""
    group = make_group(["1" if first else "2" for first, _ in rewards], "1")
    parts = [
        {"math": (a, "correct" if a else "wrong"), "short": (b, "partial" if b else "timeout")}
        for a, b in rewards
    ]
    fields = dict(parts=parts, shaped_rewards=[a + 0.5 * b for a, b in rewards])
    return replace(group, **fields)


def test_metrics_count_each_function():
    groups = [make_mixed_group([(1.0, 0.5), (0.0, 0.0)]), make_group(["1", "1"], "1")]
    found = rollout.compute_metrics(Collected(groups, [], groups, 1.0, 1), ["math", "short", "x"])
    assert (found["reward_math"], found["reward_short"]) == (0.5, 0.25)
    assert found["reward_x"] != found["reward_x"]  # nan: null in metrics.jsonl
    assert found["train_accuracy"] == 0.75  # by the outcome alone
    assert found["verdicts_timeout"] == 1 and found["verdicts_correct"] == 3
    fields = dict(statuses=["error"], parts=[{"math": (0.0, "error"), "short": (0.5, "partial")}])
    failed = [replace(make_mixed_group([(0.0, 0.5)]), **fields)]
    found = rollout.compute_metrics(Collected(failed, [], failed, 1.0, 1), ["math"])
    assert found["verdicts_error"] == 1  # once, though it is in both fields
    plain = rollout.compute_metrics(Collected(groups[1:], [], groups[1:], 1.0, 1))
    assert not [name for name in plain if name.startswith("reward_")]
    assert (
        name_rewards({**MIX, **OWN, "b": (("math", 1), ("a.b:c", 1))})
        == "math short long c".split()
    )


def test_the_filter_goes_by_the_outcome_and_the_policy_by_the_sum():
    group = make_mixed_group([(1.0, 1.0), (1.0, 0.0)])
    assert not rollout.is_kept(group, 0.2, 0.8)  # all right: the bonus does not matter
    group = make_mixed_group([(1.0, 1.0), (0.0, 1.0)])
    assert rollout.is_kept(group, 0.2, 0.8)
    groups = [group, make_group(["1", "2"], "1")]
    shaped = rollout.send_shaped_rewards(groups, torch.device("cpu"))
    assert shaped.tolist() == [1.5, 0.5, 1.0, 0.0]
    drawn = [replace(g, sampling_logprobs=[[0.0] * len(i) for i in g.response_ids]) for g in groups]
    outcomes = rollout.make_rollouts(drawn, 0, torch.device("cpu")).outcome_rewards
    assert outcomes.tolist() == [1.0, 0.0, 1.0, 0.0]


def test_parts_are_written_and_read_and_older_files_still_are(tmp_path):
    path, groups = tmp_path / "file.jsonl", [make_mixed_group([(1.0, 0.5), (0.0, 0.0)])]
    groups.append(make_group(["1", "2"], "1"))
    response_files.append_groups(path, [0, 1], groups, str)
    names = "prompt_ids ability ground_truth data_source".split()
    prompts = [{name: getattr(group, name) for name in names} for group in groups]
    read = response_files.read_groups(path, prompts, 2, str)
    assert json.dumps([read[n].__dict__ for n in (0, 1)]) == json.dumps(
        [g.__dict__ for g in groups]
    )
    assert "parts" not in path.read_text().splitlines()[-1]


def test_evaluation_measures_each_function():
    groups = [
        make_mixed_group([(1.0, 0.5), (0.0, 0.0)]),
        make_mixed_group([(1.0, 0.5), (1.0, 0.5)]),
    ]
    found = metrics.function_rewards(groups)
    assert found == {"reward math": [0.5, 1.0], "reward short": [0.25, 0.5]}
    assert metrics.function_rewards([make_group(["1"], "1")]) == {}


def test_a_set_of_own_rows_is_read_as_in_training(tmp_path, tokenizer):
    path = tmp_path / "rows.jsonl"
    row = {"problem": "7+8", "ability": "poetry", "extra_info": {"n": 1}}
    path.write_text(json.dumps(row) + "\n" + json.dumps(row) + "\n")
    rows = load_benchmark("Mine", str(path), 1)
    prompts = data.encode_prompts(
        rows,
        tokenizer,
        system_prompt=None,
        max_prompt_tokens=99,
        abilities=None,
        constant="BENCHMARKS['Mine']",
        verifiers=OWN,
    )[0]
    assert len(prompts) == 1 and prompts[0]["extra_info"] == '{"n": 1}'


def test_the_page_and_the_curves_show_each_function(tmp_path, tokenizer):
    parts = {"math": [1.0, "correct"], "short": [1 / 3, "partial"]}
    assert (
        show_response(tokenizer, [5], parts=parts).parts
        == "math 1 (correct), short 0.333 (partial)"
    )
    assert show_response(tokenizer, [5]).parts == ""
    lines = [{"iteration": n, "train_accuracy": 0.5, "entropy": 1.0} for n in range(3)]
    sizes = []
    for own in ({}, {f"reward_{name}": 0.5 for name in "abcdefg"}):
        draw_curves({"run": [{**line, **own} for line in lines]}, tmp_path / "curves.png")
        png = (tmp_path / "curves.png").read_bytes()
        sizes.append((int.from_bytes(png[16:20]), int.from_bytes(png[20:24])))
    assert sizes == [(800, 1250), (800, 1500)]


@pytest.fixture(scope="module")
def countdown_run(tmp_path_factory) -> Path:
    """Folder of two iterations of the example, with a second function beside its own."""
    folder = tmp_path_factory.mktemp("countdown")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["make_rows.py", str(folder)])
        runpy.run_path(str(EXAMPLE / "make_rows.py"), run_name="__main__")
    (folder / "bonus.py").write_text(
        "def known(response, ground_truth, row):\n"
        "    text = str(row['extra_info']['numbers'])[1:-1]\n"
        "    return 0.5 * (text in row['prompt'] and row['data_source'] == 'countdown')\n"
    )
    constants = runpy.run_path(str(EXAMPLE / "constants.py"))
    function = str(ROOT / constants["VERIFIERS"]["countdown"])
    return run_here(
        folder,
        TRAIN_DATA=str(folder / "train.jsonl"),
        EVAL_DATA=str(folder / "test.jsonl"),
        VERIFIERS={"countdown": ((function, 1.0), (f"{folder / 'bonus.py'}:known", 0.1))},
        TEMPLATES=constants["TEMPLATES"],
        MAX_RESPONSE_TOKENS=24,
        EVAL_PROMPTS=4,
    )


def test_the_example_trains(countdown_run):
    lines = read_metrics(countdown_run)
    assert len(lines) == 2
    for line in lines:
        verdicts = sum(value for name, value in line.items() if name.startswith("verdicts_"))
        assert verdicts == 16 and line["verdicts_error"] == line["verdicts_timeout"] == 0
        assert line["reward_known"] == 0.5 and line["reward_countdown"] == line["train_accuracy"]
    records = (countdown_run / "rollouts" / "000001.jsonl").read_text().splitlines()
    for record in map(json.loads, records):
        assert record["parts"]["known"] == [0.5, "partial"]
        assert record["shaped_reward"] == record["outcome_reward"] + 0.05
    assert "known 0.5 (partial)" in (countdown_run / "report.html").read_text()


def test_a_prm_of_an_own_ability_scores_its_rows(countdown_run):
    prm = countdown_run / "prm"
    templates = AutoConfig.from_pretrained(prm).implicit_prm["templates"]
    assert templates["countdown"].startswith("{question}\n\nWrite an expression")
    settings, tokenizer = read_settings(str(prm), None, None, ("--prm", "--reference", "--beta"))
    path = countdown_run / "rollouts" / "000000.jsonl"
    sampled = [json.loads(line) for line in path.read_text().splitlines()]
    row = {"prompt": "7+8", "response": "15", "ability": "countdown"}
    plain = dict(system_prompt=None, constant="rows")
    prompts, _ = encode_pairs([row], tokenizer, templates=settings.templates, **plain)
    asked = templates["countdown"].replace("{question}", "7+8")
    chat = [{"role": "user", "content": asked}]
    assert prompts[0] == tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_dict=False
    )
    with pytest.raises(UserError, match="row 0 has the unknown ability 'countdown'"):
        encode_pairs([row], tokenizer, templates={}, **plain)
    encode_pairs(sampled, tokenizer, templates={}, **plain)  # as sampled: no template is needed


def test_the_example_is_evaluated(countdown_run, tmp_path):
    folder = countdown_run.parent.parent
    constants = json.loads((countdown_run / "constants.json").read_text())["constants"]
    settings = {name: constants[name] for name in ("VERIFIERS", "TEMPLATES")}
    settings |= dict(LIMIT=3, MAX_RESPONSE_TOKENS=16, VERIFIER_WORKERS=1, CPU_THREADS=1)
    script = load_script("evaluate.py", tmp_path, **settings, OUTPUT=str(tmp_path / "table"))
    script.MODELS, script.BENCHMARKS = (SFT_MODEL,), {"Countdown": str(folder / "test.jsonl")}
    script.main()
    table = (tmp_path / "table" / "table.md").read_text()
    assert "| Countdown, reward known | 50.0 " in table
    assert "| Countdown, reward countdown | 0.0 " in table
    [path] = (tmp_path / "table" / "responses").glob("*/Countdown.jsonl")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert [record["parts"]["known"] for record in records] == [[0.5, "partial"]] * 3


def test_the_readme_shows_the_example():
    text = (ROOT / "README.md").read_text()
    section = text.split("## A reward of your own in twenty lines")[1].split("\n## ")[0]
    [code] = re.findall(r"```python\n(.*?)```", section, re.S)
    source = (EXAMPLE / "reward.py").read_text()
    assert code == source.split('"""\n\n', 1)[1]
    [row] = [json.loads(line) for line in section.splitlines() if line.startswith('{"problem"')]
    namespace = runpy.run_path(str(EXAMPLE / "make_rows.py"))
    made = namespace["make_row"](__import__("random").Random(0))
    assert row.keys() == made.keys()
    reward = runpy.run_path(str(EXAMPLE / "reward.py"))["countdown"]
    assert reward("\\boxed{1}", row["answer"], row) == 0.0


@pytest.mark.parametrize(
    ("box", "reward"),
    [
        ("3*5+7", 1.0),
        (" (3 * 5) + 7", 1.0),
        ("(7+3)*5", 0.0),
        ("22", 0.0),
        ("3*5+7+0", 0.0),
        ("3/0*5+7", 0.0),
        ("3**5+7", 0.0),
        ("__import__('os')", 0.0),
        ("True*5+7", 0.0),
        ("(" * 999, 0.0),
        ("1+" * 20_000 + "1", 0.0),
        ("3\0", 0.0),
    ],
)
def test_the_reward_of_countdown(box, reward):
    countdown = runpy.run_path(str(EXAMPLE / "reward.py"))["countdown"]
    row = {"extra_info": {"numbers": [5, 3, 7]}}
    assert countdown(f"so \\boxed{{{box}}}", "22", row) == reward
    assert countdown("no box", "22", row) == (0.0, "no_answer")


def test_rows_of_countdown_are_the_same_everywhere_and_solvable(countdown_run):
    folder = countdown_run.parent.parent
    train = [json.loads(line) for line in (folder / "train.jsonl").read_text().splitlines()]
    test = [json.loads(line) for line in (folder / "test.jsonl").read_text().splitlines()]
    assert (len(train), len(test)) == (4096, 256)
    assert not {row["problem"] for row in train} & {row["problem"] for row in test}
    assert train[0]["problem"] == "Numbers: 2, 8, 8, 4. Target: 1."


FIVE_WORDS = """
def five_words(response, ground_truth):
    return float(len(response.split()) == 5)
"""


def test_a_reward_is_trained_on_from_the_command_line(tmp_path, script_environment):
    """As a user does it: a file beside the data, all else on the command line."""
    (tmp_path / "five.py").write_text(FIVE_WORDS)
    rows = [{"problem": f"{n}+1", "ability": "five"} for n in range(9)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    changes = dict(
        TRAIN_DATA="rows.jsonl", EVAL_DATA=None, VERIFIERS={"five": "five.py:five_words"}
    )
    settings = {**SMALL_RUN, **changes, "OUTPUT_DIR": str(tmp_path / "runs")}
    arguments = [f"{name}={value!r}" for name, value in settings.items()]
    before = os.getcwd()
    os.chdir(tmp_path)
    try:
        process = launch(
            ROOT / "train_prime.py", script_environment, *options_for(1), arguments=arguments
        )
        output = process.communicate()[0]
    finally:
        os.chdir(before)
    assert process.returncode == 0, output
    lines = read_metrics(tmp_path / "runs" / "run")
    assert len(lines) == 2 and all(line["verdicts_error"] == 0 for line in lines)
    for number, line in enumerate(lines):
        path = tmp_path / "runs" / "run" / "rollouts" / f"{number:06d}.jsonl"
        records = [json.loads(text) for text in path.read_text().splitlines()]
        assert all(r["outcome_reward"] == (len(r["response"].split()) == 5) for r in records)
        assert line["train_accuracy"] == sum(r["outcome_reward"] for r in records) / len(records)
