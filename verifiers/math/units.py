"""Units, currency and nouns that decorate a number: finds, removes and compares them.

What is not known to be decoration is not removed: it makes the answer another text.
"""

import re
from fractions import Fraction
from functools import lru_cache

from verifiers.math.quantities import find_unit, read_quantity

SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
DEGREE = "degree"
_PERCENT = {"percent", "percentage", "pct", "%"}
# Words in a unit or before a noun, without a meaning of their own.
_BETWEEN = set(
    """per of a an the in each sq square cu cubic different distinct possible total whole us linear
    solar long wide high tall deep old away apart""".split()
)
_POWERS = {"squared", "cubed"}  # metres squared, but not 5 squared
# Nouns that are no plural in s; any other word must be a unit or a plural.
_NOUNS = set(
    """people persons person men women children child way point coin student dozen feet way sheep
    fish mice geese oxen data time step solution answer number integer""".split()
) - {"dozen", "number", "integer", "answer"}
# Plurals and units that change or question the number before them.
_NO_DECORATION = re.compile(
    r".*illions?|.*fold|.*times|.*(?:eenth|ieth|fifth|fourth|sixth|seventh|eighth|ninth|tenth)s?"
    r"|.*(?:eleventh|twelfth|hundredth|thousandth|illionth)s?"
    r"|thirds?|half|halves|quarters|tens?|hundreds?|thousands?|dozens?|scores?|lakhs?|crores?"
    r"|myriads?|gross|grosses|pairs?|couples?|triples?|doubles?|twins|plus|minus|times|versus|vs"
    r"|less|is|was|has|does|as|us|this|his|its|yes|thus|unless|besides|perhaps|always|sometimes"
    r"|percents|integers|inverses|reciprocals|negatives|multiples|powers|logs|mods|modulus|bases|others"
    r"|zeros|ones|twos|threes|fours|fives|sixes|sevens|eights|nines|factorials|halfs|opposites"
    r"|alternatives|options|choices|errors|lies|guesses|exponents|repeats|repeating|digits"
)
_TEXT_AT_END = re.compile(
    r"((?:[\s/*(]|\\cdot(?![A-Za-z]))*\\text ?\{((?:[^{}]|\{[^{}]*\})*)\}"
    r"(?: ?\^ ?(?:\{ ?[-+]?\d+ ?\}|[-+]?\d))?\)?)$"
)
_SYMBOL_AT_END = re.compile(  # ohm, micrometres, solar masses, angstroms
    r"^(.*?[\d}]) ?((?:\\text ?\{ ?[kMGm] ?\} ?)?\\Omega"
    r"|\\mu ?(?:\\text ?\{ ?[A-Za-z]+ ?\}|[A-Za-z])|[ML]_\{?\\odot\}?|\\AA)$"
)
_CIRCLE_AT_END = re.compile(r"^(.*\S) ?\^\\circ *(\\text ?\{\s*[CFK]\s*\}|[CF])$")
_CLOCK_AT_END = re.compile(
    r"^(.*\d) ?(?:\\text ?\{ ?)?([AaPp])(?:M|\. ?[Mm]\.?|(?<=\{.)m|(?<= .)m)(?: ?\})?$"
)
_BARE = """
    cm mm km nm kg mg ml mL ms ft in inch inches feet foot yd yard yards mi mile miles lb lbs oz
    gal gallon gallons hr hrs min sec mph kph Hz kHz MHz kPa Pa kW eV keV MeV GeV mol erg dyne
    Gyr Myr kpc Mpc pc AU deg rad usd acre acres hectare hectares knots tons tonnes
    day days week weeks month months year years yr yrs cent cents penny pennies euro euros
""".split()
_LONG_BARE = r"(?:kilo|centi|milli)?(?:met(?:er|re)|gram|lit(?:er|re))|second|minute|hour|degree"
_LONG_BARE += r"|radian|dollar|ounce|pound|newton|joule|watt|volt|ohm|hertz|kelvin|pascal"
_BARE_AT_END = re.compile(
    rf"^(.*[\d)}}]) ?((?:(?:square|cubic|sq|cu)\.? )?(?:{'|'.join(_BARE)}|(?:{_LONG_BARE})s?)\.?"
    r"(?: ?\^ ?\d)?(?: ?(?:/| per ) ?(?:s|h|hr|hour|min|sec|second|day)(?: ?\^ ?\d)?)?"
    r"|thousand|million|billion|trillion|percent|percentage|pct\.?|units?|people|students|ways|points?"
    r"|(?:square|cubic|sq\.?|cu\.?) units?)$"
)
_LETTERS = re.compile(
    r"\\text ?\{\s*([A-Za-z]|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|ln|log|exp|lcm"
    r"|gcd|max|min|floor|ceil|cosec|c?tg"
    r"|a(?:rc|r)?(?:sin|cos|tan)h?|(?:sin|cos|tan|cot|sec|csc)h)\s*\}"
)
_OTHER_NAMES = {"cosec": "csc", "tg": "tan", "ctg": "cot"}
_FRACTION_AT_END = re.compile(  # 3 \\frac{\\text{m}}{\\text{s}}
    r"^(.*[\d})]) ?\\frac ?\{ ?(\\text ?\{[^{}]*\}) ?\} ?\{ ?(\\text ?\{[^{}]*\}(?: ?\^ ?\d)?) ?\}$"
)
_UNIT_ABOVE = re.compile(  # \\frac{13.6\\text{ eV}}{n^2}
    r"^(-?)\\frac ?\{([^{}]*\d) ?\\text ?\{([^{}]*)\} ?\} ?(\{[^{}\\]*\})$"
)
_NOUN_AT_END = re.compile(r"^(.*\d) ([a-z]{4,}s)$")
_SCALED = re.compile(
    r"^(.*[\d}]) ?(?:\\text ?\{ ?)?(thousand|million|billion|trillion)s?\b([A-Za-z ./]*)\}?$"
)
_LEADING_CURRENCY = re.compile(
    r"^(-?)\s*(?:\\text ?\{\s*(?:USD|US|Rs\.?|EUR)\s*\}|(?:USD|Rs\.?|EUR) ?(?=\d))"
)
_CURRENCY = re.compile(r"\\(usd|eur|gbp)(?![a-z])")
_SPELLED = {"\\AA": "angstrom", "M": "solarmass", "L": "solarluminosity"}


