"""Appendix B.4, "Zero": PRIME from the base model Qwen2.5-Math-7B, without SFT.

The paper sees it saturate near 50 steps. It gives no other hyper-parameters, and no record is known
of its prompts. Here they are those of the data, through the chat template of the tokenizer. A base
model without a chat template takes plain questions instead (docs/data.md).
"""

BASE = "eurus_7b_8x80gb.py"
MODEL = "Qwen/Qwen2.5-Math-7B"
NUM_ITERATIONS = 64
RUN_NAME = "zero-7b"
