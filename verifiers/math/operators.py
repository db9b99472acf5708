"""The operators of an expression, by recursive descent: signs, sums, products, powers, marks.

What stands between two operators is an atom. AtomParser (parser.py) reads atoms.
"""

from verifiers.math.expression import Tree, number
from verifiers.math.tokens import NUMERALS, ParseError

_MAX_DEPTH = 60  # of nesting
PAIRS = {"(": ")", "[": "]", "{": "}", "\\{": "\\}", "\\lfloor": "\\rfloor", "\\lceil": "\\rceil"}
_CLOSERS = set(PAIRS.values())


class OperatorParser:
    """Takes tokens from the front; a subclass reads the atoms."""

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

    def fail(self, token: str) -> Tree:
        raise ParseError(f"unexpected {token!r}")

    def parse_atom(self) -> Tree:
        """Take what stands between two operators."""
        raise NotImplementedError

    def parse_whole(self) -> Tree:
        r"""Parse a sum, or two sums around \over or \choose: {a \over b}, {n \choose k}."""
        tree = self.parse_sum()
        if self.peek() in ("\\over", "\\choose"):
            operator = {"\\over": "div", "\\choose": "binomial"}[self.take()]
            tree = (operator, tree, self.parse_sum())
        return tree

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
        """Parse a factor that stands beside another without a sign between them."""
        is_behind_subscript = self.tokens[self.position - 2] == "_" and self.peek(1) == "^"
        is_number = self.tokens[self.position - 1][0] in NUMERALS and not is_behind_subscript
        if is_number and self.peek()[0] in NUMERALS:  # N_0 2^{t} is a product
            raise ParseError("a number beside a number")
        right = self.parse_power()
        return ("mul", left, right)

    def starts_atom(self) -> bool:
        token = self.peek()
        if token == "|":
            return self.open_bars == 0
        if not token or token in "+-*/^_!'),]}%" or token in _CLOSERS:
            return False
        return token not in ("\\cdot", "\\bmod", "\\over", "\\choose")

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
        """Parse an integer directly before a fraction of integers: 1\\frac{4}{5}."""
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

    def starts_fraction(self) -> bool:
        return self.peek() == "\\frac" or self.peek() == "{" and self.peek(1) == "\\frac"

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


def _negate(tree: Tree) -> Tree:
    if tree[0] == "number":
        return number(-tree[1])
    return ("mul", number(-1), tree)


def _is_count(tree: Tree) -> bool:
    return tree[0] == "number" and tree[1].denominator == 1 and tree[1] >= 0
