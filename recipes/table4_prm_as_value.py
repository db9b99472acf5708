"""Table 4, PRM as value (Fig. 8, section 5.4): 36.6 on average over seven benchmarks."""

BASE = "eurus_7b_8x80gb.py"
ADVANTAGE_ESTIMATOR = "gae"
VALUE = "prm"
PROCESS_COEF = 0
NUM_ITERATIONS = 240  # as RLOO in Table 1; the paper gives no other
RUN_NAME = "table4-prm-as-value"
