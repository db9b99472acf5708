"""Measures the peak memory of one policy update, by vocabulary: `python benchmarks/memory.py`.

A two-layer Llama trains on 16 responses of 512 tokens to prompts of 16, in one micro-batch. The
sides are ours, log_softmax of the model's whole logits, and TRL's RLOOTrainer. Each figure comes
from its own process: the peak in forward and backward, less the memory before, less the gradients
(4 bytes per parameter), which every trainer keeps. On a GPU torch's allocator measures it, else the
resident size of the process. Needs benchmarks/requirements.txt.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import torch
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from models.batches import pad_rows
from models.logprobs import ResponseLogprobs
from policy import ppo_loss

ROWS, PROMPT, TOKENS = 16, 16, 512
VOCABULARIES = (1_000, 10_000, 50_000, 150_000)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
EMBEDDED = str(Path(__file__).resolve().parent.parent / "embedded" / "arithmetic-sft")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--side", choices=SIDES, help="measure one side in this process")
    parser.add_argument("--vocabulary", type=int)
    arguments = parser.parse_args()
    if arguments.side:
        print(measure(SIDES[arguments.side], arguments.vocabulary))
        return
    print(f"MiB above weights and gradients, {ROWS} x {TOKENS} response tokens, {DEVICE.type}")
    print(f"{'vocabulary':>10}" + "".join(f"{side:>10}" for side in SIDES) + f"{'ours/TRL':>10}")
    for vocabulary in VOCABULARIES:
        rounds = [[run(side, vocabulary) for side in SIDES] for _ in range(arguments.repeats)]
        medians = [statistics.median(column) for column in zip(*rounds)]
        figures = "".join(f"{value:>10,.0f}" for value in medians)
        print(f"{vocabulary:>10,}{figures}{medians[0] / medians[2]:>10.2f}", flush=True)


def run(side: str, vocabulary: int) -> float:
    command = [sys.executable, __file__, "--side", side, "--vocabulary", str(vocabulary)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr[-3000:])
    return float(done.stdout.splitlines()[-1])


def measure(make_update: Callable, vocabulary: int) -> float:
    """Return the MiB of an update at its peak, less the gradients that it leaves."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=1024,
            bos_token_id=None,
            eos_token_id=2,
        )
    ).to(DEVICE)
    prompts = torch.randint(5, vocabulary, (ROWS, PROMPT)).tolist()
    responses = torch.randint(5, vocabulary, (ROWS, TOKENS)).tolist()
    batch = pad_rows(prompts, responses, [0.0] * ROWS, 0, DEVICE)
    update = make_update(model, batch, torch.randn(ROWS, device=DEVICE))
    peak = peak_bytes(update)
    assert all(parameter.grad is not None for parameter in model.parameters())
    return (peak - 4 * model.num_parameters()) / 2**20


def ours(model: LlamaForCausalLM, batch, advantages: torch.Tensor) -> Callable[[], None]:
    module = ResponseLogprobs(model)

    def update() -> None:
        logprobs, _ = module(*batch.model_inputs(), 1.0)
        backward(logprobs, batch.response_mask, advantages)

    return update


def whole_logits(model: LlamaForCausalLM, batch, advantages: torch.Tensor) -> Callable[[], None]:
    def update() -> None:
        output = model(batch.input_ids, attention_mask=batch.attention_mask, use_cache=False)
        logits = output.logits[:, PROMPT - 1 : -1].float()
        targets = batch.input_ids[:, PROMPT:, None]
        backward(
            logits.log_softmax(-1).gather(-1, targets).squeeze(-1), batch.response_mask, advantages
        )

    return update


def backward(logprobs: torch.Tensor, mask: torch.Tensor, advantages: torch.Tensor) -> None:
    loss, _ = ppo_loss(logprobs, logprobs.detach(), advantages[:, None], mask, clip_range=0.2)
    loss.backward()


def trl(model: LlamaForCausalLM, batch, advantages: torch.Tensor) -> Callable[[], None]:
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    config = RLOOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=ROWS,
        num_generations=4,
        max_completion_length=TOKENS,
        beta=0.0,
        bf16=False,
        use_cpu=DEVICE.type == "cpu",
        gradient_checkpointing=False,
        report_to=[],
    )
    trainer = RLOOTrainer(
        model=model,
        reward_funcs=lambda completions, **_: [0.0] * len(completions),
        args=config,
        train_dataset=Dataset.from_list([{"prompt": "1+1"}]),
        processing_class=AutoTokenizer.from_pretrained(EMBEDDED, padding_side="left"),
    )
    trainer.model.train()
    inputs = {
        "prompt_ids": batch.input_ids[:, :PROMPT],
        "prompt_mask": batch.attention_mask[:, :PROMPT],
        "completion_ids": batch.input_ids[:, PROMPT:],
        "completion_mask": batch.response_mask,
        "old_logps": torch.zeros(ROWS, device=DEVICE),
        "advantages": advantages,
    }
    return lambda: trainer._compute_loss(trainer.model, inputs).backward()


SIDES = {"ours": ours, "logits": whole_logits, "TRL": trl}


def peak_bytes(update: Callable[[], None]) -> int:
    """Return the peak memory in bytes while an update runs, less the memory before it."""
    if DEVICE.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        update()
        return torch.cuda.max_memory_allocated() - before
    before, samples, done = resident_bytes(), [], threading.Event()

    def watch() -> None:
        while not done.is_set():
            samples.append(resident_bytes())
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    update()
    done.set()
    watcher.join()
    return max(samples) - before


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
