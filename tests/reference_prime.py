"""PRIME a second time, in the plainest PyTorch: what train_prime.py must compute, from the paper.

One response at a time, token by token where it matters: no padding, packing, micro-batches or
processes, and no project code but its data types. Equations and lines are those of arXiv
2502.01456. `c` holds the constants of train_prime.py, `groups` the kept prompts of an iteration.
"""

import math

import torch
from torch import Tensor, nn

from generation.groups import Group

ROUNDING = 1e-4  # below it PROCESS_SCALE = "batch" divides nothing; added to "grpo"'s deviation


class Trained:
    """A model with AdamW, a linear warm-up and a clipped gradient."""

    def __init__(self, model: nn.Module, c: dict, name: str):
        self.model, self.clip, self.norms = model, c[f"{name}_GRADIENT_CLIP"], [0.0]
        warmup, rate, decay = c[f"{name}_WARMUP_STEPS"], c[f"{name}_LR"], c["WEIGHT_DECAY"]
        self.rate, self.parameters = rate, [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=decay)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda taken: min(1.0, (taken + 1) / (warmup + 1))
        )

    def step(self, loss: Tensor) -> None:
        """Take one optimizer step; keep the gradient's norm before clipping."""
        loss.backward()
        self.norms.append(float(nn.utils.clip_grad_norm_(self.parameters, self.clip)))
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()


def rows_of(groups: list[Group]) -> list[tuple[list[int], list[int], float]]:
    """Return prompt, response and outcome reward of every response, prompt after prompt."""
    rows = []
    for group in groups:
        for ids, reward in zip(group.response_ids, group.outcome_rewards):
            rows.append((group.prompt_ids, ids, reward))
    return rows


def shaped_rewards(groups: list[Group], c: dict) -> list[float]:
    """Return the outcome rewards, or where VERIFIERS weighs functions, the sum of theirs."""
    rewards = []
    for group in groups:
        weighed = c["VERIFIERS"].get(group.ability, ())
        weights = {judge.rpartition(":")[2]: weight for judge, weight in weighed}
        for i, reward in enumerate(group.outcome_rewards):
            own = [weights[name] * group.parts[i][name][0] for name in weights]
            rewards.append(sum(own) if weights else reward)
    return rewards


def distributions(model: nn.Module, prompt: list, ids: list, c: dict) -> Tensor:
    """Return log pi(. | y_<t) for every response token, (T, V)."""
    logits = model(input_ids=torch.tensor([prompt + ids]), use_cache=False).logits[0]
    return torch.log_softmax(logits[len(prompt) - 1 : -1].float() / c["TEMPERATURE"], dim=-1)


def logprobs(model: nn.Module, groups: list[Group], c: dict) -> list[Tensor]:
    """Return log pi(y_t | y_<t) of every response, (T,) each."""
    tables = [(distributions(model, prompt, ids, c), ids) for prompt, ids, _ in rows_of(groups)]
    return [torch.stack([table[t, y] for t, y in enumerate(ids)]) for table, ids in tables]


