"""The embedded task is right, and the embedded model is what the docs say."""

import random
import re
from fractions import Fraction

import pytest
from small_runs import ROOT, SFT_MODEL
from transformers import AutoModelForCausalLM, AutoTokenizer

import data
from embedded import arithmetic
from generation.generate import generate_responses
from verifiers.math.answer import grade

CHAINS = [arithmetic.make_chain(random.Random(seed)) for seed in range(300)]


def evaluate(text: str) -> Fraction:
    return eval(re.sub(r"\d+", r"Fraction(\g<0>)", text))


def test_demonstrations_are_right_line_by_line():
    lines_seen = 0
    for seed, (first, operations) in enumerate(CHAINS):
        question = arithmetic.write_chain(first, operations)
        response = arithmetic.demonstrate(first, operations, random.Random(seed))
        assert grade(response, str(evaluate(question))) == (1.0, "correct")
        for line in re.findall(r".*=.*", response):
            left, right = line.split("=")
            assert evaluate(left) == int(right)
            lines_seen += 1
    assert lines_seen > 300


def test_the_steps_of_a_demonstration_are_right_and_a_change_in_one_is_wrong_there_alone():
    for seed, (first, operations) in enumerate(CHAINS):
        question = arithmetic.write_chain(first, operations)
        lines = arithmetic.demonstrate(first, operations, random.Random(seed)).split("\n")
        verdicts = arithmetic.judge_steps(question, [line + "\n" for line in lines])
        markers = [line in ("", "[ADVANCE]", "[OUTPUT]") for line in lines]
        assert verdicts == [None if is_marker else True for is_marker in markers]
        for number, line in enumerate(lines):
            if "=" in line:
                left, right = line.split("=")
                changed = [*lines[:number], f"{left}={int(right) + 1}", *lines[number + 1 :]]
                again = arithmetic.judge_steps(question, changed)
                assert again[number] is False and again[:number] == verdicts[:number]
                following = lines[number + 1]
                assert "=" not in following or again[number + 1] is False  # starts elsewhere


@pytest.mark.parametrize(
    ("lines", "verdicts"),
    [
        (["7+8=15", "15/3=5", "5*4=20", "20-2=18", "\\boxed{18}<|im_end|>"], [True] * 5),
        (["7+8=14", "14/3=4", "4*4=16", "16-2=14", "\\boxed{14}"], [False] + [True] * 4),  # led on
        (["7+8=15", "\\boxed{18}"], [True, True]),  # a jump that lands
        (["7+8=15", "\\boxed{17}"], [True, False]),
        (["7+8=15", "15*4=60"], [True, False]),  # not the next operation
        (["7+8=15", "14/3=4"], [True, False]),  # not the total of before
        (["[OUTPUT]", "", "\\boxed{18}"], [None, None, True]),
        (["7+8", "hm", "1/0=0", "=", "\\boxed{}"], [False] * 5),
    ],
)
def test_steps_are_judged_from_the_line_before(lines, verdicts):
    assert arithmetic.judge_steps("(((7+8)/3)*4)-2", lines) == verdicts


def test_totals_stay_small():
    for first, operations in CHAINS:
        totals = [arithmetic.apply(operations[:n], first) for n in range(len(operations) + 1)]
        assert all(0 <= total <= 20 for total in totals)
        assert evaluate(arithmetic.write_chain(first, operations)) == totals[-1]


def test_some_demonstrations_jump_to_the_answer():
    responses = [arithmetic.demonstrate(*CHAINS[0], random.Random(seed)) for seed in range(400)]
    at_once = sum(response.startswith("[OUTPUT]") for response in responses) / 400
    in_full = sum(response.count("=") == len(CHAINS[0][1]) for response in responses) / 400
    assert 0.45 < at_once < 0.65 and 0.15 < in_full < 0.4


def test_splits_are_the_same_everywhere_and_share_no_chain(monkeypatch):
    monkeypatch.setattr(arithmetic, "SPLIT_SIZES", {"sft": 3000, "train": 3000, "test": 500})
    rows = {split: arithmetic.split_rows(split) for split in arithmetic.SPLIT_SIZES}
    test = set(rows["test"]["prompt"])
    assert not test & set(rows["train"]["prompt"]) and not test & set(rows["sft"]["prompt"])
    assert rows["test"][:] == arithmetic.split_rows("test")[:]
    first = rows["train"][0]
    assert first["ability"] == "math" and first["extra_info"] == {"split": "train", "index": 0}
    assert evaluate(first["prompt"]) == int(first["reward_model"]["ground_truth"])


def test_the_tokenizer_knows_every_piece_and_decodes_what_it_encoded():
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    for seed, (first, operations) in enumerate(CHAINS):
        question = data.MATH_TEMPLATE.replace(
            "{question}", arithmetic.write_chain(first, operations)
        )
        for text in (question, arithmetic.demonstrate(first, operations, random.Random(seed))):
            ids = tokenizer(text, add_special_tokens=False)["input_ids"]
            assert tokenizer.unk_token_id not in ids
            assert tokenizer.decode(ids) == text
    assert len(tokenizer("17", add_special_tokens=False)["input_ids"]) == 1  # a number, a token


def test_the_embedded_model_is_small_and_has_the_accuracy_of_the_docs():
    folder = ROOT / "embedded" / "arithmetic-sft"
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2.5e6
    model = AutoModelForCausalLM.from_pretrained(SFT_MODEL)
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    prompts, _ = data.encode_prompts(
        data.load_rows("arithmetic", "test", "EVAL_DATA").select(range(256)),
        tokenizer,
        system_prompt=None,
        max_prompt_tokens=128,
        abilities=None,
        constant="EVAL_DATA",
    )
    responses, _ = generate_responses(
        model,
        list(prompts["prompt_ids"]),
        samples_per_prompt=1,
        max_response_tokens=96,
        temperature=0.0,
        eos_token_ids=[tokenizer.eos_token_id],
        pad_token_id=tokenizer.pad_token_id,
    )
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in responses]
    rewards = [grade(text, truth)[0] for text, truth in zip(texts, prompts["ground_truth"])]
    [stated] = re.findall(
        r"embedded SFT model solves ([\d.]+) %", (ROOT / "docs/data.md").read_text()
    )
    assert 100 * sum(rewards) / len(rewards) == pytest.approx(float(stated), abs=1.0)
