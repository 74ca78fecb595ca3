"""Many heads as few large operations: their names, blocks, slices of stacked weights, and initial values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.stream_layout import check_names

_VALUES_PER_ROW = 256
"""Features times heads of one block. Its intermediates stay near the cache, and the gradient of one head, which every
attribution asks for, does not run through the zeros of many others: with 8 heads of 256 features, Integrated Gradients
takes a fifth to an eighth of the time that one block of all heads takes."""

_MOST_BLOCKS = 16
"""Bound on the blocks of equally wide heads, so that the graph and its compile time stop growing with the heads."""


def read_heads(heads: Any) -> dict[str, int]:
    """Width by name of the heads; a sequence of widths gets the names ``head_0``, ``head_1``, ...

    Raises:
        ValueError: there is no head, a name is empty or no string, or a width is not an integer of 1 or more.
    """
    if not isinstance(heads, Mapping | Sequence) or isinstance(heads, str):
        raise ValueError(
            f"Expected `heads` to be a mapping name -> width or a sequence of widths. Received: heads={heads}"
        )
    if not len(heads):
        raise ValueError(f"Expected at least one head. Received: heads={heads}")
    named = dict(heads) if isinstance(heads, Mapping) else {f"head_{i}": width for i, width in enumerate(heads)}
    check_names(list(named), "heads")
    for name, width in named.items():
        check_count(width, f"the width of head '{name}'", f"heads={heads}")
    return {name: int(width) for name, width in named.items()}


def check_count(value: Any, what: str, received: str) -> None:
    """Raise ``ValueError`` unless the value is an integer of 1 or more."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"Expected {what} to be an integer of 1 or more. Received: {received}")


def head_blocks(widths: Sequence[int], features: int) -> list[tuple[int, ...]]:
    """Indices of heads that are computed together: equal widths, and not too many at once.

    One product over all heads has intermediates (heads, rows, features) that leave the processor's cache, which makes
    it slower than a loop over single heads; blocks keep the speed of both.
    """
    blocks: list[tuple[int, ...]] = []
    for width in dict.fromkeys(widths):
        same = [j for j, other in enumerate(widths) if other == width]
        size = max(1, _VALUES_PER_ROW // features, -(-len(same) // _MOST_BLOCKS))
        blocks += [tuple(same[i : i + size]) for i in range(0, len(same), size)]
    return blocks


def divide(values: Any, parts: Sequence[Sequence[int]], axis: int) -> list[Any]:
    """Each part's entries along an axis, where the parts together name every entry once.

    One reordering, if any, and one split: its gradient is one concatenation, where the gradient of slices would be a
    sum of as many arrays of full size.
    """
    order = [j for part in parts for j in part]
    if order != list(range(len(order))):
        values = ops.take(values, ops.convert_to_tensor(order, dtype="int32"), axis=axis)
    if len(parts) == 1:
        return [values]
    ends = np.cumsum([len(part) for part in parts])
    return list(ops.split(values, [int(end) for end in ends[:-1]], axis=axis))


def divide_outputs(
    kernel: Any, bias: Any | None, widths: Sequence[int], blocks: Sequence[Sequence[int]]
) -> list[tuple[Any, Any | None]]:
    """For each block its output kernel ``(head, D, width)`` and bias ``(head, 1, width)``.

    For a block of one head they are ``(D, width)`` and ``(width,)``.

    Args:
        kernel: ``(D, unit)``, the units of all heads side by side.
        bias: ``(unit,)`` or ``None``.
        widths: of all heads.
        blocks: heads of one width each.
    """
    first = np.cumsum([0, *widths])
    units = [[int(first[j]) + u for j in block for u in range(widths[j])] for block in blocks]
    kernels = divide(kernel, units, 1)
    biases = [None] * len(blocks) if bias is None else divide(bias, units, 0)
    for i, block in enumerate(blocks):
        heads, width = len(block), widths[block[0]]
        if heads > 1:
            kernels[i] = ops.transpose(ops.reshape(kernels[i], (-1, heads, width)), (1, 0, 2))
            biases[i] = None if biases[i] is None else ops.reshape(biases[i], (heads, 1, width))
    return list(zip(kernels, biases, strict=True))


def by_head(values: Any, heads: int) -> list[Any]:
    """The heads of a block ``(head, ...)``; a block of one head has no such axis."""
    return [values] if heads == 1 else list(ops.unstack(values, num=heads, axis=0))


def with_head_axis(values: Any) -> Any:
    """``(row, ...)`` of a block of one head as ``(1, row, ...)``; other blocks, and ``None``, as they are."""
    return values if values is None or len(values.shape) == 3 else ops.expand_dims(values, 0)


def join(blocks: Sequence[Any], order: Sequence[int]) -> Any:
    """Blocks of ``(head, ...)`` as one tensor whose heads stand in their own order again."""
    together = blocks[0] if len(blocks) == 1 else ops.concatenate(blocks, axis=0)
    return divide(together, [[order.index(j) for j in range(len(order))]], 0)[0]


def initialize_each(
    initializer: keras.initializers.Initializer, shapes: Sequence[tuple[int, ...]], assemble: Callable[[list[Any]], Any]
) -> Callable[..., Any]:
    """An initializer of a stacked weight that draws each head's part as a layer of its own would.

    Fans are those of one head; each head gets an initializer of its own, because one called twice gives equal values.

    Args:
        initializer: of one head's part.
        shapes: of the parts.
        assemble: puts the parts together.
    """

    def initialize(shape: tuple[int, ...], dtype: Any = None) -> Any:
        return assemble([_of_head(initializer, j)(part, dtype=dtype) for j, part in enumerate(shapes)])

    return initialize


def _of_head(initializer: Any, head: int) -> Any:
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer  # a plain function draws anew at each call
    config = initializer.get_config()
    if isinstance(config.get("seed"), int):
        config["seed"] += head
    return type(initializer).from_config(config)


def draw_alike(initializer: Any, part: tuple[int, int], count: int, *, dtype: Any = None, first: int = 0) -> Any:
    """Kernels side by side, each as a layer of its own would draw it: ``(count, *part)``.

    The values of variance-scaling initializers (Glorot's, He's, LeCun's) are independent of each other, so that one
    large kernel, its scale corrected to the fans of a part, can be cut into the parts. Otherwise every part is drawn
    by itself, which for many variables takes longer than compiling the network.

    Args:
        initializer: of one part.
        part: its shape, (rows, columns).
        count: number of parts.
        dtype: of the values.
        first: number of the first part; parts of other numbers get other values from an integer seed.
    """
    config = initializer.get_config() if isinstance(initializer, keras.initializers.Initializer) else {}
    if first and isinstance(config.get("seed"), int):
        initializer = type(initializer).from_config({**config, "seed": config["seed"] + first})
    if not isinstance(initializer, keras.initializers.VarianceScaling):
        return initialize_each(initializer, [part] * count, ops.stack)((count, *part), dtype=dtype)
    fresh = type(initializer).from_config(initializer.get_config())  # one used twice gives equal values
    rows, columns = part
    wide = (rows, columns * count)
    scale = fresh.scale * _fan(fresh.mode, wide) / _fan(fresh.mode, part)
    drawn = keras.initializers.VarianceScaling(scale, fresh.mode, fresh.distribution, fresh.seed)(wide, dtype=dtype)
    return ops.transpose(ops.reshape(drawn, (rows, count, columns)), (1, 0, 2))


def _fan(mode: str, shape: tuple[int, int]) -> float:
    """What variance scaling divides by."""
    fan_in, fan_out = shape
    return {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[mode]
