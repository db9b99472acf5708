"""Generation, the prompt filter, refill and surplus, and the tensors made of it all."""

import contextlib
import functools
from collections import Counter
from dataclasses import replace

import pytest
import torch
from tqdm import tqdm
from transformers import AutoModelForCausalLM, GenerationConfig, LlamaConfig

import rollout
from generation import generate as generate_module
from generation.generate import generate_responses
from generation.groups import Group
from models.batches import cut_by_tokens, select_rows
from rollout import collect_rollouts, compute_metrics, is_kept, make_rollouts
from verifiers import Verdict

CPU = torch.device("cpu")


def make_group(outcome_rewards: list[float], name: str = "") -> Group:
    count = len(outcome_rewards)
    return Group(
        prompt_ids=[1, 2],
        ability="math",
        ground_truth=name,
        data_source="test",
        response_ids=[[3, 4]] * count,
        responses=["x"] * count,
        outcome_rewards=outcome_rewards,
        statuses=["correct" if reward == 1 else "wrong" for reward in outcome_rewards],
        truncated=[False] * count,
        sampling_logprobs=[[-0.5, -1.5]] * count,
    )


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=12,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    return AutoModelForCausalLM.from_config(config).eval()


def generate(model, prompts, **changes):
    settings = dict(
        samples_per_prompt=4,
        max_response_tokens=8,
        temperature=1.0,
        eos_token_ids=[2],
        pad_token_id=0,
    )
    return generate_responses(model, prompts, **{**settings, **changes})[0]


@pytest.mark.parametrize(
    ("right", "of", "kept"),
    [(0, 5, False), (1, 5, True), (4, 5, True), (5, 5, False), (1, 4, True), (1, 8, False)],
)
def test_filter_bounds_are_inclusive(right, of, kept):
    group = make_group([1.0] * right + [0.0] * (of - right))
    assert is_kept(group, 0.2, 0.8) is kept


def test_filter_takes_partial_rewards():
    assert is_kept(make_group([0.3, 0.2, 0.1]), 0.2, 0.8)  # 0.2, but for rounding
    assert (0.3 + 0.2 + 0.1) / 3 < 0.2
    assert not is_kept(make_group([0.1, 0.1, 0.1, 0.3]), 0.2, 0.8)


def collect(pattern: str, surplus=(), wanted=4, max_rounds=8, kept_fraction=1.0, max_surplus_age=4):
    """Collect from a stream of groups: k passes the filter, . does not."""
    taken = []

    def take(count: int) -> list[int]:
        start = sum(taken)
        taken.append(count)
        return list(range(start, start + count))

    def sample(prompts: list[int]) -> list[Group]:
        letters = [pattern[prompt % len(pattern)] for prompt in prompts]
        return [
            make_group([1.0, 0.0] if letter == "k" else [0.0, 0.0], str(prompt))
            for letter, prompt in zip(letters, prompts)
        ]

    collected = collect_rollouts(
        take,
        sample,
        list(surplus),
        prompts_wanted=wanted,
        accuracy_low=0.2,
        accuracy_high=0.8,
        max_rounds=max_rounds,
        kept_fraction=kept_fraction,
        max_surplus_age=max_surplus_age,
    )
    return collected, taken


def names(groups: list[Group]) -> list[str]:
    return [group.ground_truth for group in groups]


def test_rounds_go_on_until_the_batch_is_full_and_the_surplus_is_kept():
    collected, taken = collect("k.")
    # 4 prompts give 2; half are kept, so 4 more give the 2 that are missing
    assert taken == [4, 4]
    assert names(collected.kept) == ["0", "2", "4", "6"] and collected.surplus == []
    assert collected.kept_fraction == 0.5 and len(collected.sampled) == 8
    collected, taken = collect("kkk.", kept_fraction=0.5)
    assert taken == [8]
    assert names(collected.kept) == ["0", "1", "2", "4"]
    assert names(collected.surplus) == ["5", "6"]


def test_the_surplus_comes_first_and_is_not_generated_again():
    surplus = [make_group([1.0, 0.0], "old 1"), make_group([1.0, 0.0], "old 2")]
    collected, taken = collect("k", surplus)
    assert names(collected.kept) == ["old 1", "old 2", "0", "1"] and taken == [2]
    assert collected.kept_fraction == 1.0  # of those sampled
    assert names(collected.sampled) == ["0", "1"]
    collected, taken = collect("k", surplus, wanted=1)
    assert names(collected.kept) == ["old 1"] and names(collected.surplus) == ["old 2"]
    assert taken == [] and collected.kept_fraction == 1.0


