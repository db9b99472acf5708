"""Splits a response into the texts of its tokens and into steps; makes all of it visible."""

import unicodedata
from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

_TURNS_TEXT = {chr(n) for n in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F))}
_TURNS_TEXT |= {chr(n) for n in range(0x2066, 0x206A)}  # marks that reorder text around them
_PLAIN = "\n\t"  # control characters that a page and a terminal may show


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Return the text of each token, special tokens included.

    The text of a character of several tokens stands at its last token; the others are empty.
    """
    stream = DecodeStream(skip_special_tokens=False)
    texts = [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids]
    if ids:  # a character still incomplete at the end
        whole = tokenizer.decode(ids, skip_special_tokens=False)
        shown = "".join(texts)
        texts[-1] += whole[len(shown) :] if whole.startswith(shown) else ""
    return texts


def split_steps(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return the steps of a response as (first token, token after the last), without gaps.

    A step is a line. It ends with the token that holds the line break. Blank lines belong to the
    step before.

    Args:
        texts: one per token, from token_texts().
    """
    steps: list[tuple[int, int]] = []
    start = 0
    for position, text in enumerate(texts, start=1):
        if "\n" not in text and position < len(texts):
            continue
        if steps and not "".join(texts[start:position]).strip():
            start = steps.pop()[0]
        steps.append((start, position))
        start = position
    return steps


def make_visible(text: str) -> str:
    """Return text without characters that control a terminal or turn the direction of writing.

    Their codes take their place, such as <U+001B>.
    """
    return "".join(
        f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text.replace("\r\n", "\n")
    )


def _is_hidden(char: str) -> bool:
    is_control = unicodedata.category(char) in ("Cc", "Cs")
    return (is_control and char not in _PLAIN) or char in _TURNS_TEXT
