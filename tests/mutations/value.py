"""Faults in what PPO needs: GAE, the value model, its loss and its update, the PRM as value."""

from mutations.fault import faults
from mutations.wiring import felt

PROCESSES = "training/test_processes.py::test_an_update_is_the_same[2]"

FAULTS = [
    *faults(
        "advantage.py",
        "test_advantage.py",
        ("the next value is not discounted", "gamma * following - known", "following - known"),
        ("lambda is ignored", "(deltas, gamma * gae_lambda)", "(deltas, gamma)"),
        (
            "the outcome is paid at every token",
            "is_last * outcome_rewards",
            "mask * outcome_rewards",
        ),
        (
            "the last token is followed by what lies in the padding",
            "known = values * mask",
            "known = values",
        ),
        (
            "the PRM's value knows the token itself",
            "return torch.cat([torch.zeros_like(sums[:, :1]), sums[:, :-1]], dim=1)",
            "return sums",
        ),
        (
            "beside a value, process rewards have no baseline",
            '"gae": rloo}',
            '"gae": reinforce}',
        ),
        ("GRPO's mean is that of the batch", "groups.mean(dim=1), groups", "groups.mean(), groups"),
    ),
    *faults(
        "policy.py",
        "test_policy.py",
        (
            "the smaller of the two errors",
            "errors = torch.maximum(",
            "errors = torch.minimum(",
        ),
        ("values are clipped below alone", "(-clip_range, clip_range)", "(-clip_range, 1e9)"),
        (
            "the value loss counts padding",
            "(errors * response_mask).sum()",
            "errors.sum()",
        ),
        (
            "the explained variance is that of the values",
            "(own - values[is_token]).var()",
            "values[is_token].var()",
        ),
    ),
    *felt(
        "training/value_update.py",
        (
            "VALUE head",
            "the value model learns advantages",
            "own_mask, gamma, gae_lambda) + old",
            "own_mask, gamma, gae_lambda)",
        ),
        (
            "VALUE_CLIP_RANGE",
            "each step takes the values of its own pass for the old ones",
            "if optimizer_steps > 1:",
            "if False:",
        ),
        (
            "VALUE head",
            "the value's loss is a mean over the batch of each micro-batch",
            "clip_range, token_count)",
            "clip_range, own_mask.sum())",
        ),
    ),
    *faults(
        "training/value_update.py",
        PROCESSES,
        (
            "the value's gradient is a mean over processes",
            "loss * accelerator.num_processes",
            "loss",
        ),
        (
            "each process knows its own values alone",
            "accelerator.reduce(pass_values) if known is None",
            "pass_values if known is None",
        ),
    ),
    *felt(
        "train_prime.py",
        (
            "VALUE_CLIP_RANGE",
            "VALUE_CLIP_RANGE is ignored",
            "clip_range=VALUE_CLIP_RANGE",
            "clip_range=1e9",
        ),
        (
            "VALUE_OPTIMIZER_STEPS",
            "VALUE_OPTIMIZER_STEPS is ignored",
            "optimizer_steps=VALUE_OPTIMIZER_STEPS",
            "optimizer_steps=1",
        ),
        (
            "GAE_LAMBDA",
            "the advantages ignore GAE_LAMBDA",
            "values=values,\n        gae_lambda=GAE_LAMBDA",
            "values=values,\n        gae_lambda=1.0",
        ),
        (
            "GAE_LAMBDA",
            "the returns ignore GAE_LAMBDA",
            "            gae_lambda=GAE_LAMBDA,\n            clip",
            "            gae_lambda=1.0,\n            clip",
        ),
        (
            "VALUE_WARMUP_ITERATIONS",
            "policy and PRM train in the value's warm-up",
            "iteration >= VALUE_WARMUP_ITERATIONS",
            "iteration >= 0",
        ),
        (
            "VALUE prm",
            "the PRM's rewards are taken for its values",
            "(prm_values(process_rewards) if",
            "(process_rewards if",
        ),
    ),
    *felt(
        "checks/constants.py",
        (
            "VALUE prm",
            "without process returns, the PRM as value is not loaded",
            'c["PROCESS_COEF"] or c["VALUE"] == "prm"',
            'c["PROCESS_COEF"]',
        ),
    ),
    *faults(
        "models/values.py",
        "models/test_values.py",
        (
            "a new head beside adapters is all zeros",
            "part.weight.data.normal_(std=shared.config.initializer_range)",
            "part.weight.data.zero_()",
        ),
        (
            "a merged value model has a new head",
            "merged.load_state_dict(load_file(adapter / _HEAD), strict=False)",
            "load_file(adapter / _HEAD)",
        ),
        (
            "the head is not saved beside its adapter's base",
            "save_file(_read_head(self.model), folder / _HEAD)",
            "save_file({}, folder / _HEAD)",
        ),
    ),
    *faults(
        "models/loading.py",
        "models/test_values.py",
        (
            "the head of a value model drops out",
            "config.num_labels, config.classifier_dropout = 1, 0.0",
            "config.num_labels = 1",
        ),
    ),
    *faults(
        "models/estimate.py",
        "models/test_estimate.py",
        (
            "a value model is counted with a head for tokens",
            'if role == "value":',
            'if role == "none":',
        ),
    ),
    *faults(
        "checks/allowed_values.py",
        "checks/test_before_loading.py",
        (
            "a value is taken with any estimator",
            'if (c["ADVANTAGE_ESTIMATOR"] == "gae") != (c["VALUE"] is not None):',
            'if c["ADVANTAGE_ESTIMATOR"] == "gae" and c["VALUE"] is None:',
        ),
        (
            "a PRM whose values are all 0 is taken",
            'if c["VALUE"] == "prm" and is_own_reference(c):',
            "if False:",
        ),
    ),
    *faults(
        "checks/training_run.py",
        "checks/test_saved_constants.py",
        (
            "a name that meant another estimator is taken for today's",
            'old["ADVANTAGE_ESTIMATOR"] += " of an earlier version"',
            "pass",
        ),
    ),
]
