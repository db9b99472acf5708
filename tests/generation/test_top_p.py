"""Top-p sampling: tokens come from the nucleus, at its probabilities, by both ways to generate.

So do they come from the ids that are tokens.
"""

import math

import pytest
import torch
from tiny_models import make_model

from generation import decoding
from generation import generate as generate_module
from generation.decoding import Sampling, draw, keep_nucleus
from generation.generate import generate_responses


def find_nucleus(probabilities: list[float], top_p: float) -> list[float]:
    """Return the distribution of top-p sampling: take the likeliest token again and again."""
    left, kept = dict(enumerate(probabilities)), {}
    while sum(kept.values()) < top_p and left:
        token = max(left, key=left.get)  # of equals the first
        kept[token] = left.pop(token)
    total = sum(kept.values())
    return [kept.get(token, 0.0) / total for token in range(len(probabilities))]


@pytest.fixture(params=["siblings", "plain"])
def way(request, monkeypatch):
    """Both ways to generate: the project's own loop, and the model's."""
    if request.param == "plain":
        monkeypatch.setattr(generate_module, "takes_siblings", lambda *_: False)


def generate(model, prompts, **settings):
    return generate_responses(model, prompts, eos_token_ids=[2], pad_token_id=0, **settings)


WEIGHTS = [1 / 16, 1 / 4, 0.0, 1 / 2, 1 / 16, 1 / 8]  # exact in binary; two are alike


@pytest.mark.parametrize(
    ("top_p", "kept"),
    [
        (0.05, [3]),
        (0.49, [3]),
        (0.51, [1, 3]),
        (0.76, [1, 3, 5]),
        (0.9, [0, 1, 3, 5]),  # of the two alike the first
        (0.95, [0, 1, 3, 4, 5]),
        (1.0, [0, 1, 3, 4, 5]),
    ],
)
@pytest.mark.parametrize("block", [4, 512])
def test_the_draw_follows_the_enumerated_nucleus(block, top_p, kept, monkeypatch):
    monkeypatch.setattr(decoding, "_BLOCK", block)
    count = 3200
    logits = 0.5 * torch.tensor([WEIGHTS]).log()
    uniforms = ((torch.arange(count, dtype=torch.float64) + 0.5) / count).unsqueeze(1)
    sampling = Sampling(uniforms, 0.5, torch.tensor([2]), top_p)
    drawn, logprobs = draw(logits.expand(count, -1), torch.arange(count), 0, sampling)
    expected = torch.tensor(find_nucleus(WEIGHTS, top_p))
    counts = torch.bincount(drawn, minlength=6)
    assert counts.nonzero().flatten().tolist() == kept == expected.nonzero().flatten().tolist()
    assert (counts - count * expected).abs().max() <= 1  # a token at each edge, by rounding
    torch.testing.assert_close(logprobs, expected.log()[drawn])


def test_the_nucleus_is_the_fewest_tokens_that_hold_the_share():
    probabilities = torch.tensor([WEIGHTS, WEIGHTS[::-1]])
    for top_p, kept in ((0.5, 1), (0.75, 2), (0.875, 3), (0.9375, 4), (0.94, 5)):
        nucleus = keep_nucleus(probabilities, top_p)
        assert (nucleus > 0).sum(dim=1).tolist() == [kept, kept]
        expected = torch.tensor([find_nucleus(row, top_p) for row in probabilities.tolist()])
        torch.testing.assert_close(nucleus, expected)
    assert keep_nucleus(probabilities, 1.0) is probabilities  # not one digit of training changes


@pytest.mark.usefixtures("way")
def test_a_models_tokens_follow_the_nucleus_at_the_temperature():
    model, count = make_model("llama"), 2000
    torch.manual_seed(0)
    settings = dict(samples_per_prompt=count, max_response_tokens=1, temperature=0.6)
    drawn, logprobs = generate(model, [[5, 6, 7]], top_p=0.7, **settings)
    with torch.no_grad():
        logits = model(torch.tensor([[5, 6, 7]])).logits[0, -1]
    expected = find_nucleus((logits / 0.6).softmax(-1).tolist(), 0.7)
    assert 1 < sum(p > 0 for p in expected) < len(expected)
    for token, p in enumerate(expected):
        share = sum(ids == [token] for ids in drawn) / count
        assert abs(share - p) <= 5 * (p * (1 - p) / count) ** 0.5
    for [token], [logprob] in zip(drawn, logprobs, strict=True):
        assert math.exp(logprob) == pytest.approx(expected[token], rel=1e-3)


@pytest.mark.usefixtures("way")
def test_log_probabilities_are_those_of_the_nucleus_along_a_response():
    model, prompts = make_model("gpt2"), [[5, 6, 7], [9]]
    torch.manual_seed(0)
    settings = dict(samples_per_prompt=3, temperature=0.7, top_p=0.8, max_response_tokens=8)
    responses, logprobs = generate(model, prompts, **settings)
    assert max(map(len, responses)) > 4
    for number, (ids, own) in enumerate(zip(responses, logprobs, strict=True)):
        prompt = prompts[number // 3]
        with torch.no_grad():
            logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1 : -1]
        for row, token, logprob in zip((logits / 0.7).softmax(-1).tolist(), ids, own, strict=True):
            assert math.exp(logprob) == pytest.approx(find_nucleus(row, 0.8)[token], rel=1e-3)


@pytest.mark.usefixtures("way")
def test_ids_that_are_no_tokens_are_not_drawn():
    model = make_model("llama")
    settings = dict(samples_per_prompt=200, max_response_tokens=1, temperature=1.0)
    with torch.no_grad():
        logits = model(torch.tensor([[5, 6, 7]])).logits[0, -1]
    limit = int(logits.argmax())  # the likeliest token is the first one left out
    assert limit > 2
    drawn, logprobs = generate(model, [[5, 6, 7]], vocabulary=limit, **settings)
    assert max(drawn)[0] < limit
    expected = logits[:limit].log_softmax(-1)
    for [token], [logprob] in zip(drawn, logprobs, strict=True):
        assert logprob == pytest.approx(float(expected[token]), abs=1e-4)
    greedy = dict(samples_per_prompt=1, max_response_tokens=1, temperature=0.0)
    assert generate(model, [[5, 6, 7]], **greedy)[0] == [[limit]]
    assert generate(model, [[5, 6, 7]], vocabulary=limit, **greedy)[0] == [[int(expected.argmax())]]