@lru_cache(maxsize=4096)
def split_unit(text: str) -> tuple[str, str]:
    """Return a scalar without its decoration, and the unit in plain text ("" if none).

    "%" is per cent and "degree" a degree sign. The names in SCALES multiply the number.
    """
    currency = _CURRENCY.search(text)
    if currency:
        core, unit = split_unit(" ".join(_CURRENCY.sub(" ", text).split()))
        is_rate = unit.startswith(("/", "per "))
        return core, f"{currency[1]} {unit}" if is_rate else unit or currency[1]
    text = _LEADING_CURRENCY.sub(r"\1", text).strip()
    scaled = _SCALED.match(text)
    if scaled and (not scaled[3].strip() or decorates(scaled[3])):
        return scaled[1], scaled[2]
    above = _UNIT_ABOVE.match(text)
    if above and decorates(above[3]):
        return f"{above[1]}\\frac{{{above[2]}}}{above[4]}", _plain(above[3])
    circle = _CIRCLE_AT_END.match(text)
    if circle:
        letter = circle[2].strip(" }")[-1]
        return circle[1], {"C": "degc", "F": "degf", "K": "K"}[letter]
    clock = _CLOCK_AT_END.match(text)
    if clock:
        return clock[1].strip(), clock[2].lower() + "m"
    symbol = _SYMBOL_AT_END.match(text)
    if symbol:
        return symbol[1], _spell_symbol(symbol[2])
    if text.endswith("%"):
        return text[:-1].strip(), "%"
    return _split_words(text)


def _split_words(text: str) -> tuple[str, str]:
    whole = re.match(r"^\\text ?\{([^{}]*)\}$", text)
    if whole and re.match(r"\s*[-+]?[\d.]", whole[1]):
        inner = whole[1].strip()
        text = inner.rstrip(".") if re.search(r"[A-Za-z\d]\.$", inner) else inner
        number = re.match(r"([-+]?[\d.,/]+)\s+([A-Za-z][A-Za-z ./'-]*)$", text)
        if number and decorates(number[2]):
            return number[1], _plain(number[2])
    unit_parts: list[str] = []
    while match := _TEXT_AT_END.search(text):
        if not decorates(match[2]):
            return text, ""
        unit_parts.insert(0, match[1])
        text = text[: match.start()].strip()
    if unit_parts and text:
        return text, _plain("".join(unit_parts))
    fraction = _FRACTION_AT_END.match(text)
    if fraction and decorates(f"{_plain(fraction[2])}/{_plain(fraction[3])}"):
        return fraction[1].strip(), f"{_plain(fraction[2])}/{_plain(fraction[3])}"
    bare = _BARE_AT_END.match(text) or _NOUN_AT_END.match(text)
    is_unit = bare and (bare.re is _BARE_AT_END or decorates(bare[2]))
    return (bare[1].strip(), _plain(bare[2])) if is_unit else (text, "")


