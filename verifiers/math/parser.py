"""From a normalised LaTeX scalar to an expression tree: numbers, brackets, symbols, functions.

The operators between them are in operators.py, the trees in expression.py.
"""

from verifiers.math.expression import Tree, number
from verifiers.math.operators import PAIRS, OperatorParser
from verifiers.math.tokens import (
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


def parse_expression(text: str) -> Tree:
    """Return the tree of a scalar expression; normalize() must have been applied to the text.

    Raises:
        ParseError: unknown notation, unbalanced brackets, a text too long or nested too deeply.
    """
    parser = AtomParser(tokenize(text))
    tree = parser.parse_whole()
    if parser.peek():
        raise ParseError(f"unexpected {parser.peek()!r}")
    return tree


class AtomParser(OperatorParser):
    """Reads what stands between two operators."""

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
        if token in PAIRS:
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

    def parse_group(self, opener: str) -> Tree:
        tree = self.parse_whole()
        self.expect(PAIRS[opener])
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
            if self.peek(1)[0].isdigit():  # f(0), the value of a function, is a symbol of its own
                name += "".join(self.take() for _ in range(3))
        return ("symbol", name)

    def take_raw(self) -> str:
        """Take a token or a braced group as plain text: a subscript, or what an accent covers."""
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
        start = self.position
        top = self._take_frac_part()
        bottom = self._take_frac_part()
        if _is_differential(top) and _is_differential(bottom):  # dy/dx is not y/x
            return ("symbol", "".join(self.tokens[start : self.position]))
        return ("div", top, bottom)

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
        self.expect(PAIRS[opener])
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
        """Take the argument of a function: a group, or the factors up to a sign or a function."""
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


_DIFFERENTIALS = {("symbol", "d"), ("symbol", "\\partial")}
_COMMANDS = {
    "frac": AtomParser.parse_fraction,
    "sqrt": AtomParser.parse_root,
    "binom": AtomParser.parse_binomial,
    "infty": lambda parser: ("infinity",),
    "infinity": lambda parser: ("infinity",),
    "floor": lambda parser: parser.parse_named("floor"),
    "ceil": lambda parser: parser.parse_named("ceil"),
    "abs": lambda parser: parser.parse_named("abs"),
}


def _is_differential(tree: Tree) -> bool:
    """Return whether an expression begins with the d of a derivative: dy, d^2 y, \\partial f."""
    while tree[0] in ("mul", "pow"):
        if tree[0] == "pow" and tree[1] in _DIFFERENTIALS:
            return True
        tree = tree[1]
        if tree in _DIFFERENTIALS:
            return True
    return False


def _mentions_pi(tree: Tree) -> bool:
    if tree[0] == "symbol":
        return tree[1] == "\\pi"
    return tree[0] != "number" and any(map(_mentions_pi, tree[1:]))
