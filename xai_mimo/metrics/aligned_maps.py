"""The explanations of one comparison as plain arrays side by side: what every score is computed from."""

import dataclasses
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.explanation import DATA_STREAMS, features_of, stream_names, stream_shares, streams_of
from xai_mimo.core.positions import ALL_POSITIONS, POSITIONS
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array, Stream


@dataclass(frozen=True)
class AlignedMaps:
    """Maps of several methods for the same targets, rows and players, in one space.

    Attributes:
        heads: names of the targets.
        maps: label of the method -> ``(target, sample, player)``, float64; players are features, or streams.
        signed: label -> whether the map has a sign.
        speaks_of: label -> what that sign speaks of, see ``core.speaks_of``.
        repeats: label -> the same method run again with another seed; empty when ceilings were not wanted.
        players: ``(stream, feature)`` of each player; feature is "" where players are whole streams.
        features: what the players are of: ``(stream, name along the last axis)``. Where a stream has further axes
            (steps, pixels) several players are of one feature; texts, and streams of positions or of one channel alone,
            are one feature, "(all places)".
        feature_of: ``(player,)``, the position of each player's feature.
        counts: ``(resample, row)``, the bootstrap that all scores share.
    """

    heads: tuple[str, ...]
    maps: Mapping[str, Array]
    signed: Mapping[str, bool]
    speaks_of: Mapping[str, SpeaksOf]
    repeats: Mapping[str, Array]
    players: tuple[tuple[str, str], ...]
    features: tuple[tuple[str, str], ...]
    feature_of: Array
    counts: Array

    @property
    def labels(self) -> tuple[str, ...]:
        """The methods, in the order they were asked for."""
        return tuple(self.maps)

    @property
    def attributions(self) -> tuple[str, ...]:
        """The methods whose signs say what the present values did."""
        return tuple(label for label in self.maps if self.signed[label] and self.speaks_of[label] == "attribution")

    @property
    def shared(self) -> tuple[str, ...]:
        """The methods whose map is one and the same for all targets, of several."""
        several = len(self.heads) > 1
        return tuple(label for label, values in self.maps.items() if several and bool((values == values[:1]).all()))

    @property
    def rows(self) -> int:
        """Number of explained rows."""
        return int(self.counts.shape[1])


def align(
    explanations: Mapping[str, xr.Dataset],
    repeats: Mapping[str, xr.Dataset],
    counts: Array,
    texts: Collection[str] = (),
) -> AlignedMaps:
    """Put explanations of one space (already checked by ``core.explanation.join``) side by side.

    ``texts`` are streams of words, whose last axis, the width of an embedding, has no names worth telling.
    """
    first = next(iter(explanations.values()))
    flat = features_of(first)
    owners = [str(s) for s in flat["stream"].values]
    labels = [str(f) for f in flat["feature"].values]
    players = tuple(
        (owner, label.removeprefix(owner).removeprefix(".")) for owner, label in zip(owners, labels, strict=True)
    )
    features, feature_of = _features(first, texts)
    return AlignedMaps(
        heads=tuple(str(h) for h in first["head"].values),
        maps={label: values_of(e) for label, e in explanations.items()},
        signed={label: bool(e.attrs["signed"]) for label, e in explanations.items()},
        speaks_of={label: e.attrs.get("speaks_of", "attribution") for label, e in explanations.items()},
        repeats={label: values_of(e) for label, e in repeats.items()},
        players=players,
        features=features,
        feature_of=feature_of,
        counts=counts,
    )


