"""Measures speed: `python benchmarks/speed.py rollouts | iteration | growth | bandwidth`.

    rollouts   tokens per second, against model.generate as TRL calls it; same model and lengths
    iteration  seconds per iteration of PRIME, of outcome-only RLOO, of TRL's RLOOTrainer (no PRM)
    growth     seconds per iteration by responses, their length and model width; and a plot
    bandwidth  share of the speed limit that reading weights and cache per token sets (GPU)

The sides take turns in one run. Figures are medians over the repeats, with lowest and highest.
iteration needs benchmarks/requirements.txt.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import matplotlib.pyplot as plt
import torch
from forced_lengths import Forced, force_lengths
from random_qwen import SIZES, make_config
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

import data
from checks import model_files
from generation.generate import generate_responses
from models.loading import load_model

EMBEDDED = str(ROOT / "embedded" / "arithmetic-sft")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("rollouts", "iteration", "growth", "bandwidth"))
    parser.add_argument(
        "--model", help="rollouts, iteration: another causal LM, whose EOS has the number 2"
    )
    for name, default in (("--prompts", 4), ("--tokens", 96)):
        parser.add_argument(name, type=int, default=default, help="iteration with --model")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("runs/growth.png"), help="growth: plot")
    arguments = parser.parse_args()
    parts = {
        "rollouts": lambda: compare_rollouts(arguments.model, arguments.repeats),
        "iteration": lambda: compare_iterations(arguments),
        "growth": lambda: measure_growth(arguments.repeats, arguments.output),
        "bandwidth": measure_bandwidth,
    }
    parts[arguments.part]()


def compare_rollouts(other: str | None, repeats: int) -> None:
    """Print tokens per second of both sides, by model and distribution of lengths."""
    print(f"{'responses':<58}{'ours':>10}{'generate':>10}  ratio (lowest, highest)")
    if other is None:
        model, prompts = load_prompted(EMBEDDED, torch.float32, 64)
        even = torch.full((256,), 40)
        generator = torch.Generator().manual_seed(0)
        tailed = torch.randint(12, 37, (256,), generator=generator)  # median 24
        tailed[torch.randperm(256, generator=generator)[:26]] = 96  # a tenth: four times it
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
    tokenizer = model_files.load_tokenizer(source, "--model")
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
            responses, _ = generate_responses(
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
    ratio = spread([them / us for us, them in zip(*seconds)])
    print(f"{name:<58}{speeds[0]:>10,.0f}{speeds[1]:>10,.0f}  {ratio}", flush=True)


def compare_iterations(arguments: argparse.Namespace) -> None:
    """Print seconds per iteration of PRIME, outcome-only RLOO and TRL's RLOO, and shares."""
    model, prompts = arguments.model, arguments.prompts if arguments.model else 64
    sizes = f"{prompts} x 4 responses, {model or 'embedded model'}"
    heads = f"{'PRIME':>8}{'outcome':>9}{'TRL':>8}{'PRIME/TRL':>19}{'PRIME/outcome':>20}"
    print(f"{sizes:<34}{heads}  shares: generate, verify, PRM, policy")
    own, options, lengths = [], [], {"all of 40 tokens": 40, "as they come, up to 96 tokens": None}
    if model:
        lengths = {f"all of {arguments.tokens} tokens": arguments.tokens}
        own = [f"MODEL={model}", f"PROMPTS_PER_ITERATION={prompts}", "NUM_ITERATIONS=2"]
        options = ["--prompts", str(prompts), "--iterations", "2"]
    for name, tokens in lengths.items():
        rounds = []
        for _ in range(arguments.repeats):
            prime, length, shares = run_ours(tokens, *own)
            outcome, _, _ = run_ours(tokens, *own, "PROCESS_COEF=0")
            trl, trl_length = run_trl(model or EMBEDDED, tokens, *options)
            rounds.append((prime, outcome, trl, *shares))
        medians = [statistics.median(column) for column in zip(*rounds)]
        print(f"{name:<34}{medians[0]:>8.2f}{medians[1]:>9.2f}{medians[2]:>8.2f}", end="")
        print(f"{spread([prime / trl for prime, _, trl, *_ in rounds]):>19}", end="")
        print(f"{spread([prime / outcome for prime, outcome, *_ in rounds]):>20}", end="  ")
        print(", ".join(f"{share:.0%}" for share in medians[3:]))
        print(f"    (mean response tokens: {length:.1f}, TRL {trl_length:.1f})", flush=True)


