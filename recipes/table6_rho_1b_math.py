"""Table 6, against VinePPO: Rho-1.1B on MATH, 96 steps, on one 80 GB GPU. The paper: 18.8 %.

The setting is VinePPO's (McGill-NLP/VinePPO, polIter_rho1bSft2_ppo_MATH): model, template, 64
prompts x 8, 1024 tokens, temperature, rate and batches of 64 responses. VinePPO also takes each
batch twice, samples with top-p 0.9, warms up and has a KL term of 1e-4. This recipe does not. Rate
and beta of the PRM are those of PRIME's other runs. The paper gives no further hyper-parameters.
"""

MODEL = "realtreetune/rho-1b-sft-MATH"
MIXED_PRECISION = "bf16"
GRADIENT_CHECKPOINTING = True
TRAIN_DATA = "nlile/hendrycks-MATH-benchmark"  # 12,000 problems, and MATH-500 as its split "test"
EVAL_DATA = "nlile/hendrycks-MATH-benchmark"
EVAL_PROMPTS = 500
TEMPLATES = {"math": "[MATH_TASK] Problem:\n{question}\n\nSolution:"}
MAX_PROMPT_TOKENS = 1024
PROMPTS_PER_ITERATION = 64
SAMPLES_PER_PROMPT = 8
MAX_RESPONSE_TOKENS = 1024
TEMPERATURE = 0.6
MICRO_BATCH_TOKENS = 16384
PRM_LR = 1e-6
PRM_WARMUP_STEPS = 0
PRM_OPTIMIZER_STEPS = 8
WHITEN = True
POLICY_LR = 1e-6
POLICY_WARMUP_STEPS = 0
OPTIMIZER_STEPS = 8
NUM_ITERATIONS = 96
SAVE_EVERY = 48  # a checkpoint has 35 GB
RUN_NAME = "table6-rho-1b-math"
