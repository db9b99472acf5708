"""Runs TRL's RLOOTrainer on the embedded task; speed.py starts it."""

import argparse
import json
import logging
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import RLOOConfig, RLOOTrainer

import data
from models.loading import load_model
from verifiers import Verifier

_MICRO_BATCH = 128  # responses; the fastest of 16 to 256 on two cores, within noise


class Clock(TrainerCallback):
    """Notes when each optimizer step ends."""

    def __init__(self):
        self.times = [time.perf_counter()]

    def on_train_begin(self, *_, **__):
        self.times = [time.perf_counter()]

    def on_step_end(self, *_, **__):
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.times.append(time.perf_counter())


def make_example(row: dict) -> dict:
    question = data.TEMPLATES["math"].replace("{question}", row["prompt"])
    truth = row["reward_model"]["ground_truth"]
    return {"prompt": [{"role": "user", "content": question}], "ground_truth": truth}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="folder or hub id of a model with a chat template")
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=96, help="response tokens, at most")
    parser.add_argument("--forced", action="store_true", help="all responses have --tokens tokens")
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    rows = data.load_rows("arithmetic", "train", "arithmetic")
    rows = rows.select(range(arguments.prompts * arguments.iterations))
    clock = Clock()
    with (
        Verifier(num_workers=2, timeout_seconds=5.0) as verifier,
        tempfile.TemporaryDirectory() as folder,
    ):

        def reward(completions: list, ground_truth: list[str], **_) -> list[float]:
            texts = [completion[0]["content"] for completion in completions]
            verdicts = verifier.verify(texts, ground_truth, ["math"] * len(texts))
            return [verdict.reward for verdict in verdicts]

        trainer = RLOOTrainer(
            model=load_model(arguments.model),
            reward_funcs=reward,
            args=make_config(arguments, folder),
            train_dataset=Dataset.from_list([make_example(row) for row in rows]),
            processing_class=AutoTokenizer.from_pretrained(arguments.model, padding_side="left"),
            callbacks=[clock],
        )
        trainer.train()
    [tokens] = [
        entry["completions/mean_length"]
        for entry in trainer.state.log_history
        if "completions/mean_length" in entry
    ]
    seconds = [after - before for before, after in zip(clock.times, clock.times[1:])]
    print(json.dumps({"seconds": seconds, "response_tokens": tokens}))


def make_config(arguments: argparse.Namespace, folder: str) -> RLOOConfig:
    """Return settings as in train_prime.py: one optimizer step an iteration, no KL, no filter."""
    has_gpu = torch.cuda.is_available()
    responses = arguments.prompts * arguments.samples
    micro_batch = min(_MICRO_BATCH, responses)
    return RLOOConfig(
        output_dir=folder,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=responses // micro_batch,
        num_generations=arguments.samples,
        max_completion_length=arguments.tokens,
        generation_kwargs={"min_new_tokens": arguments.tokens} if arguments.forced else None,
        temperature=1.0,
        beta=0.0,
        learning_rate=0.0,
        lr_scheduler_type="constant",
        max_grad_norm=1.0,
        max_steps=arguments.iterations,
        bf16=has_gpu,
        use_cpu=not has_gpu,
        gradient_checkpointing=False,
        logging_steps=arguments.iterations,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        shuffle_dataset=False,
    )


if __name__ == "__main__":
    main()
