"""Masks of layers that read several inputs."""

import functools
from typing import Any

import keras
from keras import ops


def joint_mask(masks: Any) -> Any | None:
    """Where every masked input is real: the masks of all inputs, joined by "and".

    Args:
        masks: as Keras fills them in: one, a list or a mapping, each ``(batch, *positions)`` or None.
    Returns:
        ``(batch, *positions)``, booleans; None where no input is masked.
    """
    present = [mask for mask in keras.tree.flatten(masks) if mask is not None]
    return functools.reduce(ops.logical_and, present) if present else None
