"""A small chat model learns to box answers: SmolLM2-135M-Instruct on word problems. For sft.py.

smollm2_135m_cpu.py and smollm2_135m_gpu.py go on from it. On a GPU, add MIXED_PRECISION=bf16.
"""

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"
DATA = "word-problems"
OUTPUT = "runs/smollm2-sft"
STEPS = 20
BATCH_SIZE = 32
MICRO_BATCH_TOKENS = 4096
LR = 1e-4
WARMUP_STEPS = 5
LOG_EVERY = 5
