"""Rollouts: generate K responses to each prompt, verify them, filter the prompts.

These are lines 3 to 6 of Algorithm 1 of the PRIME paper (arXiv 2502.01456).

Shapes: B rows = prompts x K responses, the K rows of a prompt contiguous; T response tokens.
"""

import json
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace

import torch
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from generation.ending import count_token_ids, find_pad_token_id, is_truncated
from generation.generate import generate_responses
from generation.groups import MIN_KEPT_FRACTION, Collected, Group
from generation.seeds import draw_uniforms
from generation.siblings import takes_siblings
from models.batches import Rollouts, cut_by_tokens, pad_rows, send
from verifiers import STATUSES, Verdict, Verifier

_TOLERANCE = 1e-6  # of the filter's bounds: 4 of 5 right is 0.8 despite rounding


def is_kept(group: Group, accuracy_low: float, accuracy_high: float) -> bool:
    """Return whether the prompt filter (line 6) keeps a group; both bounds are inclusive."""
    return accuracy_low - _TOLERANCE <= group.accuracy <= accuracy_high + _TOLERANCE


def collect_rollouts(
    take_prompts: Callable[[int], list[dict]],
    sample_groups: Callable[[list[dict]], list[Group]],
    surplus: list[Group],
    *,
    prompts_wanted: int,
    accuracy_low: float,
    accuracy_high: float,
    max_rounds: int,
    kept_fraction: float,
    max_surplus_age: int,
    drops_truncated: bool = False,
) -> Collected:
    """Repeat lines 3 to 6 until prompts_wanted groups are kept or max_rounds are over.

    A round samples as many prompts as should fill the batch, judged by the share kept so far.
    The paper keeps accuracies in [0.2, 0.8].

    Args:
        take_prompts: returns the next n prompts.
        sample_groups: generates and verifies responses, one group per prompt, in order.
        surplus: kept groups left over from the iteration before.
        kept_fraction: share of groups that the filter kept recently, in [0, 1].
        max_surplus_age: iterations; older groups of the surplus are dropped.
        drops_truncated: a group does not pass if a response of it was cut off.

    Returns:
        at most prompts_wanted kept groups; fewer only if max_rounds ended the search.
    """
    aged = [replace(group, age=group.age + 1) for group in surplus]
    usable = [group for group in aged if group.age <= max_surplus_age]
    passed, sampled, rounds, cut = list(usable), [], 0, 0
    while len(passed) < prompts_wanted and rounds < max_rounds:
        missing = prompts_wanted - len(passed)
        groups = sample_groups(  # lines 4 and 5
            take_prompts(math.ceil(missing / max(kept_fraction, MIN_KEPT_FRACTION)))  # line 3
        )
        sampled += groups
        # Line 6: the online prompt filter.
        within = [group for group in groups if is_kept(group, accuracy_low, accuracy_high)]
        whole = [group for group in within if not (drops_truncated and any(group.truncated))]
        passed += whole
        cut += len(within) - len(whole)
        kept_fraction = (len(passed) - len(usable)) / len(sampled)
        rounds += 1
    return Collected(
        kept=passed[:prompts_wanted],
        surplus=passed[prompts_wanted:],
        sampled=sampled,
        kept_fraction=kept_fraction,
        rounds=rounds,
        expired=len(aged) - len(usable),
        cut=cut,
    )


