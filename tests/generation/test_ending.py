"""Which tokens end a response."""

import json

from small_runs import copy_model
from transformers import AutoTokenizer

from generation.ending import find_eos_token_ids


def test_every_eos_id_counts(tmp_path):
    model = copy_model(tmp_path / "model")
    tokenizer = AutoTokenizer.from_pretrained(model)
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps({"eos_token_id": [7, tokenizer.eos_token_id, 9]}))
    assert find_eos_token_ids(model, tokenizer) == sorted({7, 9, tokenizer.eos_token_id})
    path.unlink()
    assert find_eos_token_ids(model, tokenizer) == [tokenizer.eos_token_id]
