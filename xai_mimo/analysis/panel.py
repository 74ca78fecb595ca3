"""The explanations of one comparison as plain arrays side by side: what every score is computed from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import xarray as xr

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.explanation import features_of, stream_names, stream_shares
from xai_mimo.core.streams import Array, Stream


@dataclass(frozen=True)
class Panel:
    """Maps of several methods for the same targets, rows and players, in one space.

    Attributes:
        heads: names of the targets.
        maps: label of the method -> ``(target, sample, player)``, float64; players are features, or streams.
        signed: label -> whether the map has a sign.
        repeats: label -> the same method run again with another seed; empty when ceilings were not wanted.
        players: ``(stream, feature)`` of each player; feature is "" where players are whole streams.
        counts: ``(resample, row)``, the bootstrap that all scores share.
    """

    heads: tuple[str, ...]
    maps: Mapping[str, Array]
    signed: Mapping[str, bool]
    repeats: Mapping[str, Array]
    players: tuple[tuple[str, str], ...]
    counts: Array

    @property
    def labels(self) -> tuple[str, ...]:
        """The methods, in the order they were asked for."""
        return tuple(self.maps)

    @property
    def rows(self) -> int:
        """Number of explained rows."""
        return int(self.counts.shape[1])


def make_panel(explanations: Mapping[str, xr.Dataset], repeats: Mapping[str, xr.Dataset], counts: Array) -> Panel:
    """Put explanations of one space (already checked by ``core.explanation.join``) side by side."""
    first = next(iter(explanations.values()))
    flat = features_of(first)
    owners = [str(s) for s in flat["stream"].values]
    labels = [str(f) for f in flat["feature"].values]
    players = tuple(
        (owner, label.removeprefix(owner).removeprefix(".")) for owner, label in zip(owners, labels, strict=True)
    )
    return Panel(
        heads=tuple(str(h) for h in first["head"].values),
        maps={label: _values(e) for label, e in explanations.items()},
        signed={label: bool(e.attrs["signed"]) for label, e in explanations.items()},
        repeats={label: _values(e) for label, e in repeats.items()},
        players=players,
        counts=counts,
    )


def _values(explanation: xr.Dataset) -> Array:
    return features_of(explanation).transpose("head", "sample", "feature").values.astype(np.float64)


def as_streams(explanation: xr.Dataset, streams: tuple[Stream, ...], owner: Mapping[str, str]) -> xr.Dataset:
    """An explanation as shares of the model's streams, so that maps of different spaces can stand side by side.

    share[h, n, s] = sum over features of stream s of |A[h, n]| / the same sum over all streams

    Args:
        explanation: of the model's inputs or of a layer's.
        streams: the model's.
        owner: for each stream of the explanation, the one stream of the model that it depends on.
    Returns:
        One variable per stream, ``(head, sample)``, without a sign; the space is "streams".
    Raises:
        NotSupported: streams of the explanation do not match the model's one to one.
    """
    names = stream_names(explanation)
    if sorted(owner.get(n, "") for n in names) != sorted(s.name for s in streams):
        raise NotSupported(
            f"the map's streams ({', '.join(names)}) do not match the model's ({', '.join(s.name for s in streams)}) "
            "one to one, so that their shares cannot be compared. Leave interception out, or name a layer that the "
            "model can be cut at with at=...."
        )
    shares = stream_shares(explanation)
    by_owner = {owner[n]: shares.sel(stream=n, drop=True).transpose("head", "sample") for n in names}
    keep = [v for v in ("prediction",) if v in explanation]
    described = json.dumps([{"name": s.name, "shape": [], "axes": [], "features": []} for s in streams])
    return xr.Dataset(
        {**{s.name: by_owner[s.name] for s in streams}, **{v: explanation[v] for v in keep}},
        coords={"unit": explanation["unit"]},
        attrs={**explanation.attrs, "space": "streams", "signed": 0, "streams": described},
    )