def sample_groups(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    verifier: Verifier,
    prompts: Sequence[dict],
    seeds: Sequence[int],
    *,
    samples_per_prompt: int,
    rollout_tokens: int,
    max_response_tokens: int,
    temperature: float,
    eos_token_ids: list[int],
    timer: Callable[[str], AbstractContextManager],
    progress: Callable[..., object],
    top_p: float = 1.0,  # as in generate_responses
) -> list[Group]:
    """Generate K responses to each prompt (line 4), greedily at temperature 0; verify (line 5).

    A finished response goes to the verifier at once, while others are still being generated.

    Args:
        prompts: dicts of the first fields of a Group, with question and extra_info if known.
        seeds: one per prompt. It fixes the random numbers, if the model takes siblings in one row.
        rollout_tokens: prompt and response tokens in memory at the same time, at most.
        timer: adds up "seconds_generate", and "seconds_verify" from the last token on.
        progress: tqdm or the like, called with total, desc and unit.
    """
    K, T = samples_per_prompt, max_response_tokens
    count = K * len(prompts)
    response_ids, logprobs = ([[] for _ in range(count)] for _ in range(2))
    submitted = _Submitted(verifier, tokenizer, prompts, K)
    with timer("seconds_generate"), progress(total=count, desc="generate", unit="response") as bar:
        for batch in _make_batches(model, prompts, K, T, rollout_tokens):
            rows = [K * prompt + sample for prompt in batch for sample in range(K)]

            def submit(place: int, ids: list[int], rows: list[int] = rows) -> None:
                bar.update(submitted.add(rows[place], ids))

            responses, own_logprobs = generate_responses(  # line 4: y ~ pi_theta(. | x)
                model,
                [prompts[prompt]["prompt_ids"] for prompt in batch],
                samples_per_prompt=K,
                max_response_tokens=T,
                temperature=temperature,
                eos_token_ids=eos_token_ids,
                pad_token_id=find_pad_token_id(tokenizer),
                top_p=top_p,
                vocabulary=count_token_ids(tokenizer),
                token_budget=rollout_tokens,
                uniforms=draw_uniforms([seeds[prompt] for prompt in batch], K, T),
                on_response=submit,
            )
            for place, ids in enumerate(responses):
                response_ids[rows[place]] = ids
                submit(place, ids)
                if own_logprobs is not None:
                    logprobs[rows[place]] = own_logprobs[place]
    with timer("seconds_verify"), progress(total=count, desc="verify", unit="response") as bar:
        texts, verdicts = submitted.collect(bar.update)  # line 5: r_o
    return _make_groups(prompts, response_ids, logprobs, texts, verdicts, eos_token_ids)


def _make_batches(
    model: PreTrainedModel, prompts: Sequence[dict], K: int, T: int, rollout_tokens: int
) -> list[list[int]]:
    """Return the prompts, the longest first, in batches that are generated one after the other.

    If the model takes siblings, that is one batch, in which prompts wait for room.
    """
    lengths = [len(prompt["prompt_ids"]) for prompt in prompts]
    generated = [K * T] * len(lengths)
    if takes_siblings(model, max(lengths, default=0) + T):
        return cut_by_tokens(range(len(lengths)), lengths, generated, sys.maxsize)
    repeated = [K * length for length in lengths]  # each response has a prompt of its own
    return cut_by_tokens(range(len(lengths)), repeated, generated, rollout_tokens)


