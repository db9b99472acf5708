"""Faults in the wiring of train_prime.py: what a constant, a rate or a sign ends up doing.

Most are noticed by the twin of the script (tests/test_reference_prime.py): a row begins with the
settings of the twin that should notice, apart by commas. The others are in runs.py.
"""

from mutations.fault import Fault, faults

TWIN = "test_reference_prime.py::test_the_script_and_its_twin_agree"


def felt(path: str, *rows: tuple[str, ...]) -> list[Fault]:
    """Return faults that the twin should notice; each row begins with settings of the twin."""
    found = []
    for settings, *row in rows:
        tests = [f"{TWIN}[{setting}]" for setting in settings.split(", ")]
        found += faults(path, tests, tuple(row), group="wiring")
    return found


FAULTS = [
    *felt(
        "policy.py",
        (
            "default",
            "the sign of the policy's loss is reversed",
            "loss = -(surrogate * mask).sum()",
            "loss = (surrogate * mask).sum()",
        ),
    ),
    *felt(
        "prm.py",
        (
            "default",
            "only wholly right and wholly wrong responses make a pair",
            "outcome_rewards.unsqueeze(1) > outcome_rewards",
            "outcome_rewards.unsqueeze(1) >= 1 + outcome_rewards",
        ),
    ),
    *felt(
        "train_prime.py",
        (
            "OPTIMIZER_STEPS",
            "the PPO ratio is always 1",
            "old = logprobs.detach() if old_logprobs is None else old_logprobs[index]",
            "old = logprobs.detach()",
        ),
        ("CLIP_RANGE", "CLIP_RANGE is ignored", "mask, CLIP_RANGE, *given", "mask, 1e9, *given"),
        (
            "OUTCOME_COEF",
            "OUTCOME_COEF is ignored",
            "outcome_coef=OUTCOME_COEF,",
            "outcome_coef=1.0,",
        ),
        (
            "PROCESS_COEF",
            "PROCESS_COEF is ignored",
            "process_coef=PROCESS_COEF,",
            "process_coef=1.0,",
        ),
        ("WHITEN", "WHITEN is ignored: never", "whiten=WHITEN,", "whiten=False,"),
        ("default", "WHITEN is ignored: always", "whiten=WHITEN,", "whiten=True,"),
        (
            "GAMMA",
            "GAMMA is ignored",
            "gamma=GAMMA,\n        outcome",
            "gamma=1.0,\n        outcome",
        ),
        (
            "PROCESS_SCALE",
            "PROCESS_SCALE is ignored",
            "process_scale=PROCESS_SCALE,",
            'process_scale="batch",',
        ),
        (
            "ADVANTAGE_ESTIMATOR grpo",
            "ADVANTAGE_ESTIMATOR is ignored",
            "estimator=ADVANTAGE_ESTIMATOR,",
            'estimator="rloo",',
        ),
        ("BETA", "BETA is ignored", "beta=BETA,", "beta=0.05,"),
        ("PRM_LOSS", "PRM_LOSS is ignored", "loss=PRM_LOSS if", 'loss="ce" if'),
        (
            "PRM_LOSS",
            "the reported loss is always cross-entropy",
            "rollouts, prompts, PRM_LOSS)",
            'rollouts, prompts, "ce")',
        ),
        (
            "PRM_UPDATE before",
            "BETA is ignored in the second forward pass",
            "implicit_process_rewards(logprobs, ref_logprobs, mask, BETA)",
            "implicit_process_rewards(logprobs, ref_logprobs, mask, 1.0)",
        ),
        (
            "PRM_UPDATE before, default",
            "PRM_UPDATE: before and after are swapped",
            'PRM_UPDATE == "before"',
            'PRM_UPDATE == "after"',
        ),
        (
            "PRM_UPDATE none",
            "PRM_UPDATE: none trains too",
            'trains = PRM_UPDATE != "none"',
            "trains = True",
        ),
        (
            "default",
            "the process rewards never reach the advantages",
            "process_rewards, ref_logprobs, prm_metrics = update_prm(",
            "_, ref_logprobs, prm_metrics = update_prm(",
        ),
        (
            "PRM_OPTIMIZER_STEPS",
            "the PRM takes as many steps as the policy",
            "SAMPLES_PER_PROMPT, PRM_OPTIMIZER_STEPS)",
            "SAMPLES_PER_PROMPT, OPTIMIZER_STEPS)",
        ),
        (
            "OPTIMIZER_STEPS, default",
            "the policy takes as many steps as the PRM",
            "SAMPLES_PER_PROMPT, OPTIMIZER_STEPS)",
            "SAMPLES_PER_PROMPT, PRM_OPTIMIZER_STEPS)",
        ),
        (
            "default",
            "advantages of other rows",
            "logprobs, old, advantages[index],",
            "logprobs, old, advantages[: len(micro_rows), : micro.response_length],",
        ),
        (
            "default",
            "the policy's loss is a token mean per micro-batch",
            "given = (token_count, weights",
            "given = (None, weights",
        ),
        (
            "TEMPERATURE",
            "the policy's log-probabilities ignore TEMPERATURE",
            "policy.module(*micro.model_inputs(), TEMPERATURE, True)",
            "policy.module(*micro.model_inputs(), 1.0, True)",
        ),
        (
            "TEMPERATURE everywhere",
            "the old log-probabilities ignore TEMPERATURE",
            "policy.module, rollouts, TEMPERATURE,",
            "policy.module, rollouts, 1.0,",
        ),
        (
            "TEMPERATURE everywhere",
            "the second forward pass of the PRM ignores TEMPERATURE",
            "prm.module, rollouts, TEMPERATURE,",
            "prm.module, rollouts, 1.0,",
        ),
        (
            "default",
            "the reported PRM accuracy is inverted",
            '"prm_accuracy": pair_accuracy(margins),',
            '"prm_accuracy": pair_accuracy(-margins),',
        ),
        (
            "OPTIMIZER_STEPS",
            "the policy's metrics are summed over steps, not averaged",
            "run.accelerator.reduce(v).item() / len(steps)",
            "run.accelerator.reduce(v).item()",
        ),
        (
            "default",
            "the entropy is a mean per micro-batch",
            "(entropy * mask).sum() / token_count",
            "(entropy * micro.response_mask).sum() / micro.response_mask.sum()",
        ),
        (
            "ACCURACY_LOW",
            "ACCURACY_LOW is ignored",
            "accuracy_low=ACCURACY_LOW,",
            "accuracy_low=0.0,",
        ),
        (
            "ACCURACY_HIGH",
            "ACCURACY_HIGH is ignored",
            "accuracy_high=ACCURACY_HIGH,",
            "accuracy_high=1.0,",
        ),
        (
            "ACCURACY_LOW, default",
            "the filter's lower bound is the upper one",
            "accuracy_low=ACCURACY_LOW,",
            "accuracy_low=ACCURACY_HIGH,",
        ),
        (
            "MAX_ROLLOUT_ROUNDS",
            "MAX_ROLLOUT_ROUNDS is ignored",
            "max_rounds=MAX_ROLLOUT_ROUNDS,",
            "max_rounds=8,",
        ),
    ),
    *felt(
        "training/prm_pass.py",
        (
            "default",
            "the reported PRM loss is that of inverted labels",
            "else prm_loss(*own)",
            "else prm_loss(own[0], 1 - own[1], own[2])",
        ),
    ),
    *felt(
        "models/roles.py",
        (
            "default",
            "the policy trains at the PRM's rate, the PRM at the policy's",
            'rate=c[f"{name.upper()}_LR"],',
            'rate=c["PRM_LR" if name == "policy" else "POLICY_LR"],',
        ),
        (
            "WEIGHT_DECAY",
            "WEIGHT_DECAY is ignored",
            'weight_decay=c["WEIGHT_DECAY"],',
            "weight_decay=0.0,",
        ),
        (
            "PRM_GRADIENT_CLIP",
            "gradient clips are ignored",
            'c[f"{name.upper()}_GRADIENT_CLIP"]',
            "1e9",
        ),
        (
            "POLICY_GRADIENT_CLIP",
            "the gradient clips are swapped",
            'c[f"{name.upper()}_GRADIENT_CLIP"]',
            'c["PRM_GRADIENT_CLIP" if name == "policy" else "POLICY_GRADIENT_CLIP"]',
        ),
        (
            "default",
            "warm-ups are ignored",
            "return linear_warmup(warmup_steps)",
            "return lambda _: 1",
        ),
        (
            "POLICY_WARMUP_STEPS",
            "the warm-ups are swapped",
            'constants[f"{name.upper()}_WARMUP_STEPS"]',
            'constants["PRM_WARMUP_STEPS" if name == "policy" else "POLICY_WARMUP_STEPS"]',
        ),
        (
            "PRM_REFERENCE",
            "PRM_REFERENCE is ignored",
            "if start := find_reference(c):",
            'if start := c["MODEL"]:',
        ),
        (
            "PRM_MODEL",
            "PRM_MODEL is ignored",
            'load(c["PRM_MODEL"] or c["MODEL"], "prm")',
            'load(c["MODEL"], "prm")',
        ),
        (
            "default",
            "the reference is the policy in training",
            "reference = load(start, None).to(home)",
            "reference = accelerator.unwrap_model(policy.module)",
        ),
        (
            "LORA_RANK",
            "policy and PRM share an adapter",
            'c["MODEL"], "prm")',
            'c["MODEL"], "policy")',
        ),
        ("LORA_ALPHA", "LORA_ALPHA is ignored", 'c["LORA_ALPHA"])', '8.0 * c["LORA_RANK"])'),
    ),
    *felt(
        "models/adapters.py",
        ("LORA_ALPHA", "alpha is ignored", "lora_alpha=alpha", "lora_alpha=rank"),
    ),
    *felt(
        "models/trainee.py",
        (
            "LORA_RANK",
            "another role's adapter may be the one that requires gradients",
            "    module.activate()  # in a shared model",
            "    pass  # in a shared model",
        ),
        (
            "WEIGHT_DECAY",
            "weight decay is ignored",
            "weight_decay=weight_decay, fused",
            "weight_decay=0.0, fused",
        ),
        (
            "WEIGHT_DECAY",
            "weight decay joins the gradient",
            "torch.optim.AdamW(",
            "torch.optim.Adam(",
        ),
        ("default", "AdamW has other betas", "fused=True)", "fused=True, betas=(0.9, 0.95))"),
    ),
    *felt(
        "training/optimizer_steps.py",
        ("default", "the scheduler never steps", "trainee.scheduler.step()", "pass"),
        ("default", "the gradient is never cleared", "trainee.optimizer.zero_grad()", "pass"),
    ),
    *felt(
        "data.py",
        (
            "SYSTEM_PROMPT",
            "SYSTEM_PROMPT is ignored",
            'system_prompt=constants["SYSTEM_PROMPT"],',
            "system_prompt=None,",
        ),
        (
            "MAX_PROMPT_TOKENS",
            "MAX_PROMPT_TOKENS is ignored",
            'max_prompt_tokens=constants["MAX_PROMPT_TOKENS"],',
            "max_prompt_tokens=10**9,",
        ),
    ),
]
