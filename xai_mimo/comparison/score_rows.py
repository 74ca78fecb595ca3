"""Rows of the comparison record: plain values that JSON can hold, every number finite or None with a note."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from xai_mimo.core.completeness import relative_gap
from xai_mimo.core.streams import Array
from xai_mimo.metrics import complexity, faithfulness, ground_truth
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.faithfulness import Curves
from xai_mimo.metrics.ground_truth import TrueFeatures
from xai_mimo.metrics.statistics import (
    Interval,
    holm,
    mean_interval,
    mean_intervals,
    paired_p_values,
    statistic_interval,
)
from xai_mimo.record.rows import RANDOM

_FEATURES_AT_MOST = 200

FAITHFULNESS = {
    "deletion_area": faithfulness.deletion_area,
    "insertion_area": faithfulness.insertion_area,
    "comprehensiveness": faithfulness.comprehensiveness,
    "sufficiency": faithfulness.sufficiency,
}
"""Metrics that the random control has too."""


def score(
    head: str,
    family: str,
    metric: str,
    method: str,
    interval: Interval,
    *,
    other: str | None = None,
    role: str = "value",
    k: int | None = None,
) -> dict[str, Any]:
    """One row of the record's ``scores``."""
    return {
        "head": head,
        "family": family,
        "metric": metric,
        "method": method,
        "other": other,
        "role": role,
        "k": k,
        "estimate": interval.estimate,
        "low": interval.low,
        "high": interval.high,
        "rows": interval.rows,
        "note": interval.note,
    }


class Quantity(NamedTuple):
    """A quantity per row that will become one row of the record.

    Attributes:
        labels: the row's other columns.
        values: ``(sample,)``, NaN where undefined.
        note: added to what the interval has to say.
    """

    labels: Mapping[str, Any]
    values: Array
    note: str = ""


def intervals(quantities: Sequence[Quantity], counts: Array) -> list[Interval]:
    """Intervals of many quantities in one go, with their notes."""
    if not quantities:
        return []
    found = mean_intervals(np.stack([q.values for q in quantities]), counts)
    return [with_note(i, q.note) for i, q in zip(found, quantities, strict=True)]


def scored(quantities: Sequence[Quantity], counts: Array) -> list[dict[str, Any]]:
    """Rows of the record's ``scores``; the labels are the arguments of ``score``."""
    return [score(interval=i, **q.labels) for i, q in zip(intervals(quantities, counts), quantities, strict=True)]


def faithfulness_scores(
    panel: AlignedMaps, curves: Mapping[str, Curves], controls: list[Curves]
) -> list[dict[str, Any]]:
    """Areas, comprehensiveness and sufficiency of every method and of the random control; violations of the methods."""
    found = []
    for metric, measure in FAITHFULNESS.items():
        values = {label: measure(c) for label, c in curves.items()}
        values[RANDOM] = np.mean([measure(c) for c in controls], axis=0)
        for label, h, head in _each(values, panel):
            role = "control_random" if label == RANDOM else "value"
            found.append(Quantity(_labels(head, "faithfulness", metric, label, role=role), values[label][h]))
    for label, h, head in _each(curves, panel):
        note = "" if panel.signed[label] else "the map has no sign: every weight is read as positive"
        values_of = faithfulness.violation(curves[label])[h]
        found.append(Quantity(_labels(head, "faithfulness", "violation", label), values_of, note))
    return scored(found, panel.counts)


def _each(labels: Iterable[str], panel: AlignedMaps) -> Iterator[tuple[str, int, str]]:
    """Every label with every head and its position."""
    return ((label, h, head) for label in labels for h, head in enumerate(panel.heads))


def _labels(head: str, family: str, metric: str, method: str, **more: Any) -> dict[str, Any]:
    return {"head": head, "family": family, "metric": metric, "method": method, **more}


def with_note(interval: Interval, note: str) -> Interval:
    """The same interval with one more note."""
    return Interval(
        interval.estimate, interval.low, interval.high, interval.rows, "; ".join(n for n in (interval.note, note) if n)
    )


