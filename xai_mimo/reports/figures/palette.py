"""One colour and one marker per method, the same in every figure and in the page.

Colours: Okabe and Ito (2008), "Color Universal Design", told apart with any colour vision; yellow is left out, because
it cannot be seen on white. Markers repeat the difference for print in grey.
"""

from dataclasses import dataclass

from xai_mimo.record.rows import Record
from xai_mimo.record.words import RANDOM

INK = "#1b2330"
MUTED = "#596273"
LINE = "#d8dde4"

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1")
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_GLYPHS = ("●", "■", "▲", "◆", "▼", "✚", "✖")


@dataclass(frozen=True)
class Style:
    """How one method is drawn: colour, matplotlib marker, and the same marker as a character."""

    colour: str
    marker: str
    glyph: str


CONTROL = Style("#7d8594", "", "┄")


def styles(record: Record) -> dict[str, Style]:
    """Label -> style, by the order of the record's methods; the random control is grey.

    After seven methods colours begin again with other markers, so that 49 stay different.
    """
    n = len(_COLOURS)
    by_label = {}
    for i, method in enumerate(record.methods):
        mark = (i + i // n) % n
        by_label[method.label] = Style(_COLOURS[i % n], _MARKERS[mark], _GLYPHS[mark])
    return {**by_label, RANDOM: CONTROL}
