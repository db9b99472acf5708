"""The value model of PPO: a causal LM with a linear head that values every prefix of a response.

Shapes: B rows, P prompt tokens, T response tokens; N response tokens without padding, H width.
"""

from pathlib import Path

import torch
from peft import PeftConfig, PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from models.batches import Rollouts
from models.loading import load_model
from models.logprobs import ResponseLogprobs, isolate_head, put_back

_HEAD = "value_head.safetensors"  # beside an adapter, which does not hold the head


class ResponseValues(ResponseLogprobs):
    """A causal LM with a linear head whose forward returns the values of prefixes.

    It computes as ResponseLogprobs does, up to the hidden states.
    """

    least_spread = 0.0  # values may be small

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        lengths: tuple[list[int], list[int]],
        siblings: int,
    ) -> Tensor:
        """Return V(y_<t) at the last T columns, (B, T) float32, 0 at padding.

        The head reads the hidden state before each token, as the head for tokens does. The
        arguments are those of ResponseLogprobs.forward().
        """
        output, states, packed = self.run_backbone(input_ids, attention_mask, lengths, siblings)
        head = isolate_head(self.model, output)
        with torch.autocast(states.device.type, enabled=False):  # bfloat16 has three digits
            values = head(inputs_embeds=states.float().unsqueeze(0)).logits[0, :, 0]  # (N,)
        return put_back(values, packed, (len(input_ids), max(lengths[1])))

    def _try(self, batch: Rollouts) -> Tensor:
        return self(*batch.model_inputs())

    def save(self, folder: Path, weights: dict[str, Tensor] | None) -> None:
        super().save(folder, weights)
        if self.adapter:
            save_file(_read_head(self.model), folder / _HEAD)


def share_backbone(shared: PreTrainedModel, model: str) -> PreTrainedModel:
    """Return a value model around the backbone of a shared causal LM, which has adapters.

    Args:
        model: the folder or hub id of the shared model.
    """
    own = load_model(model, empty=True, for_values=True)
    setattr(own, own.base_model_prefix, getattr(shared, shared.base_model_prefix))
    own.config, own.peft_config, own._hf_peft_config_loaded = (
        shared.config,
        shared.peft_config,
        True,
    )
    for name in _read_head(own):
        part = own.get_submodule(name.rpartition(".")[0]).to_empty(device="cpu")
        part.weight.data.normal_(std=shared.config.initializer_range)  # as transformers does
        if part.bias is not None:
            part.bias.data.zero_()
    return own


def merge_value_adapter(adapter: Path, folder: Path, config_extras: dict) -> None:
    """Merge an adapter of a value model, with its head, into an ordinary folder, in float32.

    The arguments are those of merge_adapter().
    """
    config = PeftConfig.from_pretrained(adapter)
    config.task_type = None  # with one, peft expects a model that generates
    model = load_model(config.base_model_name_or_path, for_values=True)
    merged = PeftModel.from_pretrained(model, adapter, config=config).merge_and_unload()
    merged.load_state_dict(load_file(adapter / _HEAD), strict=False)
    merged.config.update(config_extras)
    merged.save_pretrained(folder)


def _read_head(model: PreTrainedModel) -> dict[str, Tensor]:
    """Return the weights of a model that are not in its backbone."""
    backbone = f"{model.base_model_prefix}."
    return {n: v for n, v in model.state_dict().items() if not n.startswith(backbone)}
