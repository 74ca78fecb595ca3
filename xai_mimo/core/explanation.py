"""An explanation is an ``xarray.Dataset``; this file is its schema.

Layout (version 1):

- one variable per stream, ``(head, sample, <stream>_<axis>, ...)``: dimension names carry the stream's name because two
  streams may have axes of different length; the last axis alone where whole series or channels were the players, and
  ``(head, sample)`` where whole streams were; where a stream has groups and they were the players, the last axis is
  that of its variables (groups, and features of none);
- ``prediction``, and where the method has them ``baseline_prediction``, ``completeness_gap`` and diagnostics such as
  ``evaluations`` and ``converged``, all ``(head, sample)``; ``<stream>_standard_error`` like the stream;
- ``draws``, ``(head, sample)``, how many independent draws the standard errors are the scatter of: where they are few,
  a normal interval is too short (value +- 1.96 standard errors of two draws misses every third value), so take
  Student's t, ``scipy.stats.t(draws - 1).ppf(0.975) * standard_error``. It is absent where nothing was drawn, since
  exact values have standard errors of 0, and from older files;
- ``players``, ``(head, sample, players_player)``, and ``players_standard_error``, where players had names of their own
  (``core.named_players``): what each was given, as one number. The variables of the streams then hold the same divided
  evenly among the values of each player (their attribute ``divided`` says so), so that sums over them stay, but no
  value says anything by itself, and where a player has values of several streams, nor does the sum over one of them.
  ``core.by_players`` leaves the players alone, and sums other explanations over them;
- coordinates ``head`` (target names; read them as ``explanation["head"]``, since ``.head`` is a method of xarray's),
  ``sample`` (row numbers), ``unit`` (the explained unit, ``(head, sample)``) and feature names on the last axis of each
  stream, names of variables where it is theirs; ``<stream>_word``, ``(sample, <stream>_<first axis>)``, of texts and of
  what a layer makes of ids: the token that stands there, "" where a row has no more (``core.by_token`` sums by them);
- attributes ``schema, method, settings, seed, versions, fingerprint, space, signed, speaks_of, streams, heads`` (JSON
  if nested), and ``unexplained``, streams that the method says nothing of, where there are any; ``backend``, the
  framework that computed, where the model names one, several after a run that was gone on with; ``precision``, the
  narrowest dtype that the model computes in, where it tells; ``targets``, head, unit and step of each (absent from
  older files); ``on``, "output" or "logit", and then ``explained_value``, of each head what that is (``core.logit``);
  ``data_streams``, of maps that were summed over variables or players, the streams of the rows; ``speaks_of`` (see
  ``core.speaks_of``) is absent from older files; ``players``, for each player with a name of its own
  the streams of which it has values.

Several methods joined have a leading ``explainer`` dimension, selected by ``.sel(explainer="shapley")``. It is not
called ``method`` because ``.sel(method=...)`` means something else in xarray and would silently return every method. A
variable that some of them lack is NaN there, and its attribute ``methods`` lists those that have it: NaN never stands
in silently for a value.

As a data frame: ``xai_mimo.to_dataframe``. ``Dataset.to_dataframe`` would pair the values of all streams.
"""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.completeness import balance
from xai_mimo.core.errors import BadSetting, DuplicateName, SchemaError
from xai_mimo.core.method import Attribution, Method
from xai_mimo.core.named_values import PLAYERS, check_apart, variables_of
from xai_mimo.core.streams import Head, Stream, check_together, described_names, names_in_results
from xai_mimo.core.tables import column_labels, read_array, read_table
from xai_mimo.core.targets import Selector

SCHEMA = "xai_mimo.explanation/1"
DATA_STREAMS = "data_streams"
"""Attribute of maps that were summed over variables or players: the streams of the rows, as ``streams`` was before."""


def settings_of(method: Method) -> dict[str, Any]:
    """A method's settings as plain values that JSON can hold.

    Raises:
        BadSetting: a setting is none and cannot be made one.
    """
    settings = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}  # type: ignore[arg-type]
    return {name: plain(value, f"setting '{name}' of method '{method.name}'") for name, value in settings.items()}


