"""The verifiers beside math-verify (as TRL's accuracy_reward uses it) and fresh interpreters.

    python benchmarks/verifiers.py

The script makes responses and labels from a seed, right and wrong by construction, so anyone can
rebuild them. Times are CPU seconds, summed over processes where there are several. The rivals take
turns within a repeat, our caches are emptied before each, and the script prints medians over the
repeats.
"""

import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from latex2sympy2_extended import NormalizationConfig
from math_verify import LatexExtractionConfig, parse, verify

from verifiers import Verifier
from verifiers.math.answer import grade
from verifiers.math.expression import exact, symbols
from verifiers.math.notation import normalize
from verifiers.math.reader import read_answer

NUM_RESPONSES = 300  # real-looking; half of them are right
NUM_UNEQUAL = 150  # pairs of unequal answers
NUM_ODD = 300  # right answers in odd notation, and wrong ones made up to look right
NUM_COPIED = 300  # formulas of a question whose value is the answer
NUM_PROGRAMS = 400
NUM_ASSERTED = 100  # programs with assertions, of each kind
REPEATS = 3
SEED = 0
TIMEOUT = 5.0  # seconds for a row

Pair = tuple[str, str, bool]  # ground truth, answer, whether it is right


def main() -> None:
    generator = random.Random(SEED)
    pairs = [make_pair(generator, right=number % 2 == 0) for number in range(NUM_RESPONSES)]
    compare_math("real-looking responses", pairs, generator)
    unequal = [make_pair(generator, right=False) for _ in range(NUM_UNEQUAL)]
    compare_math("unequal pairs", unequal, generator)
    odd = [make_pair(generator, number % 2 == 0, ODD_KINDS) for number in range(NUM_ODD)]
    compare_math("odd notations and made-up answers", odd, generator)
    measure_copied(generator)
    measure_code()
    measure_assertions()


# -- math ---------------------------------------------------------------------------------------


def make_pair(generator: random.Random, right: bool, kinds: Sequence | None = None) -> Pair:
    """Return a ground truth and an answer in another notation; right: whether they are equal."""
    make = generator.choice(kinds or KINDS)
    gold, equal, other = make(generator)
    return gold, equal if right else other, right


def integers(generator: random.Random) -> tuple[str, str, str]:
    n = generator.randint(-500, 90000)
    equal = generator.choice([f"x = {n}", f"{n:,}", f"{n}\\text{{ cm}}", f"{n}.0"])
    return str(n), equal, str(n + 1)


def fractions(generator: random.Random) -> tuple[str, str, str]:
    value = Fraction(generator.randint(-99, 99), generator.randint(2, 60))
    top, bottom = value.numerator, value.denominator
    gold = f"\\frac{{{top}}}{{{bottom}}}"
    return gold, f"\\dfrac{{{2 * top}}}{{{2 * bottom}}}", f"\\frac{{{top + 1}}}{{{bottom}}}"


def decimals(generator: random.Random) -> tuple[str, str, str]:
    value = Fraction(generator.randint(1, 9999), 1000)
    gold = f"{float(value):.3f}"
    return gold, f"{value.numerator}/{value.denominator}", f"{float(value) + 0.01:.3f}"


def roots(generator: random.Random) -> tuple[str, str, str]:
    a, b = generator.randint(2, 9), generator.choice([2, 3, 5, 7, 11, 13])
    c = generator.randint(1, 9)
    gold = f"{c}+{a}\\sqrt{{{b}}}"
    return gold, f"\\sqrt{{{a * a * b}}}+{c}", f"{c}+{a}\\sqrt{{{b + 1}}}"


def polynomials(generator: random.Random) -> tuple[str, str, str]:
    a, b = generator.randint(1, 9), generator.randint(1, 9)
    gold = f"(x+{a})(x-{b})"
    expanded = f"x^{{2}}{a - b:+d}x-{a * b}"
    return gold, expanded, f"x^2{a - b:+d}x-{a * b + 1}"


def intervals(generator: random.Random) -> tuple[str, str, str]:
    a, b = generator.randint(-9, 0), generator.randint(1, 9)
    gold = f"[{a},{b})"
    return gold, f"{a} \\le x < {b}", f"[{a},{b}]"


