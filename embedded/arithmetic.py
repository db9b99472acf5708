"""The embedded task: chains of arithmetic, and a tokenizer for them. It needs no download.

A problem is a chain such as `(((7+8)/3)*4)-2`. Every intermediate total lies in 0..20. A careful
demonstration does one operation per line, starts each line from the total of the line before, and
ends in \\boxed{}. A hasty one jumps to the answer, at once or on the way; a small model that does
so is mostly wrong. The demonstrations mix both, as real SFT data does. So the SFT model can work
carefully but often does not, and RL improves this quickly and visibly.

    [ADVANCE]
    7+8=15
    15/3=5
    5*4=20
    20-2=18

    [OUTPUT]
    \\boxed{18}
"""

import random
import re
import zlib
from collections.abc import Sequence
from functools import cache

from datasets import Dataset
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, PreTrainedTokenizerFast

NAME = "arithmetic"  # its name in TRAIN_DATA, EVAL_DATA and sft.py's MODEL
SPLIT_SIZES = {"sft": 100_000, "train": 16_384, "test": 512}

Operation = tuple[str, int]  # one of + - * / and its operand

_MIN_OPERATIONS, _MAX_OPERATIONS = 6, 10  # in a chain
_MAX_TOTAL = 20  # running totals lie in 0..20
_JUMP_AT_ONCE = 0.55  # share of demonstrations that give the answer without any work
_JUMP_LATER = 0.1  # probability of a jump to the answer before each later line

_MARKERS = ("", "[ADVANCE]", "[OUTPUT]")  # lines that state nothing

_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|unk|>"]
_WORDS = [
    "system",
    "user",
    "assistant",
    "\n",
    "\n\n",
    "+",
    "-",
    "*",
    "/",
    "=",
    ")",
    "\\boxed{",
    "}",
    ":",
]
_WORDS += ["[ASSESS]", "[ADVANCE]", "[VERIFY]", "[SIMPLIFY]", "[SYNTHESIZE]", "[PIVOT]", "[OUTPUT]"]
_WORDS += ["(" * depth for depth in range(1, _MAX_OPERATIONS)]
_WORDS += ["Present", " the", " answer", " in", " LaTex", " format", " \\boxed{", "Your"]


def split_rows(split: str) -> Dataset:
    """Return one split, the same on every machine; no chain of "test" is in another split.

    "sft" has columns prompt (the chain, a plain question) and response (its demonstration);
    "train" and "test" have the columns of Eurus-2-RL-Data, with a plain question as prompt.

    Raises:
        KeyError: no such split.
    """
    size = SPLIT_SIZES[split]
    rng = random.Random(f"{NAME} {split}")
    rows = []
    while len(rows) < size:
        first, operations = make_chain(rng)
        question = write_chain(first, operations)
        is_test = zlib.crc32(question.encode()) % 8 == 0
        if is_test != (split == "test"):
            continue
        if split == "sft":
            rows.append({"prompt": question, "response": demonstrate(first, operations, rng)})
        else:
            rows.append(_rl_row(question, apply(operations, first), split, len(rows)))
    return Dataset.from_list(rows)


def make_chain(rng: random.Random) -> tuple[int, list[Operation]]:
    """Return a first number and operations such as ("-", 3); all totals lie in 0..20."""
    total = first = rng.randint(1, 9)
    operations = []
    for _ in range(rng.randint(_MIN_OPERATIONS, _MAX_OPERATIONS)):
        choices = _list_operands(total)
        symbol = rng.choice([symbol for symbol, operands in choices.items() if operands])
        operations.append((symbol, rng.choice(choices[symbol])))
        total = apply(operations[-1:], total)
    return first, operations


