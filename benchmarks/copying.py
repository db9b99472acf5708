"""Does a policy learn to copy the question? `python benchmarks/copying.py`, a run a core.

The question of a problem is an expression of its answer's value: ((7+8)/3)*4 is 20. The script
makes a policy that copies the question into its box now and then. Else it works line by line, and
misremembers part of its tables (see tables_sft.py). Then it trains the policy with
STRICT_FORM = False, where the value alone counts, and with True. A run takes one core. A stopped
run resumes, and a complete one is not repeated. The figure shows what the policy samples, judged
strictly in both arms.
"""

import argparse
import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import matplotlib
from claims import run
from tables_sft import demonstrate

from embedded import arithmetic
from verifiers.math.answer import grade

matplotlib.use("Agg")
import matplotlib.pyplot as plt

COPIES = 0.15  # share of demonstrations that copy the question
OPERATIONS = 3  # in a question: few enough for this small model to copy them
PROBLEMS = 4000  # to train on
SFT = {
    "CPU_THREADS": 1,
    "STEPS": 300,
    "BATCH_SIZE": 64,
    "LR": 2e-3,
    "WARMUP_STEPS": 20,
    "SAVE_EVERY": 1000,
}
COMMON = {
    "PROMPTS_PER_ITERATION": 16,
    "MAX_ROLLOUT_ROUNDS": 2,
    "MAX_EMPTY_ITERATIONS": 1000,  # where all responses are copies, no prompt passes
    "EVAL_DATA": None,
    "CPU_THREADS": 1,
    "VERIFIER_WORKERS": 1,
}
QUICK = {**COMMON, "PROMPTS_PER_ITERATION": 4, "MAX_ROLLOUT_ROUNDS": 1}
ARMS = {False: "the value alone counts", True: "STRICT_FORM"}
COLOURS = {False: "tab:red", True: "tab:blue"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="two steps of everything, one seed")
    parser.add_argument("--iterations", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[300, 301])
    parser.add_argument("--out", type=Path, default=Path("runs/copying"), help="folder of the runs")
    arguments = parser.parse_args()
    iterations, seeds, common, sft = arguments.iterations, arguments.seeds, COMMON, SFT
    if arguments.quick:
        iterations, seeds, common, sft = 2, seeds[:1], QUICK, {**SFT, "STEPS": 2}
    out = arguments.out.resolve()
    make_policy(out, sft)
    common = {**common, "MODEL": str(out / "sft"), "NUM_ITERATIONS": iterations}
    common["TRAIN_DATA"] = str(make_problems(out))
    jobs = [(strict, seed) for seed in seeds for strict in ARMS]
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        settings = [{**common, "STRICT_FORM": strict, "SEED": seed} for strict, seed in jobs]
        folders = [find_folder(out, *job) for job in jobs]
        done = list(pool.map(lambda f, s: run(f, ["train_prime.py"], s), folders, settings))
    if not all(done):
        sys.exit(f"a run failed: see the logs in {out}")
    curves = {job: [count(path) for path in list_files(out, *job)] for job in jobs}
    print(tabulate(curves))
    draw(curves, out / "copying.png")


def make_policy(out: Path, sft: dict) -> None:
    """Train the policy that copies now and then, unless it is there."""
    if (out / "sft").exists():
        return
    rng, path = random.Random("copying"), out / "demonstrations.jsonl"
    rows = [make_demonstration(rng) for _ in range(sft["STEPS"] * sft["BATCH_SIZE"])]
    out.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {"MODEL": "embedded/tables-sft", "DATA": path, "OUTPUT": out / "sft", **sft}
    command = [sys.executable, "sft.py", *(f"{name}={value}" for name, value in settings.items())]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "true"}
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


def make_problems(out: Path) -> Path:
    """Write the problems to train on; return their file."""
    rng, path = random.Random("problems"), out / "problems.jsonl"
    chains = [make_chain(rng) for _ in range(PROBLEMS)]
    rows = [
        {
            "problem": arithmetic.write_chain(*chain),
            "answer": str(arithmetic.apply(chain[1], chain[0])),
        }
        for chain in chains
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_chain(rng: random.Random) -> tuple[int, list[arithmetic.Operation]]:
    first, operations = arithmetic.make_chain(rng)
    return first, operations[:OPERATIONS]


def make_demonstration(rng: random.Random) -> dict:
    """Return a problem with a response that works line by line, or copies the question."""
    while True:
        first, operations = make_chain(rng)
        question = arithmetic.write_chain(first, operations)
        response = demonstrate(first, operations, rng)
        if rng.random() < COPIES:
            response = f"[OUTPUT]\n\\boxed{{{question}}}"
        if response:
            return {"prompt": question, "response": response}


def find_folder(out: Path, strict: bool, seed: int) -> Path:
    return out / f"{'strict' if strict else 'value'}-{seed}"


def list_files(out: Path, strict: bool, seed: int) -> list[Path]:
    return sorted((find_folder(out, strict, seed) / "rollouts").glob("*.jsonl"))


def count(path: Path) -> tuple[float, float]:
    """Return the shares (%) of an iteration's responses that copy the question, and are right."""
    statuses = []
    for line in path.read_text().splitlines():
        row = json.loads(line)
        question = row["prompt"].split("\n")[1]  # after the role
        statuses.append(grade(row["response"], row["ground_truth"], question)[1])
    return tuple(100 * statuses.count(name) / len(statuses) for name in ("copied", "correct"))


def tabulate(curves: dict) -> str:
    lines = ["| % of sampled responses, seed by seed | copies: first, last | right: first, last |"]
    lines.append("|---|---|---|")
    for strict, name in ARMS.items():
        ends = [(curve[0], curve[-1]) for (arm, _), curve in curves.items() if arm == strict]
        cells = (", ".join(f"{a[n]:.0f} → {b[n]:.0f}" for a, b in ends) for n in (0, 1))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def draw(curves: dict, path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained", sharey=True)
    titles = ("responses that copy the question, %", "responses that are right, %")
    for number, (axis, title) in enumerate(zip(axes, titles)):
        for place, ((strict, _), curve) in enumerate(curves.items()):
            label = ARMS[strict] if place < len(ARMS) else None
            axis.plot([shares[number] for shares in curve], color=COLOURS[strict], label=label)
        axis.set(title=title, xlabel="iteration", ylim=(-2, 102))
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.savefig(path, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    main()
