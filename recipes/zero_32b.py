"""Appendix B.4, "Zero" from Qwen2.5-32B: two nodes with eight 80 GB GPUs each.

Models and optimizers wait in host memory. The paper gives no other hyper-parameters. The prompts
are those of zero_7b.py.
"""

BASE = "eurus_7b_8x80gb.py"
MODEL = "Qwen/Qwen2.5-32B"
OFFLOAD_MODELS = True
OFFLOAD_OPTIMIZERS = True
ROLLOUT_TOKENS = 27000
MICRO_BATCH_TOKENS = 4096
NUM_ITERATIONS = 64
RUN_NAME = "zero-32b"
