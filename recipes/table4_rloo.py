"""Table 4, RLOO, outcomes alone: 36.9 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
PROCESS_COEF = 0
NUM_ITERATIONS = 240  # Table 1
RUN_NAME = "table4-rloo"
