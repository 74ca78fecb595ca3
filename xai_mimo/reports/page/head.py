"""What the page says of one target."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xai_mimo.record.maps import FeatureRow, Share
from xai_mimo.record.results import Difference, Gap, Score, Verdict
from xai_mimo.record.rows import Record
from xai_mimo.record.select import (
    feature_ranking,
    head_unit,
    of_head,
    scores_by_role,
    true_features,
    unique,
)
from xai_mimo.record.subject import TargetRow
from xai_mimo.record.words import Role
from xai_mimo.reports.figures.pictures import notes_of_streams
from xai_mimo.reports.numbers import CONTROLS, directions, metric_title
from xai_mimo.reports.page.examples import ExampleView, view_of_example
from xai_mimo.reports.verdicts import have_uses

FEATURES_LISTED = 50
_REFERENCES: tuple[Role, ...] = ("floor_random", "floor_permuted", "ceiling")
_OPEN_AT_MOST = 2


@dataclass(frozen=True)
class AgreementLine:
    """One agreement metric of a pair of methods.

    Attributes:
        metric: in words, with its k.
        pair: labels.
        value: its score, None where there is none.
        references: the random floor, the permuted floor and the ceiling, None likewise.
        note: of all of them.
    """

    metric: str
    pair: str
    value: Score | None
    references: tuple[Score | None, ...]
    note: str


@dataclass(frozen=True)
class DifferenceTable:
    """Paired differences that are read together.

    Attributes:
        title: above them.
        hint: what the numbers mean, and over which tests their p-values are corrected.
        first, second: above the labels of what is compared.
        rows: of the record.
    """

    title: str
    hint: str
    first: str
    second: str
    rows: Sequence[Difference]


@dataclass(frozen=True)
class HeadView:
    """What the page says of one target, but for its figures.

    Attributes:
        number: from 1, as in the page's anchors.
        target: its row. name: of it.
        kind, unit: of the model's head behind it.
        explained: which of its units, in words; "" where it has one alone.
        is_open: whether the section is open when the page is.
        verdicts, shares, gaps: its rows.
        undecided: what is said of all methods alike where none is decided, "" elsewhere.
        features: its rows, those of the 50 leading features. hidden_features: how many more the record holds.
        agreement: scores of the family in lines. other_scores: all others.
        directions: in words, which of the other scores are better when larger, and which when smaller.
        differences: from what maps are held against, and between methods; tables without rows are left out.
        examples: its rows.
        notes: of scores, shares and streams without a picture, each once.
        true: features known to matter.
    """

    number: int
    target: TargetRow
    name: str
    kind: str
    unit: str
    explained: str
    is_open: bool
    verdicts: Sequence[Verdict]
    undecided: str
    shares: Sequence[Share]
    features: Sequence[FeatureRow]
    hidden_features: int
    gaps: Sequence[Gap]
    agreement: Sequence[AgreementLine]
    other_scores: Sequence[Score]
    directions: str
    differences: Sequence[DifferenceTable]
    examples: Sequence[ExampleView]
    notes: Sequence[str]
    true: Mapping[str, Sequence[str]]

    @property
    def key(self) -> str:
        """The beginning of the ids of its drawings."""
        return f"h{self.number}"


def view_of_head(record: Record, number: int) -> HeadView:
    """What the page says of one target.

    Args:
        record: checked.
        number: of the target, from 1.
    """
    target = record.targets[number - 1]
    name = target.name
    head = next((h for h in record.model.heads if h.name == target.head), None)
    scores, shares = of_head(record.scores, name), of_head(record.shares, name)
    verdicts = of_head(record.verdicts, name)
    ranked = feature_ranking(record, name)
    leading = set(ranked[:FEATURES_LISTED])
    other_scores = [r for r in scores if r.family != "agreement"]
    notes = [r.note for r in (*scores, *shares) if r.note]
    return HeadView(
        number=number,
        target=target,
        name=name,
        kind=head.kind if head else "",
        explained=_explained(target, len(head.units) if head else 0),
        unit=head_unit(record, name),
        is_open=number == 1 or len(record.targets) <= _OPEN_AT_MOST,
        verdicts=verdicts,
        undecided=_said_of_all(verdicts),
        shares=shares,
        features=[r for r in of_head(record.features, name) if not ranked or (r.stream, r.feature) in leading],
        hidden_features=max(0, len(ranked) - FEATURES_LISTED),
        gaps=of_head(record.gaps, name),
        agreement=agreement_lines(record, scores),
        other_scores=other_scores,
        directions=directions(record, [r.metric for r in other_scores]),
        differences=difference_tables(record, name),
        examples=[
            view_of_example(record, row, f"h{number}-e{i}")
            for i, row in enumerate(of_head(record.examples, name), start=1)
        ],
        notes=[*unique(notes), *notes_of_streams(record, name)],
        true=true_features(record, name),
    )


def _said_of_all(verdicts: Sequence[Verdict]) -> str:
    texts = {v.text for v in verdicts if v.verdict == "undecided" and not v.evidence}
    is_one = len(texts) == 1 and all(v.text in texts for v in verdicts)
    return texts.pop() if is_one else ""


def _explained(target: TargetRow, units: int) -> str:
    if target.unit == "predicted":
        return "explained: the class that is predicted in each row"
    if target.unit == "label":
        return "explained: the class that is each row's label"
    return "" if units == 1 else f"explained unit: {target.unit}"


def difference_tables(record: Record, head: str) -> list[DifferenceTable]:
    """Paired differences of one target, in tables by the tests over which their p-values are corrected."""
    rows, labels = of_head(record.differences, head), [m.label for m in record.methods]
    if not have_uses(record.verdicts):
        hint = (
            "Positive: the first is better. p-values by sign flips, corrected over all tests of the comparison (Holm)."
        )
        tables = [DifferenceTable("Paired differences in faithfulness", hint, "First", "Second", rows)]
    else:
        tables = [
            DifferenceTable(
                "Tests that the verdicts rest on",
                "Positive: the method is better than what it is held against. “p corrected” decides, for the method "
                "at .05 and below, against it at .01 and below: Holm’s correction over all tests of one method in this "
                "table, whatever other methods stand beside it.",
                "Method",
                "Held against",
                sorted((r for r in rows if r.other in CONTROLS), key=lambda r: labels.index(r.method)),
            ),
            DifferenceTable(
                "Methods against each other",
                "Positive: the first is better. “p corrected” decides: Holm’s correction over all tests in this table.",
                "First",
                "Second",
                [r for r in rows if r.other not in CONTROLS],
            ),
        ]
    return [table for table in tables if table.rows]


def agreement_lines(record: Record, scores: Iterable[Score]) -> list[AgreementLine]:
    """Agreement scores with floors and ceiling in one line for each metric and pair."""
    return [
        AgreementLine(
            metric=metric_title(record, name.metric) + (f" at {name.k}" if name.k else ""),
            pair=" / ".join(label for label in (name.method, name.other) if label),
            value=by_role.get("value"),
            references=tuple(by_role.get(role) for role in _REFERENCES),
            note="; ".join(unique(r.note for r in by_role.values() if r.note)),
        )
        for name, by_role in scores_by_role(scores).items()
        if name.family == "agreement"
    ]
