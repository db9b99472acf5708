"""What a unit measures and how large it is: 1 km is 1000 m, and MHz is not mHz.

A unit is read as a product of powers of known names. What holds another word has no size.
"""

import re
from fractions import Fraction
from functools import lru_cache

Quantity = tuple[Fraction, frozenset]  # size in base units; powers of the base units

_PREFIXES = {
    **dict(zip("y z a f p n u m".split(), (Fraction(1, 10 ** (3 * n)) for n in range(8, 0, -1)))),
    **dict(zip("k M G T P E Z Y".split(), (Fraction(10 ** (3 * n)) for n in range(1, 9)))),
    "c": Fraction(1, 100),
    "d": Fraction(1, 10),
    "h": Fraction(100),
    "nano": Fraction(1, 10**9),
    "micro": Fraction(1, 10**6),
    "milli": Fraction(1, 1000),
    "centi": Fraction(1, 100),
    "deci": Fraction(1, 10),
    "kilo": Fraction(1000),
    "mega": Fraction(10**6),
    "giga": Fraction(10**9),
}
_TAKE_PREFIX = """
    m meter metre g gram s second A ampere amp K mol mole N newton J joule W watt V volt C coulomb
    F farad T tesla H henry Wb weber Hz hertz Pa pascal L l liter litre eV pc parsec bar byte bit
    Wh Ah
    ohm yr cal calorie
""".split()
_NAMES = """
    m meter metre = 1 m
    g gram = 1 g
    s sec second = 1 s
    A ampere amp = 1 A
    K kelvin = 1 K
    mol mole = 1 mol
    cd candela = 1 cd
    N newton = 1000 g m s-2
    J joule = 1000 g m2 s-2
    W watt = 1000 g m2 s-3
    V volt = 1000 g m2 s-3 A-1
    C coulomb = 1 A s
    F farad = 1/1000 A2 s4 g-1 m-2
    T tesla = 1000 g s-2 A-1
    H henry = 1000 g m2 s-2 A-2
    Wb weber = 1000 g m2 s-2 A-1
    ohm = 1000 g m2 s-3 A-2
    Hz hertz = 1 s-1
    Pa pascal = 1000 g m-1 s-2
    bar = 100000000 g m-1 s-2
    atm atmosphere = 101325000 g m-1 s-2
    L l liter litre = 1/1000 m3
    eV = 1602176634/10000000000000000000000000 g m2 s-2
    erg = 1/10000 g m2 s-2
    dyne = 1/100 g m s-2
    cal calorie = 4184 g m2 s-2
    Wh = 3600000 g m2 s-2
    Ah = 3600 A s
    in inch inche = 254/10000 m
    ft foot feet = 3048/10000 m
    yd yard = 9144/10000 m
    mi mile = 1609344/1000 m
    nmi = 1852 m
    AU au = 149597870700 m
    ly lightyear = 9460730472580800 m
    pc parsec = 30856775814913673 m
    angstrom = 1/10000000000 m
    acre = 40468564224/10000000 m2
    ha hectare = 10000 m2
    gal gallon = 3785411784/1000000000000 m3
    quart qt = 946352946/1000000000000 m3
    pint pt = 473176473/1000000000000 m3
    cup = 2365882365/10000000000000 m3
    lb lbs pound = 45359237/100000 g
    oz ounce = 28349523125/1000000000 g
    ton tonne = 1000000 g
    min minute = 60 s
    h hr hour = 3600 s
    day = 86400 s
    week wk = 604800 s
    month = 1 month
    yr year = 12 month
    decade = 120 month
    century centurie = 1200 month
    Gyr = 12000000000 month
    Myr = 12000000 month
    mph = 44704/100000 m s-1
    kph = 5/18 m s-1
    knot = 1852/3600 m s-1
    dollar usd buck = 100 money
    cent = 1 money
    penny pennie = 1 money
    nickel = 5 money
    dime = 10 money
    euro eur = 1 euro
    gbp = 1 gbp
    rupee = 1 rupee
    yen = 1 yen
    degree deg = 60 arc
    arcmin arcminute = 1 arc
    arcsec arcsecond = 1/60 arc
    rad radian = 1 radian
    celsius degc = 1 celsius
    fahrenheit degf = 1 fahrenheit
    am = 1 am
    pm = 1 pm
    solarmass = 1 solarmass
    solarluminosity = 1 solarluminosity
    byte = 8 bit
    bit = 1 bit
    unit = 1
"""
_TOKEN = re.compile(r"[A-Za-z]+|\^? ?\{? ?-?\d+ ?\}?|/|[()]")
_WORD_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}
_POWERS_BEHIND = {"squared": 2, "cubed": 3}


def _read_table() -> dict[str, tuple[Fraction, dict[str, int]]]:
    table = {}
    for line in filter(None, map(str.strip, _NAMES.splitlines())):
        names, definition = line.split(" = ")
        size, *bases = definition.split()
        powers = {re.match("[A-Za-z]+", b)[0]: int(re.sub("[A-Za-z]", "", b) or 1) for b in bases}
        table |= dict.fromkeys(names.split(), (Fraction(size), powers))
    return table


_TABLE = _read_table()


@lru_cache(maxsize=4096)
def find_unit(word: str) -> tuple[Fraction, dict[str, int]] | None:
    """Return size and powers of one word; short names mind their case, long ones do not."""
    forms = [word]
    if len(word) > 2:
        forms += [word.lower(), word.rstrip("s"), word.lower().rstrip("s")]
    elif word.endswith("s"):
        forms.append(word[:-1])
    for name in forms:
        if name in _TABLE:
            return _TABLE[name]
        for length in (1, 2, 4, 5):
            prefix, rest = name[:length], name[length:]
            is_short = len(rest) <= 3 and rest not in ("bar", "bit", "amp", "cal")
            if rest in _TAKE_PREFIX and prefix in _PREFIXES and is_short == (length < 3):
                size, powers = _TABLE[rest]
                return size * _PREFIXES[prefix], powers
    return None


@lru_cache(maxsize=4096)
def read_quantity(unit: str) -> Quantity | None:
    """Return the size and the dimension of a unit such as m/s^2, miles per hour, square feet.

    None: a word in it is no unit.
    """
    size, powers = Fraction(1), {}
    is_below = False
    power, last = 1, None
    for token in _TOKEN.findall(re.sub(r"\bper\b", "/", unit)):
        if token in ("/", "(", ")"):
            is_below = is_below or token == "/"
        elif token in _WORD_POWERS:
            power = _WORD_POWERS[token]
        elif token in _POWERS_BEHIND or not token.isalpha():
            exponent = _POWERS_BEHIND.get(token) or int(re.sub(r"[^-\d]", "", token))
            if last is None or abs(exponent) > 9:
                return None
            size, powers = _multiply(size, powers, *last, exponent - 1)
            last = None
        else:
            found = find_unit(token)
            if found is None:
                return None
            sign = -power if is_below else power
            last = (found[0], {base: p * sign for base, p in found[1].items()}, sign)
            size, powers = _multiply(size, powers, *last, 1)
            power = 1
    return size, frozenset((base, p) for base, p in powers.items() if p)


def _multiply(
    size: Fraction, powers: dict, factor: Fraction, bases: dict, sign: int, times: int
) -> tuple[Fraction, dict]:
    """Return a unit times another one to a power."""
    merged = {base: powers.get(base, 0) + times * bases.get(base, 0) for base in powers | bases}
    return size * factor ** (sign * times), merged
