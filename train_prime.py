"""PRIME (arXiv 2502.01456): `accelerate launch train_prime.py`, constants below.

train() is the paper's Algorithm 1. learn(), update_prm() and update_policy() are its lines 7 to 11.

The rollouts of an iteration are small next to the models, so every process holds all of them. Each
process computes a part: prompts to generate, responses to verify, rows to forward and backward.
Filter, baselines, whitening and token counts are over the global batch.
"""

import itertools
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import checks.openmp  # noqa: F401  # isort: skip  (before torch)
import torch
from accelerate.utils import set_seed
from torch import Tensor

import rollout
from advantage import largest_return, prime_advantages, prm_values
from checks.allowed_values import check_training_constants
from checks.constants import follow_precision, read_constants
from generation.ending import find_pad_token_id
from generation.groups import Collected, Group
from generation.seeds import derive_seed
from models import estimate
from models.batches import Rollouts
from policy import importance_weights, ppo_loss, reference_kl
from prm import implicit_process_rewards, number_prompts, pair_accuracy
from reporting.run_log import PhaseTimer
from training import checkpoint, processes
from training.micro_batches import split_rows
from training.optimizer_steps import compute_logprobs, describe_norms, micro_batches, take_step
from training.prm_pass import judge_rows, pass_rows
from training.start import Run, start_run
from training.value_update import update_value

# Model
MODEL = "embedded/arithmetic-sft"  # folder or hub id that policy, PRM and reference start from
PRM_MODEL = None  # another model that the PRM starts from (same tokenizer); None: MODEL
MIXED_PRECISION = "no"  # "no", "bf16": compute; trained weights are float32
GRADIENT_CHECKPOINTING = False  # recompute activations in backward: less memory, more time
SHARD = False  # True: each process holds a part of every model but what generates (FSDP2)
LORA_RANK = 0  # r; above 0: all roles share one frozen model and train adapters of it
LORA_ALPHA = 32.0  # alpha; an adapter's output is multiplied by alpha / r
LORA_MERGE = False  # True: whole models are written too, adapters merged into the model
OFFLOAD_MODELS = False  # True: a model waits in host memory while a phase does not need it
OFFLOAD_OPTIMIZERS = False  # True: optimizer states wait in host memory too

# Data
TRAIN_DATA = "arithmetic"  # hub id, parquet / json / jsonl file, folder, or "arithmetic"
TRAIN_SPLIT = "train"  # split of TRAIN_DATA, where it has several
EVAL_DATA = "arithmetic"  # held-out prompts, same forms; None: no evaluation
EVAL_SPLIT = "test"  # split of EVAL_DATA, where it has several
EVAL_PROMPTS = 256  # number of prompts evaluated, the first ones
VERIFIERS = {}  # own rewards: ability -> "file.py:function", or pairs with weights, outcome first
TEMPLATES = {}  # own templates: ability -> text with {question}; an own ability: the question alone
ABILITIES = None  # keep rows of these abilities, such as ("math",); None: all
SYSTEM_PROMPT = None  # text, a name in data.SYSTEM_PROMPTS ("eurus"), or None
MAX_PROMPT_TOKENS = 128  # longer prompts are dropped and counted

# Rollouts
PROMPTS_PER_ITERATION = 64  # number of prompts that pass the filter
SAMPLES_PER_PROMPT = 4  # K, responses to each prompt
MAX_RESPONSE_TOKENS = 96  # T, longer responses are cut off
TRUNCATED = "keep"  # those: "keep", "mask" (no loss counts them), "filter" (their prompts fail)
TEMPERATURE = 1.0  # of sampling, and of the log-probabilities trained on
ACCURACY_LOW = 0.2  # prompt filter: least mean outcome reward, inclusive
ACCURACY_HIGH = 0.8  # prompt filter: largest mean outcome reward, inclusive
MAX_ROLLOUT_ROUNDS = 8  # of sampling in an iteration; then it trains on the prompts it has
MAX_SURPLUS_AGE = 4  # iterations that a prompt which passed may wait for room in the batch
MAX_EMPTY_ITERATIONS = 3  # the run stops after so many in a row without a prompt that passes
ROLLOUT_TOKENS = 131072  # at most, of prompts and responses that a process generates at once
ROLLOUT_DTYPE = None  # "float32", "bfloat16" (by a copy of the policy); None: as MIXED_PRECISION
VERIFIER_WORKERS = None  # processes that verify; None: the cores of this process
VERIFIER_TIMEOUT = 5.0  # seconds per response
STRICT_FORM = True  # an answer that copies the question's formula, or leaves work to do, gets 0
CODE_ALL_OR_NOTHING = False  # True: a program that fails one of its tests gets 0, not a fraction
ALLOW_UNSANDBOXED_CODE = False  # True: run generated programs even where there is no sandbox

