"""The metrics that are installed, ours and those of plugins, by the one entry-point group ``xai_mimo.metrics``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.core.streams import check_unique, unknown
from xai_mimo.metrics.metric import Against, Metric, Need, is_tested, needs_of, runs_by_default
from xai_mimo.record.words import Better, Family

_FACTS = ("name", "family", "title", "better", "bounds", "reference")


def metrics() -> pd.DataFrame:
    """The installed metrics, one a row, in the order in which a comparison runs them.

    Returns:
        A table by ``name`` (what ``compare(metrics=[...])`` takes) with the columns ``family``; ``title``, as reports
        write it; ``better``, which values speak for a method ("neither": no direction does); ``bounds``; ``needs``,
        what a comparison must hold for it to apply; ``default``, whether ``compare`` runs it without being asked, where
        it applies; ``reference``, the BibTeX key of its source.
    Warns:
        PluginWarning: a plugin cannot be loaded, or shares its name with another one.
    """
    rows = [
        {
            "name": m.name,
            "family": m.family,
            "title": m.title,
            "better": m.better,
            "bounds": m.bounds,
            "needs": ", ".join(needs_of(m)),
            "default": runs_by_default(m),
            "reference": m.reference,
        }
        for m in _installed()
    ]
    return pd.DataFrame(rows).set_index("name")


def default_metrics() -> tuple[Metric, ...]:
    """Every installed metric that runs without being asked for, with its default settings, in order."""
    return tuple(m for m in _installed() if runs_by_default(m))


def find_metrics(specs: Sequence[str | Metric]) -> tuple[Metric, ...]:
    """Metrics from their names (default settings) or from settings objects, in the order in which they run.

    Raises:
        UnknownName: no such metric. NotSupported: it cannot be loaded. BadSetting: not a metric, or its facts are
            wrong. DuplicateName: a metric twice.
    """
    if isinstance(specs, Mapping) or not isinstance(specs, Iterable) or getattr(specs, "ndim", 1) == 0:
        raise BadSetting(
            f"metrics are a list of names and settings objects, without labels; got {specs!r}. Write e.g. "
            "metrics=['gini'], or see xai_mimo.metrics()."
        )
    chosen = [_find(spec) for spec in ([specs] if isinstance(specs, str) else specs)]
    check_unique([m.name for m in chosen], "metric")
    return tuple(_in_order(chosen))


def check_facts(metric: Any) -> Metric:
    """A metric whose facts are what they should be.

    Raises:
        BadSetting: a fact is missing or unknown; the message says which.
    """
    kind = metric if isinstance(metric, type) else type(metric)
    missing = [fact for fact in _FACTS if not hasattr(metric, fact)]
    if missing or not callable(metric) or isinstance(metric, type):
        raise BadSetting(
            f"{kind.__name__} is not a metric: {_what_is_wrong(metric, missing)} See xai_mimo.metrics.metric.Metric."
        )
    for fact in ("name", "title", "reference"):
        text = getattr(metric, fact)
        if not isinstance(text, str) or (fact != "reference" and not text.strip()):
            raise BadSetting(f"{kind.__name__}.{fact} is {text!r}; expected text.")
    _check_bounds(metric)
    for fact, allowed in (("family", get_args(Family)), ("better", get_args(Better))):
        if getattr(metric, fact) not in allowed:
            raise BadSetting(
                f"metric '{metric.name}' has the {fact} {getattr(metric, fact)!r}, which is not one of "
                f"{', '.join(allowed)}."
            )
    tested: Any = getattr(metric, "tested", ())
    if not isinstance(tested, bool | tuple) or (
        isinstance(tested, tuple) and not set(tested) <= set(get_args(Against))
    ):
        raise BadSetting(
            f"metric '{metric.name}' is tested against {tested!r}; expected a tuple of "
            f"{' and '.join(map(repr, get_args(Against)))}, e.g. ('controls',), or True for both."
        )
    if is_tested(metric) and metric.better == "neither":
        raise BadSetting(
            f"metric '{metric.name}' is tested and has no direction; give better='larger' or 'smaller', or leave "
            "tested out."
        )
    needs = getattr(metric, "needs", ())
    if not isinstance(needs, tuple | list):
        raise BadSetting(f"metric '{metric.name}' has the needs {needs!r}; expected a tuple, e.g. ('truth',).")
    for need in needs:
        if need not in get_args(Need):
            raise BadSetting(
                f"metric '{metric.name}' needs {need!r}, which is not one of {', '.join(map(repr, get_args(Need)))}."
            )
    checked: Metric = metric
    return checked


def _check_bounds(metric: Metric) -> None:
    bounds: Any = metric.bounds
    is_pair = isinstance(bounds, tuple) and len(bounds) == 2
    if not is_pair or not all(b is None or (_is_real(b) and np.isfinite(b)) for b in bounds):
        raise BadSetting(
            f"metric '{metric.name}': bounds is {bounds!r}; expected the smallest and the largest value, None for no "
            "bound, e.g. (0.0, None)."
        )
    low, high = bounds
    if low is not None and high is not None and low >= high:
        raise BadSetting(f"metric '{metric.name}': bounds is {bounds!r}; the first must be below the second.")


def _is_real(value: Any) -> bool:
    return isinstance(value, int | float | np.integer | np.floating) and not isinstance(value, bool)


def _what_is_wrong(metric: Any, missing: Sequence[str]) -> str:
    if isinstance(metric, type):
        return f"it is a class; give an object, {metric.__name__}()."
    if missing:
        return f"it lacks the facts {', '.join(missing)}."
    return "it cannot be called with a scene and random numbers."


def _installed() -> list[Metric]:
    # A plugin that cannot be made or lacks a fact warns and stops nobody; asked for by its name, it is refused.
    loaded = [load_plugin(entry, _make) for entry in plugins("xai_mimo.metrics").values()]
    return _in_order([m for m in loaded if m is not None])


def _find(spec: str | Metric) -> Metric:
    if not isinstance(spec, str):
        return check_facts(spec)
    known = plugins("xai_mimo.metrics")
    if spec not in known:
        raise unknown(spec, known, "metric")
    kind = load_plugin(known[spec])
    if kind is None:
        raise NotSupported(f"metric '{spec}' is installed but cannot be loaded; see the warning above.")
    return _make(kind)


def _make(kind: Any) -> Metric:
    return check_facts(kind())


def _in_order(chosen: Sequence[Metric]) -> list[Metric]:
    """By family, in the order of the record's families; within one as they come."""
    return sorted(chosen, key=lambda m: get_args(Family).index(m.family))
