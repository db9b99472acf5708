"""Fig. 4 and 5: PRIME with a PRM trained beforehand (eurusprm_stage1.py), and updated online."""

BASE = "eurus_7b_8x80gb.py"
PRM_MODEL = "runs/eurusprm-stage1/prm"
PRM_REFERENCE = "prm"  # what it was trained against
NUM_ITERATIONS = 240  # not published
RUN_NAME = "fig4-eurusprm-online"
