"""What `forecasting.py` asks its trained IMV-LSTMs: importances per head, and whether attributions agree with them.

Every variable is an input stream of its own, so that ``space="streams"`` compares variables and ``space="inputs"``
variables at each step.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from forecast_networks import STEPS, Network, Parts, Task
from scipy.stats import spearmanr

import xai_mimo as xm
from xai_mimo.comparison.result import Comparison
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays
from xai_mimo.explainers import IntegratedGradients, Shapley
from xai_mimo.layers import summarise

OWN, IG, SHAPLEY = "own map", "IG", "Shapley"
READ_WINDOWS, EXPLAINED, BACKGROUND = 1024, 30, 100
GLOBAL = ("posterior", "prior", IG, SHAPLEY)
PAIRS = ((OWN, IG), (OWN, SHAPLEY), (IG, SHAPLEY))


@dataclass(frozen=True)
class Reading:
    """One trained network.

    Attributes:
        variables: ``{importance: {head: (variable,)}}``, each sums to 1; "posterior" and "prior" over training windows,
            the attributions' mean shares of their magnitude over the explained test windows.
        times: ``{importance: {head: (time, variable)}}``; "temporal" sums to 1 over time for each variable, the others
            over everything.
        agreement: ``{(level, head, one, other): (value, floor, ceiling)}``: mean over windows of Spearman's coefficient
            of the magnitudes; the ceiling is NaN where it was not measured.
    """

    variables: Mapping[str, Arrays]
    times: Mapping[str, Arrays]
    agreement: Mapping[tuple[str, str, str, str], tuple[float, float, float]]


def read(task: Task, parts: Parts, network: Network, seed: int, *, rows: int = EXPLAINED) -> Reading:
    """Importances of a likelihood-trained network with the weights it holds now, and both comparisons."""
    rng = np.random.default_rng(seed)
    explained = _some(parts.test.inputs, rows, rng)
    background = _some(parts.train.inputs, BACKGROUND, rng)
    gradients = IntegratedGradients(tolerance=0.01)
    by_variable = xm.compare(
        network.model,
        explained,
        {
            OWN: "interception",
            IG: gradients,
            SHAPLEY: Shapley(budget=_budget(len(task.variables), 4), players="streams", background_rows=5),
        },
        background=background,
        space="streams",
        seed=seed,
        settings=Settings(ks=(1,), controls=1, steps=4, resamples=200),
    )
    by_step = xm.compare(
        network.model,
        explained,
        {
            OWN: "interception",
            IG: gradients,
            SHAPLEY: Shapley(budget=_budget(STEPS * len(task.variables), 2), background_rows=3),
        },
        background=background,
        space="inputs",
        seed=seed,
        settings=Settings(ks=(1,), controls=1, steps=4, resamples=200, ceilings=False),
    )
    return Reading(
        {**_closed_form(task, parts, network), **{m: _shares(task, by_variable, m) for m in (IG, SHAPLEY)}},
        {"temporal": _temporal(parts, network), **{m: _profile(task, by_step, m) for m in (OWN, IG, SHAPLEY)}},
        {**_agreement("variable", by_variable), **_agreement("variable x step", by_step)},
    )


def prior_importance(network: Network, parts: Parts) -> Arrays:
    """The prior importance, ``{head: (variable,)}``: all that a network has which was trained by the squared error."""
    return _by_head(summarise(network.fitted, _kept(parts.train.inputs))["prior_importance"])


def ranks_agree(one: np.ndarray, other: np.ndarray) -> float:
    """Spearman's coefficient of two importances over the variables; NaN where one of them is constant."""
    constant = np.ptp(one) == 0 or np.ptp(other) == 0
    return float("nan") if constant else float(spearmanr(one, other).statistic)


def group_share(task: Task, importance: np.ndarray, groups: Sequence[str]) -> float:
    """The part of an importance, ``(variable,)``, that falls on these groups."""
    wanted = {v for group in groups for v in task.groups[group]}
    return float(sum(value for v, value in zip(task.variables, importance, strict=True) if v in wanted))


def _closed_form(task: Task, parts: Parts, network: Network) -> dict[str, Arrays]:
    inputs = _kept(parts.train.inputs)
    labels = _kept({head: parts.train.labels[head] for head in task.heads})
    return {
        "posterior": _by_head(summarise(network.fitted, inputs, labels)["posterior_importance"]),
        "prior": prior_importance(network, parts),
    }


def _temporal(parts: Parts, network: Network) -> Arrays:
    return _by_head(summarise(network.fitted, _kept(parts.train.inputs))["temporal_importance"])


def _by_head(values: xr.DataArray) -> Arrays:
    return {str(head): values.sel(head=head).values for head in values["head"].values}


def _kept(arrays: Arrays) -> Arrays:
    """Evenly spaced rows, few enough to read twice."""
    total = count_rows(arrays)
    index = np.linspace(0, total - 1, min(total, READ_WINDOWS)).round().astype(int)
    return {name: values[index] for name, values in arrays.items()}


def _some(arrays: Arrays, rows: int, rng: np.random.Generator) -> Arrays:
    total = count_rows(arrays)
    index = np.sort(rng.choice(total, size=min(rows, total), replace=False))
    return {name: values[index] for name, values in arrays.items()}


def _budget(players: int, draws: int) -> int:
    """Coalitions of so many draws; two are the fewest that give a standard error."""
    return 2 * draws * (players - 1)


def _shares(task: Task, compared: Comparison, method: str) -> Arrays:
    rows = [r for r in compared.record.shares if r.method == method]
    mean: dict[tuple[str, str], Any] = {(r.head, r.stream): r.mean for r in rows}
    return {head: np.array([mean[head, v] for v in task.variables]) for head in task.heads}


def _profile(task: Task, compared: Comparison, method: str) -> Arrays:
    """Mean share of the magnitude of every variable at every step: ``{head: (time, variable)}``."""
    found = compared.explanations.sel(explainer=method)
    profiles = {}
    for head in task.heads:
        size = np.concatenate([np.abs(found[v].sel(head=head).values) for v in task.variables], axis=-1)
        profiles[head] = (size / size.sum(axis=(1, 2), keepdims=True)).mean(axis=0)
    return profiles


def _agreement(level: str, compared: Comparison) -> dict[tuple[str, str, str, str], tuple[float, float, float]]:
    scores = compared.scores
    scores = scores[(scores.family == "agreement") & (scores.metric == "spearman")]
    role = {(r["head"], r["method"], r["other"], r["role"]): r["estimate"] for r in scores.to_dict("records")}
    heads = dict.fromkeys(scores["head"])
    return {
        (level, head, *pair): tuple(
            float("nan") if value is None else float(value)
            for value in (role[head, *pair, which] for which in ("value", "floor_permuted", "ceiling"))
        )
        for head in heads
        for pair in PAIRS
    }
