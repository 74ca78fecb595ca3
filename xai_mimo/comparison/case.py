"""What the record says of one method and head, and what is made of it: a vote and its sentences for one use."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xai_mimo.metrics.statistics import FEW_ROWS
from xai_mimo.record.results import Difference, Score
from xai_mimo.record.words import RANDOM, Role

FOR, AGAINST = 0.05, 0.01
AREAS = {
    "deletion_area": "replacing its top inputs first",
    "insertion_area": "keeping its top inputs first",
}


@dataclass(frozen=True)
class Evidence:
    """What is known of one use of a map.

    Attributes:
        vote: 1 for the map, -1 against it, 0 neither, None where nothing was measured.
        sentences: each with the number it follows from.
        why: what speaks against the map or holds it back; "" where nothing does.
    """

    vote: int | None
    sentences: tuple[str, ...] = ()
    why: str = ""

    def but(self, other: "Evidence") -> "Evidence":
        """Both together: the worse vote with its reason, and all sentences."""
        sentences = (*self.sentences, *other.sentences)
        is_worse = None not in (self.vote, other.vote) and (other.vote or 0) < (self.vote or 0)
        return replace(other if is_worse else self, sentences=sentences)


@dataclass(frozen=True)
class Case:
    """What the record says of one method and head.

    Attributes:
        head, method: their names.
        inputs: number of inputs that a map ranks.
        replacement: what replaced inputs become, in words.
        scores: by metric and role; the control's are among them.
        tests: by metric and the other method, or control, positive where this method is better.
    """

    head: str
    method: str
    inputs: int
    replacement: str
    scores: Mapping[tuple[str, Role], Score]
    tests: Mapping[tuple[str, str], Difference]

    @staticmethod
    def of(
        head: str,
        method: str,
        inputs: int,
        replacement: str,
        scores: Sequence[Score],
        differences: Sequence[Difference],
    ) -> "Case":
        """Pick what is said of one method and head out of the record's tables."""
        own = {
            (r.metric, r.role): r
            for r in scores
            if r.head == head and r.other is None and (r.method == method or r.method == RANDOM)
        }
        of_head = [r for r in differences if r.head == head]
        tests = {(r.metric, r.other): r for r in of_head if r.method == method}
        tests |= {(r.metric, r.method): _of_second(r) for r in of_head if r.other == method}
        return Case(head, method, inputs, replacement, own, tests)

    def estimate(self, metric: str, role: Role = "value") -> float | None:
        """The mean over rows; None where it was not measured."""
        row = self.scores.get((metric, role))
        return None if row is None else row.estimate

    def part(self, gain: Difference | None) -> float | None:
        """A gain as a part of all that the prediction moves, by deletion and by insertion; None where it does not."""
        areas = [self.estimate(metric) for metric in AREAS]
        total = sum(area or 0.0 for area in areas)
        return None if gain is None or gain.estimate is None or None in areas or not total else gain.estimate / total

    def test(self, metric: str, other: str) -> Difference | None:
        """The test against another method or a control; None where there is no p, or it rests on too few rows."""
        row = self.tests.get((metric, other))
        is_tested = row is not None and row.estimate is not None and row.p_corrected is not None
        return row if row is not None and is_tested and row.rows >= FEW_ROWS else None


def _of_second(row: Difference) -> Difference:
    """The same difference, said of the second method."""
    estimate, low, high = (None if v is None else -v for v in (row.estimate, row.high, row.low))
    return replace(row, method=row.other, other=row.method, estimate=estimate, low=low, high=high)


def side(row: Difference | None) -> int | None:
    """1 where a test speaks for the map, -1 where it speaks against it, 0 where neither; None without a test."""
    if row is None or row.estimate is None or row.p_corrected is None:
        return None
    return int(row.estimate > 0 and row.p_corrected <= FOR) - int(row.estimate < 0 and row.p_corrected <= AGAINST)