def shares(count: int, steps: int) -> list[range]:
    """Return which prompts each optimizer step takes, in order, as even as can be."""
    steps = min(steps, count)
    edges = [count * step // steps for step in range(steps + 1)]
    return [range(low, high) for low, high in zip(edges, edges[1:])]


def cross_entropy(rewards: list[Tensor], outcomes: list[float]) -> Tensor:
    """Line 8: the mean over responses of the CE of sigma( sum_t r(y_t) ) against r_o."""
    losses = []
    for row, outcome in zip(rewards, outcomes):
        p = torch.sigmoid(row.sum().double())
        losses.append(-(outcome * torch.log(p) + (1 - outcome) * torch.log(1 - p)))
    return sum(losses) / len(losses)


def pair_accuracy(rewards: list[Tensor], groups: list[Group]) -> float:
    """Return the share of pairs within a prompt whose better response has the larger reward."""
    right, pairs, scores = 0.0, 0, [float(row.sum()) for row in rewards]
    for group in groups:
        own = list(zip(group.outcome_rewards, scores))
        scores = scores[len(own) :]
        for better, high in own:
            for worse, low in own:
                if better > worse:
                    pairs += 1
                    right += 1.0 if high > low else 0.5 if high == low else 0.0
    return right / pairs if pairs else math.nan


def centred(rows: list[Tensor], K: int, estimator: str) -> list[Tensor]:
    """Return rewards against their baseline; "rloo": Eq. 4, and the brackets of Eq. 5."""
    batch, result = torch.cat(rows), []
    for i, row in enumerate(rows):
        first = i // K * K
        group = torch.cat(rows[first : first + K])
        others = [rows[j].mean() for j in range(first, first + K) if j != i]
        if estimator == "rloo":
            result.append(row - sum(others) / (K - 1))
        elif estimator == "grpo":
            result.append((row - group.mean()) / (group.std() + ROUNDING))
        else:
            result.append(row - batch.mean())
    return result


def returns_to_go(row: Tensor, gamma: float) -> Tensor:
    """Return sum_{s >= t} gamma^(s-t) r_s for every t."""
    T = len(row)
    return torch.stack([sum(gamma ** (s - t) * row[s] for s in range(t, T)) for t in range(T)])


def compute_advantages(rewards: list[Tensor], groups: list[Group], c: dict) -> list[Tensor]:
    """Eq. 5, line 9: outcome and process returns, each against its baseline, weighed and summed."""
    gamma, K, kind = c["GAMMA"], c["SAMPLES_PER_PROMPT"], c["ADVANTAGE_ESTIMATOR"]
    largest = max(float(returns_to_go(row, gamma).abs().max()) for row in rewards)
    if c["PROCESS_SCALE"] == "batch" and largest > ROUNDING:
        rewards = [row / largest for row in rewards]
    if c["PROCESS_GRANULARITY"] == "response":
        sums = centred([row.sum().view(1) for row in rewards], K, kind)
        process = [own.expand(len(row)) for own, row in zip(sums, rewards)]
    else:
        process = [returns_to_go(row, gamma) for row in centred(rewards, K, kind)]
    outcome = centred([torch.tensor([r]) for r in shaped_rewards(groups, c)], K, kind)
    pairs = zip(outcome, process)
    advantages = [c["OUTCOME_COEF"] * own + c["PROCESS_COEF"] * row for own, row in pairs]
    if c["WHITEN"]:
        flat = torch.cat(advantages)
        deviation = torch.sqrt(flat.var() + 1e-8)
        advantages = [(row - flat.mean()) / deviation for row in advantages]
    return advantages


def update_prm(
    prm: Trained, ref_logprobs: list[Tensor], groups: list[Group], c: dict
) -> tuple[list[Tensor], dict]:
    """Lines 7 and 8: process rewards by Eq. 3, and the PRM's optimizer steps on cross-entropy."""
    K, rewards, prm.norms = c["SAMPLES_PER_PROMPT"], [], [0.0]
    outcomes = [reward for *_, reward in rows_of(groups)]
    for share in shares(len(groups), c["PRM_OPTIMIZER_STEPS"]):
        own, span = [groups[i] for i in share], slice(K * share.start, K * share.stop)
        pairs = zip(logprobs(prm.model, own, c), ref_logprobs[span])
        rows = [c["BETA"] * (mine - ref) for mine, ref in pairs]
        rewards += [row.detach() for row in rows]
        if c["PRM_UPDATE"] != "none":
            prm.step(cross_entropy(rows, outcomes[span]))
    metrics = {"prm_accuracy": pair_accuracy(rewards, groups)}
    metrics["prm_loss"] = float(cross_entropy(rewards, outcomes))
    metrics["prm_gradient_norm"] = max(prm.norms)
    if c["PRM_UPDATE"] == "before":
        pairs = zip(logprobs(prm.model, groups, c), ref_logprobs)
        rewards = [c["BETA"] * (mine - ref).detach() for mine, ref in pairs]
    metrics["process_reward_mean"] = float(torch.cat(rewards).mean())
    returns = torch.cat([returns_to_go(row, c["GAMMA"]) for row in rewards])
    metrics["process_return_largest"] = float(returns.abs().max())
    return rewards, metrics


def update_policy(
    policy: Trained, old: list[Tensor], advantages: list[Tensor], groups: list[Group], c: dict
) -> dict:
    """Line 10, Eq. 6: the clipped loss, a mean over the tokens of each optimizer step."""
    K, epsilon, policy.norms = c["SAMPLES_PER_PROMPT"], c["CLIP_RANGE"], [0.0]
    steps = shares(len(groups), c["OPTIMIZER_STEPS"])
    metrics = dict.fromkeys(("policy_loss", "entropy", "clip_fraction", "approx_kl"), 0.0)
    for share in steps:
        span = slice(K * share.start, K * share.stop)
        count, loss = sum(len(ids) for _, ids, _ in rows_of(groups)[span]), 0.0
        for row, old_row, A in zip(rows_of(groups)[span], old[span], advantages[span]):
            table = distributions(policy.model, row[0], row[1], c)
            log_ratio = torch.stack([table[t, y] for t, y in enumerate(row[1])]) - old_row
            ratio = torch.exp(log_ratio)
            clipped = torch.clamp(ratio, 1 - epsilon, 1 + epsilon)
            loss = loss - torch.minimum(ratio * A, clipped * A).sum() / count
            weight = 1 / count / len(steps)
            metrics["entropy"] -= float((table.exp() * table).sum()) * weight
            metrics["clip_fraction"] += float((clipped * A < ratio * A).sum()) * weight
            metrics["approx_kl"] += float((ratio - 1 - log_ratio).sum()) * weight
        metrics["policy_loss"] += float(loss) / len(steps)
        policy.step(loss)
    return {**metrics, "policy_gradient_norm": max(policy.norms)}


def iterate(
    policy: Trained, prm: Trained | None, reference: nn.Module, groups: list[Group], c: dict
) -> tuple[list[Tensor], list[Tensor], dict]:
    """Do lines 7 to 11 of one iteration; return process rewards, advantages and metrics."""
    with torch.no_grad():
        old = logprobs(policy.model, groups, c)
        ref_logprobs = old if c["PRM_REFERENCE"] == "policy" else logprobs(reference, groups, c)
    rewards, metrics = [torch.zeros_like(row) for row in old], {}
    if prm:
        rewards, metrics = update_prm(prm, ref_logprobs, groups, c)
    advantages = compute_advantages(rewards, groups, c)
    return rewards, advantages, metrics | update_policy(policy, old, advantages, groups, c)
