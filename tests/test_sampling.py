"""What train_prime.py samples, by its own path from a constant to a token."""

import contextlib
import itertools
import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import load_script
from stub_verifier import StubVerifier, only_train
from tiny_models import save_tiny_model
from tqdm import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer

import rollout
from generation import generate
from generation.groups import MIN_KEPT_FRACTION, Collected, Group
from training import start

SETTINGS = dict(
    PROMPTS_PER_ITERATION=2,
    ACCURACY_LOW=0.0,
    ACCURACY_HIGH=1.0,
    PRM_OPTIMIZER_STEPS=1,
    MAX_RESPONSE_TOKENS=6,
    POLICY_LR=0.0,  # the policy stays what it is
    NUM_ITERATIONS=1,
    EVAL_EVERY=100,
    CPU_THREADS=1,
)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


def write_rows(path: Path, questions: list[str], **columns) -> str:
    """Write rows whose ground truth is their number."""
    rows = [{"problem": text, "answer": str(n), **columns} for n, text in enumerate(questions)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def spy(folder: Path, **constants) -> tuple[list[Collected], list[list[Group]]]:
    """Run the script; return what each iteration collected, and the groups of each evaluation."""
    script = load_script(
        "train_prime.py", folder, **{**SETTINGS, **constants}, OUTPUT_DIR=str(folder)
    )
    trained, evaluated, learn, draw = [], [], script.learn, script.sample_groups

    def spy_on_learning(run, timer, iteration, collected):
        trained.append(collected)
        return learn(run, timer, iteration, collected)

    def spy_on_sampling(run, timer, samples_per_prompt, *rest):
        groups = draw(run, timer, samples_per_prompt, *rest)
        if samples_per_prompt == 1:
            evaluated.append(groups)
        return groups

    script.learn, script.sample_groups = spy_on_learning, spy_on_sampling
    with pytest.MonkeyPatch.context() as patch:
        only_train(patch)
        script.main()
    return trained, evaluated


def sample(folder: Path, model: str, questions: list[str], **constants) -> tuple[list, list]:
    """Run the script; return the groups of each iteration, and those of each evaluation."""
    data = write_rows(folder / "rows.jsonl", questions)
    settings = {"MODEL": model, "TRAIN_DATA": data, "EVAL_DATA": data, **constants}
    trained, evaluated = spy(folder, **settings)
    return [collected.sampled for collected in trained], evaluated


def first_token_logits(model: str, group: Group) -> torch.Tensor:
    with torch.no_grad():
        ids = torch.tensor([group.prompt_ids])
        return AutoModelForCausalLM.from_pretrained(model)(input_ids=ids).logits[0, -1]


def surprise(counts: Counter, probabilities: list[float]) -> float:
    """Return how many deviations a chi-square statistic lies above its mean; rare tokens joined."""
    total = sum(counts.values())
    bins, rest = [], [0.0, 0.0]
    for token, probability in enumerate(probabilities):
        if probability * total >= 5:
            bins.append((counts[token], probability * total))
        else:
            rest = [rest[0] + counts[token], rest[1] + probability * total]
    bins.append(tuple(rest))
    statistic = sum((seen - expected) ** 2 / expected for seen, expected in bins if expected)
    return (statistic - (len(bins) - 1)) / math.sqrt(2 * (len(bins) - 1))


@pytest.mark.parametrize("plain", [False, True])
def test_tokens_follow_the_policy_at_its_temperature(plain, tmp_path, monkeypatch):
    """Whatever the model's own generation config says, and also where generation is plain."""
    if plain:
        monkeypatch.setattr(generate, "takes_siblings", lambda *_: False)
    model = save_tiny_model(tmp_path / "model")
    own = dict(do_sample=True, temperature=0.1, top_k=3, top_p=0.5, repetition_penalty=2.0)
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **own}))
    sizes = dict(SAMPLES_PER_PROMPT=1500, PROMPTS_PER_ITERATION=1, MAX_RESPONSE_TOKENS=1)
    [[group, *_]], _ = sample(tmp_path, model, ["1+2"], TEMPERATURE=0.6, EVAL_DATA=None, **sizes)
    logits = first_token_logits(model, group)
    counts = Counter(ids[0] for ids in group.response_ids)
    assert sum(counts.values()) == 1500
    assert surprise(counts, (logits / 0.6).softmax(-1).tolist()) < 4
    for wrong in (1.0, 0.45):
        assert surprise(counts, (logits / wrong).softmax(-1).tolist()) > 8


