"""Which tokens end a response."""

import json

import pytest
from small_runs import SFT_MODEL, copy_model
from transformers import AutoTokenizer

from checks.errors import UserError
from generation.ending import count_token_ids, find_eos_token_ids


def test_every_eos_id_counts(tmp_path):
    model = copy_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [7, tokenizer.eos_token_id, 9]}))
    assert find_eos_token_ids(model, tokenizer) == sorted({7, 9, tokenizer.eos_token_id})
    path.write_text("{cut off")
    with pytest.raises(UserError, match="its generation_config.json cannot be read"):
        find_eos_token_ids(model, tokenizer)
    path.unlink()
    assert find_eos_token_ids(model, tokenizer) == [tokenizer.eos_token_id]


def test_ids_beyond_the_last_token_are_counted_by_the_largest_id():
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    ids = tokenizer.get_vocab().values()
    assert count_token_ids(tokenizer) == max(ids) + 1
