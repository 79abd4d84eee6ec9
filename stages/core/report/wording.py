"""Numbers as people read them, and text made safe for Markdown."""

import math
import re

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
UNKNOWN = "–"
TIMES = "\N{NO-BREAK SPACE}×\N{NO-BREAK SPACE}"


def percent(share: float, digits: int = 2) -> str:
    """A share from 0 to 1 as a percentage."""
    return f"{100 * share:.{digits}f}\N{NO-BREAK SPACE}%" if math.isfinite(share) else UNKNOWN


def span(low: float, high: float, digits: int = 2) -> str:
    """Two shares as a range of percentages."""
    return f"{100 * low:.{digits}f} to {percent(high, digits)}"


def count(number: float) -> str:
    """A whole number with its thousands set apart."""
    return f"{int(number):,}"


def counted(number: int, noun: str) -> str:
    """A whole number of things: `1 seed`, `5 seeds`."""
    return f"{count(number)} {noun}{'s' * (number != 1)}"


def number(value: float, digits: int = 3) -> str:
    """So many significant digits; very large and very small ones with a power of ten."""
    if not math.isfinite(value):
        return UNKNOWN
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return _decimal(value, digits)
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    mantissa = f"{float(mantissa):g}"
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}{TIMES}{power}"


def _decimal(value: float, digits: int) -> str:
    places = digits - 1 - math.floor(math.log10(abs(value))) if value else 0
    return f"{round(value, places):,.{max(0, places)}f}"


def setting(value: float) -> str:
    """A learning rate, in as many digits as it was given in."""
    if 1e-4 <= abs(value) < 1e6:
        return f"{value:,.10g}" if value >= 1000 else f"{value:.10g}"
    mantissa, exponent = f"{value:.6e}".split("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return power if float(mantissa) == 1 else f"{float(mantissa):g}{TIMES}{power}"


def p_value(p: float) -> str:
    """`p = 0.012`, or a bound where the digits would say more than the test can."""
    if p < 1e-6:
        return "p < 10⁻⁶"
    return f"p = {number(p, 2)}"


def times(ratio: float) -> str:
    """How many times as many: whole from ten on."""
    return f"{ratio:,.0f}" if ratio >= 10 else f"{ratio:.2g}"


def markdown(text: str) -> str:
    """A text from params.yaml, so that Markdown shows it as it stands and no HTML in it is live."""
    flat = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([\\`*_{}\[\]()#+!|~$^=-])", r"\\\1", flat)
