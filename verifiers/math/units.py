"""Units, currency and nouns that decorate a number: finds, removes and compares them."""

import re

_SAME = """
    cm centimeter centimetre
    mm millimeter millimetre
    km kilometer kilometre
    m meter metre
    nm nanometer nanometre
    inch in inches
    foot ft feet
    yard yd
    mile mi
    second sec s
    minute min
    hour hr h
    day
    week
    month
    year yr
    ms millisecond
    gram g
    kg kilogram
    mg milligram
    pound lb
    ounce oz
    liter litre l L
    ml mL milliliter millilitre
    gallon gal
    newton N
    joule J
    watt W
    kW kilowatt
    volt V
    ampere amp A
    ohm
    hertz Hz
    kHz kilohertz
    MHz megahertz
    pascal Pa
    kPa
    kelvin K
    mole mol
    eV
    keV
    MeV
    GeV
    mph
    dollar usd
    cent
    euro
    degree deg
    radian rad
    solar
    parsec pc
    kpc
    Mpc
    AU au
    angstrom
    Gyr
    Myr
    erg
    dyne
    arcsec arcsecond
    arcmin arcminute
"""
_CANONICAL = {form: line.split()[0] for line in _SAME.strip().splitlines() for form in line.split()}
SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_PERCENT = {"percent", "percentage", "pct", "%"}
# Words that change or question the number before them: they are not decoration.
_NOT_DECORATION = set(
    """or and if when where while not no nor but approx approximately about around maybe possibly
    perhaps mod modulo times plus minus over more less than at most least between to otherwise is
    are any all every some none either both except for unless base undefined wrong false incorrect
    infinite infinity integer integers alternatively rather guess guessing versus vs remainder
    power raised negative divided multiplied by choose in binary inverse repeating recurring root
    pi sin cos tan log ln exp half halves third thirds quarter quarters tenth tenths hundredth
    hundredths thousandth thousandths dozen hundred hundreds zero one two three four five six seven
    eight nine ten eleven twelve twenty thirty forty fifty sixty seventy eighty ninety factorial
    thousand million billion trillion tens fourths fifths sixths sevenths eighths ninths then else
    lower upper below above""".split()
)
_NOT_FIRST = {"squared", "cubed"}  # metres squared, but not 5 squared
_TEXT_AT_END = re.compile(
    r"((?:[\s/*]|\\cdot(?![A-Za-z]))*\\text ?\{((?:[^{}]|\{[^{}]*\})*)\}"
    r"(?: ?\^ ?(?:\{ ?[-+]?\d+ ?\}|[-+]?\d))?)$"
)
_SYMBOL_AT_END = re.compile(  # ohm, micrometres, solar masses, angstroms
    r"^(.*[\d}]) ?(?:\\Omega|\\mu ?(?:\\text ?\{ ?[A-Za-z] ?\}|[A-Za-z])|[ML]_\{?\\odot\}?|\\AA)$"
)
_CIRCLE_AT_END = re.compile(r"^(.*\S) ?\^\\circ *(\\text ?\{\s*[CFK]\s*\}|[CF])$")
_BARE = sorted([form for form in _CANONICAL if len(form) > 1], key=len, reverse=True)
_BARE_AT_END = re.compile(
    rf"^(.*[\d)}}]) ?((?:(?:square|cubic|sq|cu)\.? )?(?:{'|'.join(_BARE)})s?\.?(?: ?\^ ?\d)?"
    r"(?: ?/ ?(?:s|h|hr|hour|min|sec|second|day)(?: ?\^ ?\d)?)?"
    r"|thousand|million|billion|trillion|percent|units?|people|students|ways|points?"
    r"|(?:square|cubic|sq\.?|cu\.?) units?)$"
)
_LETTERS = re.compile(
    r"\\text ?\{\s*([A-Za-z]|(?:arc)?(?:sin|cos|tan)|cot|sec|csc|ln|log|exp|lcm|gcd|max|min)\s*\}"
)
_SCALED = re.compile(
    r"^(.*[\d}]) ?(?:\\text ?\{ ?)?(thousand|million|billion|trillion)s?\b([A-Za-z ./]*)\}?$"
)
_LEADING_CURRENCY = re.compile(r"^\\text ?\{\s*(?:USD|US|Rs\.?|EUR)\s*\}")


