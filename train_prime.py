"""PRIME (arXiv 2502.01456) on one machine: `accelerate launch train_prime.py`, constants below.

main() is the set-up and the paper's Algorithm 1, top to bottom. The rollouts of an iteration are
small next to the models, so every process holds all of them; what is shared out is the computing:
prompts to generate, responses to verify, rows to forward and backward. Everything decided on the
batch (filter, baselines, whitening, token counts) is therefore decided on the whole of it.
"""

import itertools
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from datasets import Dataset
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedTokenizerBase

import checkpoint
import data
import evaluation
import generation
import memory_estimate
import micro_batching
import preflight
import roles
import rollout
import run_log
import training
from advantage import largest_return, prime_advantages
from constants import check_training_constants, read_constants
from policy import ppo_loss
from preflight import UserError
from prm import implicit_process_rewards, prm_accuracy, prm_loss
from roles import Roles
from rollout import Collected, Rollouts
from row_stream import RowStream
from run_checks import check_training_run
from run_log import PhaseTimer, RunLog
from training import Trainee
from verifiers import Verifier

# Model
MODEL = "models/arithmetic-sft"  # folder or hub id that policy, PRM and reference start from
PRM_MODEL = None  # another one that the PRM starts from (same tokenizer); None: MODEL
MIXED_PRECISION = "no"  # "no", "bf16": compute; weights are float32
GRADIENT_CHECKPOINTING = False  # recompute activations in backward: less memory, more time
SHARD = False  # True: processes hold a part of every model each (FSDP2), not all of it
LORA_RANK = 0  # r; above 0: one frozen model serves all roles, policy and PRM train adapters of it
LORA_ALPHA = 32.0  # alpha; an adapter counts alpha / r
LORA_MERGE = False  # True: policy/ and prm/ are written too, adapters merged into the model
OFFLOAD_MODELS = False  # True: a model waits in host memory where a phase does not need it
OFFLOAD_OPTIMIZERS = False  # True: and so do optimizer states

# Data
TRAIN_DATA = "arithmetic"  # hub id, parquet / json / jsonl file, folder, or "arithmetic"
TRAIN_SPLIT = "train"  # split of TRAIN_DATA, where it has several
EVAL_DATA = "arithmetic"  # held-out prompts, same forms; None: no evaluation
EVAL_SPLIT = "test"
EVAL_PROMPTS = 256  # prompts evaluated, the first ones
ABILITIES = None  # keep rows of these abilities, such as ("math",); None: all
SYSTEM_PROMPT = None  # text, a name in data.SYSTEM_PROMPTS ("eurus"), or None
MAX_PROMPT_TOKENS = 128  # longer prompts are dropped and counted

# Rollouts
PROMPTS_PER_ITERATION = 64  # prompts that pass the filter
SAMPLES_PER_PROMPT = 4  # K, responses a prompt
MAX_RESPONSE_TOKENS = 96  # T
TEMPERATURE = 1.0  # of sampling, and of the log-probabilities trained on
ACCURACY_LOW = 0.2  # prompt filter: mean outcome reward, inclusive
ACCURACY_HIGH = 0.8
MAX_ROLLOUT_ROUNDS = 8  # of generate, verify, filter an iteration; then it goes on with what it has
MAX_EMPTY_ITERATIONS = 3  # in a row without a prompt that passes; then the run stops
ROLLOUT_TOKENS = 131072  # prompts and responses in a process's memory at once, at most
ROLLOUT_DTYPE = "float32"  # of what generates: "float32": the policy; "bfloat16": a copy of it
# (of a sharded policy either is a copy; with LORA_RANK it is the type of the frozen model)
VERIFIER_WORKERS = None  # processes that verify; None: the cores of this process
VERIFIER_TIMEOUT = 5.0  # seconds a response
CODE_ALL_OR_NOTHING = False  # True: a program that fails one of its tests gets 0, not a fraction
ALLOW_UNSANDBOXED_CODE = False  # True: run generated programs even where there is no sandbox

