"""Splits a normalised LaTeX scalar into tokens, and knows the names of functions and letters."""

import re
from fractions import Fraction

_MAX_TOKENS = 3_000
_MAX_EXPONENT = 20_000  # of ten: 1e20000

ROUND_FUNCTIONS = "sin cos tan cot sec csc sinh cosh tanh coth sech csch".split()
FUNCTIONS = {
    **{name: name for name in [*ROUND_FUNCTIONS, "ln", "log", "exp"]},
    **{f"arc{name}": f"arc{name}" for name in "sin cos tan cot sec csc sinh cosh tanh".split()},
    **{f"a{name}": f"arc{name}" for name in "sin cos tan sinh cosh tanh".split()},
    "cosec": "csc",
    **{f"ar{name}": f"arc{name}" for name in "sinh cosh tanh".split()},
}
SEVERAL_ARGUMENTS = {"max", "min", "gcd", "lcm"}
_WORDS = sorted(
    [*FUNCTIONS, *SEVERAL_ARGUMENTS, "sqrt", "pi", "infty", "infinity", "floor", "ceil", "abs"],
    key=len,
    reverse=True,
)
_TOKEN = re.compile(
    r"""(?P<space>\s+)
      |(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE](?:[+-]?\d+))?)
      |(?P<command>\\(?:[A-Za-z]+|[{}|]))
      |(?P<word>WORDS)(?![a-z])
      |(?P<letter>[A-Za-z])
      |(?P<sign>[-+*/^_!'(){}\[\]|,%])""".replace("WORDS", "|".join(_WORDS)),
    re.VERBOSE,
)
GREEK = set(
    """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma
    tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega varrho
    varsigma varpi hbar ell aleph nabla partial odot oplus dagger star bot parallel prime angle
    triangle imath jmath Re Im emptyset mho""".split()
)
ACCENTS = set(
    "overline bar hat vec dot ddot tilde widehat overrightarrow mathbb overleftrightarrow".split()
)
NUMERALS = ".0123456789"
_REPEATING = re.compile(
    r"(?<!\d)(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s*\{?\s*(\d+)\s*\}?|\((\d+)\)"
    r"|(?<=[\d.])(\d{1,9}?)\5{2,}\s*(?:\\ldots|\.\.\.))(?!\d)"
)
_CURRENCY = re.compile(r"\\(?:usd|eur|gbp)(?![a-z])")  # says nothing of the value
_LONG_RUN = re.compile(r"\d{4000,}")
_KNOWN_COMMANDS = set(
    "frac sqrt binom infty infinity floor ceil abs cdot bmod circ over choose".split()
) | {*FUNCTIONS, *SEVERAL_ARGUMENTS, *ACCENTS, *GREEK}


class ParseError(Exception):
    """The text is not an expression that this grammar knows."""


def tokenize(text: str) -> list[str]:
    """Return the tokens of a scalar: numbers, commands, letters, signs.

    Raises:
        ParseError: an unknown character, or too many tokens.
    """
    if len(text) > 10 * _MAX_TOKENS or _LONG_RUN.search(text):
        raise ParseError("too long")
    text = _CURRENCY.sub(" ", text)
    text = _REPEATING.sub(_write_repeating, text)
    tokens, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise ParseError(f"unexpected character {text[position]!r}")
        position = match.end()
        if match["word"]:
            tokens.append("\\" + match["word"])
        elif match["command"]:
            tokens += _split_command(match["command"])
        elif not match["space"]:
            tokens.append(match[0])
    if len(tokens) > _MAX_TOKENS:
        raise ParseError("too long")
    return tokens


def _write_repeating(match: re.Match) -> str:
    """Write a repeating decimal as a fraction: 0.1(6) is (16 - 1) / 90."""
    before, start = match[1] or "0", match[2]
    period = match[3] or match[4] or match[5]
    if len(before + start + period) > 1000:
        raise ParseError("too long")
    top = int(before + start + period) - int(before + start)
    bottom = (10 ** len(period) - 1) * 10 ** len(start)
    return f"\\frac{{{top}}}{{{bottom}}}"


def _split_command(command: str) -> list[str]:
    r"""Split \cotx into \cot and x: LaTeX does not, but this is what people mean."""
    name = command[1:]
    if name in _KNOWN_COMMANDS or not name.isalpha():
        return [command]
    for word in _WORDS:
        if name.startswith(word) and len(name) - len(word) == 1:
            return ["\\" + word, name[-1]]
    return [command]


def read_number(token: str) -> Fraction:
    """Return the value of a number token, such as 12, .5 or 1.04e-3."""
    mantissa, _, exponent = token.lower().partition("e")
    if exponent and abs(int(exponent[:9])) > _MAX_EXPONENT:
        raise ParseError("an exponent too large")
    return Fraction(token.lower().rstrip(".").replace(".e", "e"))
