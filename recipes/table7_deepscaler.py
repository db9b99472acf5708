"""Table 7, the DeepScaleR setting: R1-Distill-Qwen-1.5B with 8 k tokens, on eight 80 GB GPUs.

330 steps take the average from 48.9 to 52.0. DeepScaleR's script for 8 k tokens gives 128 prompts
x 8, batches of 64 prompts, rate, temperature and template. Its KL loss of 0.001 is left out, as
PRIME has none. Rate and beta of the PRM are those of PRIME's other runs. The paper gives no others.

Six rows of the data have no answer and would be refused. This makes TRAIN_DATA without them:

    from datasets import load_dataset
    rows = load_dataset("agentica-org/DeepScaleR-Preview-Dataset", split="train")
    rows.filter(lambda row: (row["answer"] or "").strip()).to_json("deepscaler.jsonl")
"""

MODEL = "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B"
SHARD = True
MIXED_PRECISION = "bf16"
GRADIENT_CHECKPOINTING = True
TRAIN_DATA = "deepscaler.jsonl"
EVAL_DATA = "HuggingFaceH4/MATH-500"
TEMPLATES = {
    "math": "{question} Let's think step by step and output the final answer within \\boxed{}."
}
MAX_PROMPT_TOKENS = 1024
PROMPTS_PER_ITERATION = 128
SAMPLES_PER_PROMPT = 8
MAX_RESPONSE_TOKENS = 8192
TEMPERATURE = 0.6
ROLLOUT_TOKENS = 800000
MICRO_BATCH_TOKENS = 16384
PRM_LR = 1e-6
PRM_WARMUP_STEPS = 0
PRM_OPTIMIZER_STEPS = 2
WHITEN = True
POLICY_LR = 1e-6
POLICY_WARMUP_STEPS = 0
OPTIMIZER_STEPS = 2
WEIGHT_DECAY = 0.01
NUM_ITERATIONS = 330
RUN_NAME = "table7-deepscaler"
