"""Prompts that wait for room, and responses that stay in the batch after they have ended."""

import pytest
import torch
from generating import generate, generate_both
from tiny_models import make_model

from generation import decoding, siblings


def watch_sizes(monkeypatch) -> list[int]:
    """Return a list that gets the tokens that each batch has room for."""
    sizes, run = [], decoding._go_on

    def go_on(batch, *arguments):
        columns = batch.prompt_mask.shape[1] + batch.responses.shape[1] * batch.most_steps
        sizes.append(len(batch.responses) * columns)
        return run(batch, *arguments)

    monkeypatch.setattr(decoding, "_go_on", go_on)
    return sizes


@pytest.mark.usefixtures("shapes")
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("at_once, T", [(1, 40), (2, 40), (3, 40), (5, 12)])
def test_prompts_that_wait_for_room_get_the_same_responses(kind, at_once, T, monkeypatch):
    model = make_model(kind)
    prompts = [[5 + n % 20, *range(3, 3 + n % 6)] for n in range(11)]
    K = 3
    uniforms = torch.rand(len(prompts) * K, T, dtype=torch.float64)
    settings = dict(max_response_tokens=T, eos_token_ids=[2, 3, 4], uniforms=uniforms)
    expected, logprobs = generate_both(model, prompts, **settings)
    assert min(map(len, expected)) < 6 and max(map(len, expected)) > T // 2
    budget = at_once * (6 + K * T)  # tokens
    sizes, joined = watch_sizes(monkeypatch), []
    regroup = siblings.Batch.regroup

    def spy(batch, running, others=None):
        joined.append(others is not None)
        return regroup(batch, running, others)

    monkeypatch.setattr(siblings.Batch, "regroup", spy)
    reported = []
    budgeted, own_logprobs = generate_both(
        model,
        prompts,
        token_budget=budget,
        on_response=lambda row, ids: reported.append((row, ids)),
        **settings,
    )
    assert budgeted == expected
    for own, others in zip(own_logprobs, logprobs, strict=True):
        assert own == pytest.approx(others, abs=1e-4)
    assert max(sizes) <= budget
    assert T == 12 or any(joined) == (at_once > 1)  # a single one has no room to share
    assert len(dict(reported)) == len(reported) and all(expected[n] == ids for n, ids in reported)


def end_after(lengths: list[int], monkeypatch) -> None:
    """Let each response end after so many tokens, by EOS 2."""
    draw = decoding.draw

    def draw_or_end(logits, responses, steps, sampling):
        drawn, logprobs = draw(logits, responses, steps, sampling)
        ends = steps + 1 >= torch.tensor(lengths)[responses]
        return torch.where(ends, 2, drawn.clamp(min=3)), logprobs

    monkeypatch.setattr(decoding, "draw", draw_or_end)


@pytest.mark.usefixtures("shapes")
@pytest.mark.parametrize("at_once", [1, 3, 5])
def test_long_prompts_keep_their_siblings_while_rows_of_their_own_do_not_fit(at_once, monkeypatch):
    model, P, K, T = make_model("llama"), 60, 8, 40
    prompts = [[3 + (n + place) % 20 for place in range(P)] for n in range(5)]
    lengths = [2 if k < 4 else T - k - n for n in range(5) for k in range(K)]
    end_after(lengths, monkeypatch)
    settings = dict(samples_per_prompt=K, max_response_tokens=T)
    settings["uniforms"] = torch.rand(5 * K, T, dtype=torch.float64)
    expected = generate(model, prompts, **settings)
    assert list(map(len, expected)) == lengths
    sizes = watch_sizes(monkeypatch)
    budget = at_once * (P + K * T)
    assert generate(model, prompts, token_budget=budget, **settings) == expected
    assert max(sizes) <= budget
    assert len(sizes) > 5 / at_once  # once fewer still run, they do get rows of their own


@pytest.mark.usefixtures("shapes")
def test_a_response_that_has_ended_needs_no_position_beyond_the_last(monkeypatch):
    P, T = 20, 40
    model = make_model("gpt2", n_positions=P + T)  # it has no embedding of a later position
    prompts = [[3 + (n + place) % 20 for place in range(P)] for n in range(13)]
    end_after([T] + [8] * 7 + [T] * 5, monkeypatch)
    settings = dict(samples_per_prompt=1, max_response_tokens=T)
    settings["uniforms"] = torch.rand(13, T, dtype=torch.float64)
    expected = generate(model, prompts, **settings)
    largest, find = [], siblings.Batch._positions

    def spy(batch):
        positions = find(batch)
        largest.append(int(positions.max()))
        return positions

    monkeypatch.setattr(siblings.Batch, "_positions", spy)
    assert generate(model, prompts, token_budget=8 * (P + T), **settings) == expected
    assert max(largest) == P + T - 1