# Process reward model (PRM)
BETA = 0.05  # beta of Eq. 3, weight of the log-ratio
PRM_UPDATE = "after"  # or "before" its rewards are computed (a pass more), "none": frozen
PRM_LOSS = "ce"  # "ce" (line 8), "pairs" (DPO on the right-wrong pairs of a prompt)
PRM_REFERENCE = "sft"  # log-ratio to "sft" (MODEL), "prm" (the PRM's start), "policy" (current)
PRM_LR = 1e-3  # learning rate of AdamW, constant after the warm-up
PRM_WARMUP_STEPS = 5  # optimizer steps
PRM_GRADIENT_CLIP = 10.0  # largest gradient norm
PRM_OPTIMIZER_STEPS = 4  # per iteration, each on its share of the prompts

# Advantages
OUTCOME_COEF = 1.0  # weight of the outcome returns
PROCESS_COEF = 1.0  # weight of the process returns; 0: outcome alone, no PRM unless VALUE = "prm"
PROCESS_SCALE = "batch"  # "none", "batch" (divide by the batch's largest absolute return-to-go)
GAMMA = 1.0  # gamma of Eq. 5, discount of process rewards per token; "gae": of the outcome too
ADVANTAGE_ESTIMATOR = "rloo"  # "rloo" (Eq. 5), "grpo" (Eq. 7), "reinforce" (Eq. 8), "gae" (VALUE)
GAE_LAMBDA = 1.0  # lambda of "gae"; 1: the outcome less the value
WHITEN = False  # True: advantages get mean 0, deviation 1 over the batch's response tokens

# Value of a prefix, for "gae"
VALUE = None  # "head" (a third model with a linear head), "prm" (running sum of its rewards)
VALUE_LR = 1e-3  # learning rate of AdamW, constant after the warm-up
VALUE_WARMUP_STEPS = 5  # optimizer steps
VALUE_WARMUP_ITERATIONS = 0  # the first ones, in which only the value model trains
VALUE_GRADIENT_CLIP = 1.0  # largest gradient norm
VALUE_OPTIMIZER_STEPS = 1  # per iteration, each on its share of the prompts
VALUE_CLIP_RANGE = 0.5  # PPO's clip of values: around the old one, in an iteration

# Policy
CLIP_RANGE = 0.2  # epsilon of Eq. 6
CLIP_RANGE_HIGH = None  # epsilon above 1, for "clip-higher"; None: as CLIP_RANGE
KL_COEF = 0.0  # weight of the KL divergence from MODEL in the loss; 0: no reference for it
IMPORTANCE_CAP = 2.0  # largest weight of a token that another policy sampled; None: all are 1
IMPORTANCE_LEVEL = "token"  # weight by the ratio of "token", "sequence" (of its whole response)
POLICY_LR = 1e-4  # learning rate of AdamW after the warm-up
POLICY_WARMUP_STEPS = 5  # optimizer steps
POLICY_SCHEDULE = "constant"  # after the warm-up, or "cosine": falls to 0 at NUM_ITERATIONS
POLICY_GRADIENT_CLIP = 1.0  # largest gradient norm
OPTIMIZER_STEPS = 1  # per iteration, each on its share of the prompts
WEIGHT_DECAY = 0.0  # AdamW, all trained models
MICRO_BATCH_TOKENS = 4096  # of a process's forward pass; changes memory, not results

