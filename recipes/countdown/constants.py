"""Constants of the countdown example. make_rows.py makes its data; MODEL=... names a chat model."""

TRAIN_DATA = "recipes/countdown/train.jsonl"
EVAL_DATA = "recipes/countdown/test.jsonl"
RUN_NAME = "countdown"
MAX_PROMPT_TOKENS = 256
MAX_RESPONSE_TOKENS = 256
POLICY_LR = 1e-5
PRM_LR = 1e-5
VERIFIERS = {"countdown": "recipes/countdown/reward.py:countdown"}
TEMPLATES = {
    "countdown": "{question}\n\nWrite an expression that equals the target. It must hold each "
    "number once, and nothing else but + - * / and brackets. Put it into \\boxed{}."
}
