"""PRIME for SmolLM2-135M-Instruct on word problems, after smollm2_135m_sft.py, on two CPU cores.

On a CPU with AVX-512 BF16, ROLLOUT_DTYPE=bfloat16 generates in 0.36 of the time.
"""

BASE = "smollm2_135m_gpu.py"
MIXED_PRECISION = "no"
EVAL_PROMPTS = 32
PROMPTS_PER_ITERATION = 4
MICRO_BATCH_TOKENS = 2048
RUN_NAME = "smollm2-cpu"
