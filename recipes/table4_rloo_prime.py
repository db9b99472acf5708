"""Table 4, RLOO w/ PRIME: 41.0 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
NUM_ITERATIONS = 240  # Table 1
RUN_NAME = "table4-rloo-prime"