def test_a_surplus_group_that_is_too_old_is_dropped_and_counted():
    surplus = [replace(make_group([1.0, 0.0], f"old {age}"), age=age) for age in (2, 0, 1)]
    collected, taken = collect("k", surplus, wanted=2, max_surplus_age=2)
    assert names(collected.kept) == ["old 0", "old 1"] and taken == []
    assert [group.age for group in collected.kept] == [1, 2] and collected.expired == 1
    collected, taken = collect("k.", surplus, max_surplus_age=0)
    assert names(collected.kept) == ["0", "2", "4", "6"] and taken == [4, 4]
    assert collected.kept_fraction == 0.5  # the share of what was sampled, as always
    assert {group.age for group in collected.kept} == {0}
    assert compute_metrics(collected)["prompts_expired"] == 3


def test_rounds_are_limited_in_number_and_size():
    collected, taken = collect(".", max_rounds=3)
    assert collected.kept == [] and taken == [4, 16, 16]  # at most 4 prompts for one missing
    metrics = compute_metrics(collected)
    assert metrics["train_accuracy"] == 0.0 and metrics["kept_fraction"] == 0.0
    assert metrics["response_tokens"] == 2.0  # of one character
    collected, _ = collect("k" + 99 * ".", max_rounds=2)
    assert names(collected.kept) == ["0"]  # trained on what there is


def test_responses_end_with_the_first_of_several_eos_ids(model):
    torch.manual_seed(0)
    responses = generate(model, [[5, 6, 7], [8]], samples_per_prompt=64, eos_token_ids=[2, 9])
    assert len(responses) == 128
    ends = Counter(ids[-1] for ids in responses)
    assert ends[2] > 10 and ends[9] > 10
    for ids in responses:
        assert not {2, 9} & set(ids[:-1])
        assert ids[-1] in (2, 9) or len(ids) == 8


def test_padding_with_eos_is_told_apart_by_position(model):
    torch.manual_seed(0)
    own_pad = generate(model, [[5, 6, 7], [8]])
    torch.manual_seed(0)
    eos_as_pad = generate(model, [[5, 6, 7], [8]], pad_token_id=2)
    assert eos_as_pad == own_pad
    assert {ids.count(2) for ids in eos_as_pad} == {0, 1}


@pytest.mark.parametrize("plain", [False, True])
def test_sampling_ignores_the_models_own_generation_config(plain, model, monkeypatch):
    if plain:
        monkeypatch.setattr(generate_module, "takes_siblings", lambda *_: False)
    torch.manual_seed(0)
    expected = generate(model, [[5, 6, 7]] * 50)
    plain = model.generation_config
    model.generation_config = GenerationConfig(
        do_sample=False,
        temperature=0.01,
        top_k=1,
        top_p=0.1,
        min_p=0.9,
        repetition_penalty=5.0,
        no_repeat_ngram_size=1,
        suppress_tokens=[3, 4, 5],
        bad_words_ids=[[6]],
        max_length=5,
        eos_token_id=7,
    )
    own = model.generation_config
    torch.manual_seed(0)
    assert generate(model, [[5, 6, 7]] * 50) == expected
    assert model.generation_config is own  # and leaves it as it was
    model.generation_config = plain


def test_samples_follow_the_whole_distribution(model):
    torch.manual_seed(0)
    settings = dict(samples_per_prompt=4000, max_response_tokens=1)
    first = [ids[0] for ids in generate(model, [[5, 6, 7]], **settings)]
    with torch.no_grad():
        expected = model(torch.tensor([[5, 6, 7]])).logits[0, -1].softmax(-1)
    counts = torch.bincount(torch.tensor(first), minlength=12) / len(first)
    torch.testing.assert_close(counts, expected, atol=0.025, rtol=0)


def test_greedy_takes_the_likeliest_token_whatever_the_padding(model):
    together = generate(model, [[5, 6, 7], [8]], temperature=0.0, samples_per_prompt=1)
    alone = [
        generate(model, [p], temperature=0.0, samples_per_prompt=1)[0] for p in ([5, 6, 7], [8])
    ]
    assert together == alone
    with torch.no_grad():
        assert together[0][0] == model(torch.tensor([[5, 6, 7]])).logits[0, -1].argmax()


def test_responses_that_end_early_are_reported_once(model):
    torch.manual_seed(0)
    reported: dict[int, list[int]] = {}

    def report(row: int, ids: list[int]) -> None:
        assert row not in reported
        reported[row] = ids

    prompts = [[5, 6, 7], [8]]
    responses = generate(
        model, prompts, samples_per_prompt=20, max_response_tokens=40, on_response=report
    )
    early = {row for row, ids in enumerate(responses) if ids[-1] == 2 and len(ids) <= 32}
    assert set(reported) >= early and 10 < len(early) < 40
    assert all(responses[row] == ids for row, ids in reported.items())


class StubVerifier:
    """Says of each response how long it is; counts what is submitted while tokens still come."""

    def __init__(self):
        self.rows: list[tuple[str, str, str]] = []
        self.questions: list[str | None] = []

    def submit(self, responses, truths, abilities, questions=None, rows=None):
        self.rows += zip(responses, truths, abilities)
        self.questions += questions

    def collect(self, on_verdicts):
        on_verdicts(len(self.rows))
        return [Verdict(len(response) / 1000, truth) for response, truth, _ in self.rows]


