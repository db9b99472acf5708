"""PRIME a second time, in the plainest PyTorch: what train_prime.py must compute, from the paper.

One response at a time, token by token where it matters: no padding, packing, micro-batches or
processes, and no project code but its data types. Equations and lines are those of arXiv
2502.01456. `c` holds the constants of train_prime.py, `groups` the kept prompts of an iteration.
"""

import math
from collections import defaultdict

import reference_estimators as twin
import torch
from torch import Tensor, nn

from generation.groups import Group


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


def rows_of(groups: list[Group]) -> list[tuple[list[int], list[int], list[float], float]]:
    """Return prompt, response, its log pi_sampler and its outcome reward, prompt after prompt."""
    rows = []
    for group in groups:
        columns = group.response_ids, group.sampling_logprobs, group.outcome_rewards
        rows += [(group.prompt_ids, *row) for row in zip(*columns)]
    return rows


def distributions(model: nn.Module, prompt: list, ids: list, c: dict) -> Tensor:
    """Return log pi(. | y_<t) for every response token, (T, V)."""
    logits = model(input_ids=torch.tensor([prompt + ids]), use_cache=False).logits[0]
    return torch.log_softmax(logits[len(prompt) - 1 : -1].float() / c["TEMPERATURE"], dim=-1)


def logprobs(model: nn.Module, groups: list[Group], c: dict) -> list[Tensor]:
    """Return log pi(y_t | y_<t) of every response, (T,) each."""
    tables = [(distributions(model, prompt, ids, c), ids) for prompt, ids, *_ in rows_of(groups)]
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