class _Submitted:
    """The responses handed to the verifier: each once, in the order in which they end."""

    def __init__(
        self,
        verifier: Verifier,
        tokenizer: PreTrainedTokenizerBase,
        prompts: Sequence[dict],
        samples_per_prompt: int,
    ):
        self.verifier = verifier
        self.tokenizer = tokenizer
        self.prompts = prompts
        self.samples_per_prompt = samples_per_prompt
        self.texts: dict[int, str] = {}  # by row, in the order of submission and so of the verdicts

    def add(self, row: int, ids: list[int]) -> bool:
        """Submit the response of a row. Return whether that is new."""
        if row in self.texts:
            return False
        self.texts[row] = self.tokenizer.decode(ids, skip_special_tokens=True)
        prompt = self.prompts[row // self.samples_per_prompt]
        question = prompt.get("question")
        extra_info = json.loads(prompt.get("extra_info") or "null")
        own_row = dict(prompt=question, data_source=prompt["data_source"], extra_info=extra_info)
        self.verifier.submit(
            [self.texts[row]],
            [prompt["ground_truth"]],
            [prompt["ability"]],
            questions=[question],
            rows=[own_row],
        )
        return True

    def collect(self, on_verdicts: Callable[[int], object]) -> tuple[list[str], list[Verdict]]:
        """Return texts and verdicts in the order of the rows."""
        by_row = dict(zip(self.texts, self.verifier.collect(on_verdicts), strict=True))
        rows = range(len(self.texts))
        return [self.texts[row] for row in rows], [by_row[row] for row in rows]


def make_rollouts(
    groups: Sequence[Group],
    pad_token_id: int,
    device: torch.device,
    siblings: int = 1,
    masks_truncated: bool = False,
) -> Rollouts:
    """Return groups as tensors, one row per response.

    Args:
        siblings: 1 or K.
        masks_truncated: no loss counts a response that was cut off.
    """
    prompts = [group.prompt_ids for group in groups for _ in group.response_ids]  # B lists
    responses = [ids for group in groups for ids in group.response_ids]  # B lists
    outcome_rewards = [reward for group in groups for reward in group.outcome_rewards]
    rollouts = pad_rows(prompts, responses, outcome_rewards, pad_token_id, device)
    drawn = [logprobs for group in groups for logprobs in group.sampling_logprobs]  # B lists
    padded = [own + [0.0] * (rollouts.response_length - len(own)) for own in drawn]
    sampling_logprobs = send(padded, device, torch.float32)  # (B, T)
    loss_mask = rollouts.response_mask  # (B, T)
    if masks_truncated:
        is_cut = send([cut for group in groups for cut in group.truncated], device)  # (B,)
        loss_mask = loss_mask.masked_fill(is_cut.unsqueeze(-1), 0)
    return replace(
        rollouts, siblings=siblings, sampling_logprobs=sampling_logprobs, loss_mask=loss_mask
    )


def send_shaped_rewards(groups: Sequence[Group], device: torch.device) -> Tensor:
    """Return what the policy is to reach, (B,): sums weighted by VERIFIERS, else r_o."""
    rewards = [r for group in groups for r in group.shaped_rewards or group.outcome_rewards]
    return send(rewards, device, torch.float32)


def _make_groups(
    prompts: Sequence[dict],
    response_ids: list[list[int]],
    logprobs: list[list[float]],
    texts: list[str],
    verdicts: list[Verdict],
    eos_token_ids: list[int],
) -> list[Group]:
    """Return one group per prompt; the lists hold K entries per prompt, in order.

    Args:
        logprobs: of each token as it was drawn; empty lists if it was the likeliest.
    """
    samples_per_prompt = len(texts) // max(1, len(prompts))
    groups = []
    for number, prompt in enumerate(prompts):
        mine = slice(number * samples_per_prompt, (number + 1) * samples_per_prompt)
        parts = [verdict.parts for verdict in verdicts[mine] if verdict.parts]
        shaped_rewards = [verdict.shaped_reward for verdict in verdicts[mine]]
        group = Group(
            **prompt,
            response_ids=response_ids[mine],
            responses=texts[mine],
            outcome_rewards=[verdict.reward for verdict in verdicts[mine]],
            statuses=[verdict.status for verdict in verdicts[mine]],
            truncated=[is_truncated(ids, eos_token_ids) for ids in response_ids[mine]],
            sampling_logprobs=logprobs[mine] if any(logprobs) else None,
            shaped_rewards=shaped_rewards if parts else None,
            parts=parts or None,
        )
        groups.append(group)
    return groups


def compute_metrics(
    collected: Collected, functions: Sequence[str] = (), masks_truncated: bool = False
) -> dict:
    """Return the metrics of an iteration's sampling, over all sampled responses.

    Args:
        functions: names of those that VERIFIERS weighs; each gets the metric of its mean reward.
        masks_truncated: no loss counts a response that was cut off, so they are counted here.
    """
    lengths = [len(ids) for group in collected.sampled for ids in group.response_ids]
    truncated = [cut for group in collected.sampled for cut in group.truncated]
    statuses = Counter(status for group in collected.sampled for status in group.statuses)
    parts = [own for group in collected.sampled for own in group.parts or ()]
    masked = sum(sum(group.truncated) for group in collected.kept) if masks_truncated else 0
    for own in parts:  # the first is the outcome
        statuses.update(s for _, s in list(own.values())[1:] if s in ("timeout", "error"))
    return {
        "train_accuracy": _mean([group.accuracy for group in collected.sampled]),
        "kept_fraction": collected.kept_fraction,
        "prompts": len(collected.kept),
        "prompts_sampled": len(collected.sampled),
        "prompts_surplus": len(collected.surplus),
        "prompts_expired": collected.expired,
        "prompts_truncated": collected.cut,
        "responses_masked": masked,
        "rollout_rounds": collected.rounds,
        "response_tokens": _mean(lengths),
        "truncated_fraction": _mean(truncated),
        **{f"verdicts_{status}": statuses[status] for status in STATUSES},
        **{f"reward_{name}": _mean([o[name][0] for o in parts if name in o]) for name in functions},
    }


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
