"""How verdicts are written: their words, their signs, and what each use of a map means; the same everywhere."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from xai_mimo.record.rows import Verdict, VerdictWord
from xai_mimo.record.select import unique

Use = Literal["order", "shares", "sign"]

MEANINGS: dict[VerdictWord, tuple[str, str]] = {
    "supported": ("✔", "the evidence supports using this map"),
    "doubtful": ("~", "do not rely on this map alone"),
    "misleading": ("✖", "this map points the wrong way: do not use it"),
    "undecided": ("?", "nothing can be concluded; the head's section says why"),
}
"""Word of a verdict -> its sign and what it means."""

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
        return "–" if self.word is None else MEANINGS[self.word][0]

    @property
    def text(self) -> str:
        """The use and its word: "order: supported"."""
        return f"{self.use}: {self.word or UNSAID}"


def uses(verdict: Verdict) -> tuple[UseWord, ...]:
    """A verdict's word for each use; empty for verdicts of older records, which have one word alone."""
    words = (UseWord("order", verdict.order), UseWord("shares", verdict.shares), UseWord("sign", verdict.sign))
    return words if any(word is not None for _, word in words) else ()


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
