"""Runs train_prime.py with another credit rule: `python benchmarks/rules_run.py RULE TASK ...`.

The first argument is a JSON object: see DEFAULTS. The second is a task of credit_tasks.py, or
"hard". Constants follow, as for train_prime.py. credit_rules.py starts this script.
"""

import itertools
import json
import random
import sys
import time
from collections import deque
from functools import partial
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent.parent), str(Path(__file__).resolve().parent)]

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import credit_tasks
import numpy as np
import rules
import torch
from outcome_regression import OutcomeRegression
from step_rewards import measure_steps, place, read_lines
from torch import Tensor

import train_prime
import training.prm_pass
from advantage import gae, prime_advantages, rloo, whitened
from checks.errors import UserError
from embedded import arithmetic
from generation.ending import find_pad_token_id
from generation.groups import Collected, Group
from generation.seeds import derive_seed
from models.batches import Rollouts
from prm import implicit_process_rewards, number_prompts, pair_accuracy, pair_margins
from reporting.run_log import PhaseTimer
from reporting.steps import split_steps, token_texts
from rollout import make_rollouts
from training.micro_batches import split_rows
from training.optimizer_steps import compute_logprobs, take_step
from training.prm_pass import pass_rows

DEFAULTS = {
    "source": "prm",  # of process rewards: or "oracle", "regression", "self" (SPRO), "vine", None
    "use": "reward",  # or "value", "raw value", "progress", "min", "step", "spread", "masked";
    # "none": they are measured, and the policy learns from outcomes alone
    "lambda": 1.0,  # of "value"
    "loss": "ce",  # of the PRM: "ce", "pairs", "prefix"
    "learns": "kept",  # from these prompts; "sampled": and from those that the filter drops;
    # n: all of the last n iterations
    "trust": False,  # the coefficient is multiplied by rules.trust()
    "flipped": 0.0,  # share of the oracle's verdicts that are wrong
    "fixed": False,  # True: it is wrong about the same facts for the whole run
    "scale": 200.0,  # of rules.prefix_logits(): 10 / 0.05
    "margin": 5.0,
    "vines": 4,  # continuations at each step of "vine"
    "ahead": False,  # True: "regression" learns from an iteration's outcomes before it judges it
}
_AGE = 0.9  # weight of the past in the running pair accuracy of "trust"
_USED = 3  # batches of fresh prompts that a PRM learns from in an iteration, at most
_LAST, _FIRST = 16, 4  # iterations: collapsed is what solves less than half in the last of them


