"""Answers made to cost time or memory, or to run: each is wrong at once and leaves nothing."""

import mpmath
import pytest

from verifiers.math.answer import equivalent, grade

HOSTILE = {
    "a tower": "10^{10^{10^{10}}}",
    "nines": "9^9^9^9^9",
    "factorials": "((5!)!)!",
    "a huge factorial": "(10^9)!",
    "a huge binomial": "\\binom{10^{12}}{5\\cdot 10^{11}}",
    "an exponent": "1e999999999",
    "exponentials": "e^{e^{e^{e^{e}}}}",
    "a sine of the huge": "\\sin(10^{10^{5}})",
    "a base": "9" * 4500 + "_{10}",
    "the base of a base": "9_{" + "9" * 4500 + "}",
    "a binomial of a huge number": "\\binom{10^{5000}}{1000}",
    "hyperbolic": "\\cosh(10^{5000})",
    "inequations": ",".join(f"x\\neq {n}" for n in range(200)),
    "multiples": "\\{" + ",".join(f"{n}\\pi" for n in range(495)) + "\\}",
    "digits": "1" * 4900,
    "many digits": "1" * 100_000,
    "thousands": "1" + ",000" * 1200,
    "a long period": "0." + "1" * 4000 + "2...",
    "parentheses": "(" * 2400 + ")" * 2400,
    "open parentheses": "(" * 4900,
    "braces": "{" * 5000 + "5x" + "}" * 5000,
    "roots": "\\sqrt{" * 700 + "5" + "}" * 700,
    "fractions": "\\frac" * 900,
    "texts": "\\text{ a}" * 500,
    "nested texts": "\\text{" * 500 + "}" * 500,
    "signs": "-" * 4900 + "1",
    "a long sum": "1" + "-1" * 2400,
    "a long list": "1," * 2400 + "1",
    "many roots": ",".join(f"\\sqrt{{{n}}}" for n in range(400)),
    "many intervals": "\\cup".join(f"({n},{n + 1})" for n in range(400)),
    "plus and minus": "\\pm 1" * 300,
    "bars": "|" * 4900,
    "equations": "x=" * 2000 + "x",
    "backslashes": "\\" * 4901 + "x",
    "spaces": "5" + " " * 100_000 + "6",
    "a null byte": "6\0",
    "a lone surrogate": "\ud800",
    "indices": "x_{" * 900 + "}" * 900,
    "primes": "x" + "'" * 4000,
    "a matrix": "\\begin{pmatrix}" + "1&" * 400 + "1\\end{pmatrix}",
    "degrees": "5" + "^\\circ" * 700,
    "halves": "½" * 2000,
    "python": "__import__('os').system('touch hostile')",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("gold", ["5", "x+1", "(1,2)", "\\sqrt{2}", "\\text{yes}"])
def test_hostile_answers_are_wrong_at_once(name, gold, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    response = f"\\boxed{{{HOSTILE[name]}}}"
    mpmath.mp.dps = 15
    assert grade(response, gold)[0] == 0.0
    assert mpmath.mp.dps == 15 and not list(tmp_path.iterdir())


def test_a_tower_equals_itself_and_no_other():
    assert equivalent("10^{10^{10^{10}}}", "10 ^ {10^{10^{10}}}")
    assert not equivalent("10^{10^{10^{10}}}", "10^{10^{10^{11}}}")