# Process reward model (PRM)
BETA = 0.05  # weight of the log-ratio
PRM_UPDATE = "after"  # "after" rewards (single-forward), "before" (double-forward), "none" (frozen)
PRM_REFERENCE = "sft"  # log-ratio to "sft" (the start) or "policy" (of this iteration)
PRM_LR = 1e-3
PRM_WARMUP_STEPS = 5  # optimizer steps
PRM_GRADIENT_CLIP = 10.0  # largest gradient norm
PRM_OPTIMIZER_STEPS = 4  # an iteration, each on its share of the prompts

# Advantages
OUTCOME_COEF = 1.0  # weight of the outcome returns
PROCESS_COEF = 1.0  # weight of the process returns; 0: outcome-only RLOO, no PRM, no reference
PROCESS_SCALE = "batch"  # "none", "batch" (divide by the batch's largest absolute return-to-go)
PROCESS_GRANULARITY = "token"  # "token", "response" (one reward a response, their sum)
GAMMA = 1.0  # discount a token
ADVANTAGE_ESTIMATOR = "rloo"  # rewards against: "rloo": the others'; "grpo"; "reinforce"
WHITEN = False  # advantages to mean 0, deviation 1 over the batch's response tokens

# Policy
CLIP_RANGE = 0.2  # epsilon of PPO
POLICY_LR = 1e-4
POLICY_WARMUP_STEPS = 5  # optimizer steps
POLICY_GRADIENT_CLIP = 1.0  # largest gradient norm
OPTIMIZER_STEPS = 1  # an iteration, each on its share of the prompts
WEIGHT_DECAY = 0.0  # AdamW, policy and PRM
MICRO_BATCH_TOKENS = 4096  # a forward pass of one process; changes memory, not results

# Run
RUN_NAME = "arithmetic"  # folder under OUTPUT_DIR
OUTPUT_DIR = "runs"
NUM_ITERATIONS = 80
SEED = 0
EVAL_EVERY = 10  # iterations; also before the first and after the last
SAVE_EVERY = 10  # iterations between checkpoints; also after the last
KEEP_BEST = False  # True: the policy of the highest held-out accuracy is kept in best_policy/
REPORT_EVERY = 10  # iterations between curves.png and report.html; also after the last
LOG_SAMPLES = 0  # responses an iteration shown on the terminal, coloured by token reward, such as 3
RESUME = True  # go on from the run's checkpoint, if there is one
LOG_WITH = None  # None, "tensorboard", "wandb", "trackio"
CPU_THREADS = None  # torch threads a process without GPU; None: the cores divided by the processes

# What may change between a checkpoint and going on from it: none of it changes what is learned.
_FREE_TO_CHANGE = """
    GRADIENT_CHECKPOINTING SHARD LORA_MERGE OFFLOAD_MODELS OFFLOAD_OPTIMIZERS MICRO_BATCH_TOKENS
    ROLLOUT_TOKENS VERIFIER_WORKERS MAX_EMPTY_ITERATIONS ALLOW_UNSANDBOXED_CODE CPU_THREADS
    OUTPUT_DIR RUN_NAME NUM_ITERATIONS EVAL_EVERY SAVE_EVERY KEEP_BEST REPORT_EVERY LOG_SAMPLES
    RESUME LOG_WITH
""".split()


@dataclass(frozen=True)
class Run:
    """What lasts for the whole run."""

    accelerator: Accelerator
    tokenizer: PreTrainedTokenizerBase
    eos_token_ids: list[int]
    stream: RowStream
    eval_prompts: list[dict]
    roles: Roles
    siblings: int  # responses to a prompt computed as one row: K, or 1 where a model cannot
    verifier: Verifier
    log: RunLog