def plain(value: Any, what: str = "a value") -> Any:
    """A value as JSON holds it: arrays and tables as lists, by column; ``what`` it is, for error texts."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Mapping):
        return {str(k): plain(v, what) for k, v in value.items()}
    labels = column_labels(value)
    if labels is not None:
        return {str(label): read_table(value, [label], what)[:, 0].tolist() for label in labels}
    if isinstance(value, list | tuple):
        return [plain(v, what) for v in value]
    if hasattr(value, "__array__") or hasattr(value, "toarray"):
        return read_array(value, what, takes_words=True).tolist()
    raise BadSetting(
        f"{what} is a {type(value).__name__}, which a result cannot hold: {value!r}. Settings are numbers, words, "
        "arrays, and lists or mappings of them."
    )


def describe(streams: Sequence[Stream], heads: Sequence[Head]) -> dict[str, str]:
    """Streams and heads as JSON attributes of a dataset."""
    return {
        "streams": json.dumps([s.plain() for s in streams]),
        "heads": json.dumps([h.plain() for h in heads]),
    }


def to_dataset(
    attribution: Attribution,
    *,
    streams: Sequence[Stream],
    selectors: Sequence[Selector],
    samples: np.ndarray[Any, Any],
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Give a method's arrays their names.

    Args:
        attribution: what the method returned.
        streams: of the model that was explained, in order.
        selectors: the targets, in the order of the arrays.
        samples: ``(sample,)`` row numbers.
        attrs: attributes of the layout above; ``signed`` and ``schema`` are added.
    Raises:
        SchemaError: an array lacks a dimension or a value.
        DuplicateName: a stream has the name of something else that the method gives.
    """
    if attribution.interactions is not None:
        raise SchemaError(
            f"method {attrs.get('method')!r} tells what players do together, not what each does; call "
            "xai_mimo.interactions."
        )
    check_together(streams)
    both = ("head", "sample")
    divided = {} if attribution.players is None else {"divided": "evenly among the values of each player"}
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {
        "head": [s.name for s in selectors],
        "sample": samples,
        "unit": (both, np.stack([s.units for s in selectors])),
    }
    for stream in streams:
        values = attribution.values[stream.name]
        dims = (*both, *stream.dims[len(stream.dims) - (values.ndim - 2) :])
        data[stream.name] = (dims, values, {"unit": stream.unit, **divided})
        if attribution.standard_error is not None:
            data[f"{stream.name}_standard_error"] = (dims, attribution.standard_error[stream.name])
        if values.ndim > 2 and stream.features:
            is_by_variable = values.shape[-1] == len(stream.variables)
            coords[stream.dims[-1]] = list(stream.variables if is_by_variable else stream.features)
    if attribution.players is not None:
        data |= variables_of(attribution.players)
        for name in (*PLAYERS.dims, *variables_of(attribution.players)):
            _check_free(name, streams)
        coords[PLAYERS.dims[0]] = list(attribution.players.names)
        attrs = {**attrs, "players": attribution.players.owners()}
    if attribution.draws is not None:
        _check_free("draws", streams)
        data["draws"] = (both, attribution.draws)
    data["prediction"] = (both, attribution.prediction)
    if attribution.baseline_prediction is not None:
        data["baseline_prediction"] = (both, attribution.baseline_prediction)
        change = attribution.prediction - attribution.baseline_prediction
        data["completeness_gap"] = (both, balance(attribution.values, change).gap)
    for name, values in attribution.diagnostics.items():
        _check_free(name, streams)
        data[name] = (both, values)
    try:
        dataset = xr.Dataset(data, coords, _attrs(attribution, selectors, attrs))
    except ValueError as err:
        raise SchemaError(f"the arrays of method {attrs.get('method')!r} do not fit together: {err}") from err
    return validate(dataset)


def _check_free(name: str, streams: Sequence[Stream]) -> None:
    for stream in streams:
        what = dict(names_in_results(stream)).get(name)
        if what:
            raise DuplicateName(
                f"results would call two things '{name}': {what}, and something that this method gives beside the "
                f"values. Rename the stream, e.g. '{stream.name}_in'."
            )


def _attrs(attribution: Attribution, selectors: Sequence[Selector], attrs: Mapping[str, Any]) -> dict[str, Any]:
    all_attrs = {"schema": SCHEMA, "signed": int(attribution.signed), **attrs}
    all_attrs["targets"] = json.dumps([(s.head, s.unit, s.step) for s in selectors])
    if attribution.unexplained:
        all_attrs["unexplained"] = json.dumps(attribution.unexplained)
    return {**all_attrs, "reference": attribution.reference} if attribution.reference else all_attrs