def run_ours(tokens: int | None, *overrides: str) -> tuple[float, float, list[float]]:
    """Return the median seconds of train_prime.py's iterations, mean length, and phases' shares.

    Args:
        tokens: length of every response; None: the model ends them.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = {
            "MODEL": EMBEDDED,
            "NUM_ITERATIONS": 4,
            "OUTPUT_DIR": folder,
            "RUN_NAME": "run",
            "EVAL_DATA": None,
            "ACCURACY_LOW": 0.0,  # every response counts, as in TRL
            "ACCURACY_HIGH": 1.0,
            "POLICY_LR": 0.0,
            "PRM_LR": 0.0,
            "PRM_OPTIMIZER_STEPS": 1,
            "MIXED_PRECISION": "bf16" if DEVICE.type == "cuda" else "no",
            "ROLLOUT_DTYPE": "bfloat16" if DEVICE.type == "cuda" else "float32",
            "MICRO_BATCH_TOKENS": 16_384 if DEVICE.type == "cuda" else 4096,
        }
        forced = [str(ROOT / "benchmarks" / "forced_run.py"), str(tokens)]
        command = [sys.executable, *(forced if tokens else [str(ROOT / "train_prime.py")])]
        arguments = [f"{name}={value}" for name, value in settings.items()]
        run([*command, *arguments, *overrides])
        lines = (Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()
    metrics = [json.loads(line) for line in lines][1:]  # the first warms up
    seconds = statistics.median(line["seconds"] for line in metrics)
    phases = [f"seconds_{name}" for name in ("generate", "verify", "prm", "policy")]
    of_all = [[line.get(phase, 0.0) / line["seconds"] for line in metrics] for phase in phases]
    shares = list(map(statistics.median, of_all))
    return seconds, statistics.fmean(line["response_tokens"] for line in metrics), shares


def run_trl(model: str, tokens: int | None, *options: str) -> tuple[float, float]:
    """Return the median seconds of iterations of TRL's RLOOTrainer, and its mean length."""
    command = [sys.executable, str(Path(__file__).with_name("trl_rloo.py")), model, *options]
    command += ["--forced", "--tokens", str(tokens)] if tokens else []
    result = json.loads(run(command).splitlines()[-1])
    return statistics.median(result["seconds"][1:]), result["response_tokens"]


def run(command: list[str]) -> str:
    """Return what a command prints; exit with its errors if it fails."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-3000:]}")
    return done.stdout


def spread(values: list[float]) -> str:
    """Return the median with the lowest and the highest."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}, {max(values):.2f})"


def measure_growth(repeats: int, path: Path) -> None:
    """Print and plot seconds per iteration as one of three sizes doubles and the others stay."""
    columns = {
        "responses": [(prompts * 4, 40, 96) for prompts in (16, 32, 64, 128)],
        "response tokens": [(128, tokens, 96) for tokens in (20, 40, 80, 160, 320)],
        "hidden width": [(128, 40, width) for width in (96, 192, 384)],
    }
    print(f"{'grows':<16}{'size':>7}{'M tokens x M parameters':>26}{'seconds':>10}{'per work':>10}")
    points: dict[str, list[tuple[int, float]]] = {name: [] for name in columns}
    with tempfile.TemporaryDirectory() as folder:
        for name, sizes in columns.items():
            for responses, tokens, width in sizes:
                model, parameters = make_wider(Path(folder) / str(width), width)
                prompts = f"PROMPTS_PER_ITERATION={responses // 4}"
                steps = f"NUM_ITERATIONS={repeats + 1}"  # the first warms up
                seconds, _, _ = run_ours(tokens, prompts, f"MODEL={model}", steps)
                size = {"responses": responses, "response tokens": tokens}.get(name, width)
                points[name].append((size, seconds))
                computed = responses * (tokens + 44 / 4)  # a prompt of 44 tokens is shared by 4
                work = computed * parameters / 1e12
                print(f"{name:<16}{size:>7}{work:>26.4f}{seconds:>10.2f}{seconds / work:>10.1f}")
    plot_growth(points, path)


