"""Metrics in, rows of the record out: each metric's values per row become scores with intervals and differences."""

import dataclasses
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xai_mimo.comparison import tables
from xai_mimo.comparison.check_quantities import checked
from xai_mimo.comparison.differences import differences
from xai_mimo.comparison.explained import Explained
from xai_mimo.comparison.request import Request
from xai_mimo.comparison.task_scores import unlearnt_heads
from xai_mimo.comparison.verdicts import verdicts
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import MetricFailed, NotSupported, XaiMimoError
from xai_mimo.core.model import Arrays
from xai_mimo.core.progress import Steps
from xai_mimo.core.streams import Array
from xai_mimo.core.words import equal
from xai_mimo.metrics.metric import Metric, Quantity, may_be_hits, needs_of, number_of
from xai_mimo.metrics.removal import Curves, curves_of
from xai_mimo.metrics.scene import Scene, TrueFeatures
from xai_mimo.metrics.statistics import FEW_ROWS, Interval, mean_intervals, statistic_interval, with_note
from xai_mimo.record.maps import FeatureRow, Share
from xai_mimo.record.results import Curve, Difference, Gap, Score, Verdict
from xai_mimo.record.subject import MetricRow

_STILL = 1e-6
_DECIDE = ("deletion_area", "insertion_area", "symmetric_gain")
_LOG = logging.getLogger("xai_mimo")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """All tables of the record that are computed from maps, by the names they have there.

    Attributes:
        metrics_run: the metrics behind the scores.
        metrics, scores, differences, shares, features, true_features, curves, gaps, verdicts: see ``record.rows``.
    """

    metrics_run: tuple[Metric, ...]
    metrics: tuple[MetricRow, ...]
    scores: tuple[Score, ...]
    differences: tuple[Difference, ...]
    shares: tuple[Share, ...]
    features: tuple[FeatureRow, ...]
    true_features: Mapping[str, Mapping[str, tuple[str, ...]]]
    curves: tuple[Curve, ...]
    gaps: tuple[Gap, ...]
    verdicts: tuple[Verdict, ...]


def score(request: Request, explained: Explained, step: Steps) -> Scores:
    """Run the metrics that apply, a family as one step, and draw from them what a comparison concludes.

    Raises:
        NotSupported: a metric that the user named does not apply; the message says why. MetricFailed: a metric raised
            an error that is none of ours, or gave what is no quantity; ours are raised again with the metric's name.
    """
    scene, counts = explained.scene, explained.counts
    running = applicable(request.metrics, scene, must=request.are_named)
    scores: list[Score] = []
    measured: list[tuple[Metric, list[Quantity]]] = []
    for family in request.families:
        with step(family.replace("_", " "), 1) as advance:
            here = dataclasses.replace(scene, advance=advance)
            for metric in (m for m in running if m.family == family):
                quantities = measure(metric, here, request.rng(metric.name))
                scores += score_rows(metric, quantities, counts)
                measured.append((metric, quantities))
    tests = differences(measured)
    curves, controls = curves_of(scene) if scene.was_made("curves") else ({}, [])
    undecidable = {
        **_not_measured(running, scene.maps.heads),
        **heads_of_one_input(scene.maps.heads, len(scene.maps.players)),
        **heads_with_few_rows(scene.maps.heads, scene.maps.rows, different_rows(scene.perturbed.inputs)),
        **unlearnt_heads(request.task, request.heads),
        **heads_without_inputs(scene.truth),
        **unresponsive_heads(scene, curves, controls),
    }
    return Scores(
        metrics_run=running,
        metrics=tuple(_metric_row(m) for m in running),
        scores=tuple(scores),
        differences=tests,
        shares=tables.share_rows(scene.maps, scene.explanations),
        features=() if request.space.is_streams else tables.feature_rows(scene.maps),
        true_features=tables.true_feature_rows(scene.maps, scene.truth),
        curves=tables.curve_rows(scene.maps, curves, controls),
        gaps=tables.gap_rows(scene.explanations),
        verdicts=tuple(
            verdicts(
                scene.maps.heads,
                scene.maps.signed,
                scores,
                tests,
                inputs=len(scene.maps.players),
                replacement=words_of_replacement(scene),
                attributions=scene.maps.attributions,
                shared=scene.maps.shared,
                are_streams=request.space.is_streams,
                undecidable=undecidable,
            )
        ),
    )