# Run
RUN_NAME = "arithmetic"  # folder under OUTPUT_DIR
OUTPUT_DIR = "runs"
NUM_ITERATIONS = 80  # N, of the whole run
SEED = 0  # of prompts, responses, adapters and the value model's head
EVAL_EVERY = 10  # iterations between evaluations and between reports; both also at the end
SAVE_EVERY = 10  # iterations between checkpoints; also after the last
KEEP_BEST = False  # True: the policy of the highest held-out accuracy is kept in best_policy/
SAVE_ON_INTERRUPT = True  # Ctrl-C ends the iteration, saves, stops; a second one stops at once
PUSH_TO = None  # "user/name": policy and PRM (user/name-prm) go to the hub, at the end at least
LOG_SAMPLES = 0  # responses of each iteration shown on the terminal, coloured by token reward
RESUME = True  # go on from the run's checkpoint, if there is one
LOG_WITH = None  # None, "tensorboard", "wandb", "trackio"
CPU_THREADS = None  # torch threads per process without GPU; None: cores divided by processes
DETERMINISTIC = False  # True: a GPU repeats itself exactly, as far as torch can make it; slower


def main(arguments: Sequence[str] = ()) -> None:
    request, overrides = estimate.take_request(arguments)
    constants = follow_precision(read_constants(globals(), overrides))
    check_training_constants(constants)
    if request:
        print(estimate.describe(constants, request))
        return
    with start_run(constants) as (run, first):  # line 1
        train(run, first)


def train(run: Run, first: int) -> None:
    """Run Algorithm 1 of the paper from iteration `first` on; numbers in comments are its lines.

    Its line 1, policy, PRM and reference from one SFT model, is in training.start.start_run.
    """
    for iteration in range(first, NUM_ITERATIONS):  # line 2
        timer = PhaseTimer()
        with timer("seconds"):
            eval_accuracy = evaluate(run, timer) if iteration % EVAL_EVERY == 0 else None
            # 3 sample prompts, 4 generate K responses to each, 5 verify them, 6 filter the prompts
            collected = collect(run, timer, iteration)
            # 7 process rewards (Eq. 3), 8 PRM update, 9 advantages (Eq. 5), 10, 11 policy (Eq. 6)
            learned = learn(run, timer, iteration, collected)
        evaluate_after = partial(evaluate, run, timer)
        run.bookkeeper.conclude(iteration, timer, collected, learned, eval_accuracy, evaluate_after)


def collect(run: Run, timer: PhaseTimer, iteration: int) -> Collected:
    """Sample prompts (line 3), K responses each (4), verify (5), filter (6), until enough pass."""
    set_seed(derive_seed(SEED, iteration, run.accelerator.process_index))
    seeds = map(partial(derive_seed, SEED, iteration), itertools.count())  # one a prompt
    return rollout.collect_rollouts(
        run.stream.take,
        partial(sample_groups, run, timer, SAMPLES_PER_PROMPT, TEMPERATURE, seeds),
        run.bookkeeper.surplus,
        prompts_wanted=PROMPTS_PER_ITERATION,
        accuracy_low=ACCURACY_LOW,
        accuracy_high=ACCURACY_HIGH,
        max_rounds=MAX_ROLLOUT_ROUNDS,
        kept_fraction=run.bookkeeper.kept_fraction,
        max_surplus_age=MAX_SURPLUS_AGE,
        drops_truncated=TRUNCATED == "filter",
    )