def differences(
    panel: AlignedMaps, curves: Mapping[str, Curves], controls: list[Curves], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Paired differences in faithfulness, oriented so that positive means the first is better; p-values Holm-corrected.

    Each method stands against the random control and against every other method, by the areas of both curves.
    """
    gains = []
    for metric, better in (("deletion_area", 1.0), ("insertion_area", -1.0)):
        values = {label: better * FAITHFULNESS[metric](c) for label, c in curves.items()}
        values[RANDOM] = better * np.mean([FAITHFULNESS[metric](c) for c in controls], axis=0)
        for one, other in itertools.combinations(values, 2):
            for h, head in enumerate(panel.heads):
                labels = _labels(head, "faithfulness", metric, one, other=other)
                gains.append(Quantity(labels, values[one][h] - values[other][h]))
    rows = [{k: v for k, v in row.items() if k not in ("role", "k")} for row in scored(gains, panel.counts)]
    found = paired_p_values([g.values for g in gains], rng=rng)
    corrected = iter(holm([p for p in found if p is not None]))
    for row, p in zip(rows, found, strict=True):
        row["p"], row["p_corrected"] = p, None if p is None else next(corrected)
    return rows


def curve_rows(panel: AlignedMaps, curves: Mapping[str, Curves], controls: list[Curves]) -> list[dict[str, Any]]:
    """Mean deletion and insertion curves, |f(x) - v|, with an interval at each point."""
    fractions = [float(f) for f in controls[0].fractions]
    rows: list[dict[str, Any]] = []
    points: list[Quantity] = []
    for kind in ("deletion", "insertion"):
        values = {label: np.abs(getattr(c, kind)) for label, c in curves.items()}
        values[RANDOM] = np.mean([np.abs(getattr(c, kind)) for c in controls], axis=0)
        for label, h, head in _each(values, panel):
            rows.append({"method": label, "head": head, "kind": kind, "fraction": fractions})
            points += [Quantity({}, along) for along in values[label][h].T]
    found = intervals(points, panel.counts)
    for i, row in enumerate(rows):
        mine = found[i * len(fractions) : (i + 1) * len(fractions)]
        row["mean"] = [p.estimate for p in mine]
        row["low"], row["high"] = [p.low for p in mine], [p.high for p in mine]
        row["note"] = mine[-1].note
    return rows


def truth_scores(panel: AlignedMaps, truth: Mapping[str, TrueFeatures]) -> list[dict[str, Any]]:
    """Share of mass and AUROC on the true features, per row and of the mean map, with chance beside them."""
    rows = []
    for h, head in enumerate(panel.heads):
        known = truth.get(head)
        if known is None:
            continue
        for label in panel.labels:
            if known.mask is None:
                nothing = Interval(None, None, None, 0, known.note)
                rows.append(score(head, "ground_truth", "auroc_mean_map", label, nothing))
                continue
            values, mask = panel.maps[label][h], known.mask
            found = {
                "share": (mean_interval(ground_truth.share_on_truth(values, mask), panel.counts), float(mask.mean())),
                "auroc": (mean_interval(ground_truth.auroc(values, mask), panel.counts), 0.5),
                "auroc_mean_map": (mean_map_auroc(values, mask, panel.counts), 0.5),
            }
            for metric, (interval, chance) in found.items():
                rows.append(score(head, "ground_truth", metric, label, with_note(interval, known.note)))
                floor = Interval(chance, None, None, panel.rows, "chance, exact: no interval")
                rows.append(score(head, "ground_truth", metric, label, floor, role="floor_random"))
    return rows


def mean_map_auroc(values: Array, mask: Array, counts: Array) -> Interval:
    """AUROC of the mean |map| over rows against the truth, with a bootstrap interval over rows."""
    magnitude = np.abs(values)
    rows = len(magnitude)
    mean = magnitude.mean(axis=0)
    left_out = (magnitude.sum(axis=0) - magnitude) / max(rows - 1, 1)
    return statistic_interval(
        float(ground_truth.auroc(mean[None], mask)[0]),
        ground_truth.auroc(counts @ magnitude / rows, mask),
        ground_truth.auroc(left_out, mask),
    )


def complexity_scores(panel: AlignedMaps) -> list[dict[str, Any]]:
    """Effective number of features of every map."""
    found = [
        Quantity(
            _labels(head, "complexity", "effective_features", label),
            complexity.effective_features(panel.maps[label][h]),
        )
        for label, h, head in _each(panel.labels, panel)
    ]
    return scored(found, panel.counts)


def share_rows(panel: AlignedMaps, unexplained: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """Share of each stream in the magnitude of each map; ``unexplained`` are streams that a method says nothing of."""
    owners = np.array([stream for stream, _ in panel.players])
    found = []
    for label, h, head in _each(panel.labels, panel):
        shares = complexity.shares(panel.maps[label][h])
        for stream in dict.fromkeys(owners.tolist()):
            labels = {"method": label, "head": head, "stream": stream}
            note = f"{label} says nothing of {stream}" if stream in unexplained.get(label, ()) else ""
            found.append(Quantity(labels, shares[:, owners == stream].sum(axis=1), note))
    return [
        {**q.labels, "mean": i.estimate, "low": i.low, "high": i.high, "note": i.note}
        for q, i in zip(found, intervals(found, panel.counts), strict=True)
    ]


def feature_rows(panel: AlignedMaps) -> list[dict[str, Any]]:
    """Mean and mean magnitude of each feature; the 200 that matter most to some method where there are more.

    Of a stream with further axes than features, values and magnitudes are summed over those axes, row by row.
    """
    found = []
    for h, head in enumerate(panel.heads):
        for i in _most_important(panel, h):
            stream, feature = panel.features[i]
            for label in panel.labels:
                values = panel.maps[label][h][:, panel.feature_of == i]
                labels = {"method": label, "head": head, "stream": stream, "feature": feature}
                mean = float(values.sum(axis=1).mean())
                found.append(Quantity({**labels, "mean": mean}, np.abs(values).sum(axis=1)))
    return [
        {**q.labels, "mean_abs": i.estimate, "low": i.low, "high": i.high, "note": i.note}
        for q, i in zip(found, intervals(found, panel.counts), strict=True)
    ]


def true_feature_rows(panel: AlignedMaps, truth: Mapping[str, TrueFeatures]) -> dict[str, dict[str, list[str]]]:
    """The truth as it was scored: ``{target: {stream: [feature, ...]}}`` in the space of the comparison.

    Streams stand alone, with an empty list, where players are whole streams.
    """
    rows: dict[str, dict[str, list[str]]] = {}
    for head, known in truth.items():
        mask = np.zeros(len(panel.players), dtype=bool) if known.mask is None else known.mask
        rows[head] = {}
        for i in np.unique(panel.feature_of[mask]):
            stream, feature = panel.features[i]
            rows[head].setdefault(stream, []).extend([feature] if feature else [])
    return rows


def _most_important(panel: AlignedMaps, head: int) -> Array:
    mass = np.zeros(len(panel.features))
    for values in panel.maps.values():
        mean = np.bincount(panel.feature_of, np.abs(values[head]).mean(axis=0), len(panel.features))
        mass = np.maximum(mass, mean / max(float(mean.sum()), np.finfo(float).tiny))
    return np.sort(np.argsort(-mass, kind="stable")[:_FEATURES_AT_MOST])


def gap_rows(explanations: Mapping[str, xr.Dataset], tolerances: Mapping[str, float]) -> list[dict[str, Any]]:
    """Completeness gaps, for the methods that have a baseline.

    Args:
        explanations: label of the method -> explanation, as the method gave it.
        tolerances: label -> the relative gap (see ``core.completeness.relative_gap``) that ``share_within`` counts by.
    """
    rows = []
    for label, explanation in explanations.items():
        if "completeness_gap" not in explanation:
            continue
        relative = relative_gap(explanation).values
        for h, head in enumerate(explanation["head"].values):
            rows.append(
                {
                    "method": label,
                    "head": str(head),
                    "relative_quantiles": {str(q): float(np.quantile(relative[h], q)) for q in (0.5, 0.9, 0.99, 1)},
                    "share_within": float((relative[h] <= tolerances[label]).mean()),
                    "tolerance": tolerances[label],
                }
            )
    return rows
