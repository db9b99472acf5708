"""Table 4, GRPO w/ PRIME (Eq. 7): 37.8 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
ADVANTAGE_ESTIMATOR = "grpo"
NUM_ITERATIONS = 240  # as RLOO in Table 1; the paper gives no other
RUN_NAME = "table4-grpo-prime"
