"""Tokens as text, steps as lines, and nothing in either that controls a terminal."""

import pytest
from small_runs import SFT_MODEL
from transformers import AutoTokenizer

from reporting.steps import make_visible, split_steps, token_texts


def test_token_texts_join_to_the_response():
    tokenizer = AutoTokenizer.from_pretrained(SFT_MODEL)
    response = "[ADVANCE]\n7+8=15\n\n[OUTPUT]\n\\boxed{15}"
    ids = [*tokenizer(response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    texts = token_texts(tokenizer, ids)
    assert len(texts) == len(ids) and "".join(texts) == response + "<|im_end|>"
    assert texts[:4] == ["[ADVANCE]", "\n", "7", "+"]
    steps = split_steps(texts)
    lines = ["".join(texts[start:end]) for start, end in steps]
    assert lines == ["[ADVANCE]\n", "7+8=15\n\n", "[OUTPUT]\n", "\\boxed{15}<|im_end|>"]
    assert token_texts(tokenizer, []) == [] and split_steps([]) == []


def test_characters_of_several_tokens_stand_at_the_last_of_them(byte_model):
    byte_tokenizer = AutoTokenizer.from_pretrained(byte_model)
    text = "a\N{ROCKET}é\nb"
    ids = byte_tokenizer(text, add_special_tokens=False)["input_ids"]
    assert len(ids) == 1 + 4 + 2 + 1 + 1
    assert token_texts(byte_tokenizer, ids) == ["a", "", "", "", "\N{ROCKET}", "", "é", "\n", "b"]
    cut = token_texts(byte_tokenizer, ids[:3])  # in the middle of the rocket
    assert cut[:2] == ["a", ""] and "".join(cut) == byte_tokenizer.decode(ids[:3])


@pytest.mark.parametrize(
    ("texts", "steps"),
    [
        (["a"], [(0, 1)]),
        (["a", "\n", "b"], [(0, 2), (2, 3)]),
        (["a", "\n", "\n", " ", "\n", "b"], [(0, 5), (5, 6)]),  # blank lines
        (["\n", "a"], [(0, 1), (1, 2)]),
        (["a\n", "b\n\nc", "d"], [(0, 1), (1, 2), (2, 3)]),
        (["", "", "\n"], [(0, 3)]),
    ],
)
def test_a_step_is_a_line_with_the_blank_ones_after_it(texts, steps):
    assert split_steps(texts) == steps
    covered = [n for start, end in steps for n in range(start, end)]
    assert covered == list(range(len(texts)))


def test_what_controls_a_terminal_or_turns_text_is_shown_as_its_code():
    hostile = "\x1b[31m\x07\x9b\r\u202eabc\u2066\ud800\x00"
    shown = make_visible(hostile)
    assert shown == ("<U+001B>[31m<U+0007><U+009B><U+000D><U+202E>abc<U+2066><U+D800><U+0000>")
    shown.encode()  # a lone surrogate would not
    plain = "tab\tline\nnaïve \N{ROCKET} العربية"
    assert make_visible(plain) == plain and make_visible("a\r\nb") == "a\nb"
