"""score.py as a user runs it: rewards of tokens and steps, P(correct), and the page."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from pages import Page
from small_runs import SFT_MODEL, refuse_to_load, run_out_of_memory
from transformers import AutoModelForCausalLM, AutoTokenizer

import data
import score
from checks.errors import UserError
from evaluation import scoring


@pytest.fixture(scope="module")
def prm(tmp_path_factory) -> str:
    folder = str(tmp_path_factory.mktemp("prm"))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(SFT_MODEL)
    for parameter in model.parameters():
        parameter.data += 0.02 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(SFT_MODEL).save_pretrained(folder)
    return folder


@pytest.fixture
def run(prm, tmp_path, monkeypatch):
    """Score some rows; return the lines of the scores file and the page."""

    def run(rows: list[dict], *options: str) -> tuple[list[dict], Page]:
        path = tmp_path / "rows.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        arguments = ["--prm", prm, "--reference", SFT_MODEL, "--beta", "0.05", *options]
        monkeypatch.setattr(sys, "argv", ["score.py", *arguments, str(path)])
        score.main()
        lines = (tmp_path / "rows.scores.jsonl").read_text().splitlines()
        return list(map(json.loads, lines)), Page(tmp_path / "rows.scores.html")

    return run


QUESTION = {"prompt": "(7+8)/3", "response": "7+8=15\n15/3=5\n\n[OUTPUT]\n\\boxed{5}"}


def test_rewards_of_tokens_and_steps(run, capsys):
    worse = {**QUESTION, "response": "\\boxed{4}"}
    lines, page = run([QUESTION, worse])
    for line, row in zip(lines, (QUESTION, worse), strict=True):
        assert line["prompt"] == row["prompt"] and line["response"] == row["response"]
        assert "".join(line["tokens"]) == row["response"] + "<|im_end|>"
        assert len(line["token_rewards"]) == len(line["tokens"])
        assert sum(line["token_rewards"]) == pytest.approx(line["score"]) != 0
        assert sum(s["reward"] for s in line["steps"]) == pytest.approx(line["score"], abs=1e-6)
        assert line["probability_correct"] == pytest.approx(1 / (1 + math.exp(-line["score"])))
    assert [s["text"] for s in lines[0]["steps"]] == [
        "7+8=15\n",
        "15/3=5\n\n",
        "[OUTPUT]\n",
        "\\boxed{5}<|im_end|>",
    ]
    [group] = page.content["groups"]  # one prompt, side by side
    assert [r["rewards"] for r in group["responses"]] == [x["token_rewards"] for x in lines]
    assert capsys.readouterr().out.split()[-1].endswith("rows.scores.html")


def test_where_memory_runs_out_the_option_to_lower_is_named(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(scoring, "score_tokens", run_out_of_memory)
        words = "Out of memory: lower --batch-tokens.\ntried to allocate"
        with pytest.raises(UserError, match=words):
            run([QUESTION])
    monkeypatch.setattr(scoring, "load_model", run_out_of_memory)
    with pytest.raises(UserError, match="while PRM and reference are loaded: they do not fit"):
        run([QUESTION])


def test_a_question_its_messages_and_its_rollout_get_the_same_rewards(run):
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    text = QUESTION["prompt"] + "\n\nPresent the answer in LaTex format: \\boxed{Your answer}"
    messages = [{"role": "user", "content": text}]
    ids = tokenizer(QUESTION["response"] + "<|im_end|>", add_special_tokens=False)["input_ids"]
    chat = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    rollout = {"prompt": chat, "response": QUESTION["response"], "response_ids": ids}
    rollout |= {"status": "correct", "outcome_reward": 1.0, "ground_truth": "5"}
    [question], _ = run([QUESTION])
    [as_messages], _ = run([{**QUESTION, "prompt": messages}])
    [with_system], _ = run([QUESTION], "--system-prompt", "1+1")
    system = {"role": "system", "content": "1+1"}
    [as_written], _ = run([{**QUESTION, "prompt": [system, *messages]}])
    assert with_system["token_rewards"] == as_written["token_rewards"] != question["token_rewards"]
    [as_rollout], page = run([rollout], "--batch-tokens", "1")
    assert as_messages["token_rewards"] == question["token_rewards"]
    assert as_rollout["token_rewards"] == pytest.approx(question["token_rewards"], abs=1e-6)
    [group] = page.content["groups"]
    assert group["truth"] == "5" and group["responses"][0]["status"] == "correct"


def make_solutions() -> list[dict]:
    """Return thirty rows of ProcessBench: a third right, the others wrong at their first or second
    step."""
    rows = []
    for number in range(30):
        a, b, c, label = number % 5 + 3, number % 7 + 2, number % 4 + 1, number % 3 - 1
        first = a + b + (label == 0)
        last = first - c + (label == 1)
        steps = [f"{a}+{b}={first}", f"{first}-{c}={last}", f"[OUTPUT]\n\\boxed{{{last}}}"]
        rows.append({"id": f"made-up-{number}", "generator": "none", "problem": f"({a}+{b})-{c}"})
        rows[-1] |= {"steps": steps, "final_answer_correct": label == -1, "label": label}
    return rows


def test_process_bench_finds_the_first_wrong_step(run, capsys):
    rows = make_solutions()
    lines, _ = run(rows, "--threshold", "-0.001")
    named = {"first": [], "least": []}
    for line, row in zip(lines, rows, strict=True):
        assert line["prompt"] == row["problem"] and line["label"] == row["label"]
        texts = [step["text"] for step in line["steps"]]
        first, second, last = row["steps"]
        assert texts == [first + "\n\n", second + "\n\n", last + "<|im_end|>"]
        assert sum(s["reward"] for s in line["steps"]) == pytest.approx(line["score"], abs=1e-6)
        rewards = [step["reward"] for step in line["steps"]]
        below = [number for number in range(3) if rewards[number] < -0.001]
        named["first"].append(min(below, default=-1))
        named["least"].append(min(below, key=rewards.__getitem__, default=-1))
    printed = capsys.readouterr().out.splitlines()[-2:]
    for (rule, own), text in zip(named.items(), printed, strict=True):
        hits = [name == row["label"] for name, row in zip(own, rows)]
        right = sum(hits[::3])  # rows 0, 3, ... have no wrong step
        wrong = sum(hits) - right
        a, b = wrong / 20, right / 10
        f1 = 2 * a * b / (a + b) if a + b else 0.0
        assert text.startswith(
            f"{rule} step below -0.001: {100 * a:.1f} % of solutions with a wrong step, "
            f"{100 * b:.1f} % of right ones, F1 {100 * f1:.1f}; best threshold here "
        )


def test_process_bench_from_the_hub(prm, tmp_path, monkeypatch):
    asked = []
    solutions = Dataset.from_list(make_solutions()[:3])
    monkeypatch.setattr(data, "load_dataset", lambda *a, **k: asked.append((a, k)) or solutions)
    arguments = ["--prm", prm, "--reference", SFT_MODEL, "--beta", "0.05", "--split", "gsm8k"]
    monkeypatch.setattr(sys, "argv", ["score.py", *arguments, "Qwen/ProcessBench"])
    monkeypatch.chdir(tmp_path)
    score.main()
    assert asked == [(("Qwen/ProcessBench", None), {"split": "gsm8k"})]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ProcessBench-gsm8k.scores.html",
        "ProcessBench-gsm8k.scores.jsonl",
    ]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"problem": None}, "row 4 has no problem, or one that is not text"),
        ({"steps": None}, "row 4 has no steps, or one that is empty"),
        ({"steps": ["1+1=2", " "]}, "row 4 has no steps, or one that is empty"),
        ({"label": None}, "row 4 has the label None: use -1, or one of its 3 steps"),
        ({"label": 3}, "row 4 has the label 3"),
        ({"label": -2}, "row 4 has the label -2"),
    ],
)
def test_solutions_that_cannot_be_used(run, change, words):
    rows = make_solutions()
    with pytest.raises(UserError, match=words):
        run([*rows[:4], {**rows[4], **change}, *rows[5:]])


def test_solutions_of_one_kind(run):
    rows = make_solutions()
    with pytest.raises(UserError, match="all 10 rows have only right steps. F1 needs rows of both"):
        run(rows[::3])
    with pytest.raises(UserError, match="all 10 rows have a wrong step"):
        run(rows[1::3])
    with pytest.raises(UserError, match="row 0 has the label None"):
        run([{key: value for key, value in rows[0].items() if key != "label"}])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"prompt": "1+1"}, "row 0 has no response, or one that is not text"),
        ({"response": "2"}, "row 0 has no prompt"),
        ({**QUESTION, "ability": "art"}, "row 0 has the unknown ability 'art': use one of 'math'"),
        ({**QUESTION, "response_ids": [5, 99999]}, "row 0 has response_ids of another tokenizer"),
        ({**QUESTION, "response": "1\n" * 900}, "allow sequences of"),
    ],
)
def test_rows_that_cannot_be_scored(run, row, words):
    with pytest.raises(UserError, match=words):
        run([row])


def test_scores_go_where_they_are_wanted_and_can_be_written(run, tmp_path, monkeypatch):
    run([QUESTION])
    argv = [*sys.argv[:-1], "--output", str(tmp_path / "elsewhere"), sys.argv[-1]]
    monkeypatch.setattr(sys, "argv", argv)
    score.main()
    names = {path.name for path in (tmp_path / "elsewhere").iterdir()}
    assert names == {"rows.scores.jsonl", "rows.scores.html"}
    monkeypatch.setattr(score.scoring, "load_scorer", refuse_to_load)
    with pytest.raises(UserError, match="--output: cannot write to /proc/scores"):
        run([QUESTION], "--output", "/proc/scores")


def test_arguments_that_make_no_sense(run, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--batch-tokens = 0 must be at least 1"):
        run([QUESTION], "--batch-tokens", "0")
    with pytest.raises(UserError, match="--reference = 'models/none': there is no such folder"):
        run([QUESTION], "--reference", "models/none")
    monkeypatch.setattr(sys, "argv", ["score.py", "--prm", SFT_MODEL, str(Path("none.jsonl"))])
    with pytest.raises(UserError, match="does not record --reference, so it must be given"):
        score.main()
