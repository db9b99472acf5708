"""Measures whether the PRM finds the wrong step, on a task where a rule can check every step.

Start `python benchmarks/credit.py [runs/arithmetic]` after the default run. The SFT model and the
trained policy answer held-out chains. The PRM, trained on right or wrong answers alone, gives
every step a reward. A rule says which steps are right.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch

import data
from embedded import arithmetic
from evaluation import scoring
from generation import generate
from generation.ending import find_eos_token_ids, find_pad_token_id
from models.loading import load_model
from reporting.steps import split_steps, token_texts
from verifiers.math.answer import grade

_SAMPLES = 8  # responses a chain
_BATCH = 512  # responses generated at once
_BATCH_TOKENS = 16384  # tokens scored at once


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", nargs="?", type=Path, default=Path("runs/arithmetic"))
    parser.add_argument("--problems", type=int, default=256, help="held-out chains, at most 512")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    names = ("the PRM of the run", "reference", "beta")
    settings, tokenizer = scoring.read_settings(str(arguments.run / "prm"), None, None, names)
    scorer = scoring.load_scorer(settings, torch.float32, torch.device("cpu"))
    rows = arithmetic.split_rows("test").select(range(arguments.problems))
    prompts, _ = data.encode_prompts(
        rows,
        tokenizer,
        system_prompt=None,
        max_prompt_tokens=512,
        abilities=None,
        constant="arithmetic",
    )
    prompt_ids = [list(prompt["prompt_ids"]) for prompt in prompts for _ in range(_SAMPLES)]
    questions = [row["prompt"] for row in rows for _ in range(_SAMPLES)]
    truths = [prompt["ground_truth"] for prompt in prompts for _ in range(_SAMPLES)]
    print(f"{arguments.problems} held-out chains, {_SAMPLES} responses each, PRM {settings.prm}")
    print(
        f"{'responses of':<28}{'accuracy':>9}{'steps':>8}{'wrong':>7}{'AUC':>7}"
        f"{'95 %':>16}{'found':>8}{'before':>8}{'chance':>8}{'of':>6}"
    )
    for model in (settings.reference, str(arguments.run / "policy")):
        torch.manual_seed(arguments.seed)
        responses = sample(model, prompts["prompt_ids"], tokenizer)
        rewards = scoring.score_tokens(
            scorer,
            prompt_ids,
            responses,
            pad_token_id=find_pad_token_id(tokenizer),
            batch_tokens=_BATCH_TOKENS,
        )
        texts = [token_texts(tokenizer, ids) for ids in responses]
        report(model, questions, truths, texts, rewards)
    print("AUC: how often a right step has a higher reward (sum over its tokens) than a wrong one.")
    print(
        "found: the share, of responses with a wrong step, where the first wrong step has the "
        "lowest reward; chance: the share if chosen at random; of: the number of such responses."
    )
    print("before: the share where the step before it has; it may end where a line was due.")


def sample(model: str, prompt_ids: list[list[int]], tokenizer) -> list[list[int]]:
    loaded = load_model(model)
    responses = []
    for start in range(0, len(prompt_ids), _BATCH // _SAMPLES):
        sampled, _ = generate.generate_responses(
            loaded,
            prompt_ids[start : start + _BATCH // _SAMPLES],
            samples_per_prompt=_SAMPLES,
            max_response_tokens=96,
            temperature=1.0,
            eos_token_ids=find_eos_token_ids(model, tokenizer),
            pad_token_id=find_pad_token_id(tokenizer),
        )
        responses += sampled
    return responses


def report(
    model: str,
    questions: list[str],
    truths: list[str],
    texts: list[list[str]],
    rewards: list[list[float]],
) -> None:
    """Print a line of figures; the interval resamples chains, each with all its responses."""
    judged = [judge(*response) for response in zip(questions, texts, rewards)]
    located = [x for x in judged if len(x) > 1 and not all(right for _, right in x)]
    misses = [find_lowest(steps) - find_first_wrong(steps) for steps in located]
    found, before = ([miss == distance for miss in misses] for distance in (0, -1))
    chance = [1 / len(steps) for steps in located]
    by_chain = [judged[n : n + _SAMPLES] for n in range(0, len(judged), _SAMPLES)]
    rng = np.random.default_rng(0)
    aucs = [
        auc([by_chain[n] for n in rng.integers(len(by_chain), size=len(by_chain))])
        for _ in range(200)
    ]
    low, high = np.quantile(aucs, [0.025, 0.975])
    all_steps = [step for steps in judged for step in steps]
    num_wrong = sum(not right for _, right in all_steps)
    outcomes = [grade("".join(own), truth)[0] for own, truth in zip(texts, truths)]
    print(
        f"{model:<28}{np.mean(outcomes):>9.3f}{len(all_steps):>8}{num_wrong:>7}{auc(by_chain):>7.3f}"
        f"{f'[{low:.3f}, {high:.3f}]':>16}{np.mean(found):>8.3f}{np.mean(before):>8.3f}"
        f"{np.mean(chance):>8.3f}{len(located):>6}"
    )


def find_lowest(steps: list[tuple[float, bool]]) -> int:
    return min(range(len(steps)), key=lambda number: steps[number][0])


def find_first_wrong(steps: list[tuple[float, bool]]) -> int:
    return next(number for number, (_, right) in enumerate(steps) if not right)


def judge(question: str, texts: list[str], rewards: list[float]) -> list[tuple[float, bool]]:
    """Return reward and verdict of each step that states something."""
    steps = split_steps(texts)
    verdicts = arithmetic.judge_steps(question, ["".join(texts[a:b]) for a, b in steps])
    sums = scoring.sum_steps(rewards, steps)
    return [(reward, right) for reward, right in zip(sums, verdicts) if right is not None]


def auc(by_chain: list[list[list[tuple[float, bool]]]]) -> float:
    """Return the probability that a right step has a higher reward than a wrong one."""
    steps = [step for responses in by_chain for steps in responses for step in steps]
    right = np.sort([reward for reward, is_right in steps if is_right])
    wrong = np.array([reward for reward, is_right in steps if not is_right])
    below = np.searchsorted(right, wrong, "left") + np.searchsorted(right, wrong, "right")
    return float(1 - below.mean() / 2 / len(right))


if __name__ == "__main__":
    main()
