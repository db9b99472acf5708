"""PRIME for SmolLM2-135M-Instruct on word problems, after smollm2_135m_sft.py, on one GPU."""

MODEL = "runs/smollm2-sft"
MIXED_PRECISION = "bf16"
TRAIN_DATA = "word-problems"
EVAL_DATA = "word-problems"
EVAL_PROMPTS = 512
PROMPTS_PER_ITERATION = 32
SAMPLES_PER_PROMPT = 8
MAX_RESPONSE_TOKENS = 128
MICRO_BATCH_TOKENS = 8192
PRM_LR = 3e-5
POLICY_LR = 1e-5
WHITEN = True
NUM_ITERATIONS = 60
RUN_NAME = "smollm2-gpu"
