"""Loads a causal LM from a folder or the hub, the same for training and for generation."""

import torch
from accelerate import init_empty_weights
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForTokenClassification,
    PreTrainedModel,
)
from transformers.utils import logging

from checks.errors import UserError


def load_model(
    model: str,
    gradient_checkpointing: bool = False,
    dtype: torch.dtype = torch.float32,
    empty: bool = False,
    for_values: bool = False,
) -> PreTrainedModel:
    """Return a causal LM that computes the same function in training as in generation.

    Dropout is off. With dropout, the ratio of new to old policy would be noise.

    Args:
        empty: leave out the weights: they are on torch's meta device and take no memory.
        for_values: in place of the head for tokens, a new linear one that gives one number.
    """
    config = AutoConfig.from_pretrained(model)
    for name, value in config.to_dict().items():
        if ("dropout" in name or name.endswith("pdrop")) and isinstance(value, float):
            setattr(config, name, 0.0)
    auto = AutoModelForTokenClassification if for_values else AutoModelForCausalLM
    if for_values:
        config.num_labels, config.classifier_dropout = 1, 0.0  # unset, this dropout would be 0.1
    if empty:
        with init_empty_weights():
            loaded = auto.from_config(config, dtype=dtype)
        loaded.tie_weights()  # the context above undoes it
    else:
        level = logging.get_verbosity()
        if for_values:
            logging.set_verbosity_error()  # it would warn that the head is new
        try:
            loaded = auto.from_pretrained(model, config=config, dtype=dtype)
        finally:
            logging.set_verbosity(level)
    if gradient_checkpointing:
        loaded.activation_checkpointing_enable()
    return loaded.eval()


def check_tied(loaded: PreTrainedModel, model: str) -> None:
    """Raise UserError if a copy made from the config would have a weight less than the model.

    Where nothing is copied, such a model is right as it is.
    """
    embedding, head = loaded.get_input_embeddings(), loaded.get_output_embeddings()
    is_tied = getattr(loaded.config, "tie_word_embeddings", False)
    if is_tied and head is not None and head.weight is not embedding.weight:
        raise UserError(
            f"{model}: its config.json has tie_word_embeddings, but its weights hold an embedding "
            "and an output layer that differ: set tie_word_embeddings to false there."
        )
