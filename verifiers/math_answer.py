"""Is the boxed answer of a response the ground truth? Equivalence is math-verify's."""

import logging

from math_verify import LatexExtractionConfig, parse, verify

logging.getLogger("math_verify").setLevel(
    logging.ERROR
)  # it warns that time limits are the caller's

_EXTRACTION = [LatexExtractionConfig(boxed_match_priority=0)]


def grade(response: str, ground_truth: str) -> tuple[float, str]:
    """Return (outcome reward, status) of a response: 1.0 "correct", 0.0 "wrong" or "no_answer".

    Only the last complete \\boxed{...} counts. The caller limits the time.
    """
    answer = find_boxed_answer(response)
    if answer is None:
        return 0.0, "no_answer"
    gold = find_boxed_answer(ground_truth) or ground_truth.strip().strip("$")
    if "".join(answer.split()) == "".join(gold.split()):
        return 1.0, "correct"
    parsed_gold = _parse(gold)
    is_correct = bool(parsed_gold) and verify(
        parsed_gold, _parse(answer), timeout_seconds=None, raise_on_error=True
    )
    return (1.0, "correct") if is_correct else (0.0, "wrong")


def find_boxed_answer(text: str) -> str | None:
    """Return what stands in the last complete \\boxed{...} (braces nest); None if none or empty."""
    start = text.rfind("\\boxed{")
    while start >= 0:
        content_start = start + len("\\boxed{")
        depth = 1
        for position in range(content_start, len(text)):
            depth += {"{": 1, "}": -1}.get(text[position], 0)
            if depth == 0:
                return text[content_start:position].strip() or None
        start = text.rfind("\\boxed{", 0, start)
    return None


def _parse(answer: str) -> list:
    return parse(
        f"\\boxed{{{answer}}}",
        extraction_config=_EXTRACTION,
        parsing_timeout=None,
        raise_on_error=True,
    )
