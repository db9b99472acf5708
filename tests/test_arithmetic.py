"""The embedded task is right, and the embedded model is what the README says."""

import random
import re
from fractions import Fraction

import pytest
from conftest import ROOT, SFT_MODEL
from transformers import AutoModelForCausalLM, AutoTokenizer

import arithmetic
import data
from rollout import generate_responses
from verifiers.math_answer import grade

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


def test_the_embedded_model_is_small_and_has_the_accuracy_of_the_readme():
    folder = ROOT / "models" / "arithmetic-sft"
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
    responses = generate_responses(
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
    [stated] = re.findall(r"embedded SFT model solves ([\d.]+) %", (ROOT / "README.md").read_text())
    assert 100 * sum(rewards) / len(rewards) == pytest.approx(float(stated), abs=1.0)
