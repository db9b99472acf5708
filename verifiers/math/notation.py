"""One notation for an answer before it is parsed, whatever notation it was written in.

`normalize` changes the notation and never the meaning. It writes Unicode as LaTeX and synonyms as
one command, and removes sizes, spaces and dollar signs. Digits, brackets, signs and words stay.
"""

import re
import unicodedata
from functools import lru_cache

_UNICODE = {
    **dict.fromkeys("−–—‐‑‒﹣－", "-"),
    **dict.fromkeys("×✕✖", "\\times "),
    **dict.fromkeys("·⋅∙•", "\\cdot "),
    **dict.fromkeys("’‘′`", "'"),
    **dict.fromkeys("°º˚", "^\\circ "),
    **dict.fromkeys("≤⩽≦", "\\leq "),
    **dict.fromkeys("≥⩾≧", "\\geq "),
    **dict.fromkeys("∕⁄", "/"),
    **dict.fromkeys("∗＊", "*"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("∅⌀Ø", "\\emptyset "),
    **dict.fromkeys("⟨〈", "\\langle "),
    **dict.fromkeys("⟩〉", "\\rangle "),
    "¢": "\\text{ cents}",
    "÷": "/",
    "±": "\\pm ",
    "∓": "\\mp ",
    "√": "\\sqrt ",
    "∛": "\\sqrt[3]",
    "∜": "\\sqrt[4]",
    "∞": "\\infty ",
    "≠": "\\neq ",
    "≈": "\\approx ",
    "∪": "\\cup ",
    "∩": "\\cap ",
    "∈": "\\in ",
    "∖": "\\setminus ",
    "ℝ": "\\mathbb{R}",
    "ℤ": "\\mathbb{Z}",
    "ℕ": "\\mathbb{N}",
    "ℚ": "\\mathbb{Q}",
    "ℂ": "\\mathbb{C}",
    "∠": "\\angle ",
    "⌊": "\\lfloor ",
    "⌋": "\\rfloor ",
    "⌈": "\\lceil ",
    "⌉": "\\rceil ",
    "…": "\\ldots ",
    "€": "\\eur ",
    "£": "\\gbp ",
    "，": ",",
    "、": ",",
    "；": ";",
    "。": ".",
    "∑": "\\sum ",
    "∏": "\\prod ",
    "∫": "\\int ",
    "∂": "\\partial ",
    "→": "\\to ",
    "ϕ": "\\phi ",
    "ϵ": "\\epsilon ",
}
# An invisible sign means what it stands for; any other one may not join two digits.
_INVISIBLE_SIGNS = {"\u2062": "\\cdot ", "\u2063": ",", "\u2064": "+"}
_GREEK = "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi omicron pi rho"
_GREEK += " sigma tau upsilon phi chi psi omega"

_SYNONYMS = {
    "dfrac": "frac",
    "tfrac": "frac",
    "cfrac": "frac",
    **dict.fromkeys("nicefrac sfrac xfrac".split(), "frac"),
    "dbinom": "binom",
    "tbinom": "binom",
    "le": "leq",
    "leqslant": "leq",
    "leqq": "leq",
    "ge": "geq",
    "geqslant": "geq",
    "geqq": "geq",
    "lt": "<",
    "gt": ">",
    "ne": "neq",
    "not=": "neq",
    "times": "cdot",
    "ast": "cdot",
    "div": "/",
    "colon": ":",
    "mid": "|",
    "vert": "|",
    "lvert": "|",
    "rvert": "|",
    "lbrace": "{",
    "rbrace": "}",
    "lbrack": "[",
    "rbrack": "]",
    "lparen": "(",
    "rparen": ")",
    "varnothing": "emptyset",
    "degree": "^\\circ",
    "textdegree": "^\\circ",
    "dots": "ldots",
    "cdots": "ldots",
    "dotsc": "ldots",
    "varphi": "phi",
    "varepsilon": "epsilon",
    "vartheta": "theta",
    "lor": "vee",
    "land": "wedge",
    "backslash": "setminus",
    "smallsetminus": "setminus",
    "bigcup": "cup",
    "simeq": "approx",
    "thickapprox": "approx",
    "dollar": "usd",
    "euro": "eur",
    "pounds": "gbp",
    "percent": "%",
    "infin": "infty",
    "langle": "(",
    "rangle": ")",
    "tg": "tan",
    "ctg": "cot",
    "cosec": "csc",
    "arccosec": "arccsc",
    "lg": "log_{10}",
    "textbf": "text",
    "textit": "text",
    "textrm": "text",
    "textsf": "text",
    "texttt": "text",
    "textnormal": "text",
    "emph": "text",
    "mbox": "text",
    "hbox": "text",
    "mathrm": "text",
    "mathit": "text",
    "mathsf": "text",
    "mathtt": "text",
    "operatorname": "text",
    "mathbf": "",
    "boldsymbol": "",
    "bm": "",
    "pmb": "",
    "mathcal": "",
    "mathscr": "",
    "mathfrak": "",
    "bold": "",
    "underline": "",
    "boxed": "",
    "fbox": "",
    "framebox": "",
    "num": "",
    "therefore": "",
    "overrightarrow": "vec",
    **dict.fromkeys("tiny small normalsize large Large LARGE huge Huge".split(), ""),
    "hfill": "",
    "checkmark": "",
    "limits": "",
    "nolimits": "",
    "displaystyle": "",
    "textstyle": "",
    "scriptstyle": "",
    "mathstrut": "",
    "strut": "",
    "rm": "",
    "bf": "",
    "it": "",
    "left": "",
    "right": "",
    "middle": "",
    **dict.fromkeys("big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr Biggl Biggr".split(), ""),
    **dict.fromkeys("quad qquad thinspace medspace thickspace enspace space".split(), " "),
}
_DOUBLED = re.compile(  # \\\\frac, as a program prints it; outside a matrix no line ends
    r"\\\\(?=(?:[dt]?frac|sqrt|pi|text|left|right|cdot|times|infty|theta|alpha|beta|ln|log|sin|cos"
    r"|tan|pm|cup|in|le|ge|leq|geq|mathrm|mathbb|lfloor|rfloor|circ|binom)(?![a-z]))"
)
_SPELLED_GREEK = re.compile(
    r"(?<![A-Za-z\\{])(alpha|beta|gamma|delta|epsilon|zeta|theta|kappa|lambda|sigma|omega|rho|phi|tau)"
    r"(?![A-Za-z])"
)
_SUBSCRIPT_BEHIND = re.compile(  # v^2_0 is v_0^2; the primes of v'_0 stay with the name
    r"(\^(?:\{[^{}]*\}|[\w*]))(_(?:\{[^{}]*\}|\w))"
)
_BRACED_NAME = re.compile(r"(?<![A-Za-z])(?<![A-Za-z] )\{ ?([A-Za-z]) ?\} ?(?=_)")
_WORD_BELOW = re.compile(  # v_{\\text{max}}, v_{\\max}, T_\\text{f}; 1011_{\\text{two}} has a base
    r"(?<=[A-Za-z])_ ?(\{ ?)?\\(?:text ?\{ ?(?!(?:two|three|four|five|six|seven|eight|nine|ten"
    r"|eleven|twelve|sixteen)\b)([A-Za-z]+) ?\}|(max|min)(?![a-z]))(?(1) ?\})"
)
_DEGREE_IN_TEXT = re.compile(r"\\text ?\{ ?\^ ?(?:\{ ?\\circ ?\}|\\circ(?![a-z])) ?([CFK]) ?\}")
_SPACE_COMMAND = re.compile(r"\\[,;:!> ]|(?<!\\)~|\\(?:hspace|vspace)\*?\{[^{}]*\}")
_COMMAND = re.compile(r"\\not\s*=|\\([A-Za-z]+)\*?")
_JOINED_THOUSANDS = re.compile(
    r"(?<![\d.])\d{1,3}(?:(?:\{,\}|\\[,!;: ]|,\\! ?|\{\s*\})\d{3})+(?!\d)"
)
_SPACED_THOUSANDS = re.compile(r"(?<![\d.])[1-9]\d{0,2}(?: \d{3})+(?![\d])")
_BRACED_TOKEN = re.compile(r"(?<=[\^_])\{\s*(\w|\\prime|\*|')\s*\}(?!\w)")
_MIXED = re.compile(r"(?<![\d.^_{/])(\d+) (\d+) ?/ ?(\d+)(?![\d.])")
_LEADING_PHRASE = re.compile(
    r"^\\text ?\{ ?(?:(?:the|final|correct) )*answer(?: is)?[:=]? ?\} ?[:=]? ?", re.IGNORECASE
)
_LOOSE_SPACE = re.compile(r"(?<!\w) | (?!\w)")  # a space that separates nothing
_SPACES = re.compile(r"\s+")
_DECORATION_AT_END = re.compile(r"(?:(?<![\\.])[.,;:]|\\cr\b|\s)+$")


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
    """Return the answer in the one notation that the parser reads."""
    text = _from_unicode(text) if not text.isascii() else text
    text = _JOINED_THOUSANDS.sub(lambda match: re.sub(r"\D", "", match[0]), text)
    text = text.replace("\\%", "%").replace("\\$", " \\usd ").replace("$", " ")
    if "\\begin" not in text:
        text = _DOUBLED.sub(r"\\", text)
    text = text.replace("\\\\", " \\cr ")
    text = re.sub(r"\\[()\[\]]|\\ensuremath", " ", text)
    text = re.sub(r"\\(?:text)?color ?\{[a-z]+\}", " ", text)
    text = re.sub(r"(?<=\d)\{\}$", "", text)
    text = re.sub(r"\\(?:SI|qty) ?\{([^{}]*)\} ?\{([^{}\\]*)\}", r"\1\\text{ \2}", text)
    text = _SPACE_COMMAND.sub(" ", text)
    text = _COMMAND.sub(_replace_command, text)
    text = re.sub(r"\b(?:np|math|sympy|torch)\.(?=[a-z])", "", text)
    text = re.sub(r"(?<=\d) ?[xX] ?(?=10 ?\^)", r"\\cdot ", text)  # 4.5 x 10^3
    text = text.replace("**", "^").replace("<=", "\\leq ").replace(">=", "\\geq ")
    text = re.sub(r"(?<!\d)!=", "\\\\neq ", text).replace("\\{,\\}", ",").replace("&nbsp;", " ")
    text = _SPACES.sub(" ", text).strip()
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _SPACED_THOUSANDS.sub(lambda match: match[0].replace(" ", ""), text)
    text = _WORD_BELOW.sub(lambda match: f"_{{{match[2] or match[3]}}}", text)
    text = _BRACED_TOKEN.sub(r"\1", _DEGREE_IN_TEXT.sub(r"^\\circ \\text{\1}", text))
    text = _SUBSCRIPT_BEHIND.sub(r"\2\1", _BRACED_NAME.sub(r"\1", text))
    if "\\text" not in text:
        text = _SPELLED_GREEK.sub(r"\\\1 ", text)
    text = re.sub(r"\\mathbb ?([A-Z])", r"\\mathbb{\1}", text)
    text = _LEADING_PHRASE.sub("", text).removeprefix("=").strip()
    text = re.sub(r"\^ ?(?:\{ ?\\circ ?\}|\\circ(?![a-z]))", "^\\\\circ ", text)
    return _strip_end(text)


def squeeze(text: str) -> str:
    """Return a normalised answer for comparison as text: without spaces that separate nothing."""
    return _LOOSE_SPACE.sub("", text)


def _replace_command(match: re.Match) -> str:
    name = match[1] or "not="
    if name not in _SYNONYMS:
        return match[0]
    replacement = _SYNONYMS[name]
    if not replacement or not replacement[0].isalpha():
        is_word = name in ("left", "right")
        return replacement if replacement and not is_word else " "
    return "\\" + replacement


def _strip_end(text: str) -> str:
    text = _DECORATION_AT_END.sub("", text)
    return text.strip()


def _from_unicode(text: str) -> str:
    parts: list[str] = []
    for character in text:
        if not character.isascii() and unicodedata.decomposition(character).startswith("<font>"):
            character = unicodedata.normalize("NFKC", character)  # an italic pi is a pi
        if character in _UNICODE:
            parts.append(_UNICODE[character])
            continue
        name = unicodedata.name(character, "")
        decomposition = unicodedata.decomposition(character)
        if name.startswith("GREEK ") and name.split()[-1].lower() in _GREEK.split():
            letter = name.split()[-1].lower()
            is_capital = "CAPITAL" in name
            parts.append(f"\\{letter.capitalize() if is_capital else letter} ")
        elif decomposition.startswith("<super>"):
            power = unicodedata.normalize("NFKC", character)
            _append_script(parts, "^", _UNICODE.get(power, power))
        elif decomposition.startswith("<sub>"):
            _append_script(parts, "_", unicodedata.normalize("NFKC", character))
        elif decomposition.startswith("<fraction>"):
            top, bottom = unicodedata.normalize("NFKC", character).split("⁄")
            parts.append(f"\\frac{{{top}}}{{{bottom}}}")
        elif unicodedata.category(character) in ("Cf", "Zs"):  # invisible joiners; unusual spaces
            parts.append(_INVISIBLE_SIGNS.get(character, " "))
        else:
            folded = unicodedata.normalize("NFKC", character)
            parts.append(folded if folded.isascii() else character)
    return "".join(parts)


def _append_script(parts: list[str], mark: str, character: str) -> None:
    """Append a superscript or subscript character; join it to one directly before it."""
    if parts and parts[-1].startswith(mark + "{"):
        parts[-1] = f"{parts[-1][:-1]}{character}}}"
    else:
        parts.append(f"{mark}{{{character}}}")