def _features(explanation: xr.Dataset, texts: Collection[str]) -> tuple[tuple[tuple[str, str], ...], Array]:
    names: list[tuple[str, str]] = []
    owners = []
    for stream in streams_of(explanation):
        variable = explanation[stream.name]
        dims = [d for d in variable.dims if d not in ("head", "sample")]
        if not dims:
            ticks = [""]
        elif stream.axes[-1] in POSITIONS or stream.name in texts or (len(dims) > 1 and variable.sizes[dims[-1]] == 1):
            ticks = [ALL_POSITIONS]
        else:
            last = dims[-1]
            ticks = [
                str(t) for t in (variable[last].values if last in variable.coords else range(variable.sizes[last]))
            ]
        size = int(np.prod([variable.sizes[d] for d in dims], dtype=np.int64))
        owners.append(len(names) + np.tile(np.arange(len(ticks)), size // len(ticks)))
        names += [(stream.name, tick) for tick in ticks]
    return tuple(names), np.concatenate(owners)


def values_of(explanation: xr.Dataset) -> Array:
    """The maps of one explanation side by side, ``(target, sample, player)``: ``features_of`` without its labels.

    An image has as many labels as values, and no score reads them. Of one stream the values are not copied.
    """
    parts = [explanation[name].transpose("head", "sample", ...).values for name in stream_names(explanation)]
    flat = [part.reshape(*part.shape[:2], -1) for part in parts]
    return (flat[0] if len(flat) == 1 else np.concatenate(flat, axis=-1)).astype(np.float64, copy=False)


def project_to_groups(explanation: xr.Dataset) -> xr.Dataset:
    """An explanation with one value for each group of features of a stream, and for each feature of no group.

    A[h, n, ..., g] = sum over the features i of group g of A[h, n, ..., i], of magnitudes where the map has no sign

    Maps that have these values already, or one for a whole stream, stay as they are. Standard errors of sums are not
    known and are left out.

    Args:
        explanation: of one method; its attribute ``streams`` knows the groups. That of the result speaks of variables.
    """
    streams = streams_of(explanation)
    signed = bool(explanation.attrs["signed"])
    for stream in (s for s in streams if s.groups):
        values = explanation[stream.name].transpose("head", "sample", ...)
        if values.ndim == 2 or values.shape[-1] == len(stream.variables):
            continue
        belongs = np.eye(len(stream.variables), dtype=values.dtype)[list(stream.variable_of)]
        summed = (values.values if signed else np.abs(values.values)) @ belongs
        last = str(values.dims[-1])
        explanation = explanation.drop_vars([f"{stream.name}_standard_error", stream.name, last], errors="ignore")
        explanation = explanation.assign({stream.name: (values.dims, summed, values.attrs)})
        explanation = explanation.assign_coords({last: list(stream.variables)})
    described = json.dumps([s.by_variable().plain() for s in streams])
    if not any(s.groups for s in streams):
        return explanation.assign_attrs(streams=described)
    return explanation.assign_attrs(_described(explanation, described))


def project_to_variables(explanation: xr.Dataset, space: str) -> xr.Dataset:
    """An explanation with one value for each entry of a stream's last axis: a whole series, a whole channel.

    A[h, n, i] = sum over the other axes of A[h, n, ..., i], of magnitudes where the map has no sign

    Maps that have the last axis alone stay as they are. Standard errors of sums are not known and are left out.

    Args:
        explanation: of one method.
        space: name of the space that the result lives in.
    """
    streams = streams_of(explanation)
    signed = bool(explanation.attrs["signed"])
    for name in (s.name for s in streams):
        others = [d for d in explanation[name].dims if d not in ("head", "sample")][:-1]
        if others:
            values = explanation[name] if signed else abs(explanation[name])
            explanation = explanation.drop_vars(f"{name}_standard_error", errors="ignore")
            explanation = explanation.assign({name: values.sum(others, keep_attrs=True)})
    reduced = [dataclasses.replace(s, shape=s.shape[-1:], axes=s.axes[-1:]) for s in streams]
    described = json.dumps([s.plain() for s in reduced])
    return explanation.assign_attrs(space=space, **_described(explanation, described))


def _described(explanation: xr.Dataset, streams: str) -> dict[str, str]:
    """What a summed map says of its streams, and of those of the rows."""
    return {"streams": streams, DATA_STREAMS: explanation.attrs.get(DATA_STREAMS, explanation.attrs["streams"])}


def project_to_streams(explanation: xr.Dataset, streams: Sequence[Stream]) -> xr.Dataset:
    """An explanation as shares of the model's streams, so that maps of different spaces can stand side by side.

    share[h, n, s] = sum over what depends on stream s of |A[h, n]| / the same sum over all streams

    Args:
        explanation: of the model's inputs or of a layer's; its attribute ``reads`` says what depends on what.
        streams: the model's.
    Returns:
        One variable per stream, ``(head, sample)``, without a sign; the space is "streams".
    Raises:
        NotSupported: a stream of the explanation depends on several streams of the model, or on none.
    """
    names = [s.name for s in streams]
    reads = json.loads(explanation.attrs.get("reads", "{}"))
    owners = {n: tuple(reads.get(n, (n,))) for n in stream_names(explanation)}
    for name, owner in owners.items():
        if len(owner) != 1 or owner[0] not in names:
            raise NotSupported(
                f"what the map calls '{name}' depends on {', '.join(owner) or 'nothing'}, not on one stream of the "
                f"model ({', '.join(names)}), so its share belongs to none of them. Leave interception out, or name a "
                "layer that reads each stream apart with at=...."
            )
    shares = stream_shares(explanation).transpose("head", "sample", "stream").values
    belongs = np.array([[owners[n] == (name,) for name in names] for n in stream_names(explanation)], dtype=np.float64)
    summed = shares @ belongs
    described = json.dumps([{"name": n, "shape": [], "axes": [], "features": []} for n in names])
    return xr.Dataset(
        {
            **{n: (("head", "sample"), summed[..., i]) for i, n in enumerate(names)},
            "prediction": explanation["prediction"],
        },
        coords={"unit": explanation["unit"]},
        attrs={**explanation.attrs, "space": "streams", "signed": 0, "streams": described},
    )
