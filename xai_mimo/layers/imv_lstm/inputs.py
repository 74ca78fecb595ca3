"""What IMV-LSTM reads: one sequence of several variables, or several streams of them side by side."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from xai_mimo.layers.stream_layout import Shape, StreamLayout, read_layout


@dataclass(frozen=True)
class VariableInputs:
    """Sequences whose variables stand side by side.

    Attributes:
        layout: which variable is of which stream.
        batch, steps: the leading axes; None where they are not known.
        values: d_0, values of one variable at one step.
        has_values_axis: whether the inputs have an axis for them.
    """

    layout: StreamLayout
    batch: int | None
    steps: int | None
    values: int
    has_values_axis: bool

    @staticmethod
    def of(input_shape: Any, stream_names: Sequence[str] | None) -> "VariableInputs":
        """Read the shape or shapes of a call.

        Raises:
            ValueError: an axis is missing or unknown, or streams differ in more than their number of variables.
        """
        shapes = _shapes(input_shape)
        for shape in shapes:
            if len(shape) not in (3, 4) or not all(shape[2:]):
                raise ValueError(
                    "Expected inputs of shape (batch, time, variables) or (batch, time, variables, values of one "
                    f"variable) with the last axes of fixed length. Received: shape={shape}"
                )
        if len({shape[3:] for shape in shapes}) > 1:
            raise ValueError(
                f"Expected streams whose variables all have as many values at one step. Received: shapes={shapes}"
            )
        layout, (batch, steps) = read_layout(_without_values(input_shape), stream_names)
        return VariableInputs(layout, batch, steps, int((*shapes[0], 1)[3] or 1), len(shapes[0]) == 4)

    def join(self, inputs: Any) -> Any:
        """All variables as one tensor ``(B, T, N, d_0)``."""
        tensors = self.layout.tensors(inputs)
        x = tensors[0] if len(tensors) == 1 else ops.concatenate(tensors, axis=2)
        return x if self.has_values_axis else ops.expand_dims(x, -1)


def _shapes(input_shape: Any) -> list[Shape]:
    if isinstance(input_shape, Mapping):
        return [tuple(shape) for shape in input_shape.values()]
    if all(axis is None or isinstance(axis, int) for axis in input_shape):
        return [tuple(input_shape)]
    return [tuple(shape) for shape in input_shape]


def _without_values(input_shape: Any) -> Any:
    """The shapes in the same structure, batch, time and variables only."""
    if isinstance(input_shape, Mapping):
        return {name: tuple(shape)[:3] for name, shape in input_shape.items()}
    shapes = [shape[:3] for shape in _shapes(input_shape)]
    return shapes[0] if len(shapes) == 1 else shapes