def main(arguments: Sequence[str] = ()) -> None:
    wishes = [argument for argument in arguments if argument.startswith("--estimate")]
    constants = read_constants(globals(), [text for text in arguments if text not in wishes])
    check_training_constants(constants)
    if wishes:
        print(memory_estimate.describe(constants, wishes[0]))
        return
    folder = Path(OUTPUT_DIR) / RUN_NAME
    saved = checkpoint.find_checkpoint(folder / "checkpoint")
    size = check_training_run(constants, folder, saved, _FREE_TO_CHANGE)
    tokenizer = preflight.load_tokenizer(MODEL, "MODEL")
    accelerator = training.make_accelerator(MIXED_PRECISION, LOG_WITH, folder, CPU_THREADS)
    with accelerator.local_main_process_first():
        prompts, dropped = load_prompts(TRAIN_DATA, TRAIN_SPLIT, tokenizer, "TRAIN_DATA")
        eval_prompts = []
        if EVAL_DATA:
            held_out, _ = load_prompts(EVAL_DATA, EVAL_SPLIT, tokenizer, "EVAL_DATA")
            eval_prompts = list(held_out.select(range(min(EVAL_PROMPTS, len(held_out)))))
    verifier = Verifier(
        num_workers=VERIFIER_WORKERS or preflight.count_cores(),
        timeout_seconds=VERIFIER_TIMEOUT,
        all_or_nothing=CODE_ALL_OR_NOTHING,
        allow_unsandboxed_code=ALLOW_UNSANDBOXED_CODE,
    )
    with verifier:
        has_code = "code" in {*prompts["ability"], *(row["ability"] for row in eval_prompts)}
        if has_code:
            preflight.check_sandbox(verifier.sandbox_fault, ALLOW_UNSANDBOXED_CODE)
        memory = memory_estimate.check_run(accelerator, constants)
        lock, saved = training.claim_folder(accelerator, folder, saved)
        models = roles.load_roles(accelerator, constants)
        run = Run(
            accelerator=accelerator,
            tokenizer=tokenizer,
            eos_token_ids=preflight.find_eos_token_ids(MODEL, tokenizer),
            stream=RowStream(prompts, SEED),
            eval_prompts=eval_prompts,
            roles=models,
            siblings=roles.count_siblings(accelerator, constants, models),
            verifier=verifier,
            log=RunLog(folder, accelerator.is_main_process),
        )
        first, carried = resume(run, saved)
        run.log.start(constants, str(accelerator.device), first)
        counts = f"{len(prompts)} prompts of {TRAIN_DATA} ({dropped} too long, dropped), "
        counts += f"{len(eval_prompts)} held out of {EVAL_DATA}"
        run.log.print_summary(constants, accelerator, size, counts, first, memory)
        if has_code:
            run.log.print_sandbox(verifier.sandbox_layers, verifier.sandbox_fault)
        if LOG_WITH:
            accelerator.init_trackers("prime", config={k: str(v) for k, v in constants.items()})
        train(run, first, carried)
        run.log.print_outcome()
    accelerator.end_training()
    if lock:
        lock.close()


def resume(run: Run, saved: Path | None) -> tuple[int, dict]:
    """Return the first iteration and what is handed to it, by the checkpoint if there is one."""
    if not saved:
        return 0, {"surplus": [], "kept_fraction": 1.0, "best_accuracy": -1.0}
    for trainee in run.roles.trainees:
        with on_device(run, trainee.module, trainee.optimizer):
            checkpoint.load_trainee(run.accelerator, saved, trainee)
    refresh_rollout_model(run)
    carried = checkpoint.read_loop_state(saved)
    run.stream.load_state_dict(carried["stream"])
    if LORA_RANK and LORA_MERGE and int(saved.name) >= NUM_ITERATIONS:
        for trainee in run.roles.trainees:  # a run that is complete saves no more
            export(run, trainee, trainee.name.lower())
    return int(saved.name), carried


