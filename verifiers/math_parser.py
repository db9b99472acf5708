"""From a normalised LaTeX scalar to an expression tree (math_expression.py): recursive descent."""

from fractions import Fraction

from verifiers.math_expression import Tree
from verifiers.math_tokens import (
    ACCENTS,
    FUNCTIONS,
    GREEK,
    NUMERALS,
    ROUND_FUNCTIONS,
    SEVERAL_ARGUMENTS,
    ParseError,
    read_number,
    tokenize,
)

_MAX_DEPTH = 60  # of nesting
_PAIRS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_CLOSERS = set(_PAIRS.values())


def parse_expression(text: str) -> Tree:
    """Return the tree of a scalar expression; normalize() has been applied to the text.

    Raises:
        ParseError: unknown notation, unbalanced brackets, too long or nested too deeply.
    """
    parser = _Parser(tokenize(text))
    tree = parser.parse_whole()
    if parser.peek():
        raise ParseError(f"unexpected {parser.peek()!r}")
    return tree


def number(value: int | Fraction) -> Tree:
    return ("number", Fraction(value))


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
                tree = ("div", tree, self.parse_signed())
            elif token == "\\bmod":
                self.take()
                tree = ("mod", tree, self.parse_signed())
            elif self.starts_atom():
                tree = self.parse_juxtaposed(tree)
            else:
                return tree

    def parse_juxtaposed(self, left: Tree) -> Tree:
        """Two factors side by side."""
        if self.peek()[0] in NUMERALS and self.tokens[self.position - 1][0] in NUMERALS:
            raise ParseError("a number beside a number")
        right = self.parse_power()
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
        tree = self.parse_mixed_number() or self.parse_postfix(self.parse_atom())
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

    def parse_mixed_number(self) -> Tree | None:
        """Parse an integer that stands right before a fraction of integers: 1\\frac{4}{5}."""
        start, whole = self.position, self.peek()
        if not whole.isdigit() or self.peek(1) != "\\frac" and self.peek(2) != "\\frac":
            return None
        self.take()
        if self.starts_fraction():
            fraction = self.parse_atom()
            if fraction[0] == "div" and all(map(_is_count, fraction[1:])):
                return ("add", number(int(whole)), fraction)
        self.position = start
        return None

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
        if token[0] in NUMERALS:
            if self.peek() == "_":
                raise ParseError("a number with a base")
            return number(read_number(token))
        if token == "|":
            return self.parse_bars()
        if token in _PAIRS:
            return self.parse_group(token)
        name = token[1:] if token[0] == "\\" else token
        if token[0] != "\\" or name in GREEK:
            return self.parse_symbol(token) if name.isalpha() else self.fail(token)
        handler = _COMMANDS.get(name)
        if handler:
            return handler(self)
        if name in FUNCTIONS:
            return self.parse_function(FUNCTIONS[name])
        if name in SEVERAL_ARGUMENTS:
            return self.parse_several(name)
        if name in ACCENTS:
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
        return ("div", top, self._take_frac_part())

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
        if exponent == number(-1) and name in ROUND_FUNCTIONS:
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
        while self.starts_atom() and self.peek().lstrip("\\") not in FUNCTIONS:
            if self.peek() in ("(", "["):
                break
            argument = self.parse_juxtaposed(argument)
        if self.peek() == "/" and _mentions_pi(argument):  # \cos \pi/3
            self.take()
            argument = ("div", argument, self.parse_power())
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


def _negate(tree: Tree) -> Tree:
    if tree[0] == "number":
        return number(-tree[1])
    return ("mul", number(-1), tree)


def _is_count(tree: Tree) -> bool:
    return tree[0] == "number" and tree[1].denominator == 1 and tree[1] >= 0


def _mentions_pi(tree: Tree) -> bool:
    if tree[0] == "symbol":
        return tree[1] == "\\pi"
    return tree[0] != "number" and any(map(_mentions_pi, tree[1:]))
