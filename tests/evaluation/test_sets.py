"""Rows of every known benchmark, as their hub sets have them, and sets that cannot be used."""

import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest
from small_runs import SFT_MODEL
from transformers import AutoTokenizer

import data
from checks.errors import UserError
from evaluation import sets
from evaluation.sets import HUB_SETS, load_benchmark
from verifiers import Verifier


def write(path: Path, *rows: dict) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


MATHS = [
    ({"problem": "1+1?", "answer": "2"}, "1+1?", "2"),
    ({"id": 0, "problem": "1+1?", "answer": 142.0, "url": ""}, "1+1?", "142.0"),  # AMC
    ({"question": "1+1?", "answer": "2"}, "1+1?", "2"),  # Minerva Math
    ({"question": "1+1?", "answer": "1+1=<<1+1=2>>2\n#### 1,002"}, "1+1?", "1,002"),  # GSM8K
    ({"question": "1+1?", "final_answer": ["$2$"], "solution": [""]}, "1+1?", "$2$"),
    ({"question": "1+1?", "final_answer": ["2", "3"]}, "1+1?", "2, 3"),
    ({"prompt": "1+1?", "reward_model": {"ground_truth": "2"}}, "1+1?", "2"),
]


@pytest.mark.parametrize(("row", "question", "truth"), MATHS)
def test_rows_of_mathematics(tmp_path, row, question, truth):
    [read] = load_benchmark("Mine", write(tmp_path / "rows.jsonl", row), None)
    assert read["prompt"] == question and read["ability"] == "math"
    assert read["reward_model"] == {"ground_truth": truth}


CASES = json.dumps([{"input": "2\n", "output": "4\n", "testtype": "stdin"}])
CALLS = json.dumps([{"input": "0", "output": "0", "testtype": "functional"}])
LIVE = {
    "question_title": "Double",
    "question_content": "Double a number.",
    "platform": "atcoder",
    "contest_date": "2023-08-12T00:00:00",
    "starter_code": "",
    "public_test_cases": CASES,
    "private_test_cases": base64.b64encode(zlib.compress(pickle.dumps(CASES))).decode(),
    "metadata": "{}",
}
CODE = {
    "HumanEval": (
        {
            "task_id": "HumanEval/0",
            "prompt": 'def double(x):\n    """Return 2x."""\n',
            "canonical_solution": "    return 2 * x\n",
            "test": "def check(candidate):\n    assert candidate(2) == 4\n",
            "entry_point": "double",
        },
        "def double(x):\n    return {} * x",
    ),
    "MBPP": (
        {
            "task_id": 1,
            "text": "Write a function to double a number.",
            "code": "",
            "test_list": ["assert double(2) == 4", "assert double(0) == 0"],
            "test_setup_code": "",
            "challenge_test_list": [],
        },
        "def double(x):\n    return {} * x",
    ),
    "MBPP, sanitized": (
        {
            "source_file": "",
            "task_id": 1,
            "prompt": "Write a function to double a number.",
            "code": "",
            "test_imports": ["import math"],
            "test_list": ["assert double(2) == math.factorial(2) + 2"],
        },
        "def double(x):\n    return {} * x",
    ),
    "LeetCode": (
        {
            "task_id": "weekly-contest-1-double",
            "meta": {"difficulty": "Easy"},
            "prompt": '"""\nDouble a number.\n"""\nclass Solution:\n',
            "prompt_sft": "Double a number.\n\n```python\nclass Solution:\n```",
            "test": "\nmy_solution = Solution()\n\ntest_input = { 'x': 2 }\n"
            "assert my_solution.double(**test_input) == 4\n\ntest_input = { 'x': 0 }\n"
            "assert my_solution.double(**test_input) == 0\n",
            "start_time": 1705804200,
        },
        "class Solution:\n    def double(self, x):\n        return {} * x",
    ),
    "LiveCodeBench v2": (LIVE, "print({} * int(input()))"),
    "LiveCodeBench, functions": (
        {
            **LIVE,
            "starter_code": "class Solution:\n    def double(self, x: int) -> int:\n        ",
            "public_test_cases": CALLS,
            "private_test_cases": CALLS.replace("0", "2", 1).replace("0", "4", 1),
            "metadata": '{"func_name": "double"}',
        },
        "class Solution:\n    def double(self, x):\n        return {} * x",
    ),
    "LeetCodeDataset": (
        {
            "task_id": "double",
            "prompt": "from struct import calcsize\n",
            "problem_description": "Double a number.",
            "starter_code": "class Solution:\n    def double(self, x: int) -> int:\n        ",
            "test": "def check(candidate):\n    assert candidate(x = 2) == calcsize('<i')\n",
            "entry_point": "Solution().double",
        },
        "class Solution:\n    def double(self, x: int) -> int:\n        return {} * x",
    ),
}


