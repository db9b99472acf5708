"""From a normalised answer to its kind (kinds.py): list, interval, relation, matrix, scalar ..."""

import itertools
import re
from dataclasses import replace
from functools import lru_cache

from verifiers.math import expression, units
from verifiers.math.answer_equality import distinct, same
from verifiers.math.brackets import (
    find_partner,
    join_thousands,
    split_top_level,
    strip_braces,
    unwrap_list,
)
from verifiers.math.expression import number
from verifiers.math.kinds import (
    Answer,
    Based,
    Matrix,
    Named,
    Piece,
    Reals,
    Scalar,
    Sequence,
    Words,
)
from verifiers.math.lists import combine_conditions, flatten, name_tuples, points_to_reals
from verifiers.math.notation import squeeze
from verifiers.math.parser import parse_expression
from verifiers.math.reals import (
    ALL_REALS,
    as_reals,
    intersect,
    subtract,
    unite,
)
from verifiers.math.relations import name_value, read_relation
from verifiers.math.tokens import ParseError
from verifiers.math.words import canonical_name, canonical_words, is_name, is_words

_MAX_ITEMS = 500  # of a list; a longer one is compared as text
_MAX_BASED = 200  # characters of a number with a base
_MAX_SETS = 40  # in one union, intersection or difference
_MAX_SIGNS = 4  # of \\pm in one expression
_MAX_DEPTH = 12  # of lists within lists

_OR = r"\\text ?\{\s*or\s*\}|(?<![a-z\\])or(?![a-z])|\\vee"
_AND = r"\\text ?\{\s*,?\s*and\s*\}|(?<![a-z\\])and(?![a-z])|\\wedge|;|\\text ?\{\s*,\s*\}|&"
_CONNECTIVE = re.compile(rf"{_OR}|{_AND}")
_COMMA, _SEMICOLON = re.compile(","), re.compile(";")
_CUP = re.compile(r"\\cup(?![a-z])|(?<=[\])}]) ?U ?(?=[(\[{\\])")
_CAP = re.compile(r"\\cap(?![a-z])")
_MINUS_SET = re.compile(r"\\setminus(?![a-z])|(?<=\\mathbb\{R\}) ?[-\\] ?(?=\\?\{)")
_APPROXIMATELY = re.compile(r"\\approx(?![a-z])")
_PLUS_MINUS, _MINUS_PLUS = re.compile(r"\\pm(?![a-z])"), re.compile(r"\\mp(?![a-z])")
_MEMBER = re.compile(r"^([A-Za-z](?:_\w)?) ?\\in(?![a-z])(.+)$")
_MEMBERSHIP_AT_END = re.compile(  # the domain of a parameter: ..., k \\in \\mathbb{Z}
    r"(?<=[\w})]) ?,? ?"
    r"(?:\\text ?\{[ ,]*(?:(?:where|with|for|all|any|every|some|each|and)[ ,]*)*\})? ?"
    r"\(?[a-z] ?\\in ?\\mathbb\{[ZNQR]\}(?:[\^_][+*])? ?\)?$"
)
_BUILDER = re.compile(r"^\\\{ ?([A-Za-z])(?: ?\\in ?(?:\\mathbb\{?R\}?|R))? ?[|:](.+)\\\}$")
_MATRIX = re.compile(
    r"^([^()\[\]]*?)[(\[]?\s*\\begin ?\{([pbBvV]?matrix|smallmatrix|array|cases|aligned|gathered)\}"
    r"(?: ?\{[lcr| ]*\})?(.*)\\end ?\{\2\}\s*[)\]]?$",
    re.DOTALL,
)
_BASED = re.compile(r"^\(?(\d[\dA-Fa-f]*)\)? ?_ ?\{? ?(\d+|\\text ?\{[a-z]+\}) ?\}?$")
_USES_ANGLE = re.compile(r"sin|cos|tan|cot|sec|csc")
_NUMBER_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
    sixteen seventeen eighteen nineteen
