"""Tiny models of many architectures, with random weights and what is odd about each."""

from pathlib import Path

import torch
from small_runs import SFT_MODEL
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from models.batches import Rollouts, pad_rows

SIZES = dict(vocab_size=32, hidden_size=32, intermediate_size=48, num_hidden_layers=2)
SIZES |= dict(num_attention_heads=4, num_key_value_heads=2, head_dim=8, bos_token_id=None)
SIZES |= dict(eos_token_id=2, pad_token_id=0, max_position_embeddings=256)
GPT2 = dict(vocab_size=32, n_embd=32, n_layer=2, n_head=4, bos_token_id=None, eos_token_id=2)
ARCHITECTURES = {
    "llama": SIZES,
    "qwen2": SIZES,
    "qwen3": SIZES,
    "gemma2": {
        **SIZES,
        "sliding_window": 64,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 3.0,
    },
    "gemma3_text": {**SIZES, "sliding_window": 64},
    "mistral": {**SIZES, "sliding_window": None},
    "phi3": SIZES,
    "granite": {**SIZES, "logits_scaling": 4.0},
    "gpt2": {**GPT2, "pad_token_id": 0, "resid_pdrop": 0, "embd_pdrop": 0, "attn_pdrop": 0},
}


def make_model(kind: str, **changes) -> PreTrainedModel:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**ARCHITECTURES.get(kind, SIZES), **changes})
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # far from uniform, so that what is seen matters
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
    return model


def save_tiny_model(folder: Path, seed: int = 0, **changes) -> str:
    """Write a random Llama with the embedded tokenizer into a folder; return its path."""
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    sizes = dict(hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    sizes |= changes
    ends = dict(bos_token_id=None, eos_token_id=tokenizer.eos_token_id)
    config = AutoConfig.for_model(
        "llama", vocab_size=len(tokenizer), max_position_embeddings=256, **sizes, **ends
    )
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def pad_siblings() -> Rollouts:
    """Return two prompts with three responses each, of all kinds of lengths."""
    prompts = [[5, 6, 7, 8]] * 3 + [[9]] * 3
    responses = [[10], [11, 12, 13, 14, 15], [16, 17], [18, 19, 20], [21, 22, 2], [23, 2]]
    return pad_rows(prompts, responses, [0.0] * 6, 0, torch.device("cpu"))
