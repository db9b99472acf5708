"""A causal LM from a folder or the hub, without what training and generation would differ by."""

import torch
from accelerate import init_empty_weights
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel


def load_model(
    model: str,
    gradient_checkpointing: bool = False,
    dtype: torch.dtype = torch.float32,
    empty: bool = False,
) -> PreTrainedModel:
    """Return a causal LM that is the same function in training as in generation.

    Dropout is off: with it, the ratio of new to old policy would be noise.

    Args:
        empty: without weights and without memory for them, on torch's meta device.
    """
    config = AutoConfig.from_pretrained(model)
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    if empty:
        with init_empty_weights():
            loaded = AutoModelForCausalLM.from_config(config, dtype=dtype)
        loaded.tie_weights()  # undone by the context above
    else:
        loaded = AutoModelForCausalLM.from_pretrained(model, config=config, dtype=dtype)
    if gradient_checkpointing:
        loaded.activation_checkpointing_enable()
    return loaded.eval()
