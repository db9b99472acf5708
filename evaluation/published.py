"""What was published: figures that stand beside the measured ones, and limits of new tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from checks.errors import UserError

_PAPER = (
    "AIME 2024",
    "AMC",
    "MATH-500",
    "Minerva Math",
    "OlympiadBench",
    "LeetCode",
    "LiveCodeBench v2",
)
# New tokens of a response in the reference code's evaluation (PRIME-RL/PRIME, eval/), by benchmark.
_TOKEN_LIMITS = {"MATH-500": 8192, "LeetCode": 8192}
_TOKEN_LIMIT = 4096  # of the others


@dataclass(frozen=True)
class PublishedTable:
    """The figures of one table, as printed, in per cent."""

    source: str
    benchmarks: tuple[str, ...]
    # Column -> a figure per benchmark, then the average where one is printed.
    figures: dict[str, tuple[float, ...]]


# By the name in the constant PUBLISHED. Averages are as printed. Six are not the means of the
# figures before them: Llama (35.7) and GPT-4o (42.3) of the card, RLOO (38.1) and step 592 (43.8)
# of Table 1, RLOO (38.1) and PRIME as value model (36.7) of Table 4.
TABLES = {
    "card": PublishedTable(
        source="model card of Eurus-2-7B-PRIME, greedy",
        benchmarks=("AIME 2024", "MATH-500", "AMC", "Minerva Math", "OlympiadBench"),
        figures={
            "Eurus-2-7B-PRIME": (23.3, 77.2, 55.4, 39.3, 39.3, 46.9),
            "Eurus-2-7B-PRIME, step 272": (26.7, 79.2, 57.8, 38.6, 42.1, 48.9),
            "Eurus-2-7B-SFT": (3.3, 65.1, 30.1, 32.7, 29.8, 32.2),
            "Qwen-2.5-Math-7B-Instruct": (13.3, 79.8, 50.6, 34.6, 40.7, 43.8),
            "Llama-3.1-70B-Instruct": (16.7, 64.6, 30.1, 35.3, 31.9, 36.4),
            "GPT-4o": (9.3, 76.4, 45.8, 36.8, 43.3, 43.3),
        },
    ),
    "Table 1": PublishedTable(
        source="Table 1 of arXiv 2502.01456v2, greedy",
        benchmarks=_PAPER,
        figures={
            "GPT-4o, Table 1": (9.3, 45.8, 76.4, 36.8, 43.3, 58.9, 48.8, 45.6),
            "Llama-3.1-70B-Instruct, Table 1": (20.0, 37.3, 65.0, 37.1, 30.5, 35.0, 34.4, 37.0),
            "Qwen2.5-Math-7B-Instruct, Table 1": (13.3, 50.6, 79.8, 34.6, 40.7, 11.7, 11.3, 34.6),
            "Eurus-2-7B-SFT, Table 1": (3.3, 30.1, 66.2, 32.7, 29.8, 21.7, 17.8, 28.8),
            "RLOO, step 240, Table 1": (20.0, 47.0, 73.2, 36.4, 35.4, 28.3, 26.7, 36.9),
            "PRIME, step 80, Table 1": (20.0, 41.0, 68.2, 38.2, 37.0, 26.7, 26.6, 36.8),
            "PRIME, step 160, Table 1": (13.3, 42.2, 72.0, 37.1, 38.7, 26.7, 25.6, 36.5),
            "PRIME, step 240, Table 1": (20.0, 50.6, 78.2, 39.3, 40.3, 31.1, 27.5, 41.0),
            "PRIME, step 320, Table 1": (16.7, 51.8, 77.8, 39.7, 41.5, 36.1, 28.5, 41.7),
            "PRIME, step 592, Table 1": (26.7, 57.8, 79.2, 38.6, 42.1, 33.3, 28.6, 43.9),
        },
    ),
    "Table 4": PublishedTable(
        source="Table 4 of arXiv 2502.01456v2, greedy, all at step 240",
        benchmarks=_PAPER,
        figures={
            "RLOO, Table 4": (20.0, 47.0, 73.2, 36.4, 35.4, 28.3, 26.7, 36.9),
            "RLOO with PRIME, Table 4": (20.0, 50.6, 78.2, 39.3, 40.3, 31.1, 27.5, 41.0),
            "REINFORCE, Table 4": (6.7, 47.0, 72.6, 36.0, 37.2, 27.2, 25.0, 36.0),
            "REINFORCE with PRIME, Table 4": (6.7, 50.0, 76.4, 36.8, 39.1, 27.8, 27.5, 37.8),
            "GRPO, Table 4": (10.0, 44.6, 73.2, 37.5, 36.6, 25.0, 25.8, 36.1),
            "GRPO with PRIME, Table 4": (16.7, 47.0, 75.0, 34.9, 38.2, 28.9, 23.9, 37.8),
            "PPO, Table 4": (10.0, 41.0, 73.6, 36.0, 36.3, 28.3, 25.7, 35.8),
            "PRIME as value model, Table 4": (16.7, 44.6, 72.6, 34.6, 35.7, 27.8, 24.6, 36.6),
            "PPO with PRIME, Table 4": (13.3, 50.6, 77.4, 37.1, 40.6, 30.0, 26.7, 39.4),
        },
    ),
    "Table 12": PublishedTable(
        source="Table 12 of arXiv 2502.01456v2, means of 16 responses at temperature 0.3",
        benchmarks=("AIME 2024", "AMC"),
        figures={
            "Eurus-2-7B-SFT, Table 12": (4.4, 21.4),
            "RLOO, step 240, Table 12": (15.4, 43.8),
            "PRIME, step 240, Table 12": (17.3, 49.2),
            "PRIME, step 592, Table 12": (24.2, 54.5),
        },
    ),
}


def find_token_limit(benchmark: str) -> int:
    """Return how many new tokens the published evaluation gives a response to a benchmark."""
    return _TOKEN_LIMITS.get(benchmark, _TOKEN_LIMIT)


def check_published(names: Sequence[str]) -> None:
    """Raise UserError unless PUBLISHED is a list of names in TABLES."""
    known = ", ".join(map(repr, TABLES))
    if not isinstance(names, (tuple, list)):
        raise UserError(f"PUBLISHED = {names!r} must be a tuple of some of {known}, or ().")
    for name in names:
        if name not in list(TABLES):  # in a list: the name may be anything
            raise UserError(f"PUBLISHED: {name!r} is unknown: choose among {known}.")
