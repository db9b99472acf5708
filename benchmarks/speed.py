"""How fast: `python benchmarks/speed.py rollouts | iteration | growth | bandwidth`.

    rollouts   tokens a second beside model.generate as TRL calls it, same model, prompts and lengths
    iteration  a PRIME iteration, an outcome-only one, and one of TRL's RLOOTrainer (no PRM)
    growth     what an iteration costs by responses, their length and parameters, as table and plot
    bandwidth  decoding as a share of what reading weights and cache once a token would take (GPU)

Sides take turns in one run; figures are medians over the repeats, with the lowest and highest.
iteration needs requirements-bench.txt.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from forced_lengths import Forced, force_lengths  # noqa: E402
from transformers import GenerationConfig  # noqa: E402

import data  # noqa: E402
import preflight  # noqa: E402
from generation import generate_responses  # noqa: E402
from policy import load_model  # noqa: E402

EMBEDDED = str(ROOT / "models" / "arithmetic-sft")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
_PEAK_BYTES_A_SECOND = {"H100": 3.35e12, "H200": 4.8e12, "A100-SXM4-80GB": 2.04e12}  # data sheets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("rollouts", "iteration", "growth", "bandwidth"))
    parser.add_argument("--model", help="rollouts: another causal LM, in bfloat16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("runs/growth.png"), help="growth: plot")
    arguments = parser.parse_args()
    parts = {
        "rollouts": lambda: compare_rollouts(arguments.model, arguments.repeats),
        "iteration": lambda: compare_iterations(arguments.repeats),
        "growth": lambda: measure_growth(arguments.repeats, arguments.output),
        "bandwidth": lambda: measure_bandwidth(),
    }
    parts[arguments.part]()


def compare_rollouts(other: str | None, repeats: int) -> None:
    """Print tokens a second of both sides, by model and distribution of lengths."""
    print(f"{'responses':<58}{'ours':>10}{'generate':>10}  ratio (lowest, highest)")
    if other is None:
        model, prompts = load_prompted(EMBEDDED, torch.float32, 64)
        even = torch.full((256,), 40)
        generator = torch.Generator().manual_seed(0)
        tailed = torch.randint(12, 37, (256,), generator=generator)  # median 24
        tailed[torch.randperm(256, generator=generator)[:26]] = 96  # a tenth: four times that
        print_rollouts("embedded, 64 x 4 of 40 tokens", model, prompts, even, repeats)
        print_rollouts(
            "embedded, 64 x 4, median 24, a tenth of 96", model, prompts, tailed, repeats
        )
        return
    model, prompts = load_prompted(other, torch.bfloat16, 8)
    even = torch.full((32,), 40)
    print_rollouts(f"{Path(other).name}, bfloat16, 8 x 4 of 40", model, prompts, even, repeats)


def load_prompted(source: str, dtype: torch.dtype, count: int) -> tuple:
    """Return a model and count encoded prompts of the embedded task for it."""
    tokenizer = preflight.load_tokenizer(source, "--model")
    prompts, _ = data.encode_prompts(
        data.load_rows("arithmetic", "test", "arithmetic"),
        tokenizer,
        system_prompt=None,
        max_prompt_tokens=512,
        abilities=None,
        constant="arithmetic",
    )
    model = load_model(source, dtype=dtype).to(DEVICE)
    return model, list(prompts["prompt_ids"][:count])


def print_rollouts(name: str, model, prompts: list, lengths: torch.Tensor, repeats: int) -> None:
    """Let both sides generate responses of the same lengths, in turns."""
    samples, longest, eos = len(lengths) // len(prompts), int(lengths.max()), 2

    def ours() -> None:
        with force_lengths(lengths, eos):
            responses = generate_responses(
                model,
                prompts,
                samples_per_prompt=samples,
                max_response_tokens=longest,
                temperature=1.0,
                eos_token_ids=[eos],
                pad_token_id=0,
            )
        assert list(map(len, responses)) == lengths.tolist()

    width = max(map(len, prompts))
    rows = [prompt for prompt in prompts for _ in range(samples)]  # as TRL's sampler repeats them
    ids = torch.tensor([[0] * (width - len(p)) + p for p in rows], device=DEVICE)
    mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in rows], device=DEVICE)
    config = GenerationConfig(
        max_new_tokens=longest,
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=eos,
        pad_token_id=0,
        disable_compile=True,
    )

    @torch.no_grad()
    def theirs() -> None:
        forced = Forced(lengths, eos, width)
        output = model.generate(
            input_ids=ids, attention_mask=mask, generation_config=config, logits_processor=[forced]
        )
        is_eos = output[:, width:] == eos
        assert (is_eos.int().argmax(dim=1).cpu() + 1).tolist() == lengths.tolist()

    seconds = time_in_turns([ours, theirs], repeats)
    speeds = [int(lengths.sum()) / statistics.median(side) for side in seconds]
    ratios = sorted(them / us for us, them in zip(*seconds))
    ratio = f"{statistics.median(ratios):.1f} ({ratios[0]:.1f}, {ratios[-1]:.1f})"
    print(f"{name:<58}{speeds[0]:>10,.0f}{speeds[1]:>10,.0f}  {ratio}")


def time_in_turns(sides: list[Callable[[], None]], repeats: int) -> list[list[float]]:
    """Return the seconds of each side, after one round that does not count."""
    seconds: list[list[float]] = [[] for _ in sides]
    for repeat in range(repeats + 1):
        for side, own in zip(sides, seconds):
            synchronise()
            started = time.perf_counter()
            side()
            synchronise()
            if repeat:
                own.append(time.perf_counter() - started)
    return seconds


def synchronise() -> None:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