@cache
def _list_operands(total: int) -> dict[str, list[int]]:
    """Return for each symbol the operands 1 to 9 with which the next total is in range."""
    operands = {
        symbol: [n for n in range(1, 10) if 0 <= apply([(symbol, n)], total) <= _MAX_TOTAL]
        for symbol in "+-*/"
    }
    operands["*"] = [n for n in operands["*"] if n > 1 and total]
    operands["/"] = [n for n in operands["/"] if n > 1 and total % n == 0 and total]
    return operands


def apply(operations: list[Operation], total: int) -> int:
    """Return the total after some operations."""
    for symbol, operand in operations:
        if symbol == "+":
            total += operand
        elif symbol == "-":
            total -= operand
        elif symbol == "*":
            total *= operand
        else:
            total //= operand
    return total


def write_chain(first: int, operations: list[Operation]) -> str:
    """Return the chain as text, with brackets around every total but the last."""
    steps = ")".join(f"{symbol}{operand}" for symbol, operand in operations)
    return "(" * (len(operations) - 1) + str(first) + steps


def demonstrate(first: int, operations: list[Operation], rng: random.Random) -> str:
    """Return a right response: it works line by line until, at random, it jumps to the answer."""
    lines, total = [], first
    for operation in operations:
        if rng.random() < (_JUMP_LATER if lines else _JUMP_AT_ONCE):
            break
        result = apply([operation], total)
        lines.append(f"{write_chain(total, [operation])}={result}")
        total = result
    work = "[ADVANCE]\n" + "\n".join(lines) + "\n\n" if lines else ""
    return work + f"[OUTPUT]\n\\boxed{{{apply(operations, first)}}}"


def judge_steps(question: str, steps: Sequence[str]) -> list[bool | None]:
    """Return for each line of a response whether it is right; None if it states nothing.

    An operation is right if it is the next one of the chain, starts from the total of the line
    before (as written, right or wrong) and has the right result. A box is right if it holds the
    result of the rest of the chain from that total.

    Args:
        question: a chain from write_chain().
        steps: lines, with or without special tokens.
    """
    first, *pairs = re.findall(r"\d+|[-+*/]\d+", question)
    total, left = int(first), [(pair[0], int(pair[1:])) for pair in pairs]
    verdicts: list[bool | None] = []
    for step in steps:
        text = re.sub(r"<\|\w+\|>|\s", "", step)
        operation = re.fullmatch(r"(\d+)([-+*/])(\d+)=(\d+)", text)
        box = re.fullmatch(r"\\boxed\{(\d+)\}", text)
        if text in _MARKERS:
            verdicts.append(None)
        elif operation:
            written = (operation[2], int(operation[3]))
            expected = total if not left else apply(left[:1], total)
            is_next = bool(left) and written == left[0] and int(operation[1]) == total
            verdicts.append(is_next and int(operation[4]) == expected)
            total, left = int(operation[4]), left[1:]
        else:
            verdicts.append(box is not None and int(box[1]) == apply(left, total))
            left = left if box else left[1:]
    return verdicts


def build_config() -> LlamaConfig:
    """Return the configuration of the embedded model, a Llama of about 0.45 M parameters."""
    tokenizer = build_tokenizer()
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=96,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a word-level tokenizer with a chat template; known pieces decode to themselves."""
    words = _SPECIAL_TOKENS + _WORDS + [str(n) for n in range(_MAX_TOTAL + 1)]
    vocabulary = {word: index for index, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<|unk|>"))
    pieces = Regex(r" ?\\boxed\{|\(+|\[[A-Z]+\]|\n\n|\d+| ?[A-Za-z]+|\s|\S")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(pieces, behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        unk_token="<|unk|>",
        additional_special_tokens=["<|im_start|>"],
        chat_template=_CHAT_TEMPLATE,
        clean_up_tokenization_spaces=False,
    )


def _rl_row(question: str, answer: int, split: str, index: int) -> dict:
    return {
        "data_source": NAME,
        "prompt": question,
        "ability": "math",
        "reward_model": {"style": "rule", "ground_truth": str(answer)},
        "extra_info": {"split": split, "index": index},
    }
