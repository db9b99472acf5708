"""Table 4, PPO w/ PRIME: 39.4 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
OFFLOAD_OPTIMIZERS = True  # four models of 7 B
# The paper gives no hyper-parameters of the value model. The rate is veRL's default for a critic,
# and a step takes as many prompts as a step of the policy.
ADVANTAGE_ESTIMATOR = "gae"
VALUE = "head"
VALUE_LR = 1e-5
VALUE_WARMUP_STEPS = 0
VALUE_OPTIMIZER_STEPS = 4
NUM_ITERATIONS = 240  # as RLOO in Table 1; the paper gives no other
RUN_NAME = "table4-ppo-prime"