def test_held_out_prompts_are_answered_greedily(model, tmp_path):
    _, evaluated = sample(tmp_path, model, ["1+2", "(3+4)*2"])
    assert len(evaluated) == 2 and all(len(groups) == 2 for groups in evaluated)
    loaded = AutoModelForCausalLM.from_pretrained(model)
    for group in evaluated[0]:
        assert group.sampling_logprobs is None  # nothing was drawn
        ids = list(group.prompt_ids)
        for token in group.response_ids[0]:
            assert token == loaded(input_ids=torch.tensor([ids])).logits[0, -1].argmax().item()
            ids.append(token)
    for before, after in zip(*evaluated):  # the rate is 0
        assert before.response_ids == after.response_ids


@pytest.mark.parametrize("plain", [False, True])
def test_prompts_iterations_and_seeds_draw_tokens_of_their_own(plain, model, tmp_path, monkeypatch):
    if plain:
        monkeypatch.setattr(generate, "takes_siblings", lambda *_: False)
    sizes = dict(NUM_ITERATIONS=2, PROMPTS_PER_ITERATION=3, EVAL_DATA=None)
    drawn = []
    for seed in (0, 1, 0):
        folder = tmp_path / str(len(drawn))
        folder.mkdir()
        iterations, _ = sample(folder, model, ["1+2"], SEED=seed, **sizes)
        drawn.append([group.response_ids for groups in iterations for group in groups])
    assert len(drawn[0]) == 6  # all of one prompt: three in each iteration
    texts = [json.dumps(responses) for run in drawn[:2] for responses in run]
    assert len(set(texts)) == 12
    assert drawn[2] == drawn[0]
    for responses in drawn[0]:
        assert len({tuple(ids) for ids in responses}) == len(responses)


def test_every_eos_id_of_the_model_ends_a_response(tmp_path):
    model = save_tiny_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    ends = [tokenizer.eos_token_id, *range(20, 40)]
    config = json.dumps({"eos_token_id": ends})
    (tmp_path / "model" / "generation_config.json").write_text(config)
    sizes = dict(SAMPLES_PER_PROMPT=60, MAX_RESPONSE_TOKENS=8, EVAL_DATA=None)
    [groups], _ = sample(tmp_path, model, ["1+2", "2+3"], **sizes)
    responses = [ids for group in groups for ids in group.response_ids]
    cut = [flag for group in groups for flag in group.truncated]
    assert len({ids[-1] for ids in responses} & set(ends)) > 5
    for ids, truncated in zip(responses, cut):
        assert not set(ids[:-1]) & set(ends)
        assert truncated is (ids[-1] not in ends)
        assert len(ids) == 8 or not truncated


def test_the_system_prompt_reaches_the_tokens(model, tmp_path):
    text = "[VERIFY] the answer"
    [groups], _ = sample(tmp_path, model, ["1+2"], SYSTEM_PROMPT=text, EVAL_DATA=None)
    decode = AutoTokenizer.from_pretrained(model).decode
    for group in groups:
        assert decode(group.prompt_ids).startswith(f"<|im_start|>system\n{text}<|im_end|>\n")


