"""Appendix B.4, "Zero": PRIME from the base model Qwen2.5-Math-7B, without SFT.

The paper sees it saturate near 50 steps. It gives no other hyper-parameters, and we found no record
of its prompts: those of the data go through the chat template of the tokenizer, as they are. A base
model without a chat template takes plain questions (docs/data.md).
"""

BASE = "eurus_7b_8x80gb.py"
MODEL = "Qwen/Qwen2.5-Math-7B"
SYSTEM_PROMPT = None  # it names the actions of the SFT data, which the base model never saw
NUM_ITERATIONS = 64
RUN_NAME = "zero-7b"