def learn(run: Run, timer: PhaseTimer, iteration: int, collected: Collected) -> dict:
    """Update PRM, value model and policy on the kept prompts (lines 7 to 11); return metrics."""
    if not collected.kept:
        run.log.write_rollouts(iteration, collected, run.tokenizer)
        return {}
    policy, prm, on_device = run.roles.policy, run.roles.prm, run.roles.on_device
    pad, device = find_pad_token_id(run.tokenizer), run.accelerator.device
    masks = TRUNCATED == "mask"
    rollouts = rollout.make_rollouts(collected.kept, pad, device, run.siblings, masks)
    trains_all = not run.roles.value or iteration >= VALUE_WARMUP_ITERATIONS
    old_logprobs = None  # (B, T) of pi_old; None where the update's only pass computes them too
    if trains_all and (OPTIMIZER_STEPS > 1 or (prm and PRM_REFERENCE == "policy")):
        with timer("seconds_policy"), on_device(policy.module):
            old_logprobs = compute_logprobs(
                run.accelerator, policy.module, rollouts, TEMPERATURE, MICRO_BATCH_TOKENS
            )
    process_rewards = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
    ref_logprobs, prm_metrics, policy_metrics = None, {}, {}
    if prm and trains_all:
        with timer("seconds_prm"), on_device(prm.module, run.roles.reference, prm.optimizer):
            process_rewards, ref_logprobs, prm_metrics = update_prm(  # lines 7, 8
                run, rollouts, old_logprobs
            )
    if trains_all and (kl_reference := run.roles.kl_reference):
        with timer("seconds_policy"), on_device(kl_reference):
            ref_logprobs = compute_logprobs(
                run.accelerator, kl_reference, rollouts, TEMPERATURE, MICRO_BATCH_TOKENS
            )
    # The policy learns from the weighted rewards of VERIFIERS, if several judge; the PRM from r_o.
    shaped_rewards = rollout.send_shaped_rewards(collected.kept, device)
    for_policy = replace(rollouts, outcome_rewards=shaped_rewards)
    values, value_metrics = find_values(run, timer, for_policy, process_rewards)
    advantages = prime_advantages(  # line 9: Eq. 5
        shaped_rewards,
        process_rewards,
        rollouts.response_mask,
        SAMPLES_PER_PROMPT,
        gamma=GAMMA,
        outcome_coef=OUTCOME_COEF,
        process_coef=PROCESS_COEF,
        whiten=WHITEN,
        process_scale=PROCESS_SCALE,
        estimator=ADVANTAGE_ESTIMATOR,
        values=values,
        gae_lambda=GAE_LAMBDA,
    )  # (B, T)
    if trains_all:
        with timer("seconds_policy"), on_device(policy.module, policy.optimizer):
            policy_metrics = update_policy(  # line 10: Eq. 6
                run, rollouts, advantages, old_logprobs, ref_logprobs
            )
            run.roles.refresh_rollout_model()  # line 11
    run.log.write_rollouts(iteration, collected, run.tokenizer, process_rewards, advantages)
    run.log.print_samples(collected, run.tokenizer, process_rewards, LOG_SAMPLES)
    return {**prm_metrics, **value_metrics, **policy_metrics}


def update_prm(
    run: Run, rollouts: Rollouts, old_logprobs: Tensor | None
) -> tuple[Tensor, Tensor, dict]:
    """Compute process rewards (line 7, Eq. 3) and train the PRM on the outcomes (line 8).

    Return the rewards and the log-probabilities of their reference, (B, T) each, and metrics.
    Single-forward ("after"): a row's rewards come from the forward pass of its own PRM step.
    Double-forward ("before"): they are computed again after all steps; accuracy and loss are not.
    """
    prm, reference = run.roles.prm, run.roles.reference
    outcomes, mask = rollouts.outcome_rewards, rollouts.response_mask
    prompts = number_prompts(outcomes, SAMPLES_PER_PROMPT)  # (B,)
    trains = PRM_UPDATE != "none"
    pass_rewards = torch.zeros_like(mask, dtype=torch.float32)  # (B, T)
    ref_logprobs = torch.zeros_like(pass_rewards)
    gradient_norms = []
    for rows in split_rows(len(outcomes), SAMPLES_PER_PROMPT, PRM_OPTIMIZER_STEPS):
        own_rewards, own_ref_logprobs = pass_rows(
            run.accelerator,
            prm,
            reference or old_logprobs,
            rollouts,
            rows,
            prompts,
            loss=PRM_LOSS if trains else None,
            beta=BETA,
            temperature=TEMPERATURE,
            micro_batch_tokens=MICRO_BATCH_TOKENS,
        )
        pass_rewards += own_rewards
        ref_logprobs += own_ref_logprobs
        if trains:
            gradient_norms.append(take_step(prm))
    pass_rewards = run.accelerator.reduce(pass_rewards)
    ref_logprobs = run.accelerator.reduce(ref_logprobs)
    process_rewards = pass_rewards
    if PRM_UPDATE == "before":
        logprobs = compute_logprobs(
            run.accelerator, prm.module, rollouts, TEMPERATURE, MICRO_BATCH_TOKENS
        )
        process_rewards = implicit_process_rewards(logprobs, ref_logprobs, mask, BETA)
    margins, loss = judge_rows(pass_rewards, rollouts, prompts, PRM_LOSS)
    metrics = {
        "prm_accuracy": pair_accuracy(margins),
        "prm_loss": loss,
        **describe_norms(prm, gradient_norms),
        "process_reward_mean": process_rewards.sum().item() / mask.sum().item(),
        "process_return_largest": largest_return(process_rewards, mask, GAMMA).item(),
    }
    return process_rewards, ref_logprobs, metrics


