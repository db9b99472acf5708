"""A response as a reader sees it: the text of each token, and the steps that the tokens form."""

import unicodedata
from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerBase

_TURNS_TEXT = {chr(n) for n in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F))}
_TURNS_TEXT |= {chr(n) for n in range(0x2066, 0x206A)}  # marks that reorder text around them
_PLAIN = "\n\t"  # control characters that a page or a terminal may have


def token_texts(tokenizer: PreTrainedTokenizerBase, ids: Sequence[int]) -> list[str]:
    """Return the text of each token, special tokens included.

    A character of several tokens stands at its last one, the others are empty.
    """
    stream = DecodeStream(skip_special_tokens=False)
    texts = [stream.step(tokenizer.backend_tokenizer, token) or "" for token in ids]
    if ids:  # what was still incomplete at the end
        whole = tokenizer.decode(ids, skip_special_tokens=False)
        shown = "".join(texts)
        texts[-1] += whole[len(shown) :] if whole.startswith(shown) else ""
    return texts


def split_steps(texts: Sequence[str]) -> list[tuple[int, int]]:
    """Return the steps of a response as (first token, token after the last), without gaps.

    A step is a line: it ends with the token that breaks it. Blank lines belong to the step before.

    Args:
        texts: of the tokens, as token_texts gives them.
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
    """Return text in which no character controls a terminal or turns the direction of writing.

    A character that does is shown as its code, such as <U+001B>.
    """
    return "".join(
        f"<U+{ord(char):04X}>" if _is_hidden(char) else char for char in text.replace("\r\n", "\n")
    )


def _is_hidden(char: str) -> bool:
    is_control = unicodedata.category(char) in ("Cc", "Cs")
    return (is_control and char not in _PLAIN) or char in _TURNS_TEXT