class Credit:
    """A rule, and what it remembers between iterations."""

    def __init__(self, settings: dict, task: str):
        self.settings = DEFAULTS | settings
        self.task = task
        learns = self.settings["learns"]
        self.past: deque[list[Group]] = deque(maxlen=learns - 1 if isinstance(learns, int) else 0)
        self.accuracy, self.measured = 0.5, 0  # running, of fresh responses; how often
        self.regression = OutcomeRegression()
        self.solved: list[float] = []  # mean outcome of each iteration
        self.clock = time.process_time()

    def learn(self, run, timer: PhaseTimer, iteration: int, collected: Collected) -> dict:
        """Replace train_prime.learn()."""
        self.stop_if_collapsed(collected.sampled)
        kept = collected.kept
        if not kept:
            run.log.write_rollouts(iteration, collected, run.tokenizer)
            return {}
        pad = find_pad_token_id(run.tokenizer)
        rollouts = make_rollouts(kept, pad, run.accelerator.device, run.siblings)
        texts = [token_texts(run.tokenizer, ids) for group in kept for ids in group.response_ids]
        steps = [split_steps(own) for own in texts]
        verdicts = self.judge(kept, texts, steps)
        rewards = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
        unseen = None  # rewards of before these outcomes were learned from
        metrics, source = {}, self.settings["source"]
        with timer("seconds_prm"):
            if source == "prm":
                rewards, unseen, metrics = self.update_prm(run, rollouts, iteration, collected)
            elif source == "oracle":
                told = self.flip(verdicts, texts, steps, iteration)
                rewards = place(told, texts, steps, rewards)
            elif source == "regression":
                worth = self.regress(run, collected, texts, steps)
                rewards, unseen = (place(own, texts, steps, rewards) for own in worth)
            elif source == "self":
                rewards = self.compare(run, run.roles.policy.module, rollouts)
            elif source == "vine":
                rewards = self.branch(run, timer, iteration, kept, steps, verdicts)
        advantages = self.find_advantages(rollouts, rewards, steps)
        with timer("seconds_policy"):
            old_logprobs = None
            if train_prime.OPTIMIZER_STEPS > 1:
                old_logprobs = self.compute(run, run.roles.policy.module, rollouts)
            metrics |= train_prime.update_policy(run, rollouts, advantages, old_logprobs, None)
            run.roles.refresh_rollout_model()
        measured = rewards if unseen is None else unseen
        if source not in (None, "vine"):  # whose rewards contain the outcome
            outcomes, mask = rollouts.outcome_rewards, rollouts.response_mask
            prompts = number_prompts(outcomes, train_prime.SAMPLES_PER_PROMPT)
            margins = pair_margins(measured, outcomes, mask, prompts)
            metrics.setdefault("prm_accuracy", pair_accuracy(margins))
        run.log.write_rollouts(iteration, collected, run.tokenizer, rewards, advantages)
        before, self.clock = self.clock, time.process_time()
        metrics["cpu_seconds"] = self.clock - before
        return metrics | measure_steps(verdicts, steps, measured if source else None)

    def stop_if_collapsed(self, sampled: list[Group]) -> None:
        if not sampled:  # the batch was there already
            return
        self.solved.append(float(np.mean([group.accuracy for group in sampled])))
        last, first = np.mean(self.solved[-_LAST:]), np.mean(self.solved[:_FIRST])
        if len(self.solved) >= _LAST and last < first / 2:
            raise UserError("The policy has collapsed: it solves less than half of what it did.")

    def judge(self, kept: list[Group], texts, steps) -> list[list[bool | None]]:
        """Return the verdict of the task's rule on every step, of every response."""
        questions = [group.question for group in kept for _ in group.response_ids]
        verdicts = []
        for question, own, spans in zip(questions, texts, steps):
            lines = ["".join(own[start:end]) for start, end in spans]
            if self.task == "hard":
                judged = arithmetic.judge_steps(question, lines)
            else:
                judged = credit_tasks.judge_steps(credit_tasks.TASKS[self.task], question, lines)
            verdicts.append(judged)
        return verdicts

    def flip(self, verdicts, texts, steps, iteration: int) -> list[list[bool | None]]:
        """Return the verdicts with a share of them inverted: at random, or those on some facts."""
        share, seed = self.settings["flipped"], train_prime.SEED
        rng, told = random.Random(f"{seed} {iteration}"), []
        for own, row, spans in zip(verdicts, texts, steps):
            facts = ["".join(row[start:end]).partition("=")[0] for start, end in spans]
            chances = [
                random.Random(f"{seed} {fact}").random() if self.settings["fixed"] else rng.random()
                for fact in facts
            ]
            told.append([v if v is None else v != (c < share) for v, c in zip(own, chances)])
        return told

    def regress(self, run, collected: Collected, texts, steps) -> tuple[list, list]:
        """Learn from the fresh outcomes. Return what lines are worth for the policy, and what they
        are by the outcomes of before: the same unless "ahead".
        """
        lines = [read_lines(*own) for own in zip(texts, steps)]

        def weigh() -> list[list[float | None]]:
            return [[self.regression.weigh(x) if x else None for x in own] for own in lines]

        before, used = weigh(), list_used(collected)
        fresh = [
            [line for line in read_lines(own, split_steps(own)) if line]
            for group in used
            for own in (token_texts(run.tokenizer, ids) for ids in group.response_ids)
        ]
        outcomes = [own for group in used for own in group.outcome_rewards]
        self.regression.learn(fresh, outcomes)
        return weigh() if self.settings["ahead"] else before, before

    def branch(self, run, timer, iteration: int, kept: list[Group], steps, verdicts) -> Tensor:
        """Return what each step adds to the value (VinePPO, arXiv 2410.01679), as rewards (B, T).

        The value at a step is the mean outcome of continuations from there, that of the prompt
        the mean outcome of its other responses. Equal prefixes share theirs.
        """
        K = train_prime.SAMPLES_PER_PROMPT
        starts: dict[tuple, dict] = {}
        prefixes: dict[tuple, list[int]] = {}
        for row, (spans, own) in enumerate(zip(steps, verdicts)):
            group = kept[row // K]
            stated = [span for span, verdict in zip(spans, own) if verdict is not None]
            for start, _ in stated[1:]:
                ids = group.prompt_ids + group.response_ids[row % K][:start]
                fields = dict(ability=group.ability, ground_truth=group.ground_truth)
                fields |= dict(data_source=group.data_source, question=group.question)
                starts[tuple(ids)] = dict(prompt_ids=ids, **fields)
                prefixes[tuple(ids)] = ids[len(group.prompt_ids) :]
        seeds = itertools.count(derive_seed(train_prime.SEED, iteration))
        with timer("seconds_vines"):
            args = (self.settings["vines"], train_prime.TEMPERATURE, seeds)
            groups = train_prime.sample_groups(run, PhaseTimer(), *args, list(starts.values()))
        values = {key: self.value(run, own, prefixes[key]) for key, own in zip(starts, groups)}
        width = max(spans[-1][1] for spans in steps)
        rewards = torch.zeros(len(steps), width, device=run.accelerator.device)
        for row, (spans, own) in enumerate(zip(steps, verdicts)):
            group = kept[row // K]
            ids, outcome = group.response_ids[row % K], group.outcome_rewards[row % K]
            stated = [span for span, verdict in zip(spans, own) if verdict is not None]
            keys = [tuple(group.prompt_ids + ids[:start]) for start, _ in stated[1:]]
            others = (sum(group.outcome_rewards) - outcome) / (K - 1)  # the prompt's value
            known = [others, *(values[key] for key in keys), outcome]
            for (_, end), before, after in zip(stated, known, known[1:]):
                rewards[row, end - 1] = after - before
        return rewards

    def value(self, run, group: Group, prefix: list[int]) -> float:
        """Return the mean outcome of continuations; an exam is marked with what stood before."""
        if self.task != "exam":
            return group.accuracy
        decode = partial(run.tokenizer.decode, skip_special_tokens=True)
        texts = [decode(prefix + ids) for ids in group.response_ids]
        return float(np.mean([credit_tasks.pass_exam(text, group.ground_truth) for text in texts]))

    def update_prm(
        self, run, rollouts: Rollouts, iteration: int, collected: Collected
    ) -> tuple[Tensor, Tensor, dict]:
        """Train the PRM on its data; return the rewards (B, T) of the kept responses, those of the
        pass before their step, and metrics.

        Its accuracy is that of the passes before a step, so on responses not seen before. A value
        must not know its response's own label: it comes from these passes too.
        """
        prm, reference, learns = run.roles.prm, run.roles.reference, self.settings["learns"]
        fresh = list(collected.kept) if learns == "kept" else list_used(collected)
        older = self.recall(fresh)
        order = list(range(len(older) + len(fresh)))
        if learns != "kept":  # no step on prompts alone that the filter drops
            random.Random(f"{train_prime.SEED} {iteration}").shuffle(order)
        pad, K = find_pad_token_id(run.tokenizer), train_prime.SAMPLES_PER_PROMPT
        groups = [[*older, *fresh][number] for number in order]
        data = make_rollouts(groups, pad, run.accelerator.device, run.siblings)
        prompts = number_prompts(data.outcome_rewards, K)
        seen, known = (torch.zeros_like(data.response_mask, dtype=torch.float32) for _ in range(2))
        common = dict(beta=train_prime.BETA, temperature=train_prime.TEMPERATURE)
        common["micro_batch_tokens"] = train_prime.MICRO_BATCH_TOKENS
        loss = "pairs" if self.settings["loss"] == "pairs" else "ce"
        for rows in split_rows(len(seen), K, train_prime.PRM_OPTIMIZER_STEPS):
            args = (run.accelerator, prm, reference, data, rows, prompts)
            own, ref_logprobs = pass_rows(*args, loss=loss, **common)
            seen, known = seen + own, known + ref_logprobs
            take_step(prm)
        places = np.argsort(order)[len(older) :].tolist()  # of the fresh, first the kept
        new = [place * K + number for place in places for number in range(K)]
        kept = (new[: len(rollouts.outcome_rewards)], slice(rollouts.response_mask.shape[1]))
        columns = (values[new] for values in (seen, data.outcome_rewards, data.response_mask))
        margins = pair_margins(*columns, prompts[new])
        accuracy = pair_accuracy(margins)
        if len(margins):
            age = min(_AGE, self.measured / (self.measured + 1))  # a mean, as long as there are few
            self.accuracy = age * self.accuracy + (1 - age) * accuracy
            self.measured += 1
        metrics = {"prm_accuracy": accuracy, "trust": rules.trust(self.accuracy)}
        if self.settings["use"] in ("value", "raw value", "progress", "none"):
            return seen[kept], seen[kept], metrics
        return self.compare(run, prm.module, rollouts, known[kept]), seen[kept], metrics

    def recall(self, fresh: list[Group]) -> list[Group]:
        """Return prompts of before to learn from again; remember the fresh."""
        older = [group for groups in self.past for group in groups]
        self.past.append(fresh)  # nothing stays where only fresh ones are learned from
        return older

    def compare(self, run, module, rollouts: Rollouts, ref: Tensor | None = None) -> Tensor:
        """Return beta times the log-ratio of a model to the reference (B, T).

        Args:
            ref: (B, T) the reference's log-probabilities, if they are known.
        """
        if ref is None:
            ref = self.compute(run, run.roles.reference, rollouts)
        own = self.compute(run, module, rollouts)
        return implicit_process_rewards(own, ref, rollouts.response_mask, train_prime.BETA)

    def compute(self, run, module, rollouts: Rollouts) -> Tensor:
        terms = (train_prime.TEMPERATURE, train_prime.MICRO_BATCH_TOKENS)
        return compute_logprobs(run.accelerator, module, rollouts, *terms)

    def find_advantages(self, rollouts: Rollouts, rewards: Tensor, steps) -> Tensor:
        """Return the advantages (B, T) that the rule makes of the process rewards."""
        c, use, mask = train_prime, self.settings["use"], rollouts.response_mask
        K, outcomes = c.SAMPLES_PER_PROMPT, rollouts.outcome_rewards
        coefficient = c.PROCESS_COEF * (rules.trust(self.accuracy) if self.settings["trust"] else 1)
        if not self.settings["source"] or use == "none":
            use, rewards, coefficient = "reward", torch.zeros_like(rewards), 0.0
        scale = c.PROCESS_SCALE
        if use == "raw value":
            values = rules.running_logits(rewards, mask)[:, :-1]
            own = gae(outcomes, values, mask, 1.0, self.settings["lambda"])
            return whitened(own, mask) if c.WHITEN else own
        if use in ("value", "progress"):
            values = rules.calibrated_values(rules.running_logits(rewards, mask), outcomes, mask, K)
            if use == "value":
                own = gae(outcomes, values[:, :-1], mask, 1.0, self.settings["lambda"])
                return whitened(own, mask) if c.WHITEN else own
            rewards, scale = rules.progress(values, mask), "none"
        if use in ("reward", "progress"):
            settings = dict(gamma=c.GAMMA, outcome_coef=c.OUTCOME_COEF, process_coef=coefficient)
            settings |= dict(whiten=c.WHITEN, process_scale=scale)
            return prime_advantages(outcomes, rewards, mask, K, **settings)
        if use == "min":
            own = rules.least_to_come(rewards, mask, K, steps)
            own = own / own.abs().max().clamp(min=1e-4)
        elif use == "step":
            own = rules.step_advantages(rewards, mask, K, steps)
        elif use == "spread":
            own = rules.spread_over_steps(rules.sum_steps(rewards, steps), steps, rewards)
        elif use == "masked":
            own = rules.masked_step_advantages(rewards, mask, K)
        outcome = rloo(outcomes[:, None], torch.ones_like(outcomes[:, None]), K) * mask
        advantages = c.OUTCOME_COEF * outcome + coefficient * own
        return whitened(advantages, mask) if c.WHITEN else advantages


def list_used(collected: Collected) -> list[Group]:
    """Return the prompts that are kept, and those that the filter has dropped for good: of these no
    more than fill _USED batches.

    Those that wait in the surplus are learned from when they are trained on: nothing may know their
    labels before.
    """
    other = {id(group) for group in (*collected.kept, *collected.surplus)}
    used = [*collected.kept, *(group for group in collected.sampled if id(group) not in other)]
    return used[: _USED * train_prime.PROMPTS_PER_ITERATION]


if __name__ == "__main__":
    settings, task, *constants = sys.argv[1:]
    rule = Credit(json.loads(settings), task)
    if rule.settings["loss"] == "prefix":
        terms = dict(scale=rule.settings["scale"], margin=rule.settings["margin"])
        training.prm_pass.prm_loss = partial(rules.prefix_loss, **terms)
    train_prime.learn = rule.learn
    train_prime.main(constants)
