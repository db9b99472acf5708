"""Makes embedded/tables-sft: `python benchmarks/tables_sft.py`, three minutes on two cores.

With `--facts NAME` the model misremembers other facts; `--output FOLDER` is its folder. With
`--width FACTOR` it is so many times as wide, and learns the embedded task first, in `--steps`.

It is the model of benchmarks/claims.py. It works line by line, as the embedded model can, but has
learned part of its tables wrong. A share of all facts, such as 7+8, has a wrong result. The
demonstrations state it more often than not, and go on from it. Reinforcement learning then has to
find out which of about eight lines made an answer wrong.
"""

import argparse
import json
import random
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from accelerate.utils import set_seed
from transformers import AutoModelForCausalLM

from embedded import arithmetic
from embedded.arithmetic import Operation

_ROWS = 60_000  # demonstrations
_WRONG_FACTS = 0.3  # share of facts that have a wrong result
_WRONG_STATED = 0.6  # how often a demonstration states the wrong result
_LARGEST = 20  # the largest number that the tokenizer knows
_SFT = ["STEPS=250", "LR=1e-3", "WARMUP_STEPS=20", "SAVE_EVERY=1000"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--facts", default="", metavar="NAME", help="misremember other facts")
    parser.add_argument("--width", type=float, default=1.0, metavar="FACTOR")
    parser.add_argument("--steps", type=int, default=1000, help="of the embedded task")
    parser.add_argument("--output", default="embedded/tables-sft", metavar="FOLDER")
    arguments = parser.parse_args()
    rows = make_rows(_ROWS, arguments.facts)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demonstrations.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        start = "embedded/arithmetic-sft"
        if arguments.width != 1:
            widen(arguments.width, Path(folder) / "untrained")
            start = f"{folder}/arithmetic-sft"
            steps = f"STEPS={arguments.steps}"
            tune(f"MODEL={folder}/untrained", f"OUTPUT={start}", steps)
        data = [f"DATA={path}", "SPLIT=train"]
        tune(f"MODEL={start}", f"OUTPUT={arguments.output}", *data, *_SFT)


def tune(*settings: str) -> None:
    subprocess.run([sys.executable, "sft.py", *settings], cwd=ROOT, check=True)


def widen(factor: float, folder: Path) -> None:
    """Write an untrained model whose width is `factor` times that of the embedded one."""
    config = arithmetic.build_config()
    for name in ("hidden_size", "intermediate_size", "head_dim"):
        setattr(config, name, round(getattr(config, name) * factor))
    set_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    arithmetic.build_tokenizer().save_pretrained(folder)


def make_rows(count: int, facts: str) -> list[dict]:
    """Return demonstrations, as rows of prompt and response."""
    rng = random.Random("tables")
    rows = []
    for prompt in arithmetic.split_rows("sft")["prompt"]:
        first, *pairs = re.findall(r"\d+|[-+*/]\d+", prompt)
        operations = [(pair[0], int(pair[1:])) for pair in pairs]
        response = demonstrate(int(first), operations, rng, facts)
        if response and len(rows) < count:
            rows.append({"prompt": prompt, "response": response})
    return rows


def wrong_result(total: int, operation: Operation, facts: str = "") -> int | None:
    """Return the wrong result of a misremembered fact, None if it is known; the same everywhere.

    Args:
        facts: any text; every text has its own misremembered facts.
    """
    rng = random.Random(facts + arithmetic.write_chain(total, [operation]))
    if rng.random() >= _WRONG_FACTS:
        return None
    right = arithmetic.apply([operation], total)
    return rng.choice([n for n in range(right - 3, right + 4) if n != right and 0 <= n <= _LARGEST])


def demonstrate(
    first: int, operations: list[Operation], rng: random.Random, facts: str = ""
) -> str | None:
    """Return a response that works line by line; None if a total leaves 0..20."""
    lines, total = [], first
    for operation in operations:
        result = arithmetic.apply([operation], total)
        if not 0 <= result <= _LARGEST:
            return None
        wrong = wrong_result(total, operation, facts)
        if wrong is not None and rng.random() < _WRONG_STATED:
            result = wrong
        lines.append(f"{arithmetic.write_chain(total, [operation])}={result}")
        total = result
    return "[ADVANCE]\n" + "\n".join(lines) + f"\n\n[OUTPUT]\n\\boxed{{{total}}}"


if __name__ == "__main__":
    main()
