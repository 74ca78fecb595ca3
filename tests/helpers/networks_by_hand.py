"""Three streams and four heads whose explanations can be written down.

    first  (1)  2 a_0 - b_1
    second (1)  a_0 c_0 + a_1 c_1
    third  (1)  b_0^2 + b_1^2 + b_2^2
    two    (2)  2 c

From the baseline 0, Integrated Gradients and Shapley values are equal: a linear term is its input's own, of a product
each factor has half, and nothing else is mixed. The formulas need nothing but ``+``, ``*`` and slices, so that the same
lines are a model of every framework.
"""

from typing import Any

import numpy as np

STREAMS = {"a": 2, "b": 3, "c": 2}
HEADS = ("first", "second", "third", "two")
TARGETS = [("first", 0), ("second", 0), ("third", 0), ("two", 0), ("two", 1)]
ZEROS = {name: np.zeros((1, size), dtype="float32") for name, size in STREAMS.items()}


def rows(count: int = 5, seed: int = 3) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, size)).astype("float32") for name, size in STREAMS.items()}


def heads(a: Any, b: Any, c: Any) -> dict[str, Any]:
    return {
        "first": 2.0 * a[:, 0:1] - b[:, 1:2],
        "second": a[:, 0:1] * c[:, 0:1] + a[:, 1:2] * c[:, 1:2],
        "third": b[:, 0:1] * b[:, 0:1] + b[:, 1:2] * b[:, 1:2] + b[:, 2:3] * b[:, 2:3],
        "two": 2.0 * c,
    }


def attributions(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """From the baseline 0, ``{stream: (target, row, feature)}`` in the order of ``TARGETS``."""
    a, b, c = x["a"], x["b"], x["c"]
    none = {name: np.zeros_like(values) for name, values in x.items()}
    only = np.eye(2, dtype="float32")
    of = {
        ("first", 0): none | {"a": a * [2, 0], "b": b * [0, -1, 0]},
        ("second", 0): none | {"a": a * c / 2, "c": a * c / 2},
        ("third", 0): none | {"b": b**2},
        ("two", 0): none | {"c": 2 * c * only[0]},
        ("two", 1): none | {"c": 2 * c * only[1]},
    }
    return {name: np.stack([of[target][name] for target in TARGETS]) for name in STREAMS}


def gradients(x: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``{stream: (target, row, feature)}``."""
    a, b, c = x["a"], x["b"], x["c"]
    none = {name: np.zeros_like(values) for name, values in x.items()}
    only = np.eye(2, dtype="float32")
    of = {
        ("first", 0): none | {"a": np.broadcast_to([2, 0], a.shape), "b": np.broadcast_to([0, -1, 0], b.shape)},
        ("second", 0): none | {"a": c, "c": a},
        ("third", 0): none | {"b": 2 * b},
        ("two", 0): none | {"c": np.broadcast_to(2 * only[0], c.shape)},
        ("two", 1): none | {"c": np.broadcast_to(2 * only[1], c.shape)},
    }
    return {name: np.stack([of[target][name] for target in TARGETS]) for name in STREAMS}


def assert_maps(
    found: Any, expected: dict[str, np.ndarray], *, targets: list[int] | None = None, atol: float = 1e-5
) -> None:
    """Every value of an explanation of all targets, or of some by their place."""
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values if targets is None else values[targets], atol=atol, err_msg=name)


def torch_model(give: Any = None) -> Any:
    """A module whose forward gives the heads as a mapping, or in the form that ``give`` makes of it."""
    import torch

    class Network(torch.nn.Module):
        def forward(self, a: Any, b: Any, c: Any) -> Any:
            made = heads(a, b, c)
            return made if give is None else give(made)

    return Network()


def tensorflow_model() -> Any:
    import tensorflow as tf

    class Network(tf.Module):
        @tf.function
        def __call__(self, a: Any, b: Any, c: Any) -> Any:
            return heads(a, b, c)

    return Network()


def jax_model() -> Any:
    import jax

    return jax.jit(heads)


def keras_model() -> Any:
    import keras

    streams = {name: keras.Input((size,), name=name) for name, size in STREAMS.items()}
    return keras.Model(streams, heads(**streams))


NATIVE = {"torch": torch_model, "jax": jax_model, "tensorflow": tensorflow_model}
