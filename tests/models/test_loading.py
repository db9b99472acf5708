"""A model as it is loaded for training and generation."""

import json

import pytest
import torch
from small_runs import SFT_MODEL
from transformers import AutoConfig, AutoModelForCausalLM, BloomConfig, GPT2Config, OPTConfig

from checks.errors import UserError
from models.loading import check_tied, load_model

SIZES = dict(vocab_size=32, pad_token_id=0, bos_token_id=None, eos_token_id=2)


OPT = dict(hidden_size=32, num_hidden_layers=2, ffn_dim=64, num_attention_heads=4)


QWEN = dict(hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=48)
QWEN |= dict(num_key_value_heads=2)
BLOOM = dict(hidden_size=32, n_layer=2, n_head=4, hidden_dropout=0.1, attention_dropout=0.1)


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=64, **SIZES),
        OPTConfig(**OPT, word_embed_proj_dim=32, max_position_embeddings=64, **SIZES),
        BloomConfig(**BLOOM, **SIZES),
    ],
)
def test_a_loaded_model_is_float32_and_has_no_dropout(tmp_path, config):
    AutoModelForCausalLM.from_config(config).to(torch.bfloat16).save_pretrained(tmp_path)
    model = load_model(str(tmp_path))
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    tokens = torch.tensor([[5, 6, 7, 8]])
    torch.testing.assert_close(model.train()(tokens).logits, model.eval()(tokens).logits)


@pytest.mark.parametrize("checkpointing, passes", [(False, 1), (True, 2)])
def test_activations_are_computed_again_in_backward_where_asked(checkpointing, passes):
    model = load_model(SFT_MODEL, gradient_checkpointing=checkpointing).train()
    calls = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False).logits.sum().backward()
    assert len(calls) == passes


def test_a_model_whose_config_ties_what_differs_is_refused(tmp_path):
    folder, changed = tmp_path / "model", {"tie_word_embeddings": False}
    AutoModelForCausalLM.from_config(
        AutoConfig.for_model("qwen2", **QWEN, **SIZES, **changed)
    ).save_pretrained(folder)
    check_tied(load_model(str(folder)), "model")
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "tie_word_embeddings": True}))
    with pytest.raises(UserError, match="layer that differ: set tie_word_embeddings to false"):
        check_tied(load_model(str(folder)), "model")