def train(run: Run, first: int, carried: dict) -> None:
    """Run the iterations from first on; carried is what one iteration hands to the next."""
    started, empty_iterations = time.monotonic(), 0
    for iteration in range(first, NUM_ITERATIONS):
        set_seed(training.derive_seed(SEED, iteration, run.accelerator.process_index))
        timer = PhaseTimer()
        seeds = map(partial(training.derive_seed, SEED, iteration), itertools.count())
        with timer("seconds"):
            eval_accuracy = evaluate(run, timer) if iteration % EVAL_EVERY == 0 else None
            best_accuracy = keep_best(run, eval_accuracy, carried["best_accuracy"])
            collected = rollout.collect_rollouts(
                run.stream.take,
                partial(sample_groups, run, timer, SAMPLES_PER_PROMPT, TEMPERATURE, seeds),
                [rollout.Group(**group) for group in carried["surplus"]],
                prompts_wanted=PROMPTS_PER_ITERATION,
                accuracy_low=ACCURACY_LOW,
                accuracy_high=ACCURACY_HIGH,
                max_rounds=MAX_ROLLOUT_ROUNDS,
                kept_fraction=carried["kept_fraction"],
            )
            update_metrics = learn(run, timer, iteration, collected) if collected.kept else {}
        if not collected.kept:
            write_rollouts(run, iteration, collected, torch.empty(0), torch.empty(0))
        empty_iterations = 0 if collected.kept else empty_iterations + 1
        gives_up = empty_iterations == MAX_EMPTY_ITERATIONS
        is_last = gives_up or iteration + 1 == NUM_ITERATIONS
        accuracy_after = evaluate(run, timer) if is_last else None
        best_accuracy = keep_best(run, accuracy_after, best_accuracy)
        metrics = {
            "iteration": iteration,
            **rollout.compute_metrics(collected),
            **dict.fromkeys(run_log.UPDATE_METRICS),
            **update_metrics,
            "eval_accuracy_before": eval_accuracy if is_last else None,
            "eval_accuracy": accuracy_after if is_last else eval_accuracy,
            **timer.totals,
        }
        run.log.log_metrics(run.accelerator, metrics)
        seconds_each = (time.monotonic() - started) / (iteration + 1 - first)
        run.log.print_row(metrics, seconds_left=seconds_each * (NUM_ITERATIONS - iteration - 1))
        run.log.print_warnings(metrics, PROMPTS_PER_ITERATION)
        carried = {
            "surplus": [asdict(group) for group in collected.surplus],
            "kept_fraction": collected.kept_fraction,
            "stream": run.stream.state_dict(),
            "best_accuracy": best_accuracy,
        }
        if is_last or (iteration + 1) % REPORT_EVERY == 0:
            run.log.write_report(run.tokenizer)
        if is_last or (iteration + 1) % SAVE_EVERY == 0:
            save(run, iteration + 1, carried)
        if gives_up:
            raise UserError(run_log.explain_giving_up(metrics, ACCURACY_LOW, ACCURACY_HIGH))


def learn(run: Run, timer: PhaseTimer, iteration: int, collected: Collected) -> dict:
    """Do what follows the filter, from process rewards to the policy update; return its metrics."""
    pad_token_id = generation.find_pad_token_id(run.tokenizer)
    device = run.accelerator.device
    policy, prm, reference = run.roles.policy, run.roles.prm, run.roles.reference
    rollouts = rollout.make_rollouts(collected.kept, pad_token_id, device, run.siblings)
    old_logprobs = None  # (B, T), or None where the update's first pass gives them
    if OPTIMIZER_STEPS > 1 or (prm and PRM_REFERENCE == "policy"):
        with timer("seconds_policy"), on_device(run, policy.module):
            old_logprobs = compute_logprobs(run, policy.module, rollouts)
    process_rewards = torch.zeros_like(rollouts.response_mask, dtype=torch.float32)  # (B, T)
    prm_metrics = {}
    if prm:
        with timer("seconds_prm"), on_device(run, prm.module, reference, prm.optimizer):
            process_rewards, prm_metrics = update_prm(run, rollouts, old_logprobs)
    advantages = prime_advantages(
        rollouts.outcome_rewards,
        process_rewards,
        rollouts.response_mask,
        SAMPLES_PER_PROMPT,
        gamma=GAMMA,
        outcome_coef=OUTCOME_COEF,
        process_coef=PROCESS_COEF,
        whiten=WHITEN,
        process_scale=PROCESS_SCALE,
        process_granularity=PROCESS_GRANULARITY,
        estimator=ADVANTAGE_ESTIMATOR,
    )  # (B, T)
    with timer("seconds_policy"), on_device(run, policy.module, policy.optimizer):
        policy_metrics = update_policy(run, rollouts, advantages, old_logprobs)
        refresh_rollout_model(run)
    write_rollouts(run, iteration, collected, process_rewards, advantages)
    return {**prm_metrics, **policy_metrics}