def validate(explanation: xr.Dataset) -> xr.Dataset:
    """Return the dataset if it follows the schema; else raise ``SchemaError`` that names what is wrong."""
    if not isinstance(explanation, xr.Dataset):
        hint = " Give one of its `explanations`." if hasattr(explanation, "explanations") else ""
        raise SchemaError(
            f"expected an explanation, the xarray.Dataset that xai_mimo.explain returns; got "
            f"{type(explanation).__name__}.{hint}"
        )
    if explanation.attrs.get("schema") != SCHEMA:
        raise SchemaError(
            f"this dataset's schema is {explanation.attrs.get('schema')!r}, expected {SCHEMA!r}; "
            "was it made by xai_mimo.explain or xai_mimo.compare?"
        )
    for name in stream_names(explanation):
        if name not in explanation:
            raise SchemaError(f"the explanation has no variable for its stream '{name}'.")
        variable = explanation.variables[name]  # explanation[name] would look through the coordinates of all streams
        for dim in ("head", "sample"):
            if dim not in variable.dims:
                raise SchemaError(f"variable '{name}' lacks the dimension '{dim}'; it has {variable.dims}.")
        is_joined = "explainer" in explanation.dims
        if not is_joined and variable.chunks is None and not np.isfinite(variable.values).all():
            raise SchemaError(
                f"method {explanation.attrs.get('method')!r} gave NaN or infinite attributions for stream '{name}'."
            )
    return explanation


def streams_of(explanation: xr.Dataset) -> tuple[Stream, ...]:
    """The streams that an explanation speaks of, in the model's order."""
    described: list[dict[str, Any]] = json.loads(explanation.attrs["streams"])
    lists = ("shape", "axes", "features")
    return tuple(Stream(**{**s, **{k: tuple(s[k]) for k in lists}}) for s in described)


def streams_of_data(explanation: xr.Dataset) -> tuple[Stream, ...]:
    """The streams of the rows that were explained: those of the maps, unless these were summed since."""
    return streams_of(
        explanation.assign_attrs(streams=explanation.attrs.get(DATA_STREAMS, explanation.attrs["streams"]))
    )


def stream_names(explanation: xr.Dataset) -> list[str]:
    """Names of the stream variables, in the model's order."""
    return described_names(explanation.attrs)


def features_of(explanation: xr.Dataset) -> xr.DataArray:
    """All values side by side: ``(head, sample, feature)``, streams in order, with labels ``stream`` and ``feature``.

    A joined explanation keeps its leading ``explainer`` dimension. Feature labels are ``stream.feature`` with the
    indices of leading axes in between, e.g. ``vibration.3.x``.
    """
    parts, labels, owners = [], [], []
    for stream in streams_of(explanation):
        variable = explanation[stream.name]
        lead = [d for d in ("explainer", "head", "sample") if d in variable.dims]
        rest = [d for d in variable.dims if d not in lead]
        values = variable.transpose(*lead, *rest).values
        parts.append(values.reshape(*values.shape[: len(lead)], -1))
        names = [stream.name]
        for dim in rest:
            ticks = variable[dim].values if dim in variable.coords else range(variable.sizes[dim])
            names = [f"{name}.{tick}" for name in names for tick in ticks]
        labels += names
        owners += [stream.name] * len(names)
    lead = [d for d in ("explainer", "head", "sample") if d in explanation.dims]
    return xr.DataArray(
        np.concatenate(parts, axis=-1),
        dims=(*lead, "feature"),
        coords={
            **{d: explanation[d] for d in lead if d in explanation.coords},
            "feature": labels,
            "stream": ("feature", owners),
        },
    )


def stream_shares(explanation: xr.Dataset) -> xr.DataArray:
    """How much of an explanation falls on each stream.

    share[h, n, s] = sum over features of stream s of |A[h, n]| / the same sum over all streams

    Returns:
        ``([explainer,] head, sample, stream)`` from 0 to 1; rows sum to 1, or to exactly 0 where the whole map is zero.
    Raises:
        SchemaError: a player has values of several streams, so what it was given belongs to none of them.
    Source: Parcalabescu and Frank (2023), "MM-SHAP", Section 3, per head.
    """
    names = stream_names(explanation)
    check_apart(explanation.attrs, names)
    lead = [d for d in ("explainer", "head", "sample") if d in explanation.dims]
    sums = [_sum_of_magnitudes(explanation.variables[name], lead) for name in names]
    total = sum(sums)
    shares = np.stack(sums, axis=-1) / np.where(total > 0, total, 1.0)[..., None]
    coords = {d: explanation[d] for d in lead if d in explanation.coords}
    return xr.DataArray(shares, dims=(*lead, "stream"), coords={**coords, "stream": names})


