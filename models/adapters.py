"""LoRA adapters (through peft): several roles share one frozen model in memory."""

from collections.abc import Sequence
from pathlib import Path

import torch
from peft import AutoPeftModelForCausalLM, LoraConfig
from transformers import PreTrainedModel


def add_adapters(model: PreTrainedModel, names: Sequence[str], rank: int, alpha: float) -> None:
    """Freeze a model and add adapters, in float32, to all linear layers except the head.

    An adapter adds alpha / rank * B A x. B starts at zero, so each role starts as the plain model.
    """
    model.requires_grad_(False)
    settings = dict(r=rank, lora_alpha=alpha, target_modules="all-linear", task_type="CAUSAL_LM")
    for name in names:
        model.add_adapter(LoraConfig(**settings), name)
    for name, parameter in model.named_parameters():
        if is_adapter(name):
            parameter.data = parameter.data.float()


def activate_adapter(model: PreTrainedModel, adapter: str | None) -> None:
    """Let a model compute with one of its adapters, or with none (None).

    A model without adapters is left as it is.
    """
    if not getattr(model, "peft_config", None):
        return
    if adapter is None:
        model.disable_adapters()
    else:
        model.enable_adapters()
        model.set_adapter(adapter)


def is_adapter(parameter_name: str) -> bool:
    return "lora_" in parameter_name


def merge_adapter(adapter: Path, folder: Path, config_extras: dict) -> None:
    """Merge an adapter into its model and write an ordinary model folder, in float32.

    The merge takes place in host memory.

    Args:
        adapter: its folder, whose configuration names the model.
        config_extras: entries to add to the folder's config.json.
    """
    merged = AutoPeftModelForCausalLM.from_pretrained(adapter, dtype=torch.float32)
    merged = merged.merge_and_unload()
    merged.config.update(config_extras)
    merged.save_pretrained(folder)