def update_prm(run: Run, rollouts: Rollouts, old_logprobs: Tensor | None) -> tuple[Tensor, dict]:
    """Train the PRM on outcome labels; return process rewards (B, T) and metrics.

    Single-forward ("after"): the rewards are those of the training pass, before each row's step.
    Double-forward ("before"): computed anew after all steps; the metrics stay those of before.
    """
    prm, reference = run.roles.prm, run.roles.reference
    outcomes, mask = rollouts.outcome_rewards, rollouts.response_mask
    trains = PRM_UPDATE != "none"
    rewards_before = torch.zeros_like(mask, dtype=torch.float32)  # (B, T)
    ref_logprobs = torch.zeros_like(rewards_before) if reference else old_logprobs
    gradient_norms = []
    for rows in micro_batching.split_rows(len(outcomes), SAMPLES_PER_PROMPT, PRM_OPTIMIZER_STEPS):
        for micro_rows, micro, share, synchronise in micro_batches(run, prm, rollouts, rows):
            cut = (micro_rows, slice(micro.response_length))
            if reference:
                with torch.no_grad(), run.accelerator.autocast():
                    logprobs, _ = reference(*micro.model_inputs(), TEMPERATURE)  # (b, t)
                ref_logprobs[cut] += logprobs * micro.response_mask
            with synchronise, torch.set_grad_enabled(trains):
                logprobs, _ = prm.module(*micro.model_inputs(), TEMPERATURE)  # (b, t)
                rewards = implicit_process_rewards(
                    logprobs, ref_logprobs[cut], micro.response_mask, BETA
                )
                if trains:
                    loss = prm_loss(rewards, micro.outcome_rewards, micro.response_mask)
                    run.accelerator.backward(loss * share)
            rewards_before[cut] += rewards.detach()
        if trains:
            gradient_norms.append(training.take_step(prm))
    rewards_before = run.accelerator.reduce(rewards_before)
    process_rewards = rewards_before
    if PRM_UPDATE == "before":
        if reference:
            ref_logprobs = run.accelerator.reduce(ref_logprobs)
        logprobs = compute_logprobs(run, prm.module, rollouts)
        process_rewards = implicit_process_rewards(logprobs, ref_logprobs, mask, BETA)
    metrics = {
        "prm_accuracy": prm_accuracy(rewards_before, outcomes, mask, SAMPLES_PER_PROMPT),
        "prm_loss": prm_loss(rewards_before, outcomes, mask).item(),
        "prm_gradient_norm": max(gradient_norms, default=0.0),
        "process_reward_mean": process_rewards.sum().item() / mask.sum().item(),
        "process_return_largest": largest_return(process_rewards, mask, GAMMA).item(),
    }
    return process_rewards, metrics


def update_policy(
    run: Run, rollouts: Rollouts, advantages: Tensor, old_logprobs: Tensor | None
) -> dict:
    """Take OPTIMIZER_STEPS steps on PPO's clipped loss; return metrics, means over the batch."""
    policy = run.roles.policy
    sums: dict[str, Tensor | float] = defaultdict(float)
    gradient_norms = []
    steps = micro_batching.split_rows(len(advantages), SAMPLES_PER_PROMPT, OPTIMIZER_STEPS)
    for rows in steps:
        token_count = rollouts.response_mask[rows].sum()
        for micro_rows, micro, _, synchronise in micro_batches(run, policy, rollouts, rows):
            cut = (micro_rows, slice(micro.response_length))
            with synchronise:
                logprobs, entropy = policy.module(*micro.model_inputs(), TEMPERATURE)  # (b, t)
                old = logprobs.detach() if old_logprobs is None else old_logprobs[cut]
                loss, metrics = ppo_loss(
                    logprobs, old, advantages[cut], micro.response_mask, CLIP_RANGE, token_count
                )
                run.accelerator.backward(loss * run.accelerator.num_processes)
            metrics["policy_loss"] = loss.detach()
            metrics["entropy"] = (entropy * micro.response_mask).sum() / token_count
            for name, value in metrics.items():
                sums[name] += value
        gradient_norms.append(training.take_step(policy))
    means = {
        name: run.accelerator.reduce(value).item() / len(steps) for name, value in sums.items()
    }
    return {**means, "policy_gradient_norm": max(gradient_norms)}


def write_rollouts(
    run: Run, iteration: int, collected: Collected, process_rewards: Tensor, advantages: Tensor
) -> None:
    decode = partial(run.tokenizer.decode, skip_special_tokens=False)
    run.log.write_rollouts(iteration, collected, decode, process_rewards, advantages)
    run.log.print_samples(collected, run.tokenizer, process_rewards, LOG_SAMPLES)


