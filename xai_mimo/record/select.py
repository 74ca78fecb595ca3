"""Rows of the record, picked and ordered: what figures, page and tables share."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol, TypeVar

from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.record.results import Score
from xai_mimo.record.rows import Record
from xai_mimo.record.subject import SpaceStream, StreamRow
from xai_mimo.record.words import Family, Role

_MAIN = ("pairwise_rank_agreement", "spearman", "kendall")


class _OfHead(Protocol):
    @property
    def head(self) -> str: ...


class _OfStream(_OfHead, Protocol):
    @property
    def method(self) -> str: ...

    @property
    def stream(self) -> str: ...


Row = TypeVar("Row", bound=_OfHead)
StreamedRow = TypeVar("StreamedRow", bound=_OfStream)


class ScoreName(NamedTuple):
    """What a score and its floors and ceiling have in common."""

    family: Family
    metric: str
    k: int | None
    method: str
    other: str | None


def of_head(rows: Iterable[Row], head: str) -> list[Row]:
    """Rows of a table about one target."""
    return [row for row in rows if row.head == head]


def unique(names: Iterable[str]) -> list[str]:
    """Different names, in the order in which they come first."""
    return list(dict.fromkeys(names))


def signed_labels(record: Record) -> list[str]:
    """Methods whose maps have a sign."""
    return [m.label for m in record.methods if m.signed]


def signed_labels_of(record: Record, kind: SpeaksOf) -> list[str]:
    """Methods whose maps have a sign that speaks of this; older records do not say, and all count as attributions."""
    return [m.label for m in record.methods if m.signed and (m.speaks_of or "attribution") == kind]


def unexplained_streams(record: Record) -> dict[str, Sequence[str]]:
    """Method -> streams that it says nothing of, for the methods that leave any out."""
    return {m.label: m.unexplained for m in record.methods if m.unexplained}


def explained_rows(record: Record, rows: Iterable[StreamedRow], head: str) -> list[StreamedRow]:
    """Rows of a table about one target and the streams that their method explains."""
    left_out = unexplained_streams(record)
    return [row for row in of_head(rows, head) if row.stream not in left_out.get(row.method, ())]


def head_unit(record: Record, target: str) -> str:
    """Physical unit of the head behind a target, "" when it has none."""
    head = next(t.head for t in record.targets if t.name == target)
    return next((h.unit for h in record.model.heads if h.name == head), "")


def space_streams(record: Record) -> Sequence[SpaceStream | StreamRow]:
    """The streams that the maps lie on; older records know those of the model alone."""
    return record.space.streams or record.model.streams


def true_features(record: Record, target: str) -> Mapping[str, Sequence[str]]:
    """``{stream: [feature, ...]}`` known to matter, in the space of the comparison; older records: as it was given."""
    known = record.truth if record.true_features is None else record.true_features
    return (known or {}).get(target, {})


def feature_ranking(record: Record, head: str) -> list[tuple[str, str]]:
    """``(stream, feature)`` by the largest share that any method gives it, largest first."""
    magnitudes = [
        (r.method, (r.stream, r.feature), r.mean_abs) for r in of_head(record.features, head) if r.mean_abs is not None
    ]
    totals: dict[str, float] = {}
    for method, _, magnitude in magnitudes:
        totals[method] = totals.get(method, 0.0) + magnitude
    best: dict[tuple[str, str], float] = {}
    for method, feature, magnitude in magnitudes:
        best[feature] = max(best.get(feature, 0.0), magnitude / (totals[method] or 1.0))
    return sorted(best, key=lambda feature: -best[feature])


def main_agreement(record: Record, head: str) -> tuple[str, int | None] | None:
    """The agreement metric to show first: one over all features, with a number; None without any."""
    rows = [r for r in of_head(record.scores, head) if r.family == "agreement" and r.role == "value"]
    known = [(r.metric, r.k) for r in rows if r.estimate is not None]
    return next((c for metric in _MAIN for c in known if c[0] == metric), known[0] if known else None)


def agreement_pairs(record: Record, head: str, metric: str, k: int | None) -> dict[tuple[str, str], dict[Role, Score]]:
    """``(method, other) -> {role: score}`` of one agreement metric, for the pairs whose value is known."""
    scores = [r for r in of_head(record.scores, head) if (r.metric, r.k) == (metric, k)]
    return {
        (name.method, name.other): by_role
        for name, by_role in scores_by_role(scores).items()
        if name.other is not None and "value" in by_role and by_role["value"].estimate is not None
    }


def scores_by_role(scores: Iterable[Score]) -> dict[ScoreName, dict[Role, Score]]:
    """Scores with their floors and ceilings."""
    by_name: dict[ScoreName, dict[Role, Score]] = {}
    for r in scores:
        by_name.setdefault(ScoreName(r.family, r.metric, r.k, r.method, r.other), {})[r.role] = r
    return by_name
