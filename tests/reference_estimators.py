"""The losses and advantages a second time, from the equations of arXiv 2502.01456 alone.

One response at a time, token by token, no padding. A row is one response's (T,) values; the K rows
of a prompt follow each other. `c` holds the constants of train_prime.py.
"""

import math

import torch
from torch import Tensor

ROUNDING = 1e-4  # of a sum over a response: nothing is divided by what is smaller


def cross_entropy(rewards: list[Tensor], outcomes: list[float], counts: list[bool]) -> Tensor:
    """Line 8: the mean over responses of the CE of sigma( sum_t r(y_t) ) against r_o.

    Those that do not count are left out of both, as in all that follows.
    """
    loss = 0 * rewards[0].sum()
    for row, outcome, is_counted in zip(rewards, outcomes, counts):
        p = torch.sigmoid(row.sum().double())
        own = -(outcome * torch.log(p) + (1 - outcome) * torch.log(1 - p))
        loss = loss + own if is_counted else loss
    return loss / max(1, sum(counts))


def margins(
    rewards: list[Tensor], outcomes: list[float], counts: list[bool], K: int
) -> list[Tensor]:
    """Return r(y+) - r(y-) of every pair of a prompt; y+ is the one with the higher r_o."""
    sums, rows = [row.sum().double() for row in rewards], range(len(rewards))
    pairs = [(i, j) for i in rows for j in rows if i // K == j // K and outcomes[i] > outcomes[j]]
    return [sums[i] - sums[j] for i, j in pairs if counts[i] and counts[j]]


def pair_loss(rewards: list[Tensor], outcomes: list[float], counts: list[bool], K: int) -> Tensor:
    """Table 8 (DPO): the mean over pairs of -log sigma( r(y+) - r(y-) ); nan of none."""
    losses = [-torch.log(torch.sigmoid(own)) for own in margins(rewards, outcomes, counts, K)]
    return sum(losses) / len(losses) if losses else 0 * rewards[0].sum() + math.nan


def pair_accuracy(
    rewards: list[Tensor], outcomes: list[float], counts: list[bool], K: int
) -> float:
    """Return the share of pairs whose better response has the larger reward; a tie is half."""
    own = [float(margin) for margin in margins(rewards, outcomes, counts, K)]
    right = [(margin > 0) + 0.5 * (margin == 0) for margin in own]
    return sum(right) / len(right) if right else math.nan


def cosine_steps(c: dict) -> int | None:
    """Return how many steps the policy takes in all, if its rate falls along a cosine."""
    iterations = c["NUM_ITERATIONS"] - c["VALUE_WARMUP_ITERATIONS"]
    return iterations * c["OPTIMIZER_STEPS"] if c["POLICY_SCHEDULE"] == "cosine" else None


def rate_factor(taken: int, warmup: int, steps: int | None) -> float:
    """Return by what the rate is multiplied after `taken` steps; a cosine ends after `steps`."""
    if taken < warmup:
        return (taken + 1) / (warmup + 1)
    along = 0 if steps is None else (taken - warmup) / (steps - warmup)
    return (1 + math.cos(math.pi * along)) / 2


def rloo(row: Tensor, own: Tensor, group: list[Tensor]) -> Tensor:
    """Eq. 4, and the brackets of Eq. 5: less the mean of the other responses' means."""
    others = [other.mean() for other in group if other is not own]
    return row - sum(others) / len(others)


def grpo(row: Tensor, own: Tensor, group: list[Tensor]) -> Tensor:
    """Eq. 7: by mean and deviation of the K response means."""
    means = torch.stack([other.mean() for other in group])
    if means.std() * sum(map(len, group)) / len(group) <= ROUNDING:
        return 0 * row
    return (row - means.mean()) / means.std()


def reinforce(row: Tensor, own: Tensor, group: list[Tensor]) -> Tensor:
    """Eq. 8: no baseline."""
    return row


BASELINES = {"rloo": rloo, "grpo": grpo, "reinforce": reinforce, "gae": rloo}


def centred(rows: list[Tensor], K: int, estimator: str) -> list[Tensor]:
    """Return the rewards of every response against those of its prompt."""
    groups = [rows[i // K * K : i // K * K + K] for i in range(len(rows))]
    return [BASELINES[estimator](row, row, group) for row, group in zip(rows, groups)]


def returns_to_go(row: Tensor, gamma: float) -> Tensor:
    """Return sum_{s >= t} gamma^(s-t) r_s for every t."""
    T = len(row)
    return torch.stack([sum(gamma ** (s - t) * row[s] for s in range(t, T)) for t in range(T)])


def gae(outcome: float, values: Tensor, gamma: float, decay: float) -> Tensor:
    """GAE(gamma, decay) of a reward at the last token; values (T,) are V(y_<t)."""
    T = len(values)
    deltas = []
    for t in range(T):
        reward = outcome if t == T - 1 else 0.0
        following = 0.0 if t == T - 1 else values[t + 1]
        deltas.append(reward + gamma * following - values[t])
    sums = [sum((gamma * decay) ** (s - t) * deltas[s] for s in range(t, T)) for t in range(T)]
    return torch.stack(sums)


def prm_values(row: Tensor) -> Tensor:
    """Section 5.4: v_phi(y_<t) = sum_{s < t} r_phi(y_s)."""
    return torch.stack([row[:t].sum() for t in range(len(row))])


def clipped_errors(new: Tensor, old: Tensor, returns: Tensor, width: float) -> Tensor:
    """Return the larger squared error of a value and of it within `width` of the old one, (T,)."""
    clipped = torch.maximum(torch.minimum(new, old + width), old - width)
    return torch.maximum((new - returns) ** 2, (clipped - returns) ** 2)


def explained_variance(values: list[Tensor], returns: list[Tensor]) -> float:
    left = torch.cat(returns) - torch.cat(values)
    return float(1 - left.var() / torch.cat(returns).var())


def shaped_rewards(groups: list, c: dict) -> list[float]:
    """Return the outcome rewards, or where VERIFIERS weighs functions, the sum of theirs."""
    rewards = []
    for group in groups:
        weighed = c["VERIFIERS"].get(group.ability, ())
        weights = {judge.rpartition(":")[2]: weight for judge, weight in weighed}
        for i, reward in enumerate(group.outcome_rewards):
            own = [weights[name] * group.parts[i][name][0] for name in weights]
            rewards.append(sum(own) if weights else reward)
    return rewards


def compute_advantages(
    rewards: list[Tensor], outcomes: list[float], values: list[Tensor] | None, c: dict
) -> list[Tensor]:
    """Line 9: outcome and process returns, weighed and summed. Values are for "gae" alone."""
    gamma, K, kind = c["GAMMA"], c["SAMPLES_PER_PROMPT"], c["ADVANTAGE_ESTIMATOR"]
    largest = max(float(returns_to_go(row, gamma).abs().max()) for row in rewards)
    is_scaled = c["PROCESS_SCALE"] == "batch" and kind != "grpo" and largest > ROUNDING
    scale = largest if is_scaled else 1.0
    process = [returns_to_go(r, gamma) for r in centred([r / scale for r in rewards], K, kind)]
    if kind == "gae":
        outcome = [gae(o, v, gamma, c["GAE_LAMBDA"]) for o, v in zip(outcomes, values)]
    else:
        outcome = centred([torch.tensor([reward]) for reward in outcomes], K, kind)
    pairs = zip(outcome, process)
    advantages = [c["OUTCOME_COEF"] * own + c["PROCESS_COEF"] * row for own, row in pairs]
    if c["WHITEN"]:
        flat = torch.cat(advantages)
        deviation = torch.sqrt(flat.var() + 1e-8)
        advantages = [(row - flat.mean()) / deviation for row in advantages]
    return advantages
