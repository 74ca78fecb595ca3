"""How numbers and names are written: the same in HTML, LaTeX and figures."""

import math
from collections.abc import Sequence
from typing import Protocol

from xai_mimo.record.rows import Record
from xai_mimo.record.words import CHANCE, PERMUTED, RANDOM, Role

DASH = "–"
MINUS = "−"
INFINITY = "∞"
_TINY, _HUGE = 1e-4, 1e6


def number(value: float | None) -> str:
    """Three significant digits; a dash for null; 0.000123 and 1.23e+07 as powers of ten.

    Examples: 0.12345 -> "0.123", 1234.5 -> "1230", -2.5 -> "−2.50", 0 -> "0", None -> "–".
    """
    if value is None:
        return DASH
    if value == 0:
        return "0"
    if math.isinf(value):  # of a number near the largest, times 100
        return INFINITY if value > 0 else f"{MINUS}{INFINITY}"
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


def p_value(value: float | None) -> str:
    """A p-value: three decimals without the zero in front, as none exceeds 1; never "0".

    More decimals are written where three would put it on the other side of .05 or .01.

    Examples: 0.0341 -> ".034", 0.00002 -> "< .001", 0.0496 -> ".0496", 1 -> "1.000", None -> "–".
    """
    if value is None:
        return DASH
    if value < 0.001:
        return "< .001"
    digits = next(d for d in range(3, 18) if d == 17 or _sides(float(f"{value:.{d}f}")) == _sides(value))
    return f"{value:.{digits}f}".removeprefix("0")


def _sides(p: float) -> list[tuple[bool, bool]]:
    """On which side of the levels that are usual a p-value lies, or whether it lies on one."""
    return [(p < level, p > level) for level in (0.01, 0.05)]


def p_equals(value: float | None) -> str:
    """A p-value within a sentence: "p = .034", "p < .001", "p unknown"."""
    if value is None:
        return "p unknown"
    return f"p {'' if value < 0.001 else '= '}{p_value(value)}"


class Bounded(Protocol):
    """A row with an interval, where it has one."""

    @property
    def low(self) -> float | None:
        """Its lower end."""

    @property
    def high(self) -> float | None:
        """Its upper end."""


def interval(row: Bounded) -> str:
    """``low to high`` of a row, or a dash where there is none."""
    if row.low is None or row.high is None:
        return DASH
    return f"{number(row.low)} to {number(row.high)}"


def whole(value: int) -> str:
    """A count with thin spaces between thousands: 12345 -> "12 345"."""
    return f"{value:,}".replace(",", "\u202f")


def readable(identifier: str) -> str:
    """An identifier with blanks: "sign_agreement" -> "sign agreement"."""
    return identifier.replace("_", " ")


ROLES: dict[Role, str] = {
    "value": "value",
    "floor_random": "floor (random map)",
    "floor_permuted": "floor (permuted map)",
    "ceiling": "ceiling",
    "control_random": "random order",
}
"""How the roles of scores are written."""


CONTROLS: dict[str, str] = {
    RANDOM: "a random order",
    PERMUTED: "its own map permuted",
    CHANCE: "chance",
}
"""How the names of what maps are held against are written: better than ..."""


def metric_title(record: Record, name: str) -> str:
    """A metric's name as it calls itself; older records do not say, and the identifier stands for it."""
    return next((m.title for m in record.metrics if m.name == name), readable(name))


def directions(record: Record, names: Sequence[str]) -> str:
    """Which of some metrics are better when larger, and which when smaller, as sentences; "" where nothing is known."""
    better = {m.name: m.better for m in record.metrics}
    sentences = []
    for word in ("larger", "smaller"):
        titles = [metric_title(record, name) for name in dict.fromkeys(names) if better.get(name) == word]
        if titles:
            sentences.append(f"{word.capitalize()} is better: {', '.join(titles)}.")
    return " ".join(sentences)


def shorten(name: str, longest: int = 26) -> str:
    """A name that fits on an axis: unprintable characters become spaces, the middle of a long one "…"."""
    clean = "".join(c if c.isprintable() else " " for c in name)
    if len(clean) <= longest:
        return clean
    tail = longest // 3
    return f"{clean[: longest - tail - 1]}…{clean[-tail:]}"


def in_two_lines(text: str, longest: int = 18) -> str:
    """A text on two lines of about the same length, broken at a blank, where it is longer than one line."""
    blanks = [i for i, letter in enumerate(text) if letter == " "]
    if len(text) <= longest or not blanks:
        return shorten(text)
    middle = min(blanks, key=lambda i: abs(2 * i - len(text)))
    return f"{shorten(text[:middle])}\n{shorten(text[middle + 1 :])}"


def shorten_all(names: list[str], longest: int = 26) -> list[str]:
    """Short forms of several names, kept apart.

    Names that would look the same show the part in which they differ; names that still do are numbered.
    """
    short = [shorten(name, longest) for name in names]
    apart = [
        text if short.count(text) == 1 else _differing(name, _twins(names, short, text), longest)
        for name, text in zip(names, short, strict=True)
    ]
    return [
        text if apart.count(text) == 1 else f"{text} ({apart[: i + 1].count(text)})" for i, text in enumerate(apart)
    ]


def _twins(names: list[str], short: list[str], text: str) -> list[str]:
    return [name for name, own in zip(names, short, strict=True) if own == text]


def _differing(name: str, twins: list[str], longest: int) -> str:
    """The name from shortly before the first letter in which it differs from its twins."""
    letters = zip(*twins, strict=False)
    common = next((i for i, column in enumerate(letters) if len(set(column)) > 1), min(map(len, twins)))
    start = max(0, common - longest // 3)
    rest = shorten(name, len(name) + 1)[start:]
    return f"…{rest}" if len(rest) < longest else f"…{rest[: longest - 2]}…"
