"""A model cut at a layer, and the one rule by which users name a layer."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.model import Arrays, Model, Splittable, require
from xai_mimo.core.streams import unknown


@dataclass(frozen=True)
class Cut:
    """A model cut at a layer, or not cut at all.

    Attributes:
        whole: the model that reads the data.
        part: what is explained: the part behind the cut, whose streams are what the layer reads; ``whole`` itself
            where nothing is cut.
        layer: where it was cut; None for the model's own inputs.
    """

    whole: Model
    part: Model
    layer: str | None = None

    @property
    def space(self) -> str:
        """Where attributions of the part live: "inputs", or "at:<layer>"."""
        return "inputs" if self.layer is None else f"at:{self.layer}"

    def enter(self, rows: Arrays) -> Arrays:
        """Rows of the model's inputs as rows of the part."""
        if self.layer is None:
            return rows
        return _splittable(self.whole, self.layer).activations(rows, self.layer)

    @cached_property
    def owners(self) -> Mapping[str, tuple[str, ...]]:
        """For each stream of the part the model's streams that it depends on; its own name is the raw input itself."""
        if self.layer is None:
            return {stream.name: (stream.name,) for stream in self.part.streams}
        return _splittable(self.whole, self.layer).layer_streams(self.layer)

    @property
    def reads_raw_inputs(self) -> bool:
        """Whether the part's streams are inputs of the model themselves."""
        return all(owners == (name,) for name, owners in self.owners.items())


def cut_at(model: Model, layer: str | None) -> Cut:
    """A model cut at a layer; None leaves it whole. Streams that are held are none of the part's (``held_streams``).

    Raises:
        NotSupported: the model cannot be cut, or not there. UnknownName: no such layer.
    """
    return Cut(model, without_held(model if layer is None else _splittable(model, layer).tail(layer)), layer)


def _splittable(model: Model, layer: str) -> Splittable:
    return require(model, Splittable, for_=f"at='{layer}'")


def layers_called(name: str, paths: Iterable[str]) -> list[str]:
    """The layers that a name fits: the one with this path, else those whose path ends with it."""
    different = list(dict.fromkeys(paths))
    return [path for path in different if path == name] or [path for path in different if last_name(path) == name]


def last_name(path: str) -> str:
    """A layer's own name: the last part of its path."""
    return path.rsplit("/", 1)[-1]


def find_layer(name: str, paths: Collection[str], what: str = "layer") -> str:
    """The path of the one layer that a user means by its path or its name.

    Args:
        name: path ("model/mail") or last name ("mail").
        paths: of the layers to choose from.
        what: they are, for the error text.
    Raises:
        UnknownName: none is called so. BadSetting: several are.
    """
    fits = layers_called(name, paths)
    if not fits:
        raise unknown(name, paths, what)
    if len(fits) > 1:
        raise BadSetting(f"several layers are called '{name}'; give the path of one: {', '.join(fits)}.")
    return fits[0]