def _sum_of_magnitudes(variable: xr.Variable, over: Sequence[str]) -> np.ndarray[Any, Any]:
    magnitudes = abs(variable.astype(np.float64))
    summed = magnitudes.sum([d for d in variable.dims if d not in over])
    return np.asarray(summed.transpose(*over).values)


def join(explanations: Mapping[str, xr.Dataset]) -> xr.Dataset:
    """Several explanations of the same targets and rows as one, with an ``explainer`` dimension.

    Args:
        explanations: label of the method -> explanation.
    Raises:
        SchemaError: they differ in space, targets, rows or shapes.
    """
    if not explanations:
        raise SchemaError("there is no explanation to join.")
    first = next(iter(explanations.values()))
    for label, other in explanations.items():
        validate(other)
        if "explainer" in other.dims:
            raise DuplicateName(f"explanation '{label}' already holds several methods.")
        for what in ("space", "streams"):
            if other.attrs[what] != first.attrs[what]:
                raise SchemaError(
                    f"'{label}' lives in another space ({other.attrs['space']}) than the first "
                    f"({first.attrs['space']}); compare their stream shares instead."
                )
        for name in stream_names(first):
            if other[name].ndim != first[name].ndim:
                raise SchemaError(
                    f"'{label}' divides stream '{name}' by {other[name].dims[2:]}, the first method by "
                    f"{first[name].dims[2:]}; compare whole variables, compare(..., space='variables'), or methods "
                    "that divide the stream alike."
                )
            if _has_groups(first, name) and other[name].shape[-1:] != first[name].shape[-1:]:
                raise SchemaError(
                    f"'{label}' has {other[name].shape[-1]} values along the last axis of stream '{name}', the first "
                    f"method has {first[name].shape[-1]}: one of them has a value for each feature, the other for each "
                    "group of features. Sum over the groups first: metrics.aligned_maps.project_to_groups(explanation)."
                )
        if (
            PLAYERS.name in other
            and PLAYERS.name in first
            and not other["players_player"].equals(first["players_player"])
        ):
            raise SchemaError(
                f"'{label}' explains other players ({', '.join(other['players_player'].values)}) than the first method "
                f"({', '.join(first['players_player'].values)})."
            )
        for name in ["head", "sample", *stream_names(first)]:
            if other[name].shape != first[name].shape or (
                name in ("head", "sample") and not np.array_equal(other[name].values, first[name].values)
            ):
                raise SchemaError(f"'{label}' explains other {name}s than the first method.")
    every = sorted({str(v) for e in explanations.values() for v in e.data_vars})
    filled: list[xr.Dataset] = []
    for explanation in explanations.values():
        missing = [v for v in every if v not in explanation]
        like = {v: next(e[v] for e in explanations.values() if v in e) for v in missing}
        blank = {v: xr.full_like(d.astype(np.float64), np.nan) for v, d in like.items()}
        filled.append(explanation.assign(blank).assign(unit=explanation["unit"]))
    joined: xr.Dataset = xr.concat(
        filled,
        dim="explainer",
        combine_attrs="drop",
        coords="minimal",
        compat="override",
        join="override",
        data_vars="all",
    ).assign_coords(explainer=list(explanations))
    for v in every:
        have = [label for label, e in explanations.items() if v in e]
        joined[v].attrs = {"methods": json.dumps(have)}
    per_method = ("method", "settings", "seed", "signed", "speaks_of", "unexplained", "players", "reference")
    joined.attrs = {k: v for k, v in first.attrs.items() if k not in per_method}
    joined.attrs["methods"] = json.dumps(
        {label: {k: _python(e.attrs[k]) for k in per_method if k in e.attrs} for label, e in explanations.items()}
    )
    return joined


def _python(value: Any) -> Any:
    """An attribute as JSON takes it: numbers of files are NumPy's."""
    return value.item() if isinstance(value, np.generic) else value


def _has_groups(explanation: xr.Dataset, name: str) -> bool:
    return any(s.name == name and s.groups for s in streams_of(explanation))