@pytest.mark.parametrize("plain", [False, True])
def test_each_response_gets_its_own_verdict_whenever_it_ended(model, plain, monkeypatch):
    if plain:
        for module in (rollout, generate_module):
            monkeypatch.setattr(module, "takes_siblings", lambda *_: False)

    class Tokenizer:
        eos_token_id, pad_token_id = 2, 0
        get_vocab = staticmethod(lambda: {"the last token": 31})

        def decode(self, ids, skip_special_tokens):
            return " ".join(str(token) for token in ids if token != 2 or not skip_special_tokens)

    batches = []
    monkeypatch.setattr(
        rollout,
        "generate_responses",
        lambda model, prompts, **settings: (
            batches.append((len(prompts), settings["token_budget"]))
            or generate_responses(model, prompts, **settings)
        ),
    )
    torch.manual_seed(0)
    prompts = [
        dict(prompt_ids=[5 + n] * length, ability="math", ground_truth=f"truth {n}", data_source="")
        for n, length in enumerate((1, 1, 50, 50, 1))
    ]
    prompts[3]["question"] = "what is three?"
    verifier = StubVerifier()
    groups = rollout.sample_groups(
        model,
        Tokenizer(),
        verifier,
        prompts,
        range(5),
        samples_per_prompt=4,
        rollout_tokens=420,
        max_response_tokens=40,
        temperature=1.0,
        eos_token_ids=[2],
        timer=lambda name: contextlib.nullcontext(),
        progress=lambda **_: tqdm(disable=True),
    )
    assert len(groups) == 5
    # Plainly, batch by batch, the long prompts first: each needs 4 x (50 + 40) tokens.
    assert batches == ([(n, 420) for n in (1, 1, 2, 1)] if plain else [(5, 420)])
    assert any(ids[-1] == 2 for group in groups for ids in group.response_ids)
    assert len(verifier.questions) == 20
    asked = {row[1] for row, text in zip(verifier.rows, verifier.questions) if text}
    assert asked == {"truth 3"} and groups[3].question == "what is three?"
    for number, group in enumerate(groups):
        assert group.statuses == [f"truth {number}"] * 4
        texts = [" ".join(str(token) for token in ids if token != 2) for ids in group.response_ids]
        assert group.responses == texts
        for ids, logprobs in zip(group.response_ids, group.sampling_logprobs, strict=True):
            with torch.no_grad():
                logits = model(torch.tensor([group.prompt_ids + ids])).logits[0]
            table = logits.log_softmax(-1)[len(group.prompt_ids) - 1 : -1]  # (T, V)
            expected = table[range(len(ids)), ids].tolist()
            assert logprobs == pytest.approx(expected, abs=1e-5)
        assert group.outcome_rewards == [len(text) / 1000 for text in texts]


def test_batches_are_cut_by_their_padded_tokens():
    prompts, responses = [1, 5, 2, 2, 9], [4, 4, 7, 1, 30]  # 5, 9, 9, 3 and 39 tokens
    cut = functools.partial(cut_by_tokens, prompt_lengths=prompts)
    assert cut(range(5), response_lengths=responses, token_budget=24) == [[4], [1, 2], [0, 3]]
    assert cut([3, 0], response_lengths=responses, token_budget=12) == [[0, 3]]  # 2 x (2 + 4)
    assert cut([3, 0], response_lengths=responses, token_budget=11) == [[0], [3]]
    assert cut([], response_lengths=responses, token_budget=9) == []


def test_rollouts_are_padded_left_and_right():
    one = make_group([1.0, 0.0])
    drawn = [[-0.25], [-1.0, -2.0, -3.0]]
    changes = {"prompt_ids": [7], "response_ids": [[8], [9, 9, 2]], "sampling_logprobs": drawn}
    other = Group(**{**vars(one), **changes})
    rollouts = make_rollouts([one, other], pad_token_id=0, device=CPU)
    assert rollouts.input_ids.tolist() == [
        [1, 2, 3, 4, 0],
        [1, 2, 3, 4, 0],
        [0, 7, 8, 0, 0],
        [0, 7, 9, 9, 2],
    ]
    assert rollouts.response_mask.tolist() == [[1, 1, 0], [1, 1, 0], [1, 0, 0], [1, 1, 1]]
    assert rollouts.attention_mask[:, :2].tolist() == [[1, 1], [1, 1], [0, 1], [0, 1]]
    assert rollouts.outcome_rewards.tolist() == [1.0, 0.0, 1.0, 0.0]
    own = [[-0.5, -1.5, 0.0], [-0.5, -1.5, 0.0], [-0.25, 0.0, 0.0], [-1.0, -2.0, -3.0]]
    assert rollouts.sampling_logprobs.tolist() == own
    assert select_rows(rollouts, [2, 1]).sampling_logprobs.tolist() == [[-0.25, 0.0], [-0.5, -1.5]]
