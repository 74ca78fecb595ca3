"""How verdicts are written: their words, their signs, and what each use of a map means; the same everywhere."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from xai_mimo.record.results import Verdict
from xai_mimo.record.select import unique
from xai_mimo.record.words import VerdictWord

Use = Literal["order", "shares", "sign"]


class Meaning(NamedTuple):
    """How a word of a verdict is shown, and what it says.

    Attributes:
        glyph: its sign.
        of_map: what it says of a map in older records, which have one word for it.
        of_use: what it says of one use of a map.
    """

    glyph: str
    of_map: str
    of_use: str


MEANINGS: dict[VerdictWord, Meaning] = {
    "supported": Meaning("✔", "the evidence supports using this map", "borne out by the model: use it"),
    "doubtful": Meaning(
        "~", "do not rely on this map alone", "neither borne out nor contradicted: do not rest on it alone"
    ),
    "misleading": Meaning(
        "✖",
        "this map points the wrong way: do not use it",
        "contradicted by the model or by what is known: do not use it",
    ),
    "undecided": Meaning(
        "?", "nothing can be concluded; the head's section says why", "could not be tested; the head's section says why"
    ),
}
"""By word."""

USES: dict[Use, str] = {
    "order": "which inputs matter more than which",
    "shares": "how much each counts",
    "sign": "whether it raises or lowers the prediction",
}
"""What a map may be used for -> what that means."""

UNSAID = "not judged"
"""Stands for a use of which the map says nothing."""


class UseWord(NamedTuple):
    """What a verdict says of one use: the word, None where the map says nothing of it, and its sign."""

    use: Use
    word: VerdictWord | None

    @property
    def glyph(self) -> str:
        """The word's sign; a dash where the map says nothing."""
        return "–" if self.word is None else MEANINGS[self.word].glyph

    @property
    def text(self) -> str:
        """The use and its word: "order: supported"."""
        return f"{self.use}: {self.word or UNSAID}"


def uses(verdict: Verdict) -> tuple[UseWord, ...]:
    """A verdict's word for each use; empty for verdicts of older records, which have one word alone."""
    words = (UseWord("order", verdict.order), UseWord("shares", verdict.shares), UseWord("sign", verdict.sign))
    return words if any(word is not None for _, word in words) else ()


def evidence_by_use(verdict: Verdict) -> list[tuple[UseWord | None, list[str]]]:
    """A verdict's sentences under the uses that they begin with ("Order: ..."), and all others last.

    Returns:
        Every use of the verdict with its sentences, without the word they begin with; then None with all others, if
        there are any.
    """
    rest = list(verdict.evidence)
    groups: list[tuple[UseWord | None, list[str]]] = []
    for word in uses(verdict):
        start = f"{word.use.capitalize()}: "
        groups.append((word, [line.removeprefix(start) for line in rest if line.startswith(start)]))
        rest = [line for line in rest if not line.startswith(start)]
    return [*groups, (None, rest)] if rest else groups


def have_uses(verdicts: Iterable[Verdict]) -> bool:
    """Whether any of the verdicts has a word for each use: those of older records have not."""
    return any(uses(verdict) for verdict in verdicts)


def verdict_table(verdicts: Sequence[Verdict]) -> list[list[str]]:
    """Verdicts as lines of words, the header first; without columns for the uses where all are of older records."""
    shown = tuple(USES) if have_uses(verdicts) else ()
    lines = [[v.head, v.method, v.verdict, *(dict(uses(v)).get(use) or "–" for use in shown)] for v in verdicts]
    return [["head", "method", "verdict", *shown], *lines]


def legend() -> str:
    """What the uses mean, in one sentence."""
    return "; ".join(f"{use}: {meaning}" for use, meaning in USES.items())


def supported_heads(verdicts: Iterable[Verdict], use: Use) -> list[str]:
    """Names of the targets for which a use is supported."""
    return unique(v.head for v in verdicts if dict(uses(v)).get(use) == "supported")