def tuples(generator: random.Random) -> tuple[str, str, str]:
    a, b = generator.randint(1, 9), generator.randint(10, 19)
    angle = f"\\frac{{\\pi}}{{{b}}}"
    return f"({a},{angle})", f"\\left({a}, \\pi/{b}\\right)", f"({angle},{a})"


def sets(generator: random.Random) -> tuple[str, str, str]:
    a, b, c = generator.sample(range(-9, 10), 3)
    return f"{a},{b},{c}", f"\\{{{c}, {a}, {b}\\}}", f"{a},{b},{c + 20}"


def pi_multiples(generator: random.Random) -> tuple[str, str, str]:
    a, b = generator.randint(1, 9), generator.choice([7, 11, 13])
    gold = f"\\frac{{{a}\\pi}}{{{b}}}"
    return gold, f"\\frac{{{a}}}{{{b}}}\\pi", f"{a * 3.14159265 / b:.4f}"


def quantities(generator: random.Random) -> tuple[str, str, str]:
    n = generator.randint(1, 99)
    unit, small, other = generator.choice(
        [("m", "cm", "mi"), ("dollars", "cents", "euros"), ("square meters", "cm^2", "acres")]
    )
    size = n * (10**4 if "^" in small else 100)
    return f"{n}\\text{{ {unit}}}", f"{size}\\text{{ {small}}}", f"{n}\\text{{ {other}}}"


def choices(generator: random.Random) -> tuple[str, str, str]:
    letter, other = generator.sample("ABCDE", 2)
    value = generator.choice(["2x(x-7)", "\\text{twelve}", "x+y=z", "Alice"])
    written = generator.choice(["{}) {}", "\\textbf{{({})}}\\ {}", "{}. {}", "\\text{{({})}} {}"])
    wrong = generator.choice([f"({letter}) or ({other})", f"({letter}) is wrong", f"({other}) 1"])
    return letter, written.format(letter, value), wrong


def pieces(generator: random.Random) -> tuple[str, str, str]:
    a, far = generator.randint(1, 99), 10 ** generator.randint(3, 9)
    wrong = [f"|x+{far}|-{far}+{a}", f"\\max(x,-{far})+{a}", f"x+{a}+\\lfloor|x|/{far}\\rfloor"]
    return f"x+{a}", f"\\sqrt[3]{{x^3}}+{a}", generator.choice(wrong)


def named_values(generator: random.Random) -> tuple[str, str, str]:
    a, b = generator.randint(1, 99), generator.randint(100, 199)
    return f"AB={a},CD={b}", f"{a}, {b}", f"AB={b}, CD={a}"


def denials(generator: random.Random) -> tuple[str, str, str]:
    n = generator.randint(5, 999)
    words = "doubled quadrillion sixteenths lakh crore hoax squared tenths false".split()
    return str(n), f"{n}\\text{{ ways}}", f"{n}\\text{{ {generator.choice(words)}}}"


def tiny_numbers(generator: random.Random) -> tuple[str, str, str]:
    a, far = generator.randint(2, 99), generator.randint(600, 5000)
    tiny = generator.choice([f"10^{{-{far}}}", f"e^{{-{3 * far}}}", f"\\frac{{1}}{{{far}!}}"])
    return f"{a}+\\sqrt2", f"\\sqrt{{2}}+{a}", f"{a}+\\sqrt2+{tiny}"


KINDS = (integers, fractions, decimals, roots, polynomials, intervals, tuples, sets, pi_multiples)
ODD_KINDS = (quantities, choices, pieces, named_values, denials, tiny_numbers)


