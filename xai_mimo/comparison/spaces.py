"""Where a comparison takes place: at the model's inputs, at a layer's inputs, or at whole streams.

A map over a layer's inputs and an attribution over the model's inputs are different things unless the layer reads the
raw inputs. Maps are therefore put into one space before anything is compared, and nothing is ranked across spaces.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from xai_mimo.core.attention import READ_BY, is_between_positions
from xai_mimo.core.cut import Cut, cut_at
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.model import Arrays, Interceptable, InterceptionMap, Interceptions, Model, require
from xai_mimo.core.named_players import NamedPlayers

_GROUPS_SHOWN = 8


@dataclass(frozen=True)
class Space:
    """One space, and what is explained and perturbed in it.

    Attributes:
        name: "inputs" or "at:<layer>", followed by ", by variable" where whole series are compared; or "streams".
        text: what a reader must know of it.
        cut: where the interception maps are read off; None where they lie on the model's inputs, or there are none.
        players: over which every map is summed, and whose values are replaced together; None where each value counts.
        by_variable: whether every map is summed along all axes of a stream but the last, and variables (whole series,
            whole channels) are replaced as a whole.
    """

    name: str
    text: str
    cut: Cut | None = None
    by_variable: bool = False
    players: NamedPlayers | None = None

    @property
    def is_at_layer(self) -> bool:
        """Whether every method explains the part behind the cut."""
        return self.name.startswith("at:")

    @property
    def is_summed(self) -> bool:
        """Whether maps are summed over variables, players or streams."""
        return self.is_streams or self.by_variable or self.players is not None

    @property
    def short(self) -> str:
        """As ``compare`` was asked for it."""
        return "variables" if self.by_variable else self.name

    @property
    def is_streams(self) -> bool:
        """Whether every map is summed to the model's streams."""
        return self.name == "streams"


def choose_space(model: Model, first_row: Arrays, *, intercepts: bool, at: str | None, space: str | None) -> Space:
    """Find the space in which all methods can be compared.

    Args:
        model: the adapted model.
        first_row: one row of its inputs, to see what its layers sow.
        intercepts: whether an interception method takes part.
        at: path of the layer to compare at; None finds the self-explaining layer.
        space: None for the rule below; "inputs" or "streams" to insist; "variables" for the rule below, by variable.
    Returns:
        "inputs" without interception, or where the layer reads the raw inputs; else "at:<layer>"; "streams" where the
        model cannot be cut and the layer's streams carry the names of the model's.
    Raises:
        BadSetting: an unknown space, "inputs" where the maps do not lie there, or several layers to choose from.
        NotSupported: no layer sows a map, or there is no common space.
    """
    if space is not None and not (isinstance(space, str) and space in ("inputs", "variables", "streams")):
        raise BadSetting(
            f"space {space!r} is not one of 'inputs', 'variables' and 'streams'; for a layer's inputs give "
            "at='<layer>'."
        )
    by_feature = _choose(model, first_row, intercepts, at, None if space == "variables" else space)
    chosen = _by_variable(by_feature) if space == "variables" else by_feature
    streams = chosen.cut.part.streams if chosen.cut is not None and chosen.is_at_layer else model.streams
    return _with_groups(chosen, [group for stream in streams for group in stream.groups])


def _choose(model: Model, first_row: Arrays, intercepts: bool, at: str | None, space: str | None) -> Space:
    """The same, feature by feature."""
    if space is not None and at is not None and space == "inputs":
        raise BadSetting(f"space='inputs' and at='{at}' contradict each other; give one of them.")
    layer = at if at is not None or not intercepts else _self_explaining_layer(model, first_row)
    if layer is None:
        return _streams(None) if space == "streams" else _inputs(None)
    try:
        cut = cut_at(model, layer)
    except NotSupported as err:
        return _without_cut(model, first_row, layer, space, at, err)
    if space == "streams":
        return _streams(cut)
    if cut.reads_raw_inputs and set(cut.owners) == {s.name for s in without_held(model).streams}:
        return _inputs(cut)
    if space == "inputs":
        raise BadSetting(
            f"layer '{layer}' reads {', '.join(cut.owners)}, not the model's inputs, so its maps cannot be compared "
            "there. Leave space out to compare at the layer, or give space='streams'."
        )
    return Space(
        f"at:{layer}",
        f"All maps are over the inputs of layer '{layer}', that is over what the network makes of the streams before "
        "that layer, not over the model's raw inputs.",
        cut,
    )


