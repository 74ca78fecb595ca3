"""How a layer lets others read its own maps: it sows them, a reader collects them.

A layer calls ``sow(self, "attention", alpha, ...)`` inside ``call``. That does nothing unless a ``collect()`` context
is active, and then it puts the tensor into that context's dictionary. The reader traces

    with collect() as maps:
        outputs = model(inputs, training=False)
    return outputs, dict(maps)

inside ``jax.jit``, ``tf.function`` or ``torch.no_grad``, so the maps come out as ordinary outputs: nothing is kept on
the layer, no tracer outlives its trace, and functional, sequential, nested and subclassed models all work.

A foreign layer joins by calling ``sow``; readers go by names and axes, not by class.

A layer that can work with another map than its own asks for one with ``replacement``; ``override`` hands it out, in the
same way and inside the same traces. Tests of attention ask so whether a head's output depends on the map at all.
"""

import contextlib
import contextvars
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class MapLabels:
    """What the axes of a sown map mean.

    Attributes:
        layer: path of the layer.
        name: of the map.
        axes: a word for each axis behind the batch axis.
        coords: labels along an axis; ``"feature"`` labels that axis, ``"feature.stream"`` gives it a second label.
        reference: BibTeX key of the article that the layer is from; the layer's attribute of this name.
    """

    layer: str
    name: str
    axes: tuple[str, ...]
    coords: Mapping[str, tuple[str, ...]]
    reference: str = ""


@dataclass(frozen=True)
class _Collector:
    maps: dict[str, Any]
    labels: dict[str, MapLabels]
    names: Collection[str] | None
    paths: Mapping[int, str]


_active: contextvars.ContextVar[_Collector | None] = contextvars.ContextVar("xai_mimo_collector", default=None)


@contextlib.contextmanager
def collect(
    labels: dict[str, MapLabels] | None = None,
    *,
    names: Collection[str] | None = None,
    paths: Mapping[int, str] | None = None,
) -> Iterator[dict[str, Any]]:
    """Collect what layers sow while this context is active.

    Args:
        labels: filled with the meaning of each map's axes, under the same keys as the maps.
        names: collect the maps of these names only, also those that are sown on request only; None for all others.
        paths: of layers that do not know their own, such as modules of PyTorch, by their identity (``id``).
    Yields:
        ``{"<layer path>/<map name>": tensor (batch, *axes)}``, filled as layers are called. A layer called more than
        once gives keys ending in ``@1``, ``@2``, ...
    """
    collector = _Collector({}, {} if labels is None else labels, names, paths or {})
    token = _active.set(collector)
    try:
        yield collector.maps
    finally:
        _active.reset(token)


@dataclass(frozen=True)
class _Overrider:
    maps: Mapping[str, Any]
    asked: list[str]
    taken: set[str]
    paths: Mapping[int, str]


_overriding: contextvars.ContextVar[_Overrider | None] = contextvars.ContextVar("xai_mimo_overrider", default=None)


@contextlib.contextmanager
def override(maps: Mapping[str, Any], *, paths: Mapping[int, str] | None = None) -> Iterator[set[str]]:
    """Put these maps in the place of those that layers make, while this context is active.

    Args:
        maps: by the keys that ``collect`` gives, tensors of the shapes that are sown.
        paths: as ``collect`` takes them.
    Yields:
        The keys of the maps that layers took. A map that was not taken changed nothing: its layer only shows it.
    """
    overrider = _Overrider(maps, [], set(), paths or {})
    token = _overriding.set(overrider)
    try:
        yield overrider.taken
    finally:
        _overriding.reset(token)


def replacement(layer: Any, name: str) -> Any | None:
    """The map that a layer is to use in the place of its own, shaped as it sows it; None for its own.

    Asked for once in each call of the layer, so that repeated calls are counted as ``collect`` counts them.
    """
    overrider = _overriding.get()
    if overrider is None:
        return None
    key = _numbered(_path(layer, overrider.paths), name, overrider.asked)
    overrider.asked.append(key)
    if key not in overrider.maps:
        return None
    overrider.taken.add(key)
    return overrider.maps[key]


def _path(layer: Any, paths: Mapping[int, str]) -> str:
    """A layer's path as its reader knows it, else its own (of flax a tuple), else its name, else what it is."""
    if isinstance(layer, str):
        return layer
    path = paths.get(id(layer)) or getattr(layer, "path", None) or getattr(layer, "name", None) or type(layer).__name__
    return "/".join(map(str, path)) if isinstance(path, tuple) else str(path)


def _numbered(path: str, name: str, known: Collection[str]) -> str:
    """The key of a map: ``"<path>/<name>"``, ``"<path>@1/<name>"`` for the second call, ..."""
    key, again = f"{path}/{name}", 0
    while key in known:
        again += 1
        key = f"{path}@{again}/{name}"
    return key


def is_collecting() -> bool:
    """Whether anybody reads maps now; lets a layer skip work that only a reader needs."""
    return _active.get() is not None


def sow(
    layer: Any,
    name: str,
    value: Any | Callable[[], Any],
    *,
    axes: Sequence[str],
    coords: Mapping[str, Sequence[str]] | None = None,
    on_request: bool = False,
) -> None:
    """Offer a map to whoever collects; costs nothing when nobody does.

    Args:
        layer: the layer or module; its path names the map.
        name: what the map is, e.g. "attention".
        value: tensor ``(batch, *axes)``, or a function that makes it, called only when it is collected.
        axes: a word for each axis behind the batch axis, of design words (head, feature, time, ...).
        coords: labels along the axes, see ``MapLabels``.
        on_request: for large maps; collected only by who asks for this name.
    """
    collector = _active.get()
    if collector is None or (on_request if collector.names is None else name not in collector.names):
        return
    key = _numbered(_path(layer, collector.paths), name, collector.maps)
    collector.maps[key] = value() if callable(value) else value
    collector.labels[key] = MapLabels(
        layer=key.rsplit("/", 1)[0],
        name=name,
        axes=tuple(axes),
        coords={axis: tuple(str(c) for c in labels) for axis, labels in (coords or {}).items()},
        reference=str(getattr(layer, "reference", "")),
    )