def micro_batches(run: Run, trainee: Trainee, rollouts: Rollouts, rows: list[int]) -> Iterator:
    return training.micro_batches(run.accelerator, trainee, rollouts, rows, MICRO_BATCH_TOKENS)


def compute_logprobs(run: Run, module: nn.Module, rollouts: Rollouts) -> Tensor:
    return training.compute_logprobs(
        run.accelerator, module, rollouts, TEMPERATURE, MICRO_BATCH_TOKENS
    )


def sample_groups(
    run: Run,
    timer: PhaseTimer,
    samples_per_prompt: int,
    temperature: float,
    seeds: Iterator[int],
    prompts: list[dict],
) -> list[rollout.Group]:
    checkpoint.activate(run.accelerator, run.roles.policy.module)
    with on_device(run, run.roles.rollout_model):
        return training.sample_groups(
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


def refresh_rollout_model(run: Run) -> None:
    """Give the copy that generates the weights of the policy, where it is a copy."""
    policy = run.accelerator.unwrap_model(run.roles.policy.module).model
    if run.roles.rollout_model is not policy:
        roles.copy_weights(policy, run.roles.rollout_model)


def on_device(run: Run, *parts: nn.Module | Optimizer | None) -> AbstractContextManager:
    """Have models and optimizers on the device; afterwards, where a constant says so, off it."""
    models = [part for part in parts if OFFLOAD_MODELS and isinstance(part, nn.Module)]
    optimizers = [part for part in parts if OFFLOAD_OPTIMIZERS and isinstance(part, Optimizer)]
    return roles.on_device(run.accelerator.device, models, optimizers)


def evaluate(run: Run, timer: PhaseTimer) -> float | None:
    """Return the mean outcome reward of greedy responses to the held-out prompts."""
    if not run.eval_prompts:
        return None
    with timer("seconds_evaluate"):
        groups = sample_groups(run, PhaseTimer(), 1, 0.0, itertools.count(), run.eval_prompts)
    return statistics.fmean(evaluation.accuracies(groups))


def load_prompts(
    source: str, split: str, tokenizer: PreTrainedTokenizerBase, name: str
) -> tuple[Dataset, int]:
    """Return the prompts that a constant names, and how many were too long."""
    return data.encode_prompts(
        data.load_rows(source, split, name),
        tokenizer,
        system_prompt=data.SYSTEM_PROMPTS.get(SYSTEM_PROMPT, SYSTEM_PROMPT),
        max_prompt_tokens=MAX_PROMPT_TOKENS,
        abilities=ABILITIES,
        constant=name,
    )


def keep_best(run: Run, eval_accuracy: float | None, best_accuracy: float) -> float:
    """Return the best held-out accuracy so far; export the policy if it has just reached it."""
    if eval_accuracy is None or eval_accuracy <= best_accuracy:
        return best_accuracy
    if KEEP_BEST:
        export(run, run.roles.policy, "best_policy")
    return eval_accuracy


def export(run: Run, trainee: Trainee, name: str) -> None:
    """Write a model, or its adapter and on request the model it makes, into the run's folder."""
    folder = run.log.folder / (f"{name}_adapter" if LORA_RANK else name)
    extras = {}
    if trainee is run.roles.prm:  # read by scoring.py
        reference = MODEL if PRM_REFERENCE == "sft" else None
        settings = {"reference": reference, "beta": BETA, "temperature": TEMPERATURE}
        extras = {"implicit_prm": settings}
    write = partial(checkpoint.export_model, run.accelerator, trainee.module, run.tokenizer)
    write(folder, extras)
    if LORA_RANK and LORA_MERGE:
        merged = run.log.folder / name
        checkpoint.export_merged(run.accelerator, folder, run.tokenizer, merged, extras)


def save(run: Run, iteration: int, carried: dict) -> None:
    """Write the models as Hugging Face folders, then the checkpoint that says they are done."""
    for trainee in run.roles.trainees:
        export(run, trainee, trainee.name.lower())
    folder = run.log.folder / "checkpoint"
    checkpoint.save_checkpoint(run.accelerator, folder, iteration, run.roles.trainees, carried)


if __name__ == "__main__":
    main(sys.argv[1:])
