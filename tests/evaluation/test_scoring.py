"""The implicit PRM as a verifier: the rewards of training, whatever the batch."""

import json
import math
import shutil

import pytest
import torch
from small_runs import SFT_MODEL
from transformers import AutoModelForCausalLM, AutoTokenizer

from checks.errors import UserError
from evaluation import scoring
from evaluation.scoring import (
    ScorerSettings,
    load_scorer,
    probability_correct,
    read_settings,
    sum_steps,
)
from models.logprobs import ResponseLogprobs

NAMES = ("PRM", "REFERENCE", "BETA")


@pytest.fixture(scope="module")
def prm(tmp_path_factory) -> str:
    """A PRM folder: the SFT model with noise on its weights, and what training records."""
    folder = str(tmp_path_factory.mktemp("prm"))
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(SFT_MODEL)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.02 * torch.randn_like(parameter)
    model.config.implicit_prm = {"beta": 0.1, "reference": SFT_MODEL, "temperature": 0.5}
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(SFT_MODEL).save_pretrained(folder)
    return folder


def test_rewards_are_beta_times_the_log_ratio_whatever_the_batch(prm):
    settings, tokenizer = read_settings(prm, None, None, NAMES)
    assert settings == ScorerSettings(prm, SFT_MODEL, 0.1, 0.5)
    scorer = load_scorer(settings, torch.float32, torch.device("cpu"))
    prompts = [[10], [11, 12, 13], [5, 6, 7, 8, 9]]  # the longest row comes last
    responses = [[22, 23, 24, 25], [26], [20, 21]]
    models = [AutoModelForCausalLM.from_pretrained(name) for name in (prm, SFT_MODEL)]
    expected = []
    for prompt, response in zip(prompts, responses):
        ids = torch.tensor([prompt + response])
        log_ratio = 0.0
        for model, sign in zip(models, (1, -1)):
            logits = model(ids).logits[0, len(prompt) - 1 : -1] / 0.5
            log_ratio += sign * logits.log_softmax(-1)[range(len(response)), response]
        expected.append((0.1 * log_ratio).tolist())
    for batch_tokens in (1, 30, 800):
        done = []
        rewards = scoring.score_tokens(
            scorer,
            prompts,
            responses,
            pad_token_id=0,
            batch_tokens=batch_tokens,
            on_rows=done.append,
        )
        assert sum(done) == 3
        for own, wanted in zip(rewards, expected, strict=True):
            assert own == pytest.approx(wanted, abs=1e-5)
    assert max(abs(value) for own in expected for value in own) > 0.01
    assert all(not p.requires_grad for p in ResponseLogprobs.parameters(scorer.prm))


def test_sums_and_probabilities():
    assert sum_steps([1.0, 2.0, 3.0], [(0, 2), (2, 3)]) == [3.0, 3.0]
    assert probability_correct([], "ce") == 0.5
    assert probability_correct([math.log(3)], "ce") == pytest.approx(0.75)
    assert probability_correct([-1e4], "ce") == 0.0 and probability_correct([1e4], "ce") == 1.0
    assert probability_correct([1.0], "pairs") is None


def test_what_is_given_goes_before_what_is_recorded(prm):
    settings, _ = read_settings(prm, prm, 0.3, NAMES)
    assert (settings.reference, settings.beta, settings.temperature) == (prm, 0.3, 0.5)


def test_what_cannot_be_scored_with(prm, tmp_path):
    with pytest.raises(UserError, match="PRM = .* does not record REFERENCE, so it must be given"):
        read_settings(SFT_MODEL, None, 0.1, NAMES)
    with pytest.raises(UserError, match="does not record BETA, so it must"):
        read_settings(SFT_MODEL, SFT_MODEL, None, NAMES)
    with pytest.raises(UserError, match="REFERENCE = 'models/none': there is no such folder"):
        read_settings(prm, "models/none", None, NAMES)
    other = str(tmp_path / "other")
    shutil.copytree(SFT_MODEL, other)
    tokenizer = AutoTokenizer.from_pretrained(other)
    tokenizer.add_tokens(["<new>"])
    tokenizer.save_pretrained(other)
    with pytest.raises(UserError, match="PRM and REFERENCE have different vocabularies"):
        read_settings(prm, other, None, NAMES)
    path = tmp_path / "other" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "vocab_size": 99}))
    with pytest.raises(UserError, match="PRM gives logits over 63 tokens, REFERENCE over 99"):
        read_settings(prm, other, None, NAMES)
