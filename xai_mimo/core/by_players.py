"""Any explanation as one number for each of some named players, so that methods can be held against each other."""

import json
from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import DATA_STREAMS, plain, streams_of, validate
from xai_mimo.core.named_players import NamedPlayers, check_named
from xai_mimo.core.named_values import PLAYERS
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Array


def by_players(explanation: xr.Dataset, players: NamedPlayers | None = None) -> xr.Dataset:
    """An explanation with one value for each player.

    A[h, n, p] = sum over the values i of player p of A[h, n, i], of magnitudes where the map has no sign

    Of a gradient method this sum is what the player did along the path. Of Shapley values of single features it is not
    the Shapley value of the player, which divides what its members do together with others otherwise; explain with
    ``Shapley(players=players)`` for that, whose values stay here exactly what they are. Standard errors of sums are not
    known and are left out.

    Args:
        explanation: of one method, with a value for each value of every stream; or of a method that was given players.
        players: as ``core.named_players`` describes them; None for those by which it was explained.
    Returns:
        An explanation whose one variable of attributions is ``players``, ``(head, sample, players_player)``, in the
        space "players" (or e.g. "at:mail, by players"). Two of the same players can be joined, and compared.
    Raises:
        SchemaError: no explanation, none by players where these are left out, one by other players, or one that has a
            single value for several values of a stream.
        BadSetting, UnknownName, DuplicateName, ShapeMismatch: the players do not fit the streams.

    Example:
        >>> import numpy as np
        >>> import xai_mimo as xm
        >>> def cost(table, rain):
        ...     return {"cost": table @ [3.0, -1.0, 2.0] + rain[:, 0]}
        >>> model = xm.adapt(cost, streams={"table": ["rpm", "torque", "temp"], "rain": 1}, heads={"cost": 1})
        >>> x = {"table": np.ones((2, 3)), "rain": np.ones((2, 1))}
        >>> of_values = xm.explain(model, x, "occlusion")
        >>> players = {"engine": {"table": ["rpm", "torque"]}, "weather": {"table": "temp", "rain": "all"}}
        >>> xm.by_players(of_values, players)["players"][0, 0].to_series().to_dict()
        {'engine': 2.0, 'weather': 3.0}
    """
    validate(explanation)
    if "explainer" in explanation.dims:
        raise SchemaError("several methods are joined here; sum each by itself, then join them again.")
    names = [stream.name for stream in streams_of(explanation)]
    if names == [PLAYERS.name]:
        return explanation
    if PLAYERS.name in explanation:
        _check_same(explanation, players)
        return _alone(explanation, json.loads(explanation.attrs["players"]))
    if players is None:
        raise SchemaError(
            f"method {explanation.attrs.get('method')!r} was not given players; say which values to sum, "
            "by_players(explanation, {'engine': {'table': ['rpm', 'torque']}, 'others': 'rest'})."
        )
    check_named(players)
    values = _values(explanation)
    one_row = {name: v[0] for name, v in values.items()}
    masker = Masker.named(one_row, players, streams_of(explanation), explanation["sample"].values)
    sums = masker.sums(values if explanation.attrs["signed"] else {name: np.abs(v) for name, v in values.items()})
    coords = {PLAYERS.dims[0]: list(masker.names)}
    data = {PLAYERS.name: (("head", "sample", *PLAYERS.dims), sums)}
    owners = dict(zip(masker.names, map(list, masker.streams_of_players), strict=True))
    _check_measured(explanation, owners)
    return _alone(explanation.assign_coords(coords).assign(data), owners)


def _values(explanation: xr.Dataset) -> dict[str, Array]:
    """The values of each stream, ``(head, sample, *shape)``."""
    values = {}
    for stream in streams_of(explanation):
        variable = explanation[stream.name].transpose("head", "sample", ...)
        is_whole = variable.dims[2:] == stream.dims and (not stream.groups or variable.shape[-1] == stream.shape[-1])
        if not is_whole:
            raise SchemaError(
                f"the explanation has one value for several values of stream '{stream.name}', so it cannot be summed "
                "over parts of it. Explain with these players (e.g. Shapley(players=...)), or by single values "
                "(players='levels' where a stream has groups)."
            )
        values[stream.name] = variable.values
    return values


def _check_same(explanation: xr.Dataset, players: NamedPlayers | None) -> None:
    """Refuse players that are not those by which an explanation was made."""
    if players is None:
        return
    held = json.loads(explanation.attrs.get("settings", "{}")).get("players")
    if held == json.loads(json.dumps(plain(players, "players"))):
        return
    raise SchemaError(
        f"method {explanation.attrs.get('method')!r} explained by the players "
        f"{', '.join(map(str, explanation[PLAYERS.dims[0]].values))}, written otherwise than these "
        f"({', '.join(map(str, players))}); what they were given cannot be divided again. Leave players out."
    )


def _check_measured(explanation: xr.Dataset, owners: Mapping[str, Sequence[str]]) -> None:
    """Refuse players with values of which the method says nothing: their zeros were not measured."""
    silent = set(json.loads(explanation.attrs.get("unexplained", "[]")))
    for player, streams in owners.items():
        if silent & set(streams):
            raise SchemaError(
                f"method {explanation.attrs.get('method')!r} says nothing of stream '{min(silent & set(streams))}', of "
                f"which player '{player}' has values."
            )


def _alone(explanation: xr.Dataset, owners: Mapping[str, Sequence[str]]) -> xr.Dataset:
    """The same without the streams."""
    gone = [n for s in streams_of(explanation) for n in (s.name, f"{s.name}_standard_error", *s.dims)]
    left = explanation.drop_vars(gone, errors="ignore")
    names = [str(name) for name in left[PLAYERS.dims[0]].values]
    space = explanation.attrs["space"]
    described = json.dumps(
        [{"name": PLAYERS.name, "shape": [len(names)], "axes": list(PLAYERS.axes), "features": names}]
    )
    return left.assign_attrs(
        space="players" if space == "inputs" else f"{space}, by players",
        streams=described,
        players=json.dumps(owners),
        **{DATA_STREAMS: explanation.attrs.get(DATA_STREAMS, explanation.attrs["streams"])},
    )
