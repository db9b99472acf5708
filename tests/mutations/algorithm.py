"""Faults in the equations: advantages, process rewards, the losses."""

from mutations.fault import faults
from mutations.wiring import felt

FAULTS = [
    *faults(
        "advantage.py",
        "test_advantage.py",
        (
            "the baseline divides by K, not by K - 1",
            "- groups) / (samples_per_prompt - 1)",
            "- groups) / samples_per_prompt",
        ),
        (
            "the process baseline is a sum over tokens, not their mean",
            "means = (rewards * mask).sum(-1) / mask.sum(-1).clamp(min=1)",
            "means = (rewards * mask).sum(-1)",
        ),
        (
            "padding gets the baseline",
            "return (rewards - others.view(-1, 1)) * mask",
            "return rewards - others.view(-1, 1)",
        ),
        (
            "GRPO's deviation is that of the population",
            "groups.std(dim=1)",
            "groups.std(dim=1, correction=0)",
        ),
        (
            "GRPO's deviation has a floor that short rewards do not reach",
            "torch.where(deviation * length > _ROUNDING, 1 / deviation, 0.0)",
            "1 / (deviation + 1e-4)",
        ),
        (
            "rounding is normalized by GRPO",
            "torch.where(deviation * length > _ROUNDING, 1 / deviation, 0.0)",
            "torch.where(deviation > 0, 1 / deviation, 0.0)",
        ),
        (
            "REINFORCE has a baseline",
            "    return rewards * mask",
            "    return (rewards - rewards.mean()) * mask",
        ),
        (
            "the process term is no return, but the token's reward",
            "return _discounted_sums(centred, gamma) * mask",
            "return centred * mask",
        ),
        (
            "the return starts one token later",
            "running = values[:, t] + gamma * running",
            "running = gamma * (values[:, t] + running)",
        ),
        (
            "without discount, the return runs forward",
            "return values.flip(-1).cumsum(-1).flip(-1)",
            "return values.cumsum(-1)",
        ),
        (
            "the two coefficients are swapped",
            "outcome_coef * from_outcome + process_coef * from_process",
            "process_coef * from_outcome + outcome_coef * from_process",
        ),
        ("whitening counts padding", "    count = mask.sum()", "    count = values.numel()"),
        (
            "the scale is the largest return, not the largest absolute one",
            "gamma).abs().max()",
            "gamma).max()",
        ),
        (
            "the scale sees what is in the padding",
            "_discounted_sums(process_rewards * response_mask, gamma)",
            "_discounted_sums(process_rewards, gamma)",
        ),
        (
            "rounding noise is scaled up",
            "torch.where(largest > _ROUNDING, largest, 1.0)",
            "torch.where(largest > 0, largest, 1.0)",
        ),
        (
            "rounding of GRPO is scaled up",
            'if process_scale == "batch" and estimator != "grpo":',
            'if process_scale == "batch":',
        ),
        (
            "the estimator does not reach the outcome term",
            "outcome_rewards, response_mask, samples_per_prompt, estimator\n",
            'outcome_rewards, response_mask, samples_per_prompt, "rloo"\n',
        ),
    ),
    *faults(
        "prm.py",
        "test_prm.py",
        (
            "the log-ratio is reversed",
            "(prm_logprobs - ref_logprobs)",
            "(ref_logprobs - prm_logprobs)",
        ),
        ("beta is left out of the rewards", "return beta * log_ratio", "return log_ratio"),
        (
            "padding has rewards",
            ".masked_fill(response_mask == 0, 0.0)",
            "",
        ),
        (
            "a response's score is a mean, not a sum",
            "return (process_rewards * response_mask).sum(dim=-1)",
            "return (process_rewards * response_mask).mean(dim=-1)",
        ),
        (
            "the loss counts padding",
            "return (process_rewards * response_mask).sum(dim=-1)",
            "return process_rewards.sum(dim=-1)",
        ),
        (
            "the loss saturates",
            "F.binary_cross_entropy_with_logits(scores, ",
            "F.binary_cross_entropy(scores.sigmoid(), ",
        ),
        (
            "partial rewards become wrong ones",
            "labels = outcome_rewards.to(",
            "labels = (outcome_rewards == 1).to(",
        ),
        (
            "the loss is a sum over rows",
            "weight=row_weights)",
            'weight=row_weights, reduction="sum")',
        ),
        ("a tie counts as ranked right", "(0.5 * is_tie", "(1.0 * is_tie"),
        ("rounding ranks responses", "margins.abs() <= _TIE", "margins == 0"),
        (
            "pairs are the wrong way round",
            "outcome_rewards.unsqueeze(1) > outcome_rewards",
            "outcome_rewards.unsqueeze(1) < outcome_rewards",
        ),
        (
            "pairs of equal outcome count",
            "outcome_rewards.unsqueeze(1) > outcome_rewards",
            "outcome_rewards.unsqueeze(1) >= outcome_rewards",
        ),
        (
            "responses to two prompts make a pair",
            "(is_one_prompt & is_better).nonzero(",
            "is_better.nonzero(",
        ),
        ("the loss of pairs saturates", "-F.logsigmoid(margins)", "-margins.sigmoid().log()"),
        (
            "the loss of pairs is a sum",
            "F.logsigmoid(margins).mean()",
            "F.logsigmoid(margins).sum()",
        ),
        (
            "the slopes of pairs do not fall where a pair is ranked right",
            "pull = torch.sigmoid(-margins)",
            "pull = torch.sigmoid(margins)",
        ),
        ("the slopes of pairs are a sum", " / len(margins)", ""),
        (
            "the slopes of pairs are reversed",
            "index_add(0, worse, pull).index_add(0, better, -pull)",
            "index_add(0, better, pull).index_add(0, worse, -pull)",
        ),
    ),
    *faults(
        "policy.py",
        "test_policy.py"
        " models/test_logprobs.py::test_splitting_into_micro_batches_leaves_the_gradient_equal",
        ("the larger of the two surrogates", "torch.minimum(ratio", "torch.maximum(ratio"),
        ("clipped above alone", "ratio.clamp(1 - clip_range, h", "ratio.clamp(0, h"),
        ("clipped below alone", "1 - clip_range, highest)", "1 - clip_range, 1e9)"),
        (
            "no clipping",
            "surrogate = torch.minimum(ratio * advantages, clipped_ratio * advantages)",
            "surrogate = ratio * advantages",
        ),
        ("padding is in the loss", "loss = -(surrogate * mask).sum()", "loss = -surrogate.sum()"),
        (
            "the token count of the optimizer step is ignored",
            "mask.sum() if token_count is None else token_count\n    log_ratio = (log",
            "mask.sum()\n    log_ratio = (log",
        ),
        ("the ratio is linear", "ratio = log_ratio.exp()", "ratio = 1 + log_ratio"),
        (
            "the KL estimate is the log-ratio's mean",
            "((ratio - 1 - log_ratio) * mask)",
            "((-log_ratio) * mask)",
        ),
        (
            "ratios out of the range count as clipped whatever the advantage",
            "(clipped_ratio * advantages < ratio * advantages)",
            "(clipped_ratio != ratio)",
        ),
        (
            "the log-ratio of padding is not masked",
            "(logprobs - old_logprobs) * mask",
            "(logprobs - old_logprobs)",
        ),
        (
            "importance weights act below 1 alone",
            "surrogate = weights * surrogate",
            "surrogate = weights.clamp(max=1) * surrogate",
        ),
    ),
    *faults(
        "policy.py",
        "test_importance.py",
        (
            "importance weights are those of the sampler against the policy",
            "(old_logprobs - sampling_logprobs) * mask",
            "(sampling_logprobs - old_logprobs) * mask",
        ),
        (
            "what stands in the padding has a part in a response's weight",
            "(old_logprobs - sampling_logprobs) * mask",
            "(old_logprobs - sampling_logprobs)",
        ),
        ("the cap is not applied", "weights.clamp(max=cap), metrics", "weights, metrics"),
        ("every weight is of its response", 'if level == "sequence":', "if True:"),
        ("rounding is corrected too", "size > _ROUNDING", "size >= 0"),
        (
            "rounding adds up over a response",
            "size = size.amax(dim=-1, keepdim=True)",
            "size = size.sum(dim=-1, keepdim=True)",
        ),
        ("the sampler's KL has the wrong sign", "-log_ratio.sum() / div", "log_ratio.sum() / div"),
        (
            "capped tokens are counted, not their share of the step",
            "((weights > cap) * mask).sum() / divisor",
            "((weights > cap) * mask).sum() / mask.sum()",
        ),
    ),
    *felt(
        "train_prime.py",
        (
            "surplus",
            "the loss leaves out the importance weights",
            "given = (token_count, weights,",
            "given = (token_count, None,",
        ),
        (
            "IMPORTANCE_CAP",
            "IMPORTANCE_CAP is ignored",
            "old, sampled, mask, IMPORTANCE_CAP, IMPORTANCE_LEVEL",
            "old, sampled, mask, 2.0, IMPORTANCE_LEVEL",
        ),
        (
            "IMPORTANCE_LEVEL",
            "IMPORTANCE_LEVEL is ignored",
            "old, sampled, mask, IMPORTANCE_CAP, IMPORTANCE_LEVEL",
            'old, sampled, mask, IMPORTANCE_CAP, "token"',
        ),
        (
            "MAX_SURPLUS_AGE",
            "MAX_SURPLUS_AGE is ignored",
            "max_surplus_age=MAX_SURPLUS_AGE",
            "max_surplus_age=4",
        ),
    ),
]
