"""Fig. 4 and 5, the PRM trained beforehand: EurusPRM-Stage1. For train_prm.py, on eight 80 GB GPUs.

Its model card gives the loss, the rate, 64 responses a step and the reference that it scores with.
EurusPRM-Stage1-Data holds prompt and response in one column, in a form that its card does not give:
write them apart, as rows of `prompt`, `response` and `label` (docs/data.md).
"""

MODEL = "Qwen/Qwen2.5-Math-7B-Instruct"  # so its config.json and its card
DATA = "eurusprm-stage1.jsonl"
MAX_TOKENS = 4096  # the positions of the model
EVAL_FRACTION = 0.01
BETA = 0.05  # of the paper; the card scores with 0.001 and does not say what training took
EPOCHS = 1  # 7,228 steps are in the file `latest` beside the model: 463 thousand rows / 64
PROMPTS_PER_STEP = 8  # of 8 responses each
MICRO_BATCH_TOKENS = 8192
LR = 5e-7
WARMUP_STEPS = 0  # not published, nor is the schedule
SHARD = True
MIXED_PRECISION = "bf16"
GRADIENT_CHECKPOINTING = True
RUN_NAME = "eurusprm-stage1"
