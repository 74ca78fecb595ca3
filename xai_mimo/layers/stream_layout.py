"""Which features of the concatenated input belong to which stream, and where all streams are real."""

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class StreamLayout:
    """Streams side by side along the last axis.

    Attributes:
        names: of the streams, in the order in which they are concatenated.
        widths: length of each stream's last axis.
        by_name: the inputs are a mapping, so that its keys and not its order say which stream is which.
    """

    names: tuple[str, ...]
    widths: tuple[int, ...]
    by_name: bool

    @property
    def width(self) -> int:
        """Number of features of all streams together."""
        return sum(self.widths)

    @property
    def starts(self) -> tuple[int, ...]:
        """Index of each stream's first feature."""
        return tuple(sum(self.widths[:i]) for i in range(len(self.widths)))

    @property
    def owners(self) -> tuple[str, ...]:
        """Name of each feature's stream."""
        return tuple(name for name, width in zip(self.names, self.widths, strict=True) for _ in range(width))

    def tensors(self, inputs: Any) -> list[Any]:
        """The inputs of a call, in the order of ``names``."""
        if isinstance(inputs, Mapping):
            return [inputs[name] for name in self.names]
        return list(inputs) if isinstance(inputs, list | tuple) else [inputs]


def read_layout(input_shape: Any, stream_names: Sequence[str] | None) -> tuple[StreamLayout, Shape]:
    """The layout of these inputs, and the leading axes that all of them share.

    Args:
        input_shape: one shape, or a list, tuple or mapping of shapes, each with the batch axis.
        stream_names: names for a list of streams; the order of the names for a mapping.
    Returns:
        layout and leading shape, e.g. ``(None, 20)`` for batch and time.
    Raises:
        ValueError: no stream, rank below 2, unknown width, leading axes that differ, or names that do not fit.
    """
    shapes, by_name = _named_shapes(input_shape, stream_names)
    for name, shape in shapes.items():
        if len(shape) < 2:
            raise ValueError(
                "Expected streams of rank 2 or more, (batch, ..., feature). "
                f"Received: rank {len(shape)} with shape={shape} for stream '{name}'"
            )
        if not shape[-1]:
            raise ValueError(
                "Expected streams whose last axis has a fixed length of 1 or more. "
                f"Received: shape={shape} for stream '{name}'"
            )
    widths = tuple(int(shape[-1] or 0) for shape in shapes.values())
    return StreamLayout(tuple(shapes), widths, by_name), _shared_lead(shapes)


def check_names(names: Sequence[str], argument: str) -> tuple[str, ...]:
    """The names as a tuple, if they are strings that can be told apart.

    Raises:
        ValueError: a name is empty or no string, or two are equal.
    """
    if isinstance(names, str) or any(not isinstance(name, str) or not name for name in names):
        raise ValueError(f"Expected `{argument}` to hold non-empty strings. Received: {argument}={names}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ValueError(f"Expected `{argument}` without duplicates. Received: '{twice[0]}' more than once in {names}")
    return tuple(names)


def check_feature_names(names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """The names as tuples, if they are a mapping stream -> names that can be told apart; else ``ValueError``."""
    if not isinstance(names, Mapping):
        raise ValueError(f"Expected `feature_names` to be a mapping stream -> names. Received: feature_names={names}")
    return {stream: check_names(features, f"feature_names of {stream}") for stream, features in names.items()}


def feature_labels(layout: StreamLayout, feature_names: Mapping[str, Sequence[str]] | None) -> tuple[str, ...]:
    """A name for each feature of the concatenated streams: the given ones, and ``stream.i`` for others.

    Raises:
        ValueError: names for a stream that is not there, not one per feature, or two equal ones.
    """
    labels: list[str] = []
    for stream in feature_names or ():
        if stream not in layout.names:
            raise ValueError(
                f"Expected `feature_names` of the streams {list(layout.names)}. Received: names for '{stream}'"
            )
    for name, width in zip(layout.names, layout.widths, strict=True):
        own = (feature_names or {}).get(name) or [f"{name}.{i}" for i in range(width)]
        if len(own) != width:
            raise ValueError(f"Expected {width} feature names for stream '{name}'. Received: {len(own)}, {list(own)}")
        labels += own
    return check_names(labels, "feature_names")


def _named_shapes(input_shape: Any, stream_names: Sequence[str] | None) -> tuple[dict[str, Shape], bool]:
    if isinstance(input_shape, Mapping):
        if stream_names is not None and set(stream_names) != set(input_shape):
            raise ValueError(
                f"Expected the keys of the inputs to be `stream_names`={list(stream_names)}. "
                f"Received: inputs with keys {list(input_shape)}"
            )
        shapes = {str(name): tuple(input_shape[name]) for name in stream_names or input_shape}
        if not shapes:
            raise ValueError("Expected at least one stream. Received: inputs={}")
        return shapes, True
    if all(axis is None or isinstance(axis, int) for axis in input_shape) and len(input_shape):
        input_shape = [input_shape]
    if not len(input_shape):
        raise ValueError("Expected at least one stream. Received: inputs=[]")
    names = stream_names if stream_names is not None else [f"stream_{i}" for i in range(len(input_shape))]
    if len(names) != len(input_shape):
        raise ValueError(
            f"Expected one name per stream, {len(input_shape)} of them. Received: stream_names={list(names)}"
        )
    return {name: tuple(shape) for name, shape in zip(names, input_shape, strict=True)}, False


def _shared_lead(shapes: Mapping[str, Shape]) -> Shape:
    first, *others = shapes.values()
    lead = list(first[:-1])
    for shape in others:
        fits = len(shape) == len(first) and all(
            a is None or b is None or a == b for a, b in zip(lead, shape, strict=False)
        )
        if not fits:
            raise ValueError(
                "Expected streams with equal leading axes, only the last may differ. "
                f"Received: shapes={ {name: tuple(s) for name, s in shapes.items()} }"
            )
        lead = [b if a is None else a for a, b in zip(lead, shape, strict=False)]
    return tuple(lead)


def joint_mask(masks: Any) -> Any | None:
    """Where every masked input is real: the masks of all inputs, joined by "and".

    Args:
        masks: as Keras fills them in: one, a list or a mapping, each ``(batch, *positions)`` or None.
    Returns:
        ``(batch, *positions)``, booleans; None where no input is masked.
    """
    present = [mask for mask in keras.tree.flatten(masks) if mask is not None]
    return functools.reduce(ops.logical_and, present) if present else None
