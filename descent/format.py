"""Numbers and settings as readers see them, and text that is safe in Markdown."""

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

TO_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNKNOWN = "–"
NBSP = "\N{NO-BREAK SPACE}"
MINUS = "\N{MINUS SIGN}"
STATUS_SIGNS = {"diverged": "×", "collapsed": "○", "stalled": "–"}
"""The sign in place of an accuracy that says nothing."""


def percent(share: float, digits: int = 2) -> str:
    """Format a share from 0 to 1 as a percentage."""
    return f"{100 * share:.{digits}f}{NBSP}%" if math.isfinite(share) else UNKNOWN


def percent_range(low: float, high: float, digits: int = 2) -> str:
    """Format two shares as a range of percentages, or as one that both round to."""
    first, last = percent(low, digits), percent(high, digits)
    return last if first == last else f"{100 * low:.{digits}f} to {last}"


def count(number: float) -> str:
    """Format a whole number with a comma between thousands."""
    return f"{int(number):,}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """Format a number of things: `1 seed`, `5 seeds`."""
    return f"{count(number)} {singular if number == 1 else plural or singular + 's'}"


def number(value: float, digits: int = 3) -> str:
    """Format with so many significant digits; very large and very small values as a power of ten."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
        return f"{round(value, places):,.{max(0, places)}f}".replace("-", MINUS)
    return _power_of_ten(f"{value:.{digits - 1}e}")


def points(share: float) -> str:
    """Format a difference of two shares in percentage points."""
    return f"{100 * share:.2f}".replace("-", MINUS)


def rate(value: float) -> str:
    """Format a setting such as a learning rate, with all the digits that params.yaml gives it."""
    if value == 0 or 1e-4 <= abs(value) < 1e6:
        return f"{value:,.10g}"
    return _power_of_ten(f"{value:.9e}")


def _power_of_ten(text: str) -> str:
    mantissa, exponent = map(float, text.split("e"))
    power = "10" + f"{exponent:.0f}".translate(TO_SUPERSCRIPTS)
    return power if mantissa == 1 else f"{mantissa:.10g}{NBSP}×{NBSP}{power}".replace("-", MINUS)


def p_value(p: float) -> str:
    """Format a p-value: `p = 0.012`, and a bound for a tiny one, whose digits mean nothing."""
    return "p < 10⁻⁶" if p < 1e-6 else f"p = {number(p, 2)}"


def times(ratio: float) -> str:
    """Format a ratio: whole from ten on, else two digits."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def listed(texts: Sequence[str]) -> str:
    """Join texts as in a sentence: `a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)


def code(names: Iterable[str]) -> list[str]:
    """Mark names as code in Markdown."""
    return [f"`{name}`" for name in names]


def capital(text: str) -> str:
    """Make the first letter a capital, and leave the others."""
    return text[:1].upper() + text[1:]


def setting(name: str, value: Any, images: int = 0) -> str:
    """Format a setting in comparison.csv, NaN where a model has none; a batch of all `images` is full."""
    if isinstance(value, str):
        return value
    if not math.isfinite(value):
        return UNKNOWN
    if name == "batch_size":
        return f"{count(value)} (full)" if value == images else count(value)
    return rate(value)


def setting_title(name: str) -> str:
    """Return the name of a setting for readers: `batch size` for `batch_size`."""
    return name.replace("_", " ")


def setting_titles(name: str) -> str:
    """Return the name of several values of a setting: `batch sizes`."""
    title = setting_title(name)
    return title if title.endswith("s") else f"{title}s"


def markdown(text: str) -> str:
    """Escape a text from params.yaml, so that Markdown shows it as it is and no HTML in it is live."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$^=-])", r"\\\1", flat)