def split_unit(text: str) -> tuple[str, str]:
    """Return a scalar without its decoration, and the unit in its one form ("" if none).

    "%" is per cent and "degree" a degree sign. The names in SCALES multiply the number.
    """
    text = _LEADING_CURRENCY.sub("", text).strip()
    scaled = _SCALED.match(text)
    if scaled and (not scaled[3].strip() or _decorates(scaled[3])):
        return scaled[1], scaled[2]
    circle = _CIRCLE_AT_END.match(text)
    if circle:
        return circle[1], "temperature " + circle[2].strip(" }")[-1]
    symbol = _SYMBOL_AT_END.match(text)
    if symbol:
        return symbol[1], text[symbol.end(1) :].replace(" ", "")
    if text.endswith("%"):
        return text[:-1].strip(), "%"
    whole = re.match(r"^\\text ?\{([^{}]*)\}$", text)
    if whole and re.match(r"\s*[-+]?[\d.]", whole[1]):
        text = whole[1].strip(" .")
    unit_parts: list[str] = []
    while match := _TEXT_AT_END.search(text):
        if not _decorates(match[2]):
            return text, ""
        unit_parts.insert(0, match[1])
        text = text[: match.start()].strip()
    if unit_parts and text:
        return text, _canonical_unit("".join(unit_parts))
    bare = _BARE_AT_END.match(text)
    if bare:
        return bare[1].strip(), _canonical_unit(bare[2])
    return text, ""


def differ(a: str, b: str) -> bool:
    """Return whether both units are known and not the same."""
    known = set(_CANONICAL.values())
    units = [re.findall(r"[A-Za-z]+|\^?-?\d+|/", unit) for unit in (a, b)]
    parts = [[part for part in unit if part in known or not part.isalpha()] for unit in units]
    return all(parts) and parts[0] != parts[1]


def unwrap_letters(text: str) -> str:
    """Write letters and function names in \\text as mathematics: \\text{e} is e."""

    def unwrap(match: re.Match) -> str:
        return match[1] if len(match[1]) == 1 else f"\\{match[1]} "

    return _LETTERS.sub(unwrap, text)


def _decorates(words: str) -> bool:
    """Return whether the words are a unit or a noun, not something that changes the number."""
    words = re.sub(r"^\s*\((.*)\)\s*$", r"\1", words)
    without_exponents = re.sub(r"(?<=[A-Za-z])(?: ?\^ ?\{? ?-?\d ?\}?|-?\d(?!\d))", "", words)
    if re.search(r"[^A-Za-z\s./'\-]|(?<![A-Za-z. ])[-/]|-(?![A-Za-z])", without_exponents):
        return False
    plain = re.findall(r"[A-Za-z]+", without_exponents)
    if not plain or len(plain) > 6 or plain[0].lower() in _NOT_FIRST:
        return False
    letters = {word for word in plain if len(word) == 1}
    lower = {word.lower() for word in plain}
    is_inches = plain == ["in"]
    return letters <= set(_CANONICAL) | {"a"} and (is_inches or not lower & _NOT_DECORATION)


def _canonical_unit(text: str) -> str:
    text = re.sub(r"\\text ?|\\cdot|[{}]", " ", text).strip(" .")
    if text.lower() in _PERCENT:
        return "%"
    text = re.sub(r"\bper\b", "/", re.sub(r"(\w+) squared", r"\1^2", text))
    text = re.sub(
        r"(?:square|sq)\.? (\w+)", r"\1^2", re.sub(r"(?:cubic|cu)\.? (\w+)", r"\1^3", text)
    )
    words = [_canonical_word(word) for word in re.findall(r"[A-Za-z]+|\^? ?-?\d+|/", text)]
    return "".join(words).replace(" ", "")


def _canonical_word(word: str) -> str:
    for form in (word, word.lower(), word.rstrip("s"), word.lower().rstrip("s")):
        if form in _CANONICAL:
            return _CANONICAL[form]
    return word.lower()