def test_rows_of_code_are_verified_by_their_tests(tmp_path):
    rows, responses = [], []
    for name, (row, program) in CODE.items():
        [read] = load_benchmark(name, write(tmp_path / f"{name}.jsonl", row), None)
        assert read["ability"] == "code" and "ouble" in read["prompt"]
        for factor in (2, 3):
            rows.append(read["reward_model"]["ground_truth"])
            responses.append(f"```python\n{program.format(factor)}\n```")
    with Verifier(num_workers=1, all_or_nothing=True) as verifier:
        verdicts = verifier.verify(responses, rows, ["code"] * len(rows))
    assert [verdict.reward for verdict in verdicts] == [1.0, 0.0] * len(CODE)


def test_a_helper_in_the_prompt_is_the_test_s_own(tmp_path):
    prompt = "import math\n\ndef miss(x):\n    return math.fabs(x - 4)\n\n"
    prompt += 'def double():\n    """Return 4."""\n'
    test = "def check(candidate):\n    assert miss(candidate()) == 0\n"
    row = {**CODE["HumanEval"][0], "prompt": prompt, "test": test}
    plain = {**row, "prompt": "def double():\n", "test": "def check(f):\n    assert f() == 4\n"}
    read, other = load_benchmark("HumanEval", write(tmp_path / "rows.jsonl", row, plain), None)
    assert "test_setup_code" not in other["reward_model"]["ground_truth"]
    programs = ["def double():\n    return 4", "def double():\n    return 4\nmiss = lambda x: 1"]
    programs += ["def double():\n    return 5\nmiss = lambda x: 0"]
    responses = [f"```python\n{program}\n```" for program in programs]
    with Verifier(num_workers=1) as verifier:
        verdicts = verifier.verify(
            responses, [read["reward_model"]["ground_truth"]] * 3, ["code"] * 3
        )
    assert [verdict.reward for verdict in verdicts] == [1.0, 1.0, 0.0]


def test_prompts_get_the_published_template(tmp_path):
    rows = load_benchmark("MBPP", write(tmp_path / "mbpp.jsonl", CODE["MBPP"][0]), None)
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    seen = []
    tokenizer.apply_chat_template = lambda messages, **_: seen.append(messages) or [1]
    settings = dict(system_prompt="be brief", max_prompt_tokens=9, abilities=None, constant="X")
    data.encode_prompts(rows, tokenizer, **settings)
    [[system, user]] = seen
    assert system == {"role": "system", "content": "be brief"}
    assert user["content"].startswith("Write a function to double a number.")
    assert "assert double(2) == 4" in user["content"]
    assert user["content"].endswith("```python\nYour code\n```\nat the end.")


PUBLISHED = "\n```\n\n### Answer: (use the provided format with backticks)\n\n"


@pytest.mark.parametrize(
    ("name", "question"),
    [
        ("LeetCode", "Double a number.\n\n```python\nclass Solution:\n```"),
        (
            "LiveCodeBench v2",
            "### Question:\nDouble a number.\n\n### Format: Read the inputs from stdin solve the "
            "problem and write the answer to stdout (do not directly test on the sample inputs). "
            "Enclose your code within delimiters as follows.\n```python\n# YOUR CODE HERE"
            + PUBLISHED,
        ),
        (
            "LiveCodeBench, functions",
            "### Question:\nDouble a number.\n\n### Format: You will use the following starter "
            "code to write the solution to the problem and enclose your code within delimiters.\n"
            "```python\nclass Solution:\n    def double(self, x: int) -> int:\n        "
            + PUBLISHED,
        ),
    ],
)
def test_questions_of_the_published_evaluation(tmp_path, name, question):
    [read] = load_benchmark(name, write(tmp_path / "rows.jsonl", CODE[name][0]), None)
    assert read["prompt"] == question


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("LeetCode", "test"),
        ("LeetCode", "prompt_sft"),
        ("LiveCodeBench v2", "question_content"),
        ("LiveCodeBench v2", "private_test_cases"),
        ("HumanEval", "entry_point"),
        ("MBPP", "test_list"),
    ],
)
def test_a_row_without_one_of_the_columns_is_named(tmp_path, name, column):
    row = CODE[name][0]
    path = write(tmp_path / "rows.jsonl", row, {**row, column: None})
    with pytest.raises(UserError, match=rf"BENCHMARKS\['{name}'\]: row 1 has no `{column}`\."):
        load_benchmark(name, path, None)


