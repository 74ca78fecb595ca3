"""Initial values of weights that hold many small kernels of one shape: one draw instead of one for each."""

from typing import Any

import keras
from keras import ops

from xai_mimo.layers.heads import initialize_each


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
