"""How the sentences of a verdict are worded: the end of a test with its p, and numbers that keep to their side."""

from collections.abc import Sequence

from xai_mimo.comparison.case import AGAINST, FOR, side
from xai_mimo.record.results import Difference
from xai_mimo.reports.numbers import MINUS, number, p_equals


def than(row: Difference, null: str, by: str = "") -> str:
    """How a test ended, with the p that decided it, and by how much where that stands nowhere else."""
    at, p = side(row) or 0, f"{by}; {p_of(row)}" if by else p_of(row)
    if at == 0 and (row.estimate or 0.0) < 0 and (row.p_corrected or 0.0) <= FOR:
        return f"worse than {null}, though not clearly enough to say so ({p}; {AGAINST:g} is asked for)"
    words = {1: "better than", -1: "worse than", 0: "not distinguishable from"}
    return f"{words[at]} {null} ({p})"


def by_how_much(row: Difference, more: str, less: str, what: str = "") -> str:
    """A difference and its direction: "1.20 closer", "an area 0.35 better"."""
    estimate = row.estimate or 0.0
    return f"{what}{number(abs(estimate))} {more if estimate >= 0 else less}"


def p_of(row: Difference | None) -> str:
    """The p that decided a test."""
    return p_equals(None if row is None else row.p_corrected)


def percent(value: float | None, *levels: float) -> str:
    """A share in percent, with digits enough to show on which side of each level it lies."""
    if value is None:
        return "an unknown share"
    size = abs(value)
    digits = next(d for d in range(9) if d == 8 or _sides(round(size, d + 2), levels) == _sides(size, levels))
    return f"{MINUS if value < 0 else ''}{100 * size:.{digits}f} %"


def digits_of(value: float, level: float) -> str:
    """Three significant digits, or as many as show on which side of a level the value lies."""
    return next(t for d in range(3, 17) if (float(t := f"{value:.{d}g}") >= level) == (value >= level) or d == 16)


def _sides(value: float, levels: Sequence[float]) -> list[bool]:
    return [value >= level for level in levels]