def words_of_replacement(scene: Scene) -> str:
    """What replaced inputs become, as a sentence says it."""
    rows = count_rows(scene.perturbed.replacement)
    if scene.settings.replacement == "nearest":
        return f"the nearest {scene.settings.replacement_rows} rows of the background"
    # Where columns form categories, or are whole numbers, there is no mean, and rows stand in for it.
    if scene.settings.replacement == "background" or rows > 1:
        return f"{rows} row{'s' if rows > 1 else ''} of the background"
    return "the mean of the background"


def applicable(metrics: Sequence[Metric], scene: Scene, *, must: bool) -> tuple[Metric, ...]:
    """The metrics whose needs the scene meets.

    Raises:
        NotSupported: one does not apply, and all must.
    """
    apply = []
    for metric in metrics:
        reason = next((r for need in needs_of(metric) if (r := scene.lacks(need))), "")
        if reason and must:
            raise NotSupported(f"metric '{metric.name}' does not apply here: {reason}; or leave it out of metrics=....")
        if reason:
            _LOG.info("metric '%s' is left out: %s", metric.name, reason)
            continue
        apply.append(metric)
    return tuple(apply)


def measure(metric: Metric, scene: Scene, rng: np.random.Generator) -> list[Quantity]:
    """What one metric gives, checked.

    Raises:
        MetricFailed: see ``score``.
    """
    try:
        quantities = list(metric(scene, rng))
    except XaiMimoError as err:
        raise type(err)(f"metric '{metric.name}': {err}") from err
    except Exception as err:
        raise MetricFailed(f"metric '{metric.name}' failed: {type(err).__name__}: {err}") from err
    try:
        return checked(quantities, metric, scene.maps)
    except MetricFailed:
        raise
    except Exception as err:
        reason = f"{type(err).__name__}: {err}"
        raise MetricFailed(f"metric '{metric.name}' gave quantities that cannot be read: {reason}") from err


def score_rows(metric: Metric, quantities: Sequence[Quantity], counts: Array) -> list[Score]:
    """The record's scores of one metric."""
    return [
        Score(
            head=q.target,
            family=metric.family,
            metric=metric.name,
            method=q.method,
            other=q.other,
            role=q.role,
            k=q.k,
            estimate=interval.estimate,
            low=interval.low,
            high=interval.high,
            rows=interval.rows,
            note=interval.note,
        )
        for q, interval in zip(quantities, intervals(metric, quantities, counts), strict=True)
    ]


def intervals(metric: Metric, quantities: Sequence[Quantity], counts: Array) -> list[Interval]:
    """Estimates with their intervals, and with what there is to say of each.

    Args:
        counts: ``(resample, row)``, for numbers that are no means over rows.
    """
    means = [q.values for q in quantities if q.values is not None and not q.exact and q.of_mean is None]
    hits = may_be_hits(metric)
    of_means = iter(mean_intervals(np.stack(means), bounds=metric.bounds, hits=hits) if means else [])
    return [with_note(_single(q, counts) or next(of_means), q.note) for q in quantities]


def _single(quantity: Quantity, counts: Array) -> Interval | None:
    """The interval of a quantity that is no mean over rows; None for those that are."""
    if quantity.values is None:
        return Interval(None, None, None, 0)
    if quantity.p is not None:
        return Interval(number_of(quantity), None, None, len(quantity.values))
    if quantity.of_mean is not None:
        return _of_mean(quantity, quantity.of_mean, counts)
    if quantity.exact:
        known = quantity.values[~np.isnan(quantity.values)]
        estimate = float(known.mean()) if len(known) else None
        return Interval(estimate, None, None, len(known), "chance, exact: no interval")
    return None