def plot_growth(points: dict[str, list[tuple[int, float]]], path: Path) -> None:
    """Draw seconds against each size, both on logarithmic scales, beside a line of slope 1."""
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.5), layout="constrained", sharey=True)
    for axis, (name, own) in zip(axes, points.items()):
        sizes, seconds = zip(*own)
        axis.loglog(sizes, seconds, marker="o")
        slope = [seconds[0] * size / sizes[0] for size in sizes]
        axis.loglog(sizes, slope, color="grey", linestyle=":", label="as fast as the size")
        axis.set_xticks(sizes, labels=sizes, minor=False)
        axis.set_yticks([0.5, 1, 2, 4, 8], labels=["0.5", "1", "2", "4", "8"])
        axis.minorticks_off()
        axis.set(xlabel=name)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("seconds per iteration")
    axes[0].legend()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    print(path)


def make_wider(folder: Path, width: int) -> tuple[str, int]:
    """Return the folder of an untrained embedded model of some width, and its parameter count."""
    config = AutoConfig.from_pretrained(
        EMBEDDED, hidden_size=width, intermediate_size=width * 8 // 3, head_dim=width // 4
    )
    model = AutoModelForCausalLM.from_config(config)
    if not folder.exists():
        model.save_pretrained(folder)
        model_files.load_tokenizer(EMBEDDED, "MODEL").save_pretrained(folder)
    return str(folder), model.num_parameters()


def measure_bandwidth() -> None:
    """Print decoding's share of the memory-bandwidth bound, which no implementation can exceed."""
    if DEVICE.type != "cuda":
        sys.exit("bandwidth needs a GPU, and this machine has none.")
    peak = measure_copies()
    print(
        f"{torch.cuda.get_device_name()}, which copies {peak / 1e12:.2f} TB/s; 256 prompt tokens, "
        "256 response tokens, bfloat16"
    )
    print(f"{'model':<14}{'responses':>10}{'tokens/s':>10}{'share of bound':>16}")
    for size, (hidden, _, layers, heads) in SIZES.items():
        config = make_config(size)
        with DEVICE:
            model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16).eval()
        weight_bytes = 2 * model.num_parameters()
        for responses in (64, 256):
            seconds = time_decoding(model, responses // 4)
            cache = 2 * 2 * layers * 2 * (hidden // heads)  # bytes a token: K and V, 2 heads, bf16
            read = weight_bytes + cache * (responses // 4 * 256 + responses * 128)  # mean of steps
            speed = responses * 256 / seconds
            share = read * 256 / peak / seconds
            print(f"{f'Qwen2 {size}':<14}{responses:>10}{speed:>10,.0f}{share:>16.0%}", flush=True)


def measure_copies() -> float:
    """Return the bytes a second that a copy within the GPU reads and writes."""
    source = torch.empty(2**30, dtype=torch.uint8, device=DEVICE)
    target = torch.empty_like(source)
    [seconds] = time_in_turns([lambda: target.copy_(source)], repeats=20)
    return 2 * source.numel() / min(seconds)


def time_decoding(model, num_prompts: int) -> float:
    """Return the median seconds of prefill and 4 responses of 256 tokens to each prompt of 256."""
    prompts = torch.randint(5, 1000, (num_prompts, 256)).tolist()

    def decode() -> None:
        generate_responses(
            model,
            prompts,
            samples_per_prompt=4,
            max_response_tokens=256,
            temperature=1.0,
            eos_token_ids=[151_935],  # improbable: responses reach their full length
            pad_token_id=0,
        )

    return statistics.median(time_in_turns([decode], repeats=5)[0])


def time_in_turns(sides: list[Callable[[], None]], repeats: int) -> list[list[float]]:
    """Return the seconds of each side by round, after one round that does not count."""
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
