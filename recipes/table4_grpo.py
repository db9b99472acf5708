"""Table 4, GRPO, outcomes alone: 36.1 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
ADVANTAGE_ESTIMATOR = "grpo"
PROCESS_COEF = 0
NUM_ITERATIONS = 240  # as RLOO in Table 1; the paper gives no other
RUN_NAME = "table4-grpo"
