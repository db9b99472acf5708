"""Table 4, REINFORCE w/ PRIME (Eq. 8): 37.8 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
ADVANTAGE_ESTIMATOR = "reinforce"
NUM_ITERATIONS = 240  # as RLOO in Table 1; the paper gives no other
RUN_NAME = "table4-reinforce-prime"
