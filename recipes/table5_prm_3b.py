"""Table 5, a PRM of 3 B for the policy of 7 B: 32.0, where a PRM of 7 B gives 32.6.

The paper names no checkpoint of that size. This base model has the tokenizer of the policy. Rates
and the number of iterations are not published either.
"""

BASE = "eurus_7b_8x80gb.py"
PRM_MODEL = "Qwen/Qwen2.5-3B"
PRM_REFERENCE = "prm"  # a model of its own size
NUM_ITERATIONS = 240
RUN_NAME = "table5-prm-3b"
