"""How numbers and names are written: the same in HTML, LaTeX and figures."""

from collections.abc import Mapping
from typing import Any

DASH = "–"
MINUS = "−"
_TINY, _HUGE = 1e-4, 1e6


def number(value: float | None) -> str:
    """Three significant digits; a dash for null; 0.000123 and 1.23e+07 as powers of ten.

    Examples: 0.12345 -> "0.123", 1234.5 -> "1230", -2.5 -> "−2.50", 0 -> "0", None -> "–".
    """
    if value is None:
        return DASH
    if value == 0:
        return "0"
    if not _TINY <= abs(value) < _HUGE:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    # "#" keeps trailing zeros (2.50): they are digits that were measured. A bare trailing point is not wanted.
    rounded = float(f"{value:.3g}")
    text = f"{rounded:.0f}" if abs(rounded) >= 100 else f"{rounded:#.3g}".rstrip(".")
    return text.replace("-", MINUS)


def percent(value: float | None) -> str:
    """A share as percent with one decimal: 0.1234 -> "12.3 %"."""
    return DASH if value is None else f"{100 * value:.1f} %".replace("-", MINUS)


def interval(row: Mapping[str, Any]) -> str:
    """``low to high`` of a row, or a dash where there is none."""
    if row["low"] is None or row["high"] is None:
        return DASH
    return f"{number(row['low'])} to {number(row['high'])}"


def whole(value: int) -> str:
    """A count with thin spaces between thousands: 12345 -> "12 345"."""
    return f"{value:,}".replace(",", "\u202f")


def words(identifier: str) -> str:
    """A metric's identifier as words: "pairwise_rank_agreement" -> "pairwise rank agreement"."""
    return _WORDS.get(identifier, identifier.replace("_", " "))


_WORDS = {
    "auroc": "AUROC",
    "auroc_mean_map": "AUROC of the mean map",
    "share": "share of mass on true features",
    "spearman": "Spearman correlation",
    "kendall": "Kendall correlation",
    "effective_features": "effective number of features",
    "floor_random": "floor (random map)",
    "floor_permuted": "floor (permuted map)",
    "control_random": "random order",
}


def shorten(name: str, longest: int = 26) -> str:
    """A name that fits on an axis: unprintable characters become spaces, the middle of a long one "…"."""
    clean = "".join(c if c.isprintable() else " " for c in name)
    if len(clean) <= longest:
        return clean
    tail = longest // 3
    return f"{clean[: longest - tail - 1]}…{clean[-tail:]}"


def shorten_all(names: list[str], longest: int = 26) -> list[str]:
    """Short forms of several names, kept apart: where two would look the same, a number is added."""
    short = [shorten(name, longest) for name in names]
    return [
        f"{text} ({short[: i + 1].count(text)})" if short.count(text) > 1 and len(set(names)) > 1 else text
        for i, text in enumerate(short)
    ]