def test_prompts_are_those_of_the_split_and_the_abilities_in_an_order_of_the_seed(model, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for split, first in (("train", 1), ("test", 5)):
        code = {"problem": "1", "ability": "code", "answer": '{"inputs": ["1"], "outputs": ["1"]}'}
        path = data / f"{split}.jsonl"
        write_rows(path, [f"{first}+{n}" for n in range(8)], ability="math")
        path.write_text(json.dumps(code) + "\n" + path.read_text())
    settings = dict(MODEL=model, TRAIN_DATA=str(data), EVAL_DATA=str(data), ABILITIES=("math",))
    settings |= dict(EVAL_PROMPTS=3, PROMPTS_PER_ITERATION=8, SAMPLES_PER_PROMPT=2)
    decode, orders = AutoTokenizer.from_pretrained(model).decode, []
    for seed in (0, 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        [collected], [evaluated, _] = spy(folder, **settings, SEED=seed)
        orders.append([group.ground_truth for group in collected.sampled])
        assert [group.ground_truth for group in evaluated] == ["0", "1", "2"]  # the first ones
        for groups, question in ((collected.sampled, "1+"), (evaluated, "5+")):
            assert all(f"user\n{question}" in decode(group.prompt_ids) for group in groups)
    assert sorted(orders[0]) == sorted(orders[1]) == [str(n) for n in range(8)]
    assert orders[0] != orders[1]


def test_an_iteration_begins_with_the_surplus_and_the_share_kept_of_the_one_before(model, tmp_path):
    data = write_rows(tmp_path / "rows.jsonl", [f"{n}+1" for n in range(9)])
    sizes = dict(PROMPTS_PER_ITERATION=4, ACCURACY_LOW=0.3, ACCURACY_HIGH=0.6, NUM_ITERATIONS=6)
    run, _ = spy(tmp_path, MODEL=model, TRAIN_DATA=data, EVAL_DATA=None, **sizes)
    assert any(before.surplus for before in run[:-1])
    pairs = list(itertools.pairwise(run))
    for before, after in pairs:
        surplus = before.surplus[:4]
        older = [replace(group, age=group.age + 1) for group in surplus]
        assert after.kept[: len(surplus)] == older
        if after.rounds == 1:
            share = max(before.kept_fraction, MIN_KEPT_FRACTION)
            assert len(after.sampled) == math.ceil((4 - len(surplus)) / share)
    assert any(after.rounds == 1 and before.kept_fraction < 1 for before, after in pairs)


def test_a_prompt_draws_the_same_tokens_whatever_is_sampled_beside_it(model):
    policy, tokenizer = (
        kind.from_pretrained(model) for kind in (AutoModelForCausalLM, AutoTokenizer)
    )
    common = dict(ability="math", ground_truth="1", data_source="")
    texts = ("1+2", "((1+2)-3)+4", "4")  # the longest goes first in a batch
    prompts = [{**common, "prompt_ids": tokenizer(text)["input_ids"]} for text in texts]

    def draw(numbers: list[int]) -> list[list[list[int]]]:
        groups = rollout.sample_groups(
            policy,
            tokenizer,
            StubVerifier(),
            [prompts[n] for n in numbers],
            [70 + n for n in numbers],
            samples_per_prompt=3,
            rollout_tokens=4096,
            max_response_tokens=12,
            temperature=1.0,
            eos_token_ids=[tokenizer.eos_token_id],
            timer=lambda _: contextlib.nullcontext(),
            progress=lambda **_: tqdm(disable=True),
        )
        return [group.response_ids for group in groups]

    assert draw([0, 1, 2]) == [draw([n])[0] for n in range(3)]


class Started(Exception):
    """The verifier was made."""


@pytest.mark.parametrize("allow", [True, False])
def test_the_verifier_is_made_as_the_constants_say(allow, model, tmp_path, monkeypatch):
    settings = dict(num_workers=3, timeout_seconds=2.5)
    settings |= dict(all_or_nothing=True, allow_unsandboxed_code=allow, strict_form=False)
    settings |= dict(verifiers={})
    constants = dict(VERIFIER_WORKERS=3, VERIFIER_TIMEOUT=2.5)
    constants |= dict(CODE_ALL_OR_NOTHING=True, ALLOW_UNSANDBOXED_CODE=allow, STRICT_FORM=False)
    constants |= dict(TRAIN_DATA=write_rows(tmp_path / "rows.jsonl", ["1+2"]), EVAL_DATA=None)
    settings_of_run = {**SETTINGS, **constants, "OUTPUT_DIR": str(tmp_path)}
    script = load_script("train_prime.py", tmp_path, MODEL=model, **settings_of_run)

    def make(**given):
        assert given == settings
        raise Started

    monkeypatch.setattr(start, "Verifier", make)
    with pytest.raises(Started):
        script.main()