def test_a_row_whose_tests_cannot_be_decoded_is_named(tmp_path):
    path = write(tmp_path / "rows.jsonl", LIVE, {**LIVE, "private_test_cases": "!"})
    rows = load_benchmark("LiveCodeBench v2", path, None)
    settings = dict(system_prompt=None, max_prompt_tokens=999, abilities=None, constant="X")
    with pytest.raises(UserError, match="X: row 1 has a ground truth that has private_test_cases"):
        data.encode_prompts(rows, AutoTokenizer.from_pretrained(SFT_MODEL), **settings)


def test_a_release_of_live_code_bench_has_its_files(monkeypatch):
    asked = []
    monkeypatch.setattr(sets, "load_dataset", lambda *a, **k: asked.append((a, k)) or 1 / 0)
    source = "livecodebench/code_generation_lite"
    for name, given, last in (("LiveCodeBench v2", None, 2), ("Mine", f"{source}@release_v4", 4)):
        with pytest.raises(UserError, match=f"'{source}@release_v{last}'.*cannot be read"):
            load_benchmark(name, given, None)
        numbers = ["", *range(2, last + 1)]
        files = [f"hf://datasets/{source}/test{number}.jsonl" for number in numbers]
        assert asked.pop() == (("json",), {"data_files": files, "split": "train"})
    for given in (source, f"{source}@release_v9"):
        with pytest.raises(
            UserError, match=f"'{given}' names no release: use one of '{source}@rel"
        ):
            load_benchmark("Mine", given, None)


def test_a_limit_takes_the_first_rows(tmp_path):
    rows = [{"problem": str(n), "answer": str(n)} for n in range(5)]
    path = write(tmp_path / "rows.jsonl", *rows)
    assert [row["prompt"] for row in load_benchmark("Mine", path, 2)] == ["0", "1"]
    assert len(load_benchmark("Mine", path, 9)) == 5
    assert len(load_benchmark("Arithmetic", "arithmetic", 3)) == 3


def test_hub_sets_are_asked_for_by_id_configuration_and_split(monkeypatch):
    asked = []
    for module in (data, sets):
        monkeypatch.setattr(module, "load_dataset", lambda *a, **k: asked.append((a, k)) or 1 / 0)
    for name in HUB_SETS:
        with pytest.raises(UserError, match=rf"BENCHMARKS\['{name}'\] = '{HUB_SETS[name].hub_id}'"):
            load_benchmark(name, None, None)
    assert asked[4] == (("Hothan/OlympiadBench", "OE_TO_maths_en_COMP"), {"split": "train"})
    with pytest.raises(UserError):
        load_benchmark("Mine", "openai/gsm8k", None)  # known by its id under any name
    assert asked[-1] == (("openai/gsm8k", "main"), {"split": "test"})
    with pytest.raises(UserError):
        load_benchmark("LeetCode", None, None)  # the 180 problems, in one file
    assert asked[-1] == (("TechxGenus/LeetCode-Contest", None), {"split": "train"})
    assert set(sets.HUB_SETS) >= {"AIME 2024", "MATH-500", "AMC", "HumanEval", "MBPP"}


@pytest.mark.parametrize(
    ("name", "row", "words"),
    [
        ("Nine", None, r"\['Nine'\] = None, but no set of that name is known.*'AIME 2024'"),
        ("Nine", 5, r"BENCHMARKS\['Nine'\] = 5 must be text in quotes"),
        ("Nine", "nowhere.jsonl", r"'nowhere.jsonl': there is no such file"),
        (
            "Nine",
            {"problem": "x"},
            r"columns are \['problem'\]; rows need .*`problem` and `answer`",
        ),
        ("Nine", {}, r"there are no rows in it"),
        (
            "ProcessBench",
            {"problem": "x", "steps": ["y"], "label": 0},
            r"BENCHMARKS\['ProcessBench'\]: .*labelled steps.* give this source to score.py",
        ),
    ],
)
def test_sets_that_cannot_be_used(tmp_path, name, row, words):
    source = row
    if isinstance(row, dict):
        path = tmp_path / "rows.jsonl"
        source = write(path, row) if row else write(path)
    with pytest.raises(UserError, match=words):
        load_benchmark(name, source, None)