def margins(rewards: list[Tensor], outcomes: list[float], K: int) -> list[Tensor]:
    """Return r(y+) - r(y-) of every pair of a prompt; y+ is the one with the higher r_o."""
    sums, rows = [row.sum().double() for row in rewards], range(len(rewards))
    pairs = [(i, j) for i in rows for j in rows if i // K == j // K and outcomes[i] > outcomes[j]]
    return [sums[i] - sums[j] for i, j in pairs]


def pair_loss(rewards: list[Tensor], outcomes: list[float], K: int) -> Tensor:
    """Table 8 (DPO): the mean over pairs of -log sigma( r(y+) - r(y-) )."""
    losses = [-torch.log(torch.sigmoid(own)) for own in margins(rewards, outcomes, K)]
    return sum(losses) / len(losses) if losses else 0 * rewards[0].sum()


def pair_accuracy(rewards: list[Tensor], outcomes: list[float], K: int) -> float:
    """Return the share of pairs whose better response has the larger reward; a tie is half."""
    right = [(float(own) > 0) + 0.5 * (float(own) == 0) for own in margins(rewards, outcomes, K)]
    return sum(right) / len(right) if right else math.nan


def update_prm(
    prm: Trained, ref_logprobs: list[Tensor], groups: list[Group], c: dict
) -> tuple[list[Tensor], dict]:
    """Lines 7 and 8: process rewards by Eq. 3, and the PRM's optimizer steps on cross-entropy."""
    K, rewards, prm.norms = c["SAMPLES_PER_PROMPT"], [], [0.0]
    outcomes = [reward for *_, reward in rows_of(groups)]
    loss_of = cross_entropy if c["PRM_LOSS"] == "ce" else lambda *own: pair_loss(*own, K)
    for share in shares(len(groups), c["PRM_OPTIMIZER_STEPS"]):
        own, span = [groups[i] for i in share], slice(K * share.start, K * share.stop)
        pairs = zip(logprobs(prm.model, own, c), ref_logprobs[span])
        rows = [c["BETA"] * (mine - ref) for mine, ref in pairs]
        rewards += [row.detach() for row in rows]
        if c["PRM_UPDATE"] != "none":
            prm.step(loss_of(rows, outcomes[span]))
    metrics = {"prm_accuracy": pair_accuracy(rewards, outcomes, K)}
    metrics["prm_loss"] = float(loss_of(rewards, outcomes))
    metrics["prm_gradient_norm"] = max(prm.norms)
    if c["PRM_UPDATE"] == "before":
        pairs = zip(logprobs(prm.model, groups, c), ref_logprobs)
        rewards = [c["BETA"] * (mine - ref).detach() for mine, ref in pairs]
    metrics["process_reward_mean"] = float(torch.cat(rewards).mean())
    returns = torch.cat([twin.returns_to_go(row, c["GAMMA"]) for row in rewards])
    metrics["process_return_largest"] = float(returns.abs().max())
    return rewards, metrics


def prefix_values(model: nn.Module, groups: list[Group]) -> list[Tensor]:
    """Return V(y_<t) of every response, (T,) each: the head's number at the token before."""
    values = []
    for prompt, ids, *_ in rows_of(groups):
        logits = model(input_ids=torch.tensor([prompt + ids]), use_cache=False).logits
        values.append(logits[0, len(prompt) - 1 : -1, 0])
    return values


def update_value(value: Trained, groups: list[Group], c: dict) -> tuple[list[Tensor], dict]:
    """Values of all prefixes, and PPO's steps on the clipped squared error to the returns."""
    K, width, value.norms = c["SAMPLES_PER_PROMPT"], c["VALUE_CLIP_RANGE"], [0.0]
    old = [row.detach() for row in prefix_values(value.model, groups)]
    outcomes, terms = twin.shaped_rewards(groups, c), (c["GAMMA"], c["GAE_LAMBDA"])
    returns = [twin.gae(outcome, row, *terms) + row for outcome, row in zip(outcomes, old)]
    steps, mean_loss = shares(len(groups), c["VALUE_OPTIMIZER_STEPS"]), 0.0
    for share in steps:
        span = slice(K * share.start, K * share.stop)
        rows = zip(prefix_values(value.model, [groups[i] for i in share]), old[span], returns[span])
        loss = torch.cat([twin.clipped_errors(*row, width) for row in rows]).mean() / 2
        mean_loss += float(loss.detach()) / len(steps)
        value.step(loss)
    metrics = {"value_loss": mean_loss, "value_gradient_norm": max(value.norms)}
    return old, metrics | {"value_explained_variance": twin.explained_variance(old, returns)}


def update_policy(
    policy: Trained, old: list[Tensor], advantages: list[Tensor], groups: list[Group], c: dict
) -> dict:
    """Line 10, Eq. 6: the clipped loss times min( pi_old / pi_sampler, cap ), means over tokens."""
    K, epsilon, cap = c["SAMPLES_PER_PROMPT"], c["CLIP_RANGE"], c["IMPORTANCE_CAP"]
    steps = shares(len(groups), c["OPTIMIZER_STEPS"])
    metrics, policy.norms = defaultdict(float), [0.0]
    for share in steps:
        span = slice(K * share.start, K * share.stop)
        count, loss = sum(len(ids) for _, ids, *_ in rows_of(groups)[span]), 0.0
        for row, old_row, A in zip(rows_of(groups)[span], old[span], advantages[span]):
            table = distributions(policy.model, row[0], row[1], c)
            log_ratio = torch.stack([table[t, y] for t, y in enumerate(row[1])]) - old_row
            ratio = torch.exp(log_ratio)
            clipped = torch.clamp(ratio, 1 - epsilon, 1 + epsilon)
            drawn = torch.tensor(row[2])
            w = torch.exp(old_row - drawn)
            w = w.prod().expand_as(w) if c["IMPORTANCE_LEVEL"] == "sequence" else w
            w, is_capped = (w.clamp(max=cap), w > cap) if cap else (w**0, w < 0)
            loss = loss - (w * torch.minimum(ratio * A, clipped * A)).sum() / count
            terms = dict(entropy=-table.exp() * table, clip_fraction=clipped * A < ratio * A)
            terms |= dict(approx_kl=ratio - 1 - log_ratio, sampler_kl=drawn - old_row)
            for name, values in {**terms, "capped_fraction": is_capped}.items():
                metrics[name] += float(values.detach().sum()) / count / len(steps)
        metrics["policy_loss"] += float(loss.detach()) / len(steps)
        policy.step(loss)
    return {**metrics, "policy_gradient_norm": max(policy.norms)}


def iterate(
    models: dict[str, Trained], reference: nn.Module, groups: list[Group], iteration: int, c: dict
) -> tuple[list[Tensor], list[Tensor], dict]:
    """Do lines 7 to 11 of one iteration; return process rewards, advantages and metrics.

    Args:
        models: "policy", and "PRM" and "value" if there are such.
    """
    policy, prm, value = (models.get(name) for name in ("policy", "PRM", "value"))
    only_value = value and iteration < c["VALUE_WARMUP_ITERATIONS"]
    with torch.no_grad():
        old = logprobs(policy.model, groups, c)
        ref_logprobs = old if c["PRM_REFERENCE"] == "policy" else logprobs(reference, groups, c)
    rewards, values, metrics = [torch.zeros_like(row) for row in old], None, {}
    if prm and not only_value:
        rewards, metrics = update_prm(prm, ref_logprobs, groups, c)
    if c["VALUE"] == "prm":
        values = [twin.prm_values(row) for row in rewards]
    if value:
        values, own = update_value(value, groups, c)
        metrics |= own
    advantages = twin.compute_advantages(rewards, twin.shaped_rewards(groups, c), values, c)
    if not only_value:
        metrics |= update_policy(policy, old, advantages, groups, c)
    return rewards, advantages, metrics
