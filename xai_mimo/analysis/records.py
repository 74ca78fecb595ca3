"""Rows of the comparison record: plain values that JSON can hold, every number finite or None with a note."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.analysis import complexity, faithfulness, ground_truth
from xai_mimo.analysis.faithfulness import Curves
from xai_mimo.analysis.panel import Panel
from xai_mimo.analysis.statistics import (
    Interval,
    holm,
    mean_interval,
    paired_p_values,
    statistic_interval,
)
from xai_mimo.analysis.truth import TrueFeatures
from xai_mimo.core.streams import Array

RANDOM = "random"
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


def faithfulness_scores(panel: Panel, curves: Mapping[str, Curves], controls: list[Curves]) -> list[dict[str, Any]]:
    """Areas, comprehensiveness and sufficiency of every method and of the random control; violations of the methods."""
    rows = []
    for metric, measure in FAITHFULNESS.items():
        values = {label: measure(c) for label, c in curves.items()}
        values[RANDOM] = np.mean([measure(c) for c in controls], axis=0)
        for label, found in values.items():
            role = "control_random" if label == RANDOM else "value"
            for h, head in enumerate(panel.heads):
                interval = mean_interval(found[h], panel.counts)
                rows.append(score(head, "faithfulness", metric, label, interval, role=role))
    for label, c in curves.items():
        found = faithfulness.violation(c)
        for h, head in enumerate(panel.heads):
            interval = mean_interval(found[h], panel.counts)
            if not panel.signed[label]:
                interval = with_note(interval, "the map has no sign: every weight is read as positive")
            rows.append(score(head, "faithfulness", "violation", label, interval))
    return rows


def with_note(interval: Interval, note: str) -> Interval:
    """The same interval with one more note."""
    return Interval(
        interval.estimate, interval.low, interval.high, interval.rows, "; ".join(n for n in (interval.note, note) if n)
    )


def differences(
    panel: Panel, curves: Mapping[str, Curves], controls: list[Curves], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """Paired differences in faithfulness, oriented so that positive means the first is better; p-values Holm-corrected.

    Each method stands against the random control and against every other method, by the areas of both curves.
    """
    rows, gains = [], []
    for metric, better in (("deletion_area", 1.0), ("insertion_area", -1.0)):
        values = {label: better * FAITHFULNESS[metric](c) for label, c in curves.items()}
        values[RANDOM] = better * np.mean([FAITHFULNESS[metric](c) for c in controls], axis=0)
        for one, other in itertools.combinations(values, 2):
            for h, head in enumerate(panel.heads):
                gains.append(values[one][h] - values[other][h])
                interval = mean_interval(gains[-1], panel.counts)
                row = score(head, "faithfulness", metric, one, interval, other=other)
                rows.append({k: v for k, v in row.items() if k not in ("role", "k")})
    found = paired_p_values(gains, rng=rng)
    corrected = iter(holm([p for p in found if p is not None]))
    for row, p in zip(rows, found, strict=True):
        row["p"], row["p_corrected"] = p, None if p is None else next(corrected)
    return rows


def curve_rows(panel: Panel, curves: Mapping[str, Curves], controls: list[Curves]) -> list[dict[str, Any]]:
    """Mean deletion and insertion curves, |f(x) - v|, with an interval at each point."""
    rows = []
    for kind in ("deletion", "insertion"):
        values = {label: np.abs(getattr(c, kind)) for label, c in curves.items()}
        values[RANDOM] = np.mean([np.abs(getattr(c, kind)) for c in controls], axis=0)
        for label, found in values.items():
            for h, head in enumerate(panel.heads):
                points = [mean_interval(found[h, :, i], panel.counts) for i in range(found.shape[2])]
                rows.append(
                    {
                        "method": label,
                        "head": head,
                        "kind": kind,
                        "fraction": [float(f) for f in controls[0].fractions],
                        "mean": [p.estimate for p in points],
                        "low": [p.low for p in points],
                        "high": [p.high for p in points],
                        "note": points[-1].note,
                    }
                )
    return rows


def truth_scores(panel: Panel, truth: Mapping[str, TrueFeatures]) -> list[dict[str, Any]]:
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


def complexity_scores(panel: Panel) -> list[dict[str, Any]]:
    """Effective number of features of every map."""
    return [
        score(
            head,
            "complexity",
            "effective_features",
            label,
            mean_interval(complexity.effective_features(panel.maps[label][h]), panel.counts),
        )
        for label in panel.labels
        for h, head in enumerate(panel.heads)
    ]


def share_rows(panel: Panel) -> list[dict[str, Any]]:
    """Share of each stream in the magnitude of each map."""
    owners = [stream for stream, _ in panel.players]
    rows = []
    for label in panel.labels:
        for h, head in enumerate(panel.heads):
            shares = complexity.shares(panel.maps[label][h])
            for stream in dict.fromkeys(owners):
                mine = np.array([o == stream for o in owners])
                interval = mean_interval(shares[:, mine].sum(axis=1), panel.counts)
                rows.append(
                    {
                        "method": label,
                        "head": head,
                        "stream": stream,
                        "mean": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                        "note": interval.note,
                    }
                )
    return rows


def feature_rows(panel: Panel) -> list[dict[str, Any]]:
    """Mean and mean magnitude of each player; the 200 that matter most to some method where there are more."""
    rows = []
    for h, head in enumerate(panel.heads):
        mass = np.zeros(len(panel.players))
        for label in panel.labels:
            mean = np.abs(panel.maps[label][h]).mean(axis=0)
            mass = np.maximum(mass, mean / max(float(mean.sum()), np.finfo(float).tiny))
        kept = np.sort(np.argsort(-mass, kind="stable")[:_FEATURES_AT_MOST])
        for label in panel.labels:
            values = panel.maps[label][h]
            for i in kept:
                interval = mean_interval(np.abs(values[:, i]), panel.counts)
                rows.append(
                    {
                        "method": label,
                        "head": head,
                        "stream": panel.players[i][0],
                        "feature": panel.players[i][1],
                        "mean": float(values[:, i].mean()),
                        "mean_abs": interval.estimate,
                        "low": interval.low,
                        "high": interval.high,
                        "note": interval.note,
                    }
                )
    return rows


def gap_rows(explanations: Mapping[str, xr.Dataset], tolerances: Mapping[str, float]) -> list[dict[str, Any]]:
    """Completeness gaps relative to f(x) - f(baseline), for the methods that have a baseline.

    relative gap = |gap| / |f(x) - f(b)|; a change below a thousandth of the head's mean change counts as that much
    """
    rows = []
    for label, explanation in explanations.items():
        if "completeness_gap" not in explanation:
            continue
        gap = np.abs(explanation["completeness_gap"].transpose("head", "sample").values)
        both = (explanation[v].transpose("head", "sample").values for v in ("prediction", "baseline_prediction"))
        change = np.abs(np.subtract(*both))
        for h, head in enumerate(explanation["head"].values):
            floor = 1e-3 * change[h].mean()
            relative = gap[h] / np.maximum(change[h], floor) if floor > 0 else np.where(gap[h] > 0, 1.0, 0.0)
            rows.append(
                {
                    "method": label,
                    "head": str(head),
                    "relative_quantiles": {str(q): float(np.quantile(relative, q)) for q in (0.5, 0.9, 0.99, 1)},
                    "share_within": float((relative <= tolerances[label]).mean()),
                    "tolerance": tolerances[label],
                }
            )
    return rows


def example_rows(
    explanations: Mapping[str, xr.Dataset],
    inputs: Mapping[str, Array],
    labels: Mapping[str, Array],
    head_of: Mapping[str, str],
    samples: Array,
) -> list[dict[str, Any]]:
    """The rows with the highest, the median and the lowest prediction of each head, with every method's values."""
    first = next(iter(explanations.values()))
    streams = [s for s in inputs if s in first]
    rows = []
    for h, head in enumerate(str(n) for n in first["head"].values):
        prediction = first["prediction"].transpose("head", "sample").values[h]
        order = np.argsort(prediction, kind="stable")
        for i in dict.fromkeys(int(order[p]) for p in (-1, len(order) // 2, 0)):
            label = labels.get(head_of[head])
            rows.append(
                {
                    "row": int(samples[i]),
                    "head": head,
                    "prediction": float(prediction[i]),
                    "label": None if label is None else np.asarray(label[i]).tolist(),
                    "inputs": {s: np.asarray(inputs[s][i], dtype=np.float64).tolist() for s in streams},
                    "values": {name: {s: _at(e[s], h, i) for s in streams} for name, e in explanations.items()},
                }
            )
    return rows


def _at(variable: xr.DataArray, head: int, sample: int) -> Any:
    return variable.isel(head=head, sample=sample).values.astype(np.float64).tolist()
