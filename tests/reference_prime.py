"""PRIME a second time, in the plainest PyTorch: what train_prime.py must compute, from the paper.

One response at a time, token by token where it matters: no padding, packing, micro-batches or
processes, and no project code but its data types. Equations and lines are those of arXiv
2502.01456. `c` holds the constants of train_prime.py, `groups` the kept prompts of an iteration.
"""

from collections import defaultdict

import reference_estimators as twin
import torch
from torch import Tensor, nn

from generation.groups import Group


class Trained:
    """A model with AdamW, a linear warm-up, maybe a cosine after it, and a clipped gradient."""

    def __init__(self, model: nn.Module, c: dict, name: str):
        self.model, self.clip, self.norms = model, c[f"{name}_GRADIENT_CLIP"], [0.0]
        warmup, rate, decay = c[f"{name}_WARMUP_STEPS"], c[f"{name}_LR"], c["WEIGHT_DECAY"]
        self.rate, self.parameters = rate, [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=decay)
        steps = twin.cosine_steps(c) if name == "POLICY" else None
        self.schedule = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda taken: twin.rate_factor(taken, warmup, steps)
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


def counted(groups: list[Group], c: dict) -> list[bool]:
    """Return which responses a loss counts."""
    cut = [flag for group in groups for flag in group.truncated]
    return [not (flag and c["TRUNCATED"] == "mask") for flag in cut]


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


def update_prm(
    prm: Trained, ref_logprobs: list[Tensor], groups: list[Group], c: dict
) -> tuple[list[Tensor], dict]:
    """Lines 7 and 8: process rewards by Eq. 3, and the PRM's optimizer steps on cross-entropy."""
    K, rewards, prm.norms = c["SAMPLES_PER_PROMPT"], [], [0.0]
    outcomes, counts = [reward for *_, reward in rows_of(groups)], counted(groups, c)
    is_ce = c["PRM_LOSS"] == "ce"
    loss_of = twin.cross_entropy if is_ce else lambda *own: twin.pair_loss(*own, K)
    for share in shares(len(groups), c["PRM_OPTIMIZER_STEPS"]):
        own, span = [groups[i] for i in share], slice(K * share.start, K * share.stop)
        pairs = zip(logprobs(prm.model, own, c), ref_logprobs[span])
        rows = [c["BETA"] * (mine - ref) for mine, ref in pairs]
        rewards += [row.detach() for row in rows]
        if c["PRM_UPDATE"] != "none":
            prm.step(loss_of(rows, outcomes[span], counts[span]))
    metrics = {"prm_accuracy": twin.pair_accuracy(rewards, outcomes, counts, K)}
    metrics["prm_loss"] = float(loss_of(rewards, outcomes, counts))
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
    old, counts = [row.detach() for row in prefix_values(value.model, groups)], counted(groups, c)
    outcomes, terms = twin.shaped_rewards(groups, c), (c["GAMMA"], c["GAE_LAMBDA"])
    returns = [twin.gae(outcome, row, *terms) + row for outcome, row in zip(outcomes, old)]
    steps, mean_loss = shares(len(groups), c["VALUE_OPTIMIZER_STEPS"]), 0.0
    for share in steps:
        span = slice(K * share.start, K * share.stop)
        rows = zip(prefix_values(value.model, [groups[i] for i in share]), old[span], returns[span])
        errors = zip([twin.clipped_errors(*row, width) for row in rows], counts[span])
        sums = [(own.sum() * is_counted, len(own) * is_counted) for own, is_counted in errors]
        loss = sum(own for own, _ in sums) / max(1, sum(count for _, count in sums)) / 2
        mean_loss += float(loss.detach()) / len(steps)
        value.step(loss)
    metrics = {"value_loss": mean_loss, "value_gradient_norm": max(value.norms)}
    own = [pair for pair, is_counted in zip(zip(old, returns), counts) if is_counted]
    return old, metrics | {"value_explained_variance": twin.explained_variance(*zip(*own))}


def update_policy(
    policy: Trained,
    old: list[Tensor],
    start: list[Tensor],
    advantages: list[Tensor],
    groups: list[Group],
    c: dict,
) -> dict:
    """Line 10, Eq. 6: the clipped loss times min( pi_old / pi_sampler, cap ), means over tokens.

    KL_COEF adds Schulman's k3 of the KL divergence from `start`, log pi of MODEL.
    """
    K, epsilon, cap = c["SAMPLES_PER_PROMPT"], c["CLIP_RANGE"], c["IMPORTANCE_CAP"]
    high = epsilon if c["CLIP_RANGE_HIGH"] is None else c["CLIP_RANGE_HIGH"]
    steps, counts = shares(len(groups), c["OPTIMIZER_STEPS"]), counted(groups, c)
    metrics, policy.norms = defaultdict(float), [0.0]
    for share in steps:
        span = slice(K * share.start, K * share.stop)
        pairs = zip(rows_of(groups)[span], counts[span])
        count, loss = max(1, sum(len(row[1]) * is_counted for row, is_counted in pairs)), 0.0
        columns = rows_of(groups), counts, old, start, advantages
        for row, is_counted, old_row, start_row, A in zip(*(own[span] for own in columns)):
            table = distributions(policy.model, row[0], row[1], c)
            own = torch.stack([table[t, y] for t, y in enumerate(row[1])])
            log_ratio, from_start = own - old_row, start_row - own
            ratio, k3 = torch.exp(log_ratio), torch.exp(from_start) - from_start - 1
            clipped = torch.clamp(ratio, 1 - epsilon, 1 + high)
            drawn = torch.tensor(row[2])
            w = torch.exp(old_row - drawn)
            w = w.prod().expand_as(w) if c["IMPORTANCE_LEVEL"] == "sequence" else w
            w, is_capped = (w.clamp(max=cap), w > cap) if cap else (w**0, w < 0)
            surrogate = w * torch.minimum(ratio * A, clipped * A) - c["KL_COEF"] * k3
            loss = loss - is_counted * surrogate.sum() / count
            terms = dict(entropy=-table.exp() * table, approx_kl=ratio - 1 - log_ratio)
            terms |= dict(clip_fraction=clipped * A < ratio * A, capped_fraction=is_capped)
            terms |= dict(sampler_kl=drawn - old_row)
            terms |= {"reference_kl": k3} if c["KL_COEF"] else {}
            for name, values in terms.items():
                metrics[name] += is_counted * float(values.detach().sum()) / count / len(steps)
        metrics["policy_loss"] += float(loss.detach()) / len(steps)
        policy.step(loss)
    return {**metrics, "policy_gradient_norm": max(policy.norms)}


def iterate(
    models: dict[str, Trained], frozen: tuple, groups: list[Group], iteration: int, c: dict
) -> tuple[list[Tensor], list[Tensor], dict]:
    """Do lines 7 to 11 of one iteration; return process rewards, advantages and metrics.

    Args:
        models: "policy", and "PRM" and "value" if there are such.
        frozen: the reference of the PRM, and MODEL.
    """
    policy, prm, value = (models.get(name) for name in ("policy", "PRM", "value"))
    only_value = value and iteration < c["VALUE_WARMUP_ITERATIONS"]
    with torch.no_grad():
        old = logprobs(policy.model, groups, c)
        of_reference, start = (logprobs(model, groups, c) for model in frozen)
    ref_logprobs = old if c["PRM_REFERENCE"] == "policy" else of_reference
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
        metrics |= update_policy(policy, old, start, advantages, groups, c)
    return rewards, advantages, metrics
