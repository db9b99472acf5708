"""The arms of claims.py: names, and constants of train_prime.py that differ from their task's."""

from claims_report import Part

OTHER_MODEL = "runs/other-facts-sft"
# STRICT_FORM came after the runs of the report. Responses to these tasks copy no question.
MACHINE = {"CPU_THREADS": 1, "VERIFIER_WORKERS": 1, "STRICT_FORM": False}
HARD = {  # constants of the hard task, where they differ from the embedded default
    "MODEL": "embedded/tables-sft",
    "PROMPTS_PER_ITERATION": 8,
    "POLICY_LR": 1e-5,
    "PRM_LR": 3e-4,
    "PRM_OPTIMIZER_STEPS": 8,
    "PRM_UPDATE": "before",
    "GAMMA": 0.9,
    "PROCESS_COEF": 3.0,
    "WHITEN": True,
    "EVAL_EVERY": 40,
    "SAVE_EVERY": 40,
    **MACHINE,
}
# The ratio is 1 in one step. In four at ten times the task's rate, six tokens in ten thousand leave
# the clip range; at the task's rate none does.
STEPS_10X = {"OPTIMIZER_STEPS": 4, "POLICY_LR": 1e-4, "PROCESS_COEF": 0}
# The responses to a prompt have one length, or nearly. This limit cuts off all of them for one
# prompt in five. The accuracy filter would drop these prompts, so it is off.
CUT = {"MAX_RESPONSE_TOKENS": 64, "ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}
ARMS = {  # name: constants that differ from HARD
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "frozen PRM": {"PRM_UPDATE": "none"},  # run_arm() sets PRM_MODEL to an offline PRM
    "oracle": {"PRM_UPDATE": "none"},  # claims_run.py runs it
    "oracle, spread": {"PRM_UPDATE": "none"},
    "update after": {"PRM_UPDATE": "after"},
    "reference policy": {"PRM_REFERENCE": "policy"},
    "scale none": {"PROCESS_SCALE": "none"},
    "gamma 1": {"GAMMA": 1.0},
    "process 0.5": {"PROCESS_COEF": 0.5},
    "process 1": {"PROCESS_COEF": 1.0},
    "process 2": {"PROCESS_COEF": 2.0},
    "process 5": {"PROCESS_COEF": 5.0},
    "one PRM step": {"PRM_OPTIMIZER_STEPS": 1},
    "as published": {"PRM_UPDATE": "after", "GAMMA": 1.0, "PROCESS_COEF": 1.0},
    "PRIME, no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0},
    "RLOO, no filter": {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0, "PROCESS_COEF": 0},
    "PRIME, no whitening": {"WHITEN": False},
    "RLOO, no whitening": {"WHITEN": False, "PROCESS_COEF": 0},
    "RLOO, gradient clip 0.1": {"POLICY_GRADIENT_CLIP": 0.1, "PROCESS_COEF": 0},
    "PRIME, 3x rate": {"POLICY_LR": 3e-5},
    "RLOO, 3x rate": {"POLICY_LR": 3e-5, "PROCESS_COEF": 0},
    "PRIME, 10x rate": {"POLICY_LR": 1e-4},
    "RLOO, 10x rate": {"POLICY_LR": 1e-4, "PROCESS_COEF": 0},
    "RLOO, 10x rate, four steps": STEPS_10X,
    "RLOO, 10x rate, four steps, clip-higher": {**STEPS_10X, "CLIP_RANGE_HIGH": 0.28},
    "PRIME, 64 tokens": CUT,
    "PRIME, 64 tokens, mask": {**CUT, "TRUNCATED": "mask"},
    "PRIME, 64 tokens, filter": {**CUT, "TRUNCATED": "filter"},
    "PRIME, KL 1": {"KL_COEF": 1.0},
    "PRIME, KL 0.1": {"KL_COEF": 0.1},
}
_PPO = {"ADVANTAGE_ESTIMATOR": "gae", "VALUE": "head", "GAMMA": 1.0}
_PRM_AS_VALUE = {**_PPO, "VALUE": "prm", "PROCESS_COEF": 0}
_NO_FILTER = {"ACCURACY_LOW": 0.0, "ACCURACY_HIGH": 1.0}
_FEW_PROMPTS = {"SAMPLES_PER_PROMPT": 16, "PROMPTS_PER_ITERATION": 2, "PRM_OPTIMIZER_STEPS": 2}
PAPER = {  # experiments of the paper on the hard task: constants that differ from HARD
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "REINFORCE + process": {"ADVANTAGE_ESTIMATOR": "reinforce"},
    "REINFORCE": {"ADVANTAGE_ESTIMATOR": "reinforce", "PROCESS_COEF": 0},
    "REINFORCE + process, no whitening": {"ADVANTAGE_ESTIMATOR": "reinforce", "WHITEN": False},
    "REINFORCE, no whitening": {
        "ADVANTAGE_ESTIMATOR": "reinforce",
        "WHITEN": False,
        "PROCESS_COEF": 0,
    },
    "GRPO + process": {"ADVANTAGE_ESTIMATOR": "grpo"},
    "GRPO": {"ADVANTAGE_ESTIMATOR": "grpo", "PROCESS_COEF": 0},
    "pairs loss": {"PRM_LOSS": "pairs"},
    "PRM trained beforehand": {},  # run_arm() sets PRM_MODEL to an offline PRM
    "PRIME, K 16": _FEW_PROMPTS,
    "RLOO, K 16": {**_FEW_PROMPTS, "PROCESS_COEF": 0},
    "PRM of half the width": {"PRM_MODEL": "runs/tables-sft-0.5", "PRM_REFERENCE": "prm"},
    "PRM of twice the width": {"PRM_MODEL": "runs/tables-sft-2", "PRM_REFERENCE": "prm"},
    "bfloat16 rollouts": {"ROLLOUT_DTYPE": "bfloat16"},
    "bfloat16 rollouts, no weights": {"ROLLOUT_DTYPE": "bfloat16", "IMPORTANCE_CAP": None},
    "no weights": {"IMPORTANCE_CAP": None},
    "no surplus": {"MAX_SURPLUS_AGE": 0},
    "PRIME, no filter": _NO_FILTER,
    "RLOO, no filter": {**_NO_FILTER, "PROCESS_COEF": 0},
    "PRM as value": _PRM_AS_VALUE,
    "PPO + process": _PPO,
    "PPO": {**_PPO, "PROCESS_COEF": 0},
}
OTHER_FACTS = {"PRIME": {}, "RLOO": {"PROCESS_COEF": 0}}  # no constant was chosen on this task
# What PRIME and RLOO tried on other seeds, five settings each, and what their neighbours tried.
_AS_PRIME = {
    "": {},
    ", process 1, 4 PRM steps": {"PROCESS_COEF": 1.0, "PRM_OPTIMIZER_STEPS": 4},
    ", process 1, 4 PRM steps, gamma 0.7": {
        "PROCESS_COEF": 1.0,
        "PRM_OPTIMIZER_STEPS": 4,
        "GAMMA": 0.7,
    },
    ", 4 PRM steps": {"PRM_OPTIMIZER_STEPS": 4},
    ", process 10": {"PROCESS_COEF": 10.0},
}
_AS_RLOO = {
    "": {},
    ", no whitening": {"WHITEN": False},
    ", gradient clip 0.1": {"POLICY_GRADIENT_CLIP": 0.1},
    ", gradient clip 10": {"POLICY_GRADIENT_CLIP": 10.0},
    ", no warm-up": {"POLICY_WARMUP_STEPS": 0},
}


def _try(arm: str, settings: dict[str, dict]) -> dict[str, dict]:
    return {arm + name: {**PAPER[arm], **own} for name, own in settings.items()}


def _omit(settings: dict[str, dict], name: str) -> dict[str, dict]:
    return {other: own for other, own in settings.items() if other != name}


TRIALS = {
    **_try("PRIME", _AS_PRIME),
    **_try("RLOO", _AS_RLOO),
    "oracle": {"PRM_UPDATE": "none"},
    "oracle, spread": {"PRM_UPDATE": "none"},
    "oracle, spread, gamma 0.5": {"PRM_UPDATE": "none", "GAMMA": 0.5},
}
PAPER_TRIALS = {  # five of each or more; arms of PAPER that are not here change PRIME in one thing
    "REINFORCE": PAPER["REINFORCE"],
    **_try("REINFORCE, no whitening", _omit(_AS_RLOO, ", no whitening")),
    "REINFORCE + process": PAPER["REINFORCE + process"],
    **_try("REINFORCE + process, no whitening", _omit(_AS_PRIME, ", 4 PRM steps")),
    **_try("GRPO", _AS_RLOO),
    **_try("GRPO + process", _AS_PRIME),
    **_try("RLOO, K 16", _AS_RLOO),
    **_try("PRIME, K 16", _AS_PRIME),
    **_try(
        "pairs loss",
        {**_AS_PRIME, ", PRM rate 1e-3": {"PRM_LR": 1e-3}, ", PRM rate 3e-3": {"PRM_LR": 3e-3}},
    ),
    **_try("PRM trained beforehand", _AS_PRIME),
    **_try(
        "PPO",
        {
            "": {},
            ", 8 value steps": {"VALUE_OPTIMIZER_STEPS": 8},
            ", value rate 1e-4": {"VALUE_LR": 1e-4},
            ", value warm-up": {"VALUE_WARMUP_ITERATIONS": 10},
            ", no warm-up": {"POLICY_WARMUP_STEPS": 0},
            ", gamma 0.9": {"GAMMA": 0.9},
        },
    ),
    **_try(
        "PPO + process",
        {
            "": {},
            ", gamma 0.9": {"GAMMA": 0.9},
            ", gamma 0.9, process 1": {"GAMMA": 0.9, "PROCESS_COEF": 1.0},
            ", gamma 0.9, process 10": {"GAMMA": 0.9, "PROCESS_COEF": 10.0},
            ", gamma 0.9, 8 value steps": {"GAMMA": 0.9, "VALUE_OPTIMIZER_STEPS": 8},
        },
    ),
    **_try(
        "PRM as value",
        {
            "": {},
            ", gamma 0.9": {"GAMMA": 0.9},
            ", lambda 0.95": {"GAE_LAMBDA": 0.95},
            ", 4 PRM steps": {"PRM_OPTIMIZER_STEPS": 4},
            ", no whitening": {"WHITEN": False},
        },
    ),
}
CONFIRMED = (  # the best trial of an arm, where it was ahead of the arm's own constants
    "PPO + process, gamma 0.9, process 1",
    "PPO, gamma 0.9",  # its twin without process rewards: gamma discounts the outcome too
    "PPO, no warm-up",
    "REINFORCE, no whitening, gradient clip 0.1",
    "GRPO, no warm-up",
    "RLOO, K 16, gradient clip 0.1",
    "PRM as value, lambda 0.95",
)
PAPER |= {arm: PAPER_TRIALS[arm] for arm in CONFIRMED}
DEFAULT = {  # arms of the embedded default
    "PRIME": {},
    "RLOO": {"PROCESS_COEF": 0},
    "PRIME, no warm-up": {"POLICY_WARMUP_STEPS": 0},
    "RLOO, no warm-up": {"PROCESS_COEF": 0, "POLICY_WARMUP_STEPS": 0},
    "oracle": {"PRM_UPDATE": "none"},
    "PRIME, 3x rate": {"POLICY_LR": 3e-4},
    "RLOO, 3x rate": {"PROCESS_COEF": 0, "POLICY_LR": 3e-4},
    "PRIME, whitened": {"WHITEN": True},
    "RLOO, whitened": {"PROCESS_COEF": 0, "WHITEN": True},
}
DEFAULT_TRIALS = {  # the embedded default was chosen from these, eight each; most whiten
    "PRIME": {},
    "PRIME, one PRM step": {"PRM_OPTIMIZER_STEPS": 1},
    "PRIME, 8 PRM steps": {"PRM_OPTIMIZER_STEPS": 8},
    "PRIME, update before": {"PRM_UPDATE": "before"},
    "PRIME, gamma 0.9": {"GAMMA": 0.9},
    "PRIME, process 3": {"PROCESS_COEF": 3.0},
    "PRIME, no whitening": {"WHITEN": False},
    "PRIME, two optimizer steps": {"OPTIMIZER_STEPS": 2},
    "RLOO": {"PROCESS_COEF": 0},
    "RLOO, no whitening": {"PROCESS_COEF": 0, "WHITEN": False},
    "RLOO, gradient clip 0.1": {"PROCESS_COEF": 0, "POLICY_GRADIENT_CLIP": 0.1},
    "RLOO, gradient clip 10": {"PROCESS_COEF": 0, "POLICY_GRADIENT_CLIP": 10.0},
    "RLOO, no warm-up": {"PROCESS_COEF": 0, "POLICY_WARMUP_STEPS": 0},
    "RLOO, no warm-up, no whitening": {
        "PROCESS_COEF": 0,
        "POLICY_WARMUP_STEPS": 0,
        "WHITEN": False,
    },
    "RLOO, two optimizer steps": {"PROCESS_COEF": 0, "OPTIMIZER_STEPS": 2},
    "RLOO, GRPO": {"PROCESS_COEF": 0, "ADVANTAGE_ESTIMATOR": "grpo"},
}
SEEDS = [100, 101, 102, 103, 104]
PARTS = [
    Part("hard", "The hard task", HARD, ARMS, SEEDS, 160),
    Part(
        "other-facts",
        "The hard task, other facts misremembered",
        {**HARD, "MODEL": OTHER_MODEL},
        OTHER_FACTS,
        SEEDS,
        160,
    ),
    Part("default", "The embedded default", MACHINE, DEFAULT, SEEDS, 40),
    Part("paper", "Experiments of the paper on the hard task", HARD, PAPER, SEEDS, 160),
    Part("paper-trials", "Trials of these", HARD, PAPER_TRIALS, [1, 2], 160),
    Part("hard-trials", "Trials of the hard task", HARD, TRIALS, [1, 2], 160),
    Part(
        "default-trials",
        "Trials of the embedded default, whitened unless the arm says otherwise",
        {"WHITEN": True, **MACHINE},
        DEFAULT_TRIALS,
        [200, 201],
        40,
    ),
]
