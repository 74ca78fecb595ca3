"""What every metric promises, as checks that raise with a sentence."""

import dataclasses
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from xai_mimo.comparison.differences import differences
from xai_mimo.comparison.score import applicable, measure
from xai_mimo.metrics.installed import check_facts, default_metrics
from xai_mimo.metrics.metric import Metric, Quantity, held_against
from xai_mimo.metrics.scene import Scene
from xai_mimo.record.words import CONTROLS, RANDOM
from xai_mimo.testing.expectations import require, unchanged, works
from xai_mimo.testing.facts import check_named, check_settings
from xai_mimo.testing.toy_scene import NOISE, RIGHT, toy_scene

_SEED = 8


def check_metric(metric: Metric, *, tells_noise: bool = True) -> None:
    """Run the whole contract of a metric.

    Facts and settings that can be recorded; one value per row for methods and targets of the comparison, within its
    bounds or NaN; the same numbers from the same seed, whichever other metrics run; nothing changed. It lives with one
    row, with maps that are constant, zero or full of ties; if it is tested against controls, it gives one; and by its
    own direction a map that is right, of a model whose truth is known, is better than noise.

    Args:
        metric: the settings to try.
        tells_noise: whether the right map must be better than noise where the metric has a direction; False for one
            that asks something else of a map, and then its docstring says what.
    Raises:
        AssertionError: the metric breaks the contract; the text says how.
    """
    _check_facts(metric)
    with works(f"'{metric.name}'"):
        scene = toy_scene(metric)
        (applied,) = applicable([metric], scene, must=True)
        with unchanged(lambda: _surroundings(scene), f"'{metric.name}'"):
            quantities = _measured(applied, scene)
        _check_values(metric, quantities)
        _check_tested(metric, quantities)
        _check_repeatable(metric, scene, quantities)
        if tells_noise and metric.better != "neither":
            _check_direction(metric, quantities)
    with works(f"'{metric.name}', given one row,"):
        _check_single_row(metric, _measured(metric, toy_scene(metric, rows=1)))


def _check_facts(metric: Any) -> None:
    with works(f"{type(metric).__name__}"):
        check_facts(metric)
    check_settings(metric)
    check_named(metric)
    kind = type(metric).__name__
    is_title = isinstance(metric.title, str) and metric.title.strip() and "_" not in metric.title
    require(is_title, f"{kind}.title is {metric.title!r}; expected words as a report writes them.")


def _measured(metric: Metric, scene: Scene) -> list[Quantity]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # a division by the zero of a map is a decision, not an accident
        return measure(metric, scene, np.random.default_rng(_SEED))


def _surroundings(scene: Scene) -> dict[str, Any]:
    """What no metric may change."""
    return {
        "the maps": dict(scene.maps.maps),
        "the inputs": scene.perturbed.inputs,
        "the background": scene.perturbed.background,
        "the truth": {name: known.mask for name, known in scene.truth.items()},
        "the labels": dict(scene.labels),
        "NumPy's global generator": np.random.get_state(legacy=False),  # noqa: NPY002 - to see that it is left
    }


def _check_values(metric: Metric, quantities: Sequence[Quantity]) -> None:
    known = [q for q in quantities if q.values is not None]
    require(any(q.role == "value" for q in known), f"'{metric.name}' gives no value of any method.")


def _check_single_row(metric: Metric, quantities: Sequence[Quantity]) -> None:
    # Without values there is a note, which ``measure`` asks for.
    is_there = any(q.role == "value" for q in quantities)
    require(is_there, f"'{metric.name}' gives no value of a single row, and no quantity whose note says why.")


def _check_tested(metric: Metric, quantities: Sequence[Quantity]) -> None:
    if "controls" in held_against(metric):
        others = {row.other for row in differences([(metric, quantities)])}
        require(
            others & set(CONTROLS),
            f"'{metric.name}' is tested against 'controls' and gives none: a quantity of '{RANDOM}' with the role "
            "'control_random', of a method with the role 'floor_permuted', or an exact 'floor_random'.",
        )


def _check_repeatable(metric: Metric, scene: Scene, quantities: Sequence[Quantity]) -> None:
    again = _measured(metric, dataclasses.replace(scene, _shared={}))
    require(_same(again, quantities), f"'{metric.name}' gives other numbers from the same seed.")
    every = tuple(dict.fromkeys([*(m.name for m in default_metrics()), metric.name]))
    beside = _measured(metric, dataclasses.replace(scene, _shared={}, metrics=every))
    require(_same(beside, quantities), f"'{metric.name}' gives other numbers when other metrics run beside it.")


def _check_direction(metric: Metric, quantities: Sequence[Quantity]) -> None:
    means: dict[tuple[str, str], float] = {}
    for q in quantities:
        numbers = _numbers(q)
        if q.role == "value" and q.other is None and np.isfinite(numbers).any():
            means[q.method, q.target] = float(np.nanmean(numbers))
    targets = [t for method, t in means if method == RIGHT and (NOISE, t) in means]
    require(targets, f"'{metric.name}' has a direction and no target of which it measures the right map and noise.")
    sign = 1 if metric.better == "larger" else -1
    right, noise = (float(np.mean([means[label, t] for t in targets])) for label in (RIGHT, NOISE))
    require(
        sign * right > sign * noise,
        f"'{metric.name}' says that {metric.better} is better, and gives {right:.3g} to a map that is right and "
        f"{noise:.3g} to noise.",
    )


def _numbers(quantity: Quantity) -> np.ndarray[Any, Any]:
    """The values of a quantity, or the one number that it is of their mean."""
    values = np.asarray(np.nan if quantity.values is None else quantity.values, np.float64)
    if quantity.of_mean is None:
        return np.atleast_1d(values)
    return np.asarray(quantity.of_mean(values.mean(axis=0)[None]), np.float64)


def _same(one: Sequence[Quantity], other: Iterable[Quantity]) -> bool:
    def known(quantities: Iterable[Quantity]) -> dict[tuple[Any, ...], np.ndarray[Any, Any]]:
        return {(q.method, q.other, q.target, q.role, q.k, q.p): _numbers(q) for q in quantities}

    ours, theirs = known(one), known(other)
    return set(ours) == set(theirs) and all(np.array_equal(ours[k], theirs[k], equal_nan=True) for k in ours)
