"""Faults in clip-higher, in what is made of truncated responses, in the KL and in the cosine."""

from mutations.fault import faults
from mutations.wiring import felt

FAULTS = [
    *faults(
        "policy.py",
        "test_policy.py",
        (
            "the upper bound of the ratio is always the lower one's",
            "(clip_range if clip_range_high is None else clip_range_high)",
            "clip_range",
        ),
        (
            "the upper bound of the ratio moves the lower one",
            "ratio.clamp(1 - clip_range, highest)",
            "ratio.clamp(2 - highest, highest)",
        ),
        (
            "the KL is estimated by k1",
            "(log_ratio.exp() - log_ratio - 1).sum()",
            "(-log_ratio).sum()",
        ),
        (
            "the KL is that from the policy",
            "(ref_logprobs - logprobs).masked_fill",
            "(logprobs - ref_logprobs).masked_fill",
        ),
        (
            "the KL counts padding",
            "(ref_logprobs - logprobs).masked_fill(response_mask == 0, 0.0)",
            "(ref_logprobs - logprobs)",
        ),
    ),
    *faults(
        "prm.py",
        "test_prm.py",
        ("the weights of rows are ignored", "weight=row_weights", "weight=None"),
    ),
    *faults(
        "training/prm_pass.py",
        "training/test_prm_pass.py",
        (
            "the PRM's loss is divided by the rows that it does not count too",
            "(len(rows) / max(1, len(counted)))",
            "1.0",
        ),
        (
            "the cross-entropy counts all rows",
            "row_weights = rollouts.is_trained *",
            "row_weights = torch.ones_like(rollouts.is_trained) *",
        ),
        (
            "pairs are made of rows that no loss counts",
            "counted = step_rows[rollouts.is_trained[step_rows]]",
            "counted = step_rows",
        ),
        (
            "accuracy and loss are of rows that no loss counts",
            "counted = rollouts.is_trained\n",
            "counted = torch.ones_like(rollouts.is_trained)\n",
        ),
    ),
    *faults(
        "training/optimizer_steps.py",
        "training/test_optimizer_steps.py",
        (
            "a process without rows trains on one",
            "response_mask=nothing, loss_mask=nothing",
            "response_mask=nothing",
        ),
    ),
    *felt(
        "training/value_update.py",
        (
            "TRUNCATED mask and VALUE",
            "the value model learns from responses that were cut off",
            "returns, micro.loss_mask, clip_range",
            "returns, own_mask, clip_range",
        ),
        (
            "TRUNCATED mask and VALUE",
            "the value's loss is divided by tokens that it does not count",
            "rollouts.loss_mask[rows].sum().clamp(min=1)",
            "mask[rows].sum()",
        ),
        (
            "TRUNCATED mask and VALUE",
            "the explained variance is of responses that were cut off too",
            "returns, rollouts.loss_mask)",
            "returns, mask)",
        ),
    ),
    *felt(
        "train_prime.py",
        (
            "CLIP_RANGE_HIGH",
            "CLIP_RANGE_HIGH is ignored",
            "weights, CLIP_RANGE_HIGH)",
            "weights, None)",
        ),
        ("KL_COEF", "KL_COEF is only a switch", "loss + KL_COEF * kl", "loss + kl"),
        (
            "KL_COEF",
            "the KL is that from the old policy",
            "ref_logprobs[index], mask, token_count",
            "old, mask, token_count",
        ),
        (
            "KL_COEF and PRM_REFERENCE",
            "the KL is that from the PRM's reference",
            "if trains_all and (kl_reference := run.roles.kl_reference):",
            "if False:",
        ),
        (
            "TRUNCATED mask",
            "TRUNCATED: mask is ignored",
            'masks = TRUNCATED == "mask"',
            "masks = False",
        ),
        (
            "TRUNCATED filter",
            "TRUNCATED: filter is ignored",
            'drops_truncated=TRUNCATED == "filter"',
            "drops_truncated=False",
        ),
        (
            "TRUNCATED mask",
            "the policy learns from responses that were cut off",
            "mask, sampled = micro.loss_mask,",
            "mask, sampled = micro.response_mask,",
        ),
        (
            "TRUNCATED mask",
            "the policy's loss is divided by tokens that it does not count",
            "token_count = rollouts.loss_mask[rows]",
            "token_count = rollouts.response_mask[rows]",
        ),
        (
            "TRUNCATED mask and steps of nothing",
            "a step whose responses were all cut off stops the run",
            "rollouts.loss_mask[rows].sum().clamp(min=1)",
            "rollouts.loss_mask[rows].sum()",
        ),
        (
            "TRUNCATED mask",
            "advantages leave out what no loss counts",
            "        process_rewards,\n        rollouts.response_mask,",
            "        process_rewards,\n        rollouts.loss_mask,",
        ),
    ),
    *felt(
        "models/roles.py",
        (
            "POLICY_SCHEDULE",
            "POLICY_SCHEDULE is ignored",
            'c["POLICY_SCHEDULE"] == "cosine"',
            "False",
        ),
        (
            "POLICY_SCHEDULE",
            "the cosine ends after as many steps as there are iterations",
            'trained * c["OPTIMIZER_STEPS"]',
            "trained",
        ),
        (
            "POLICY_SCHEDULE and VALUE_WARMUP_ITERATIONS",
            "the cosine counts iterations in which the policy does not train",
            'c["NUM_ITERATIONS"] - c["VALUE_WARMUP_ITERATIONS"]',
            'c["NUM_ITERATIONS"]',
        ),
    ),
    *felt(
        "models/roles.py",
        (
            "KL_COEF and LORA_RANK",
            "with adapters, the reference of the KL is the policy",
            'kl_reference = load(c["MODEL"], None)',
            'kl_reference = load(c["MODEL"], "policy")',
        ),
    ),
    *faults(
        "train_prime.py",
        "training/test_processes.py::test_an_update_is_the_same[2]",
        (
            "each process knows its own share of the reference alone",
            "ref_logprobs = run.accelerator.reduce(ref_logprobs)",
            "ref_logprobs = ref_logprobs.clone()",
        ),
        group="wiring",
    ),
    *faults(
        "models/roles.py",
        "models/test_trainee.py models/test_adapters.py",
        (
            "the rates of all models follow the cosine",
            'if name == "policy" and c["POLICY_SCHEDULE"]',
            'if c["POLICY_SCHEDULE"]',
        ),
        (
            "the reference is loaded twice",
            'if c["KL_COEF"] and start != c["MODEL"]:',
            'if c["KL_COEF"]:',
        ),
    ),
    *faults(
        "models/roles.py",
        "models/test_roles.py",
        (
            "the reference of the KL is not tried with siblings",
            "modules += [roles.reference, roles.kl_reference]",
            "modules += [roles.reference]",
        ),
    ),
    *faults(
        "models/estimate.py",
        "models/test_estimate.py",
        (
            "the reference of the KL is counted with an optimizer",
            'not role.endswith("reference")',
            'role != "reference"',
        ),
        (
            "the reference of the KL is not counted",
            'if constants["KL_COEF"] and reference != constants["MODEL"]:',
            "if False:",
        ),
        (
            "the reference of the KL is counted twice",
            'if constants["KL_COEF"] and reference != constants["MODEL"]:',
            'if constants["KL_COEF"]:',
        ),
    ),
    *faults(
        "rollout.py",
        "test_truncated.py",
        (
            "a prompt passes if one of its responses has an end",
            "any(group.truncated))]",
            "all(group.truncated))]",
        ),
        (
            "prompts that would not pass anyway count as truncated",
            "cut += len(within) - len(whole)",
            "cut += len(groups) - len(whole)",
        ),
        (
            "responses that were cut off are not there at all",
            "loss_mask=loss_mask\n",
            "loss_mask=loss_mask, response_mask=loss_mask\n",
        ),
        (
            "masked responses are counted among all that were sampled",
            "for group in collected.kept) if masks_truncated",
            "for group in collected.sampled) if masks_truncated",
        ),
    ),
    *faults(
        "models/batches.py",
        "test_truncated.py",
        (
            "a micro-batch forgets what no loss counts",
            "loss_mask=rollouts.loss_mask[index,",
            "loss_mask=rollouts.response_mask[index,",
        ),
    ),
    *faults(
        "checks/training_run.py",
        "checks/test_saved_constants.py",
        (
            "a run along a cosine goes on with more iterations",
            'fixed = ["NUM_ITERATIONS"] if',
            "fixed = [] if",
        ),
    ),
    *faults(
        "reporting/curves.py",
        "test_report.py::test_curves_show_the_metrics",
        (
            "the KL from MODEL is not drawn",
            '{**kls, "reference_kl": "MODEL"}',
            "kls",
        ),
    ),
    *faults(
        "reporting/summary.py",
        "reporting/test_run_log.py",
        (
            "the summary leaves the reference of the KL out",
            'if reference == c["MODEL"] or c["KL_COEF"] else',
            'if reference == c["MODEL"] else',
        ),
        ("a PRM of its own is said to be MODEL", ' if role != "prm" or not apart)', ")"),
        ("a frozen PRM that gives nothing is not said", "if is_own_reference(c):", "if False:"),
    ),
]
