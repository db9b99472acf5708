"""Loads a causal LM from a folder or the hub, the same for training and for generation."""

import torch
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel


def load_model(
    model: str,
    gradient_checkpointing: bool = False,
    dtype: torch.dtype = torch.float32,
    empty: bool = False,
) -> PreTrainedModel:
    """Return a causal LM that computes the same function in training as in generation.

    Dropout is off. With dropout, the ratio of new to old policy would be noise.

    Args:
        empty: leave out the weights: they are on torch's meta device and take no memory.
    """
    config = AutoConfig.from_pretrained(model)
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    if empty:
        with init_empty_weights():
            loaded = AutoModelForCausalLM.from_config(config, dtype=dtype)
        loaded.tie_weights()  # the context above undoes it
    else:
        loaded = AutoModelForCausalLM.from_pretrained(model, config=config, dtype=dtype)
    if gradient_checkpointing:
        loaded.activation_checkpointing_enable()
    return loaded.eval()