def measure_copied(generator: random.Random) -> None:
    """Print how many formulas of a question are rewarded where their value is the answer."""
    paid, paid_without = 0, 0
    for _ in range(NUM_COPIED):
        a, b = generator.randint(2, 99), generator.randint(2, 99)
        formula, value = generator.choice(
            [
                (f"{a}\\cdot{b}", str(a * b)),
                (f"\\binom{{{a + 1}}}{{2}}", str(a * (a + 1) // 2)),
                (f"\\sqrt{{{3 * a * a}}}", f"{a}\\sqrt3"),
                (f"x^2-{a * a}", f"(x-{a})(x+{a})"),
                (f"\\frac{{{6 * a}}}{{{6 * b}}}", str(Fraction(a, b))),
                (f"{a}x+{b}x", f"{a + b}x"),
            ]
        )
        paid += grade(f"\\boxed{{{formula}}}", value, f"Simplify ${formula}$.")[0]
        paid_without += grade(f"\\boxed{{{formula}}}", value)[0]
    print(f"\nformulas of the question, copied: {NUM_COPIED}")
    shares = [f"{count / NUM_COPIED:.1%}" for count in (paid, paid_without)]
    print(f"  rewarded {shares[0]}; without the question {shares[1]}")


def write_response(generator: random.Random, answer: str) -> str:
    """Return a solution of about 1,500 characters, with formulas before the answer."""
    steps = []
    for number in range(1, 9):
        a, b = generator.randint(2, 99), generator.randint(2, 99)
        steps.append(
            f"Step {number}. We substitute and simplify: $\\frac{{{a}x + {b}}}{{{b}}} = {a + b}$, "
            f"and since ${a} \\cdot {b} = {a * b}$ the condition becomes "
            f"$x^2 - {a}x + {b} \\ge 0$. This holds for the values in question, "
            "which we check one after the other."
        )
    return "\n\n".join([*steps, f"Therefore the answer is $\\boxed{{{answer}}}$."])


def grade_with_math_verify(response: str, gold: str) -> float:
    """Return the reward of math-verify with the settings of TRL's accuracy_reward."""
    parsed_gold = parse(f"${gold}$")
    config = LatexExtractionConfig(
        normalization_config=NormalizationConfig(units=True),
        boxed_match_priority=0,
        try_extract_without_anchor=False,
    )
    parsed = parse(response, extraction_config=[config], extraction_mode="first_match")
    return float(verify(parsed_gold, parsed)) if parsed_gold else 0.0


def compare_math(title: str, pairs: list[Pair], generator: random.Random) -> None:
    rows = [(write_response(generator, answer), gold, right) for gold, answer, right in pairs]
    graders = {
        "ours": lambda response, gold: grade(response, gold)[0],
        "math-verify": grade_with_math_verify,
    }
    seconds: dict[str, list[float]] = {name: [] for name in graders}
    right: dict[str, int] = {}
    for _ in range(REPEATS):
        for name, grader in graders.items():
            for function in (normalize, read_answer, exact, symbols):
                function.cache_clear()
            started = time.process_time()
            rewards = [grader(response, gold) for response, gold, _ in rows]
            seconds[name].append(time.process_time() - started)
            right[name] = sum(reward == label for reward, (_, _, label) in zip(rewards, rows))
    print(f"\n{title}: {len(rows)}, median of {REPEATS} repeats")
    rates = {name: len(rows) / statistics.median(times) for name, times in seconds.items()}
    for name, rate in rates.items():
        accuracy = right[name] / len(rows)
        print(f"  {name:<12} {rate:9.1f} a CPU second   accuracy {accuracy:6.1%}")
    print(f"  ratio        {rates['ours'] / rates['math-verify']:9.1f}")
    with Verifier(num_workers=2, timeout_seconds=TIMEOUT) as verifier:
        started = time.perf_counter()
        responses, golds, _ = map(list, zip(*rows))
        verdicts = verifier.verify(responses, golds, ["math"] * len(rows))
        elapsed = time.perf_counter() - started
    timeouts = sum(verdict.status in ("timeout", "error") for verdict in verdicts)
    rate = len(rows) / elapsed
    print(f"  in the pool  {rate:9.1f} a second (wall), {timeouts} time-outs or errors")


# -- code ---------------------------------------------------------------------------------------

PROGRAM = """```python
import sys

def main():
    n, *numbers = map(int, sys.stdin.read().split())
    best = current = numbers[0]
    for number in numbers[1:]:
        current = max(number, current + number)
        best = max(best, current)
    print(best)

main()
```"""


ASSERTIONS = {  # kind: a right program, a wrong one where + is -, and the test
    "scripts of statements": (
        "class Solution:\n    def total(self, a, b):\n        return a + b",
        "s = Solution()\nassert s.total(1, 2) == 3\nassert s.total(5, 2) == 7",
    ),
    "objects": (
        "class Money:\n    def __init__(self, n):\n        self.n = n\n"
        "    def __add__(self, other):\n        return Money(self.n + other.n)\n"
        "    def __eq__(self, other):\n        return self.n == other.n",
        "m = Money(1) + Money(2)\nassert m == Money(3)\nassert m.n == 3",
    ),
    "names of Python": (
        "M = 7\ndef gcd(a, b):\n    return a + b",
        "r = gcd(3, 4)\nassert r == 7\nassert gcd(M, 1) == 8",
    ),
}


def measure_assertions() -> None:
    """Print the verdicts a CPU second on right and wrong programs with assertions, by kind."""
    print(f"\nprograms with assertions, half of them right: {NUM_ASSERTED} of each kind")
    with Verifier(num_workers=2, timeout_seconds=TIMEOUT) as verifier:
        for kind, (program, test) in ASSERTIONS.items():
            programs = [program, program.replace(" + ", " - ")] * (NUM_ASSERTED // 2)
            rows = [f"```python\n{text}\n```" for text in programs], [json.dumps({"test": test})]
            before = cpu_seconds_of_tree(verifier._pool.pid)
            verdicts = verifier.verify(rows[0], rows[1] * NUM_ASSERTED, ["code"] * NUM_ASSERTED)
            rate = NUM_ASSERTED / (cpu_seconds_of_tree(verifier._pool.pid) - before)
            right = sum(v.reward == 1 - n % 2 for n, v in enumerate(verdicts))
            print(f"  {kind:<22} {rate:7.1f} a CPU second   accuracy {right / NUM_ASSERTED:6.1%}")


def measure_code() -> None:
    """Print right single-test programs a CPU second: in the pool, and in fresh interpreters."""
    truth = json.dumps({"inputs": ["5\n-2 3 4 -1 2\n"], "outputs": ["8\n"]})
    pooled, fresh, slowed = [], [], []
    with Verifier(num_workers=2, timeout_seconds=2.0) as verifier:
        verifier.verify([PROGRAM] * 8, [truth] * 8, ["code"] * 8)
        for _ in range(REPEATS):
            before = cpu_seconds_of_tree(verifier._pool.pid)
            rows = [[text] * NUM_PROGRAMS for text in (PROGRAM, truth, "code")]
            verdicts = verifier.verify(*rows)
            assert all(verdict.reward == 1.0 for verdict in verdicts)
            pooled.append(NUM_PROGRAMS / (cpu_seconds_of_tree(verifier._pool.pid) - before))
            fresh.append(measure_fresh_interpreters(NUM_PROGRAMS // 8))
            sleeper = "```python\nimport time\ntime.sleep(60)\n```"
            mixed = [sleeper if number % 20 == 0 else PROGRAM for number in range(100)]
            verdicts = verifier.verify(mixed, [truth] * 100, ["code"] * 100)
            slowed.append(sum(verdict.reward for verdict in verdicts))
    assert min(slowed) == 95, "a program that sleeps cost another its verdict"
    print(f"\nright single-test programs: {NUM_PROGRAMS}, median of {REPEATS} repeats")
    print(f"  ours               {statistics.median(pooled):7.1f} a CPU second, sandboxed")
    rate = statistics.median(fresh)
    print(f"  fresh interpreter  {rate:7.1f} a CPU second, with the usual imports, no sandbox")
    print(f"  beside 5 of 100 programs that sleep: {min(slowed):.0f} of 95 right ones pass")


def cpu_seconds_of_tree(root: int) -> float:
    """Return the CPU time of a process and its descendants, alive or already waited for."""
    ticks, todo = 0, [root]
    while todo:
        pid = todo.pop()
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))  # user, system, and those of children waited for
            todo += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        except FileNotFoundError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def measure_fresh_interpreters(count: int) -> float:
    code = PROGRAM.removeprefix("```python\n").removesuffix("```")
    code = "import numpy, typing, collections, heapq, bisect, itertools, functools, re\n" + code
    before = sum(os.times()[2:4])
    for _ in range(count):
        command = [sys.executable, "-c", code]
        told = dict(input="5\n-2 3 4 -1 2\n", capture_output=True, text=True)
        output = subprocess.run(command, **told).stdout
        assert output == "8\n"
    return count / (sum(os.times()[2:4]) - before)


if __name__ == "__main__":
    main()
