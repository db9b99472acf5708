"""Models of Qwen2.5's sizes with random weights, for speed and memory."""

from transformers import AutoConfig, PretrainedConfig

SIZES = {"0.5B": (896, 4864, 24, 14), "1.5B": (1536, 8960, 28, 12)}  # width, inner, layers, heads


def make_config(size: str, **changes: object) -> PretrainedConfig:
    """Return the configuration of one of SIZES."""
    hidden, inner, layers, heads = SIZES[size]
    return AutoConfig.for_model(
        "qwen2",
        vocab_size=151_936,
        hidden_size=hidden,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=2,
        tie_word_embeddings=True,
        **changes,
    )