""".split()
_NUMBER_WORDS += [
    f"{tens} {unit}".strip()
    for tens in "twenty thirty forty fifty sixty seventy eighty ninety".split()
    for unit in ["", *_NUMBER_WORDS[1:10]]
]
_PHRASES = {
    **dict.fromkeys(("all real numbers", "all reals", "all real x"), Reals(ALL_REALS)),
    **{word: Scalar(number(value)) for value, word in enumerate(_NUMBER_WORDS)},
    **dict.fromkeys(
        ("no solution", "no solutions", "no real solution", "no real solutions", "empty set"),
        Sequence("{", ()),
    ),
}
_SET_OPERATIONS = {"union": _CUP, "intersection": _CAP, "difference": _MINUS_SET}
_APPROXIMATION = 0.05  # largest relative error of an answer given with \\approx


@lru_cache(maxsize=4096)
def read_answer(text: str, depth: int = 0) -> Answer:
    """Return a normalised answer as one of the kinds.

    Raises:
        ParseError: unknown notation; such an answer can only be compared as text.
    """
    if depth > _MAX_DEPTH:
        raise ParseError("nested too deeply")
    text = strip_braces(text.strip())
    if not text:
        raise ParseError("nothing")
    matrix = _MATRIX.match(text)
    if matrix and "\\begin" not in matrix[3]:
        return _read_matrix(matrix[2], matrix[3], matrix[1], depth)
    text = join_thousands(unwrap_list(text))
    if is_words(text):
        words = canonical_words(text)
        return _PHRASES.get(words.replace("-", " "), Words(words))
    text = _MEMBERSHIP_AT_END.sub("", text)
    builder = _BUILDER.match(text)
    if builder:
        return as_reals(read_answer(builder[2].strip(), depth + 1))
    return _read_list(text, depth) or _read_single(text, depth)


def _read_list(text: str, depth: int) -> Answer | None:
    """Return the parts between connectives or commas as one list, or as one set of conditions."""
    for pattern in (_CONNECTIVE, _COMMA):
        parts = split_top_level(text, pattern)
        if len(parts) == 1:
            continue
        if pattern is _COMMA and not parts[-1].strip():
            parts.pop()
        if len(parts) > _MAX_ITEMS or not all(part.strip() for part in parts):
            raise ParseError("a list that is too long or lacks an item")
        items = [read_answer(part.strip(), depth + 1) for part in parts]
        if len(items) == 1:
            return items[0]
        is_or = pattern is _CONNECTIVE and bool(re.search(_OR, text))
        items = name_tuples(points_to_reals(items)) if pattern is _CONNECTIVE else items
        items = points_to_reals(items)
        if all(isinstance(item, Reals) and item.variable for item in items):
            return combine_conditions(items, is_or, pattern is _COMMA)
        if is_or and all(same(items[0], item) for item in items):  # 11/2 or 5.5
            return items[0]
        return Sequence(",", flatten(items))
    return None


def _read_single(text: str, depth: int) -> Answer:
    approximate = split_top_level(text, _APPROXIMATELY)
    if len(approximate) > 1:
        return _read_approximate([part.strip() for part in approximate], depth)
    member = _MEMBER.match(text)
    if member:
        inside = read_answer(member[2].strip(), depth + 1)
        return replace(inside, variable=member[1]) if isinstance(inside, Reals) else inside
    relation = read_relation(text, lambda part: read_answer(part, depth + 1))
    if relation:
        return relation
    if squeeze(text) in ("\\emptyset", "\\{\\}"):
        return Sequence("{", ())
    if squeeze(text) in ("\\mathbb{R}", "\\mathbbR"):
        return Reals(ALL_REALS)
    set_operation = _read_set_operation(text, depth)
    if set_operation:
        return set_operation
    if (_PLUS_MINUS.search(text) or _MINUS_PLUS.search(text)) and not text.startswith("\\{"):
        return _read_plus_minus(text, depth)
    return _read_bracketed(text, depth) or _read_leaf(text)


def _read_approximate(parts: list[str], depth: int) -> Answer:
    """Return the exact side of an approximation, or the right side after a name or nothing."""
    left, right = parts[0], read_answer(parts[-1], depth + 1)
    if not left or is_name(left):
        return Named(canonical_name(left), right) if left else right
    exact_side = read_answer(left, depth + 1)
    if not (isinstance(exact_side, Scalar) and isinstance(right, Scalar)):
        raise ParseError("an approximation of something that is not a number")
    values = [expression.evaluate(side.tree, {}) for side in (exact_side, right)]
    if abs(values[0] - values[1]) > _APPROXIMATION * abs(values[0]):
        raise ParseError("two different numbers")
    return exact_side


def _read_plus_minus(text: str, depth: int) -> Sequence:
    """Return the values of both signs; several \\pm without a \\mp are independent."""
    count = max(1, len(_PLUS_MINUS.findall(text)))
    is_paired = _MINUS_PLUS.search(text) is not None
    if count > _MAX_SIGNS and not is_paired:
        raise ParseError("too many signs")
    values = []
    for signs in ("+" * count, "-" * count) if is_paired else itertools.product("+-", repeat=count):
        rest = iter(signs)
        filled = _MINUS_PLUS.sub("-" if signs[0] == "+" else "+", text)
        filled = _PLUS_MINUS.sub(lambda _, rest=rest: next(rest), filled)
        values.append(read_answer(filled, depth + 1))
    return Sequence(",", flatten(values))


def _read_set_operation(text: str, depth: int) -> Answer | None:
    for name, pattern in _SET_OPERATIONS.items():
        parts = split_top_level(text, pattern)
        if len(parts) == 1:
            continue
        if len(parts) > _MAX_SETS:
            raise ParseError("too many sets")
        sets = [read_answer(part.strip(), depth + 1) for part in parts]
        result = sets[0]
        for other in sets[1:]:
            result = _combine_sets(name, result, other)
        return result
    return None


def _combine_sets(name: str, left: Answer, right: Answer) -> Answer:
    """Return the "union", "intersection" or "difference" of two sets (finite or real)."""
    if all(isinstance(one, Sequence) and one.bracket == "{" for one in (left, right)):
        common = [a for a in left.items if any(same(a, b) for b in right.items)]
        rest = [a for a in left.items if a not in common]
        items = {"union": left.items + right.items, "intersection": common, "difference": rest}
        return Sequence("{", distinct(tuple(items[name])))
    operation = {"union": unite, "intersection": intersect, "difference": subtract}[name]
    return Reals(operation(as_reals(left).pieces, as_reals(right).pieces))


def _read_bracketed(text: str, depth: int) -> Answer | None:
    opener = "\\{" if text.startswith("\\{") else text[0]
    closer = "\\}" if text.endswith("\\}") else text[-1]
    if opener not in ("(", "[", "\\{") or find_partner(text) != len(text) - 1:
        return _read_tuple_with_unit(text, depth) if opener == "(" else None
    inside = text[len(opener) : len(text) - len(closer)].strip()
    parts = split_top_level(inside, _SEMICOLON if ";" in inside else _COMMA)
    if len(parts) == 1 and opener == "\\{":
        return Sequence("{", flatten([read_answer(inside, depth + 1)]))
    if len(parts) == 1:
        is_plain = (opener, closer) in (("(", ")"), ("[", "]"))
        return read_answer(inside, depth + 1) if is_plain else None
    if len(parts) > _MAX_ITEMS:
        raise ParseError("too long a list")
    items = [read_answer(part.strip(), depth + 1) for part in parts]
    if opener == "\\{":
        return Sequence("{", flatten(items))
    if (opener, closer) in (("(", ")"), ("[", "]")):
        return Sequence(opener, tuple(items))
    if len(items) != 2 or not all(isinstance(item, Scalar) for item in items):
        raise ParseError("brackets that do not match")
    return Reals((Piece(items[0].tree, items[1].tree, opener == "[", closer == "]"),))


def _read_tuple_with_unit(text: str, depth: int) -> Answer | None:
    """Return (3, 4) N as (3 N, 4 N); None for anything else."""
    core, unit = units.split_unit(text)
    if not unit or find_partner(core) != len(core) - 1:
        return None
    items = _read_bracketed(core, depth)
    if not isinstance(items, Sequence) or any(
        not isinstance(item, Scalar) or item.unit or item.bare for item in items.items
    ):
        return None
    return Sequence("(", tuple(replace(item, unit=unit) for item in items.items))


def _read_matrix(kind: str, body: str, factor: str, depth: int) -> Answer:
    rows = [row for row in re.split(r"\\cr\b(?: ?\[[^\]]*\])?", body) if row.strip()]
    if factor.strip().endswith("="):
        value = _read_matrix(kind, body, "", depth)
        return name_value(factor.strip().rstrip("= "), value)
    if kind in ("cases", "aligned", "gathered"):
        return Sequence(
            ",", tuple(read_answer(row.replace("&", " ").strip(" ,"), depth + 1) for row in rows)
        )
    if kind in ("vmatrix", "Vmatrix"):
        raise ParseError("a determinant")
    cells = [[cell.strip() for cell in row.replace("\\hline", "").split("&")] for row in rows]
    if not cells or len(rows) * len(cells[0]) > _MAX_ITEMS:
        raise ParseError("an empty or huge matrix")
    factor = "-1" if factor.strip() == "-" else factor
    prefix = f"({factor})" if factor.strip() else ""
    return Matrix(
        tuple(
            tuple(read_answer(f"{prefix}({cell})" if prefix else cell, depth + 1) for cell in row)
            for row in cells
        )
    )


def _read_leaf(text: str) -> Answer:
    based = _BASED.match(re.sub(r"\\text ?\{ ?([\dA-Fa-f]+) ?\}", r"\1", text))
    if based:
        digits = based[1].upper()
        if len(digits) + len(based[2]) > _MAX_BASED:
            raise ParseError("too long")
        base = re.sub(r"\\text ?|[{}]", "", based[2])
        words = _NUMBER_WORDS.index(base) if base in _NUMBER_WORDS else 0
        base = int(base) if base.isdigit() else words
        if not 2 <= base <= 36 or any(int(digit, 36) >= base for digit in digits):
            raise ParseError("a base that does not fit the digits")
        return Based(digits.lstrip("0") or "0", base) if base != 10 else Scalar(number(int(digits)))
    if ":" in text:
        core, unit = units.split_unit(text)
        text, unit = (core, unit) if unit in ("am", "pm") else (text, "")
        *parts, last = map(parse_expression, text.split(":"))
        return Sequence(":", (*map(Scalar, parts), Scalar(last, unit=unit)))
    core, unit = units.split_unit(text)
    scale = units.SCALES.get(unit)
    core = units.unwrap_letters(core)
    tree = parse_expression(core)
    if scale and tree[0] == "number":  # 2 million is a notation of a number
        return Scalar(number(tree[1] * scale))
    if scale:
        return Scalar(("mul", tree, number(scale)))
    if unit == "%":
        return Scalar(("div", tree, number(100)), bare=tree)
    if unit == "degree":
        return Scalar(("degrees", tree), bare=tree)
    if "^\\circ" in core and not _USES_ANGLE.search(core):
        return Scalar(tree, bare=parse_expression(core.replace("^\\circ", "")))
    return Scalar(tree, unit=unit)
