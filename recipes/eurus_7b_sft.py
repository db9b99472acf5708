"""Appendix D, the SFT stage: Eurus-2-7B-SFT from Qwen2.5-Math-7B. For sft.py, on eight 80 GB GPUs.

The rows are 229,763, and 3 epochs of batches of 96. The authors' configuration (issue 52 of
PRIME-RL/PRIME) differs from the paper: it names Qwen2.5-Math-7B-Instruct, and 16 GPUs x 4 x 2 = 128
rows a step. The paper counts here.
"""

MODEL = "Qwen/Qwen2.5-Math-7B"
DATA = "PRIME-RL/Eurus-2-SFT-Data"
SPLIT = "train"
MAX_TOKENS = 4096  # the positions of the model; the authors cut rows off at 6144
OUTPUT = "runs/eurus-2-7b-sft"
STEPS = 7180  # 3 x 229763 / 96
BATCH_SIZE = 96
MICRO_BATCH_TOKENS = 8192
LR = 1e-5
WARMUP_STEPS = 718  # a tenth
SHARD = True
MIXED_PRECISION = "bf16"
GRADIENT_CHECKPOINTING = True
SEED = 42
