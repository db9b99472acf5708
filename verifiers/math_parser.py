"""From a normalised LaTeX scalar to an expression tree (math_expression.py): tokens, precedence."""

import re
from fractions import Fraction

from verifiers.math_expression import Tree

_MAX_TOKENS = 3_000
_MAX_DEPTH = 60  # of nesting
_MAX_EXPONENT = 20_000  # decimal, of 1e20000

_ROUND_FUNCTIONS = "sin cos tan cot sec csc sinh cosh tanh coth sech csch".split()
_FUNCTIONS = {
    **{name: name for name in [*_ROUND_FUNCTIONS, "ln", "log", "exp"]},
    **{f"arc{name}": f"arc{name}" for name in "sin cos tan cot sec csc sinh cosh tanh".split()},
    **{f"a{name}": f"arc{name}" for name in "sin cos tan sinh cosh tanh".split()},
    **{f"ar{name}": f"arc{name}" for name in "sinh cosh tanh".split()},
}
_SEVERAL_ARGUMENTS = {"max", "min", "gcd", "lcm"}
_WORDS = sorted(
    [*_FUNCTIONS, *_SEVERAL_ARGUMENTS, "sqrt", "pi", "infty", "infinity", "floor", "ceil", "abs"],
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
_GREEK = set(
    """alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho sigma
    tau upsilon phi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega varrho
    varsigma varpi hbar ell aleph nabla partial odot oplus dagger star bot parallel prime angle
    triangle imath jmath Re Im emptyset mho""".split()
)
_ACCENTS = set(
    "overline bar hat vec dot ddot tilde widehat overrightarrow mathbb overleftrightarrow".split()
)
_PAIRS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_NUMERALS = ".0123456789"
_REPEATING = re.compile(
    r"(?<!\d)(\d*)\.(\d*)(?:\\(?:overline|bar|dot)\s*\{?\s*(\d+)\s*\}?|\((\d+)\)"
    r"|(?<=[\d.])(\d{1,9}?)\5{2,}\s*(?:\\ldots|\.\.\.))(?!\d)"
)
_LONG_RUN = re.compile(r"\d{4000,}")


class ParseError(Exception):
    """Not an expression that this grammar knows."""


def parse_expression(text: str) -> Tree:
    """Return the tree of a scalar expression; normalize() has been applied to the text.

    Raises:
        ParseError: unknown notation, unbalanced brackets, too long or nested too deeply.
    """
    parser = _Parser(_tokenize(text))
    tree = parser.parse_whole()
    if parser.peek():
        raise ParseError(f"unexpected {parser.peek()!r}")
    return tree


def number(value: int | Fraction) -> Tree:
    return ("number", Fraction(value))


def _tokenize(text: str) -> list[str]:
    if len(text) > 10 * _MAX_TOKENS or _LONG_RUN.search(text):
        raise ParseError("too long")
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
    r"""Split \cotx into \cot and x, as LaTeX does not, but people mean."""
    name = command[1:]
    if name in _GREEK or name in _KNOWN_COMMANDS or not name.isalpha():
        return [command]
    for word in _WORDS:
        if name.startswith(word) and len(name) - len(word) == 1:
            return ["\\" + word, name[-1]]
    return [command]


class _Parser:
    """Recursive descent; methods consume tokens from the front."""

    def __init__(self, tokens: list[str]):
        self.tokens = tokens
        self.position = 0
        self.depth = 0
        self.open_bars = 0

    def peek(self, ahead: int = 0) -> str:
        index = self.position + ahead
        return self.tokens[index] if index < len(self.tokens) else ""

    def take(self) -> str:
        token = self.peek()
        self.position += 1
        return token

    def expect(self, token: str) -> None:
        if self.take() != token:
            raise ParseError(f"expected {token!r}")

    def parse_sum(self) -> Tree:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise ParseError("nested too deeply")
        tree = self.parse_product()
        while self.peek() in ("+", "-"):
            sign = self.take()
            term = self.parse_product()
            tree = ("add", tree, term if sign == "+" else _negate(term))
        self.depth -= 1
        return tree

    def parse_product(self) -> Tree:
        tree = self.parse_signed()
        while True:
            token = self.peek()
            if token in ("*", "\\cdot"):
                self.take()
                tree = ("mul", tree, self.parse_signed())
            elif token == "/":
                self.take()
                tree = _divide(tree, self.parse_signed())
            elif token == "\\bmod":
                self.take()
                tree = ("mod", tree, self.parse_signed())
            elif self.starts_atom():
                tree = self.parse_juxtaposed(tree)
            else:
                return tree

    def parse_juxtaposed(self, left: Tree) -> Tree:
        """Two factors side by side; an integer before a fraction of integers is a mixed number."""
        if self.peek()[0] in _NUMERALS and self.tokens[self.position - 1][0] in _NUMERALS:
            raise ParseError("a number beside a number")
        is_fraction = self.starts_fraction()
        right = self.parse_power()
        if is_fraction and _is_count(left) and right[0] == "div" and all(map(_is_count, right[1:])):
            return ("add", left, right)
        return ("mul", left, right)

    def parse_signed(self) -> Tree:
        signs = 0
        sign = 1
        while self.peek() in ("+", "-"):
            sign = -sign if self.take() == "-" else sign
            signs += 1
            if signs > 20:
                raise ParseError("too many signs")
        tree = self.parse_power()
        if sign > 0:
            return tree
        if self.starts_fraction() and _is_count(tree):  # -1 1/2 is -(1 + 1/2)
            return _negate(self.parse_juxtaposed(tree))
        return _negate(tree)

    def starts_fraction(self) -> bool:
        return self.peek() == "\\frac" or self.peek() == "{" and self.peek(1) == "\\frac"

    def starts_atom(self) -> bool:
        token = self.peek()
        if token == "|":
            return self.open_bars == 0
        if not token or token in "+-*/^_!'),]}%" or token in _CLOSERS:
            return False
        return token not in ("\\cdot", "\\bmod", "\\over", "\\choose")

    def parse_power(self) -> Tree:
        tree = self.parse_postfix(self.parse_atom())
        while self.peek() == "^":
            self.take()
            if self.peek() == "\\circ":
                self.take()
                tree = ("degrees", tree)
            elif tree[0] == "symbol" and self.peek() in ("\\prime", "*", "'", "\\star", "+", "-"):
                if self.peek() in "+-" and self.peek(1) and self.peek(1) not in ")}],+-=":
                    tree = ("pow", tree, self.parse_exponent())
                else:
                    tree = ("symbol", tree[1] + self.take().replace("\\prime", "'"))
            else:
                tree = ("pow", tree, self.parse_exponent())
            tree = self.parse_postfix(tree)
        return tree

    def parse_exponent(self) -> Tree:
        if self.peek() in ("-", "+"):
            sign = self.take()
            exponent = self.parse_exponent()
            return exponent if sign == "+" else _negate(exponent)
        if self.peek() == "\\frac":
            return self.parse_atom()
        exponent = self.parse_postfix(self.parse_atom())
        if self.peek() == "^":  # a tower without braces
            self.take()
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise ParseError("nested too deeply")
            exponent = ("pow", exponent, self.parse_exponent())
            self.depth -= 1
        return exponent

    def parse_postfix(self, tree: Tree) -> Tree:
        while self.peek() in ("!", "'", "%"):
            mark = self.take()
            if mark == "!":
                if self.peek() == "!":
                    raise ParseError("a double factorial")
                tree = ("factorial", tree)
            elif mark == "%":
                tree = ("div", tree, number(100))
            elif tree[0] == "symbol":
                tree = ("symbol", tree[1] + "'")
            else:
                raise ParseError("a prime")
        return tree

    def parse_atom(self) -> Tree:
        token = self.take()
        if not token:
            raise ParseError("an incomplete expression")
        if token[0] in _NUMERALS:
            if self.peek() == "_":
                raise ParseError("a number with a base")
            return number(_read_number(token))
        if token == "|":
            return self.parse_bars()
        if token in _PAIRS:
            return self.parse_group(token)
        name = token[1:] if token[0] == "\\" else token
        if token[0] != "\\" or name in _GREEK:
            return self.parse_symbol(token) if name.isalpha() else self.fail(token)
        handler = _COMMANDS.get(name)
        if handler:
            return handler(self)
        if name in _FUNCTIONS:
            return self.parse_function(_FUNCTIONS[name])
        if name in _SEVERAL_ARGUMENTS:
            return self.parse_several(name)
        if name in _ACCENTS:
            return self.parse_symbol(token + self.take_raw())
        return self.fail(token)

    def fail(self, token: str) -> Tree:
        raise ParseError(f"unexpected {token!r}")

    def parse_whole(self) -> Tree:
        r"""Parse a sum, or what {a \over b} and {n \choose k} divide in two."""
        tree = self.parse_sum()
        if self.peek() in ("\\over", "\\choose"):
            operator = {"\\over": "div", "\\choose": "binomial"}[self.take()]
            tree = (operator, tree, self.parse_sum())
        return tree

    def parse_group(self, opener: str) -> Tree:
        tree = self.parse_whole()
        self.expect(_PAIRS[opener])
        if opener == "\\lfloor":
            return ("floor", tree)
        return ("ceil", tree) if opener == "\\lceil" else tree

    def parse_bars(self) -> Tree:
        self.open_bars += 1
        tree = self.parse_sum()
        self.open_bars -= 1
        self.expect("|")
        return ("abs", tree)

    def parse_symbol(self, name: str) -> Tree:
        if name == "\\pi" or name == "\\infty":
            return ("symbol", name)
        while self.peek() == "_":
            self.take()
            name += "_" + self.take_raw()
        if len(name) == 1 and name.isalpha() and self.peek() == "(" and self.peek(2) == ")":
            if self.peek(1)[0].isdigit():  # f(0), the value of a function: a symbol of its own
                name += "".join(self.take() for _ in range(3))
        return ("symbol", name)

    def take_raw(self) -> str:
        """Take a token, or a braced group, as mere text: a subscript, what an accent covers."""
        token = self.take()
        if token == "{":
            parts, depth = [], 1
            while depth:
                token = self.take()
                depth += (token == "{") - (token == "}")
                if not token:
                    raise ParseError("an open brace")
                parts.append(token if depth else "")
            return "".join(parts).replace("\\text", "").replace("{", "").replace("}", "")
        if not token or token in "+-^_}":
            raise ParseError("a subscript")
        return token

    def take_argument(self) -> Tree:
        r"""Take a braced argument or a single token: \frac12 is one half."""
        token = self.peek()
        if token.isdigit() and len(token) > 1:
            self.tokens[self.position] = token[1:]
            return number(int(token[0]))
        return self.parse_power() if token not in ("+", "-", "") else self.fail(token)

    def parse_fraction(self) -> Tree:
        top = self._take_frac_part()
        return _divide(top, self._take_frac_part())

    def _take_frac_part(self) -> Tree:
        if self.peek() == "{":
            return self.parse_group(self.take())
        token = self.peek()
        if token.isdigit() and len(token) > 1:
            return self.take_argument()
        return self.parse_atom()

    def parse_root(self) -> Tree:
        degree = None
        if self.peek() == "[":
            degree = self.parse_group(self.take())
        radicand = self._take_root_argument()
        return ("sqrt", radicand) if degree is None else ("root", radicand, degree)

    def _take_root_argument(self) -> Tree:
        return self.parse_group("{") if self.peek() == "{" and self.take() else self.parse_atom()

    def parse_binomial(self) -> Tree:
        top = self._take_frac_part()
        return ("binomial", top, self._take_frac_part())

    def parse_several(self, name: str) -> Tree:
        opener = self.take()
        if opener not in ("(", "\\{", "{", "["):
            raise ParseError(f"{name} without arguments")
        tree = self.parse_sum()
        while self.peek() == ",":
            self.take()
            tree = (name, tree, self.parse_sum())
        self.expect(_PAIRS[opener])
        return tree

    def parse_named(self, name: str) -> Tree:
        if self.peek() not in ("(", "{"):
            raise ParseError(f"{name} without an argument")
        return (name, self.parse_group(self.take()))

    def parse_function(self, name: str) -> Tree:
        base = exponent = None
        while self.peek() in ("^", "_"):
            if self.take() == "_":
                base = self.parse_atom_of_base()
            else:
                exponent = self.parse_exponent()
        if exponent == number(-1) and name in _ROUND_FUNCTIONS:
            name, exponent = f"arc{name}", None
        argument = self.parse_function_argument()
        if name == "log" and base is not None:
            tree = ("log", argument, base) if base != ("symbol", "e") else ("ln", argument)
        elif base is not None:
            raise ParseError("a subscript of a function")
        else:
            tree = (name, argument)
        return tree if exponent is None else ("pow", tree, exponent)

    def parse_atom_of_base(self) -> Tree:
        token = self.peek()
        if token.isdigit() and len(token) > 1 and token != "10":
            return self.take_argument()  # \log_28 is the logarithm of 8 to base 2
        return self.parse_atom()

    def parse_function_argument(self) -> Tree:
        """Take what a function applies to: a group, or factors up to a sign or a function."""
        if self.peek() in ("(", "{", "[", "|"):
            argument = self.parse_atom()
            if self.peek() == "!":
                argument = self.parse_postfix(argument)
            return argument
        argument = self.parse_signed()
        while self.starts_atom() and self.peek().lstrip("\\") not in _FUNCTIONS:
            if self.peek() in ("(", "["):
                break
            argument = self.parse_juxtaposed(argument)
        if self.peek() == "/" and _mentions_pi(argument):  # \cos \pi/3
            self.take()
            argument = _divide(argument, self.parse_power())
        return argument


_COMMANDS = {
    "frac": _Parser.parse_fraction,
    "sqrt": _Parser.parse_root,
    "binom": _Parser.parse_binomial,
    "infty": lambda parser: ("infinity",),
    "infinity": lambda parser: ("infinity",),
    "floor": lambda parser: parser.parse_named("floor"),
    "ceil": lambda parser: parser.parse_named("ceil"),
    "abs": lambda parser: parser.parse_named("abs"),
}
_KNOWN_COMMANDS = {
    *_COMMANDS,
    *_FUNCTIONS,
    *_SEVERAL_ARGUMENTS,
    *_ACCENTS,
    "cdot",
    "bmod",
    "circ",
    "over",
    "choose",
}
_CLOSERS = set(_PAIRS.values())


def _negate(tree: Tree) -> Tree:
    if tree[0] == "number":
        return number(-tree[1])
    return ("mul", number(-1), tree)


def _divide(top: Tree, bottom: Tree) -> Tree:
    return ("div", top, bottom)


def _is_count(tree: Tree) -> bool:
    return tree[0] == "number" and tree[1].denominator == 1 and tree[1] >= 0


def _mentions_pi(tree: Tree) -> bool:
    if tree[0] == "symbol":
        return tree[1] == "\\pi"
    return tree[0] != "number" and any(map(_mentions_pi, tree[1:]))


def _read_number(token: str) -> Fraction:
    mantissa, _, exponent = token.lower().partition("e")
    if exponent and abs(int(exponent[:9])) > _MAX_EXPONENT:
        raise ParseError("an exponent too large")
    return Fraction(token.lower().rstrip(".").replace(".e", "e"))
