"""Weights drawn by NumPy, so that a Keras network holds the same numbers on each backend."""

from typing import Any

import numpy as np


def with_weights(net: Any, seed: int = 3) -> Any:
    """The network itself, every weight drawn anew and scaled by its fan-in."""
    rng = np.random.default_rng(seed)
    for variable in net.weights:
        fan_in = int(np.prod(variable.shape[:-1])) if len(variable.shape) > 1 else 1
        variable.assign(rng.standard_normal(variable.shape) / np.sqrt(fan_in))
    return net