def compare(a: str, b: str) -> Fraction | None:
    """Return how large the unit a is in units of b, 1 if that is open; None if they differ.

    A number of apples is not a number of oranges; "units" says nothing.
    """
    if not a or not b or a == b or "unit" in f"{a} {b}":
        return Fraction(1)
    sizes = read_quantity(a), read_quantity(b)
    if sizes[0] and sizes[1]:
        return sizes[0][0] / sizes[1][0] if sizes[0][1] == sizes[1][1] else None
    if sizes[0] or sizes[1]:
        return None
    words = [{_stem(word) for word in re.findall("[A-Za-z]+", unit)} - _BETWEEN for unit in (a, b)]
    return Fraction(1) if words[0] <= words[1] or words[1] <= words[0] else None


def unwrap_letters(text: str) -> str:
    """Write letters and function names in \\text as mathematics: \\text{e} is e."""

    def unwrap(match: re.Match) -> str:
        name = _OTHER_NAMES.get(match[1], match[1])
        return name if len(name) == 1 else f"\\{name} "

    return _LETTERS.sub(unwrap, text)


def decorates(words: str) -> bool:
    """Return whether the words are a unit or a noun, and nothing that changes the number."""
    words = re.sub(r"^\s*\((.*)\)\s*$", r"\1", _spell(words).replace("\\cdot", " "))
    words = re.sub(r"/ ?\(([^()/]*)\)", r"/\1", words)  # J/(mol K)
    words = re.sub(r"\^ ?\{? ?-?\d ?\}?|(?<=[A-Za-z])-?\d(?!\d)", "", words)
    if re.search(r"[^A-Za-z\s./'\-]|(?<![A-Za-z. ])[-/]|-(?![A-Za-z])", words):
        return False
    plain = re.findall(r"[A-Za-z]+", words)
    if not plain or len(plain) > 6 or plain[0].lower() in _POWERS:
        return False
    if {word.lower() for word in plain} <= _PERCENT:
        return True
    if {word.lower() for word in plain} <= _BETWEEN and plain not in (["in"], ["A"]):
        return False
    return all(_is_decoration(word) for word in plain)


def _is_decoration(word: str) -> bool:
    lower = word.lower()
    if find_unit(word):
        return True
    if len(word) > 2 and _NO_DECORATION.fullmatch(lower):
        return False
    if lower in _BETWEEN or lower in _NOUNS or lower in _POWERS:
        return True
    return len(word) > 3 and lower.endswith("s") and not lower.endswith(("ss", "us", "is"))


def _plain(text: str) -> str:
    """Return a unit as plain text; "%" and "degree" in one form."""
    text = re.sub(r"\\text ?|\\cdot|[{}*]", " ", _spell(text)).strip(" .()")
    if text.lower() in _PERCENT or text.lower() == "pct.":
        return "%"
    text = re.sub(r"(?<=[A-Za-z])\.", "", " ".join(text.split()))
    text = re.sub(r"\bdegrees? (celsius|fahrenheit|[CF])\b", _read_scale, text, flags=re.I)
    return DEGREE if text.lower() in ("degree", "degrees", "deg") else text


def _read_scale(match: re.Match) -> str:
    return "deg" + match[1][0].lower()


def _spell(text: str) -> str:
    text = re.sub(r"(?:\{ ?\} ?)?\^ ?\\circ *([CF])\b", r" deg\1", text)
    return re.sub(r"\\Omega\b", "ohm", re.sub(r"\\mu ?", "u", text))


def _spell_symbol(symbol: str) -> str:
    if symbol.startswith("\\mu"):
        return "u" + re.sub(r"\\mu|\\text|[{} ]", "", symbol)
    if symbol.endswith("\\Omega"):
        return re.sub(r"\\text|[{} ]", "", symbol).replace("\\Omega", "ohm")
    return _SPELLED.get(symbol) or _SPELLED[symbol[0]]


def _stem(word: str) -> str:
    return word.lower().removesuffix("s")
