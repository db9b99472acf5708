"""Writes a page of responses with token-reward heat maps: one HTML file that loads nothing.

What a model wrote is hostile text. It enters the page as JSON without any `<` and becomes text
nodes only. The page's content security policy runs no script but the page's own.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from transformers import PreTrainedTokenizerBase

from checks.files import replace_file
from reporting.steps import make_visible, split_steps, token_texts

_TEMPLATES = Path(__file__).resolve().parent
_QUESTION_CHARACTERS = 120  # of each prompt, shown in the table


@dataclass(frozen=True)
class ShownResponse:
    texts: list[str]  # one per token
    steps: list[tuple[int, int]]  # first token, token after the last
    rewards: list[float] | None  # process reward of each token, if there are any
    advantages: list[float] | None  # of each token
    status: str  # verdict, "" if there is none
    outcome: float | None  # outcome reward
    truncated: bool
    probability: float | None  # P(correct) by a PRM
    parts: str  # rewards of the functions that VERIFIERS weighs, "" if it weighs none


@dataclass(frozen=True)
class ShownGroup:
    """A prompt and some responses to it."""

    prompt: str
    truth: str  # right answer, "" if none is known
    decision: str  # of the prompt filter
    responses: list[ShownResponse]
    run: int = 0  # number of the run
    iteration: int | None = None


@dataclass(frozen=True)
class Pinned:
    """Responses shown above the table, side by side."""

    title: str
    group: int  # number of the group
    chosen: list[int]  # numbers of its responses


def show_response(
    tokenizer: PreTrainedTokenizerBase,
    ids: Sequence[int],
    *,
    rewards: Sequence[float] | None = None,
    advantages: Sequence[float] | None = None,
    status: str = "",
    outcome: float | None = None,
    truncated: bool = False,
    probability: float | None = None,
    parts: dict[str, tuple[float, str]] | None = None,
) -> ShownResponse:
    """Return a response as a page shows it: token by token, in steps."""
    texts = token_texts(tokenizer, ids)
    return ShownResponse(
        texts=[make_visible(text) for text in texts],
        steps=split_steps(texts),
        rewards=list(rewards) if rewards is not None else None,
        advantages=list(advantages) if advantages is not None else None,
        status=make_visible(status),
        outcome=outcome,
        truncated=truncated,
        probability=probability,
        parts=", ".join(f"{n} {r:.3g} ({s})" for n, (r, s) in (parts or {}).items()),
    )


def write_page(
    path: Path,
    *,
    title: str,
    summary: str,
    selection: str,
    groups: Sequence[ShownGroup],
    pinned: Sequence[Pinned] = (),
    runs: Sequence[str] = (),
    constants: dict[str, list[str]] | None = None,
    curves: str = "",
    warnings: Sequence[str] = (),
    reload_seconds: int = 0,
) -> None:
    """Write the page of responses.

    Args:
        selection: which responses are on the page, in words.
        runs: names of the runs.
        constants: the value in each run, as text, by name.
        curves: a PNG file in base64.
        warnings: of the runs.
        reload_seconds: after which the page loads itself again, unless someone has clicked or typed
            in it; 0: never.

    Raises:
        UserError: the file cannot be written.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES), autoescape=True, undefined=StrictUndefined
    )
    questions = _find_questions([group.prompt for group in groups])
    content = {
        "groups": [
            {**asdict(group), "question": question} for group, question in zip(groups, questions)
        ],
        "pinned": [asdict(pin) for pin in pinned],
        "runs": list(runs),
    }
    page = environment.get_template("responses.html").render(
        nonce=secrets.token_urlsafe(),
        title=title,
        summary=summary,
        selection=selection,
        content=content,
        runs=runs,
        constants=constants or {},
        curves=curves,
        warnings=list(warnings),
        reload_seconds=reload_seconds,
    )
    replace_file(path, page)


def _find_questions(prompts: Sequence[str]) -> list[str]:
    """Return the beginning of each prompt without the template that all of them share."""
    start = _whole_words(os.path.commonprefix(prompts))
    end = _whole_words(os.path.commonprefix([prompt[::-1] for prompt in prompts]))
    inner = [prompt[start : max(start, len(prompt) - end)] for prompt in prompts]
    return [
        " ".join((question.strip() or prompt).split())[:_QUESTION_CHARACTERS]
        for question, prompt in zip(inner, prompts)
    ]


def _whole_words(shared: str) -> int:
    """Return the length of a text up to the end of its last whole word."""
    return max(shared.rfind(" "), shared.rfind("\n")) + 1
