"""Finds the program in a response."""

import re
import textwrap

# Possessive quantifiers (*+) do not backtrack: a hostile line costs no more than another.
_FENCE = re.compile(r"([ \t]*+)(`{3,}+|~{3,}+)[ \t]*+([^\s`]*+)[^`]*+")
_PYTHON = re.compile(r"[{.]*(python|py)[0-9.]*}?", re.IGNORECASE)
_LOOKS_LIKE_CODE = re.compile(
    r"^[ \t]*+(def |class |import |from \w++ import |print\(|for |while |"
    r"[A-Za-z_][\w.\[\], ]*+[-+*/]?= ?\S)",
    re.MULTILINE,
)


def find_code(response: str) -> list[str]:
    """Return the texts that may be the program, best first; the first that is Python counts.

    The program is the last block fenced as python (py, python3, ...); its closing fence may be
    missing. Else it is the last block fenced without a language. Without any fence, it is the
    whole response if that looks like a program, or the last indented block.
    """
    blocks = _find_blocks(response)
    if not blocks:
        texts = (response, *_find_last_indented(response))
        return [text for text in texts if _LOOKS_LIKE_CODE.search(text)]
    python = [text for language, text in blocks if _PYTHON.fullmatch(language)]
    bare = [text for language, text in blocks if not language]
    return [form for text in (python or bare)[-1:] for form in (text, textwrap.dedent(text))]


def _find_blocks(response: str) -> list[tuple[str, str]]:
    """Return (language, text) of each fenced block that is not empty."""
    blocks: list[tuple[str, list[str]]] = []
    fence, indent = "", 0  # of the open block, if there is one
    for line in response.split("\n"):
        match = _FENCE.fullmatch(line.rstrip())
        width = len(match[1].expandtabs(4)) if match else 0
        if match and not fence:
            fence, indent = match[2], width
            blocks.append((match[3], []))
        elif match and match[2].startswith(fence) and width <= indent + 3:
            # a fence with a language opens a block, even if the last one has not been closed
            fence, indent = (match[2], width) if match[3] else ("", 0)
            if match[3]:
                blocks.append((match[3], []))
        elif fence and not match and line.rstrip().endswith(fence):  # behind the last line of code
            blocks[-1][1].append(line.rstrip()[: -len(fence)])
            fence = ""
        elif fence:
            blocks[-1][1].append(line)
    texts = [(language, "\n".join(lines)) for language, lines in blocks]
    return [(language, text) for language, text in texts if text.strip()]


def _find_last_indented(response: str) -> list[str]:
    """Return the last block of lines indented by four columns, as a list of one or none."""
    runs: list[list[str]] = [[]]
    for line in response.expandtabs(4).split("\n"):
        if line.startswith("    ") or (runs[-1] and not line.strip()):
            runs[-1].append(line)
        elif runs[-1]:
            runs.append([])
    filled = [run for run in runs if run]
    return [textwrap.dedent("\n".join(filled[-1]))] if filled else []
