"""Prints responses on the terminal, each token on a colour that shows its process reward."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reporting.steps import make_visible

_HIGH, _LOW = (0, 114, 178), (213, 94, 0)  # colours of the largest and of the lowest reward
_STATUS_STYLES = {"correct": "bold green", "partial": "yellow"}


def print_responses(
    title: str,
    statuses: Sequence[str],
    texts: Sequence[Sequence[str]],
    rewards: Sequence[Sequence[float]],
) -> None:
    """Print a table of responses: verdict, sum of process rewards, and the tokens in colour.

    Args:
        statuses: verdict of each response.
        texts, rewards: one per token of each response. Deeper blue is a higher reward, deeper
            orange a lower one.
    """
    largest = max((abs(reward) for row in rewards for reward in row), default=0.0)
    table = Table(title=Text(title), title_justify="left", show_lines=True)
    table.add_column("outcome")
    table.add_column("sum", justify="right")
    table.add_column("response, coloured by process reward", overflow="fold", ratio=1)
    for status, row_texts, row_rewards in zip(statuses, texts, rewards):
        response = Text()
        for text, reward in zip(row_texts, row_rewards):
            response.append(make_visible(text), _style(reward, largest))
        outcome = Text(status, _STATUS_STYLES.get(status, "bold red"))
        table.add_row(outcome, f"{sum(row_rewards):+.3g}", response)
    Console().print(table)


def _style(reward: float, largest: float) -> str:
    if largest == 0.0 or abs(reward) < 0.01 * largest:
        return ""
    strength = (abs(reward) / largest) ** 0.5
    shade = [round(255 + strength * (end - 255)) for end in (_HIGH if reward > 0 else _LOW)]
    return "black on #{:02x}{:02x}{:02x}".format(*shade)
