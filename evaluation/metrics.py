"""Metrics of sampled responses: accuracy, pass@k, majority vote, best of K.

Every metric is a mean over problems. Its function returns one value per problem.
"""

import math
from collections.abc import Sequence

from generation.groups import Group
from verifiers import Verifier
from verifiers.math.answer import find_boxed_answer

ACCURACY = "accuracy"  # the metric that papers and model cards publish


def compute_metrics(
    groups: Sequence[Group], scores: Sequence[dict] | None, verifier: Verifier
) -> dict[str, list[float]]:
    """Return every metric that the responses allow, one value per problem.

    Args:
        groups: one per problem, with K responses each.
        scores: by a PRM, one dict per problem: lists `sums` and `minima` over steps, K values each.
    """
    samples = len(groups[0].responses)
    metrics = {ACCURACY: accuracies(groups), **function_rewards(groups)}
    if samples == 1:
        return metrics
    for k in pass_counts(samples):
        metrics[f"pass@{k}"] = pass_at(k, groups)
    if all(group.ability == "math" for group in groups) and "math" not in verifier.verifiers:
        metrics[f"majority of {samples}"] = majority_votes(groups, verifier)
    if scores:
        for key, name in (("sums", "sum"), ("minima", "least step")):
            chosen = best_of(groups, [row[key] for row in scores])
            metrics[f"best of {samples} by the PRM's {name}"] = chosen
    return metrics


def accuracies(groups: Sequence[Group]) -> list[float]:
    """Return the mean outcome reward of each problem's responses."""
    return [group.accuracy for group in groups]


def function_rewards(groups: Sequence[Group]) -> dict[str, list[float]]:
    """Return each function's mean reward of a problem's responses, where VERIFIERS weighs them."""
    means: dict[str, list[float]] = {}
    for group in groups:
        for name in group.parts[0] if group.parts else ():
            rewards = [part[name][0] for part in group.parts]
            means.setdefault(f"reward {name}", []).append(sum(rewards) / len(rewards))
    return means


def pass_at(k: int, groups: Sequence[Group]) -> list[float]:
    """Return for each problem an unbiased estimate of P(one or more of k responses is right).

    1 - C(n - c, k) / C(n, k) with c right responses among n (Chen et al. 2021, equation 1). A
    response is right if its outcome reward is 1.
    """
    values = []
    for group in groups:
        n = len(group.outcome_rewards)
        right = sum(reward == 1.0 for reward in group.outcome_rewards)
        values.append(1.0 - math.comb(n - right, k) / math.comb(n, k))
    return values


def pass_counts(samples: int) -> list[int]:
    """Return the k for which pass@k is reported: powers of two, and all samples."""
    return sorted({2**power for power in range(1, samples.bit_length())} | {samples})


def majority_votes(groups: Sequence[Group], verifier: Verifier) -> list[float]:
    """Return for each maths problem the outcome reward of the answer that most responses give.

    Two answers count as one if the verifier says so. A response without an answer has no vote. If
    several answers tie, the value is the mean of their rewards, as of a random choice.
    """
    votes = [_count_votes(group) for group in groups]
    pending = [list(vote) for vote in votes]  # answers without a class so far, by problem
    classes: list[list[list[str]]] = [[] for _ in groups]
    while any(pending):  # in a round, each problem compares its answers with its first
        rows = [(number, answer) for number, left in enumerate(pending) for answer in left[1:]]
        verdicts = verifier.verify(
            [f"\\boxed{{{answer}}}" for _, answer in rows],
            [pending[number][0] for number, _ in rows],
            ["math"] * len(rows),
        )
        same = {row for row, verdict in zip(rows, verdicts) if verdict.reward == 1.0}
        for number, left in enumerate(pending):
            if left:
                classes[number].append([left[0], *(x for x in left[1:] if (number, x) in same)])
                pending[number] = [x for x in left[1:] if (number, x) not in same]
    return [_elect(vote, joined) for vote, joined in zip(votes, classes)]


def best_of(groups: Sequence[Group], scores: Sequence[Sequence[float]]) -> list[float]:
    """Return for each problem the outcome reward of the response with the highest score.

    Args:
        scores: K per group, in the order of its responses. The first of equal scores wins.
    """
    return [
        group.outcome_rewards[max(range(len(own)), key=own.__getitem__)]
        for group, own in zip(groups, scores, strict=True)
    ]


def _count_votes(group: Group) -> dict[str, list[float]]:
    """Return for each answer, by its text, the rewards of the responses that gave it."""
    votes: dict[str, list[float]] = {}
    for response, reward in zip(group.responses, group.outcome_rewards):
        answer = find_boxed_answer(response)
        if answer is not None:
            votes.setdefault(answer.strip(), []).append(reward)
    return votes


def _elect(votes: dict[str, list[float]], classes: list[list[str]]) -> float:
    if not classes:
        return 0.0
    rewards = [[reward for answer in joined for reward in votes[answer]] for joined in classes]
    most = max(map(len, rewards))
    winners = [sum(own) / len(own) for own in rewards if len(own) == most]
    return sum(winners) / len(winners)
