"""Tables of the record that no metric makes: stream shares, features, curves, gaps, and the truth as it was scored."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.comparison.explanations import unexplained
from xai_mimo.core.completeness import relative_gap
from xai_mimo.core.streams import Array
from xai_mimo.metrics import complexity
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.removal import Curves
from xai_mimo.metrics.scene import TrueFeatures
from xai_mimo.metrics.statistics import mean_intervals, with_note
from xai_mimo.record.maps import FeatureRow, Share
from xai_mimo.record.results import Curve, Gap
from xai_mimo.record.words import RANDOM, CurveKind

_FEATURES_AT_MOST = 200
_TOLERANCE = 0.01
_QUANTILES = (0.5, 0.9, 0.99, 1)


def share_rows(maps: AlignedMaps, explanations: Mapping[str, xr.Dataset]) -> tuple[Share, ...]:
    """Share of each stream in the magnitude of each map; streams that a method says nothing of have a note."""
    owners = np.array([stream for stream, _ in maps.players])
    keys, values = [], []
    for label, of_targets in maps.maps.items():
        silent = unexplained(explanations[label])
        for head, of_rows in zip(maps.heads, of_targets, strict=True):
            shares = complexity.shares(of_rows)
            for stream in dict.fromkeys(owners.tolist()):
                keys.append((label, head, stream, f"{label} says nothing of {stream}" if stream in silent else ""))
                values.append(shares[:, owners == stream].sum(axis=1))
    rows = []
    for (label, head, stream, note), interval in zip(
        keys, mean_intervals(np.stack(values), bounds=(0.0, 1.0)), strict=True
    ):
        i = with_note(interval, note)
        rows.append(Share(method=label, head=head, stream=stream, mean=i.estimate, low=i.low, high=i.high, note=i.note))
    return tuple(rows)


def feature_rows(maps: AlignedMaps) -> tuple[FeatureRow, ...]:
    """Mean and mean magnitude of each feature; the 200 that matter most to some method where there are more.

    Of a stream with further axes than features, values and magnitudes are summed over those axes, row by row.
    """
    keys, magnitudes = [], []
    for h, head in enumerate(maps.heads):
        for i in _most_important(maps, h):
            for label, of_targets in maps.maps.items():
                values = of_targets[h][:, maps.feature_of == i]
                keys.append((label, head, maps.features[i], float(values.sum(axis=1).mean())))
                magnitudes.append(np.abs(values).sum(axis=1))
    return tuple(
        FeatureRow(
            method=label,
            head=head,
            stream=stream,
            feature=feature,
            mean=mean,
            mean_abs=i.estimate,
            low=i.low,
            high=i.high,
            note=i.note,
        )
        for (label, head, (stream, feature), mean), i in zip(
            keys, mean_intervals(np.stack(magnitudes), bounds=(0.0, None)), strict=True
        )
    )


def _most_important(maps: AlignedMaps, head: int) -> Array:
    mass = np.zeros(len(maps.features))
    for values in maps.maps.values():
        mean = np.bincount(maps.feature_of, np.abs(values[head]).mean(axis=0), len(maps.features))
        mass = np.maximum(mass, mean / max(float(mean.sum()), np.finfo(float).tiny))
    return np.sort(np.argsort(-mass, kind="stable")[:_FEATURES_AT_MOST])


def true_feature_rows(maps: AlignedMaps, truth: Mapping[str, TrueFeatures]) -> dict[str, dict[str, tuple[str, ...]]]:
    """The truth as it was scored: ``{target: {stream: (feature, ...)}}`` in the space of the comparison.

    Streams stand alone, with an empty list, where players are whole streams.
    """
    rows: dict[str, dict[str, tuple[str, ...]]] = {}
    for head, known in truth.items():
        rows[head] = {}
        if known.mask is None or known.feature_of is None:
            continue
        for i in np.unique(maps.feature_of[known.mask[known.feature_of]]):
            stream, feature = maps.features[i]
            rows[head][stream] = (*rows[head].get(stream, ()), *([feature] if feature else []))
    return rows


def curve_rows(maps: AlignedMaps, curves: Mapping[str, Curves], controls: Sequence[Curves]) -> tuple[Curve, ...]:
    """Mean deletion and insertion curves, |f(x) - v|, with an interval at each point; none without curves."""
    if not controls:
        return ()
    fractions = tuple(float(f) for f in controls[0].fractions)
    kinds: tuple[CurveKind, ...] = ("deletion", "insertion")
    keys, points = [], []
    for kind in kinds:
        values = {label: np.abs(getattr(c, kind)) for label, c in curves.items()}
        values[RANDOM] = np.mean([np.abs(getattr(c, kind)) for c in controls], axis=0)
        for label, of_targets in values.items():
            for head, of_rows in zip(maps.heads, of_targets, strict=True):
                keys.append((label, head, kind))
                points.append(of_rows.T)
    along = mean_intervals(np.concatenate(points), bounds=(0.0, None))
    rows = []
    for i, (label, head, kind) in enumerate(keys):
        own = along[i * len(fractions) : (i + 1) * len(fractions)]
        rows.append(
            Curve(
                method=label,
                head=head,
                kind=kind,
                fraction=fractions,
                mean=tuple(p.estimate for p in own),
                low=tuple(p.low for p in own),
                high=tuple(p.high for p in own),
                note=next((p.note for p in own if p.low is None), own[-1].note),
            )
        )
    return tuple(rows)


def gap_rows(explanations: Mapping[str, xr.Dataset]) -> tuple[Gap, ...]:
    """Completeness gaps of the methods that have a baseline, by ``core.completeness.relative_gap``.

    Args:
        explanations: label of the method -> explanation, as the method gave it. ``share_within`` counts by the
            tolerance of the method's settings, else by 0.01.
    """
    rows = []
    for label, explanation in explanations.items():
        if "completeness_gap" not in explanation:
            continue
        tolerance = _tolerance(explanation.attrs)
        for head, relative in zip(explanation["head"].values, relative_gap(explanation).values, strict=True):
            rows.append(
                Gap(
                    method=label,
                    head=str(head),
                    relative_quantiles={str(q): float(np.quantile(relative, q)) for q in _QUANTILES},
                    share_within=float((relative <= tolerance).mean()),
                    tolerance=tolerance,
                )
            )
    return tuple(rows)


def _tolerance(attrs: Mapping[str, Any]) -> float:
    setting = json.loads(attrs.get("settings", "{}")).get("tolerance")
    return float(setting) if isinstance(setting, int | float) else _TOLERANCE