def _inputs(cut: Cut | None) -> Space:
    return Space("inputs", "All maps are over the model's inputs.", cut)


def _streams(cut: Cut | None) -> Space:
    return Space(
        "streams",
        "All maps are summed to the share of each input stream in their magnitude; features are not compared, and "
        "shares have no sign.",
        cut,
    )


def _by_variable(space: Space) -> Space:
    """The same space, the other axes of each stream summed up; shares of whole streams stay as they are."""
    if space.is_streams:
        return space
    return replace(
        space,
        name=f"{space.name}, by variable",
        text=f"{space.text} Each variable counts as a whole: maps are summed along the other axes of its stream (over "
        "time), and a variable is replaced at all steps together.",
        by_variable=True,
    )


def _with_groups(space: Space, groups: Sequence[str]) -> Space:
    """The same space, with a word on groups of features; shares of whole streams know no features."""
    if space.is_streams or not groups:
        return space
    named = ", ".join(groups[:_GROUPS_SHOWN]) + (", ..." if len(groups) > _GROUPS_SHOWN else "")
    return replace(
        space,
        text=f"{space.text} Columns of one category count as one ({named}): maps are summed over them, and they are "
        "replaced together, by rows of the background.",
    )


def _self_explaining_layer(model: Model, first_row: Arrays) -> str:
    maps = _maps(model, first_row).values()
    own = [m for m in maps if not is_between_positions(m)]
    layers = list(dict.fromkeys(m.layer for m in own if not _is_over_positions(m.layer, maps)))
    if maps and not own:
        raise NotSupported(
            f"the model's layers attend from position to position ({', '.join(dict.fromkeys(m.layer for m in maps))}); "
            f"'interception' reads maps over features. Put one of {READ_BY} in its place."
        )
    if maps and not layers:
        raise NotSupported(
            "the model's layers say where the evidence lies, position by position; 'interception' reads maps over "
            "features. Put 'position_maps' in its place."
        )
    if not layers:
        raise NotSupported(
            "the model has no self-explaining layer, so there is nothing to intercept. Leave 'interception' out of "
            "the methods, or build the model with a layer of xai_mimo.layers."
        )
    if len(layers) > 1:
        raise BadSetting(
            f"the model has several self-explaining layers ({', '.join(layers)}); name one with at='{layers[0]}'."
        )
    return layers[0]


def _is_over_positions(layer: str, maps: Collection[InterceptionMap]) -> bool:
    """Whether a layer sows class maps over positions, which are of no one space of features."""
    return any(m.layer == layer and m.name == "class_map" for m in maps)


def _maps(model: Model, first_row: Arrays) -> Interceptions:
    mend = "Leave 'interception' out of the methods, or build the model with a layer of xai_mimo.layers."
    return require(model, Interceptable, for_="'interception'", instead=mend).intercept(first_row)


def _without_cut(
    model: Model, first_row: Arrays, layer: str, space: str | None, at: str | None, err: NotSupported
) -> Space:
    """For a model that cannot be cut: its inputs where the layer seems to read them, else shares of streams.

    That the layer reads the raw inputs is only supposed here, from names and widths; the interception method makes sure
    of it on the numbers.
    """
    widths = {s.name: s.shape[-1] if s.shape else 1 for s in model.streams}
    read: Counter[str] = Counter()
    for sown in _maps(model, first_row).values():
        if sown.layer == layer and sown.name == "attention":
            read.update(sown.coords.get("feature.stream", ()))
    if at is None and set(read) == set(widths):
        if space != "streams" and dict(read) == widths:
            return _inputs(None)
        if space != "inputs":
            return _streams(None)
    raise NotSupported(
        f"the maps of layer '{layer}' lie on that layer's inputs, and the model cannot be cut there ({err}) Build it "
        "as a functional model, name the layer's streams like the model's to compare stream shares, or leave "
        "'interception' out of the methods."
    ) from err