def _of_mean(quantity: Quantity, statistic: Callable[[Array], Array], counts: Array) -> Interval:
    """A number about the mean over rows, from resamples and from leaving each row out."""
    values = np.asarray(quantity.values, dtype=np.float64)
    rows = len(values)
    left_out = (values.sum(axis=0) - values) / max(rows - 1, 1)
    return statistic_interval(number_of(quantity), statistic(counts @ values / rows), statistic(left_out))


def _metric_row(metric: Metric) -> MetricRow:
    return MetricRow(
        name=metric.name,
        family=metric.family,
        title=metric.title,
        better=metric.better,
        bounds=metric.bounds,
        reference=metric.reference,
    )


def _not_measured(running: Sequence[Metric], heads: Sequence[str]) -> dict[str, str]:
    """All heads, with the sentence that says so, where the metrics that verdicts rest on did not run."""
    missing = [name for name in _DECIDE if name not in {m.name for m in running}]
    if not missing:
        return {}
    return {
        head: f"Nothing is said of head '{head}': verdicts rest on {', '.join(_DECIDE)}; not among the metrics: "
        f"{', '.join(missing)}."
        for head in heads
    }


def heads_with_few_rows(heads: Sequence[str], rows: int, different: int) -> dict[str, str]:
    """All heads, with the sentence that says so, where too few rows were explained, or too few that differ."""
    if different >= FEW_ROWS:
        return {}
    few = rows if rows < FEW_ROWS else different
    explained = "only one row was explained" if few == 1 else f"only {few} rows were explained"
    if rows >= FEW_ROWS:
        explained = f"of the {rows} rows that were explained only {few} {'is' if few == 1 else 'are'} different"
    return {
        head: f"Nothing is said of head '{head}': {explained}; verdicts ask for at least {FEW_ROWS}." for head in heads
    }


def different_rows(inputs: Arrays) -> int:
    """How many rows there are, each counted once however often it comes."""
    return len({b"".join(x[i].tobytes() for x in inputs.values()) for i in range(count_rows(inputs))})


def heads_of_one_input(heads: Sequence[str], inputs: int) -> dict[str, str]:
    """All heads, with the sentence that says so, where a map has one value alone."""
    if inputs > 1:
        return {}
    return {
        head: f"Nothing is said of head '{head}': a map over one input alone has nothing to rank and nothing to divide."
        for head in heads
    }


def heads_without_inputs(truth: Mapping[str, TrueFeatures]) -> dict[str, str]:
    """Heads that are known to depend on no input, with the sentence that says so."""
    return {
        head: f"Head '{head}' is known to depend on no input: whatever its maps show is noise that the model has "
        "learned."
        for head, known in truth.items()
        if known.is_null
    }


def unresponsive_heads(scene: Scene, curves: Mapping[str, Curves], controls: Sequence[Curves]) -> dict[str, str]:
    """Heads whose value does not move, whatever is replaced, with the sentence that says so; none without curves."""
    prediction = next(iter(scene.explanations.values()))["prediction"].transpose("head", "sample").values
    parts = [part for c in (*curves.values(), *controls) for part in (c.deletion, c.insertion)]
    why = (
        "does not react when its inputs are replaced, so there is nothing to explain. Is it trained, and does it read "
        "any stream?"
    )
    if _is_background(scene):
        why = (
            "was asked with nothing replaced: the rows equal the background that stands in for them. Give "
            "background=..., or more rows."
        )
    return {
        head: f"Head '{head}' {why}"
        for h, head in enumerate(scene.maps.heads)
        if parts
        and max(float(np.abs(part[h]).max()) for part in parts)
        <= _STILL * max(1e-12, float(np.abs(prediction[h]).max()))
    }


def _is_background(scene: Scene) -> bool:
    """Whether all explained rows are alike, and what replaces them is the same again."""
    first = {name: x[:1] for name, x in scene.perturbed.inputs.items()}
    return all(
        equal(x, first[name])
        for rows in (scene.perturbed.inputs, scene.perturbed.replacement)
        for name, x in rows.items()
    )
