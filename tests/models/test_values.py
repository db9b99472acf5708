"""Values of prefixes: the head's number at the token before each, however rows are computed."""

import pytest
import torch
from small_runs import SFT_MODEL, read_weights, run_here
from tiny_models import SIZES, pad_siblings, save_tiny_model
from transformers import AutoConfig, AutoModelForTokenClassification

from checks.errors import UserError
from checks.model_files import count_value_parameters
from models.adapters import add_adapters
from models.loading import load_model
from models.values import ResponseValues, merge_value_adapter, share_backbone


def make_value_model(folder, kind: str = "llama") -> ResponseValues:
    config = AutoConfig.for_model(kind, **SIZES, num_labels=1)
    torch.manual_seed(0)
    AutoModelForTokenClassification.from_config(config).save_pretrained(folder)
    return ResponseValues(load_model(str(folder), for_values=True))


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
def test_values_are_the_head_s_numbers_at_the_token_before(kind, tmp_path):
    module, batch = make_value_model(tmp_path, kind), pad_siblings()
    with torch.no_grad():
        values = module(*batch.model_inputs())  # (6, 5)
        packed = module(*batch.model_inputs()[:3], 3)
    torch.testing.assert_close(packed, values)
    P = batch.input_ids.shape[1] - batch.response_length
    for row, (prompt, length) in enumerate(zip(*batch.lengths)):
        ids = batch.input_ids[row, P - prompt : P + length].unsqueeze(0)
        with torch.no_grad():
            numbers = module.model(input_ids=ids).logits[0, :, 0]
        torch.testing.assert_close(values[row, :length], numbers[prompt - 1 : -1])
        assert not values[row, length:].any()
    assert values.std() > 1e-3  # a head of zeros would agree with everything


def test_a_new_head_starts_small_without_dropout_and_nothing_is_said(tmp_path, capfd):
    model = load_model(save_tiny_model(tmp_path), for_values=True)
    assert model.score.weight.shape == (1, 16) and 0 < model.score.weight.abs().max() < 0.1
    assert model.dropout.p == 0.0 and "score" not in capfd.readouterr().err
    base = load_model(str(tmp_path))
    for name, values in base.model.state_dict().items():
        assert torch.equal(values, model.model.state_dict()[name])


def test_an_adapter_and_its_head_become_the_value_model_they_make(tmp_path):
    folder, batch = save_tiny_model(tmp_path / "base"), pad_siblings()
    shared = load_model(folder)
    add_adapters(shared, ("policy", "value"), 2, 4.0)
    module = ResponseValues(share_backbone(shared, folder), "value")
    module.activate()
    trained = {name for name, own in module.named_parameters() if own.requires_grad}
    assert {"model.score.weight", "model.score.bias"} < trained
    assert all(".value." in name for name in trained if "score" not in name)
    assert not any(own.is_meta for own in module.parameters())
    assert 0 < module.model.score.weight.abs().max() < 0.1 and not module.model.score.bias.any()
    with torch.no_grad():
        for name, own in module.named_parameters():
            if name in trained:
                own.add_(torch.randn_like(own), alpha=0.3)
        expected = module(*batch.model_inputs())
    module.save(tmp_path / "adapter", None)
    merge_value_adapter(tmp_path / "adapter", tmp_path / "value", {})
    merged = ResponseValues(load_model(str(tmp_path / "value"), for_values=True))
    with torch.no_grad():
        torch.testing.assert_close(merged(*batch.model_inputs()), expected)
    module.adapter = "policy"
    with torch.no_grad():
        assert (module(*batch.model_inputs()) - expected).abs().max() > 1e-3


def test_a_model_without_such_a_form_is_refused():
    with pytest.raises(UserError, match='VALUE = "head": transformers has no form of a granite'):
        count_value_parameters(AutoConfig.for_model("granite", **SIZES))
    config = AutoConfig.for_model("llama", **SIZES)
    count_value_parameters(config)
    assert config.num_labels == 2  # as it was


def test_a_run_exports_its_value_model_and_trains_it_alone_at_first(tmp_path):
    settings = dict(ADVANTAGE_ESTIMATOR="gae", VALUE="head", VALUE_WARMUP_ITERATIONS=5)
    folder = run_here(tmp_path, **settings, PROMPTS_PER_ITERATION=2, NUM_ITERATIONS=2)
    exported = AutoModelForTokenClassification.from_pretrained(folder / "value")
    assert exported.num_labels == 1 and exported.score.weight.shape[0] == 1
    before = load_model(SFT_MODEL).state_dict()
    for role in ("policy", "prm"):
        weights = read_weights(folder / role)
        assert all(torch.equal(values, before[name]) for name, values in weights.items())
    weights = read_weights(folder / "value")
    known = weights.keys() & before.keys()
    assert known and not [name for name in known if torch.equal(weights[name], before[name])]