def find_values(
    run: Run, timer: PhaseTimer, rollouts: Rollouts, process_rewards: Tensor
) -> tuple[Tensor | None, dict]:
    """Return V(y_<t) (B, T), None without VALUE, and the metrics of the value model's update."""
    value = run.roles.value
    if not value:
        return (prm_values(process_rewards) if VALUE == "prm" else None), {}
    with timer("seconds_value"), run.roles.on_device(value.module, value.optimizer):
        return update_value(
            run.accelerator,
            value,
            rollouts,
            samples_per_prompt=SAMPLES_PER_PROMPT,
            optimizer_steps=VALUE_OPTIMIZER_STEPS,
            micro_batch_tokens=MICRO_BATCH_TOKENS,
            gamma=GAMMA,
            gae_lambda=GAE_LAMBDA,
            clip_range=VALUE_CLIP_RANGE,
        )


def update_policy(
    run: Run,
    rollouts: Rollouts,
    advantages: Tensor,
    old_logprobs: Tensor | None,
    ref_logprobs: Tensor | None,
) -> dict:
    """Take OPTIMIZER_STEPS steps on PPO's clipped loss (line 10, Eq. 6); return its metrics."""
    policy = run.roles.policy
    sums: dict[str, Tensor | float] = defaultdict(float)
    gradient_norms = []
    steps = split_rows(len(advantages), SAMPLES_PER_PROMPT, OPTIMIZER_STEPS)
    for rows in steps:
        token_count = rollouts.loss_mask[rows].sum().clamp(min=1)
        for micro_rows, micro, _, synchronise in micro_batches(
            run.accelerator, policy, rollouts, rows, MICRO_BATCH_TOKENS
        ):
            index = (micro_rows, slice(micro.response_length))
            with synchronise:
                logprobs, entropy = policy.module(*micro.model_inputs(), TEMPERATURE, True)
                old = logprobs.detach() if old_logprobs is None else old_logprobs[index]
                mask, sampled = micro.loss_mask, micro.sampling_logprobs
                weights, metrics = importance_weights(
                    old, sampled, mask, IMPORTANCE_CAP, IMPORTANCE_LEVEL, token_count
                )
                given = (token_count, weights, CLIP_RANGE_HIGH)
                loss, own = ppo_loss(logprobs, old, advantages[index], mask, CLIP_RANGE, *given)
                metrics |= own
                if KL_COEF:
                    kl = reference_kl(logprobs, ref_logprobs[index], mask, token_count)
                    loss, metrics["reference_kl"] = loss + KL_COEF * kl, kl.detach()
                # The loss is a sum over processes. Data-parallel training takes gradients' mean.
                processes.backward(run.accelerator, loss * run.accelerator.num_processes)
            metrics["policy_loss"] = loss.detach()
            metrics["entropy"] = (entropy * mask).sum() / token_count
            for name, value in metrics.items():
                sums[name] += value
        gradient_norms.append(take_step(policy))
    means = {n: run.accelerator.reduce(v).item() / len(steps) for n, v in sums.items()}
    return {**means, **describe_norms(policy, gradient_norms)}


def sample_groups(
    run: Run,
    timer: PhaseTimer,
    samples_per_prompt: int,
    temperature: float,
    seeds: Iterator[int],
    prompts: list[dict],
) -> list[Group]:
    checkpoint.activate(run.accelerator, run.roles.policy.module)
    with run.roles.on_device(run.roles.rollout_model):
        return processes.sample_groups(
            run.accelerator,
            run.roles.rollout_model,
            run.tokenizer,
            run.verifier,
            prompts,
            list(itertools.islice(seeds, len(prompts))),
            samples_per_prompt=samples_per_prompt,
            rollout_tokens=ROLLOUT_TOKENS,
            max_response_tokens=MAX_RESPONSE_TOKENS,
            temperature=temperature,
            eos_token_ids=run.eos_token_ids,
            timer=timer,
        )


def evaluate(run: Run, timer: PhaseTimer) -> float | None:
    """Return the mean outcome reward of greedy responses to the held-out prompts."""
    if not run.eval_prompts:
        return None
    with timer("seconds_evaluate"):
        groups = sample_groups(run, PhaseTimer(), 1, 0.0, itertools.count(), run.eval_prompts)
    accuracy = sum(group.accuracy for group in groups) / len(groups)
    run.bookkeeper.saver.keep_best(accuracy)
    return accuracy


if __name__ == "__main__":
    main(sys.argv[1:])
