"""What every self-explaining layer promises, as checks that raise with a sentence."""

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from xai_mimo.layers.interception import read_maps
from xai_mimo.testing.backends import check_backends

DTYPES = ("float32", "float64", "mixed_float16", "mixed_bfloat16", "bfloat16")

_STEP = 1e-6
"""By which inputs and weights are moved to see how finely a layer of float64 answers."""

_ROUGHNESS = 1e-9
"""Most that an answer may be off a straight line over two such steps, as a share of its size: smooth functions are off
by 1e-12, and one value of float32 on the way leaves 1e-8 to 1e-7."""


def check_layer(
    make: Callable[[], Any],
    inputs: Any,
    *,
    maps: Mapping[str, Sequence[str]],
    dtypes: Sequence[str] = DTYPES,
    backends: Sequence[str] = (),
) -> None:
    """Run the whole contract of a layer that sows maps, on the active Keras backend.

    Construction, config, output shapes, maps with their axes and labels, dtype policies, ``.keras`` round trip, three
    training steps, nothing kept between calls, and the same numbers on other backends.

    Args:
        make: makes a new, unbuilt layer; the contract calls it often.
        inputs: one batch of NumPy arrays, in the structure that the layer takes; 2 rows or more.
        maps: axes of each map that the layer sows: ``{"attention": ("head", "feature")}``.
        dtypes: policies to try. With float64 outputs and maps have to be as fine as float64 is, whatever their dtype
            says; JAX's 64-bit mode is on while it is tried, and only then: without it JAX has no float64.
        backends: Keras backends, each in a process of its own, to compare with the active one.
    Raises:
        AssertionError: the layer breaks the contract; the text says how.
    """
    _check_config(make)
    _check_shapes(make(), inputs)
    _check_maps(make(), inputs, maps)
    for dtype in dtypes:
        with precision(dtype):
            _check_dtype(make(), inputs, dtype)
    _check_saving(make(), inputs)
    _check_training(make(), inputs)
    if backends:
        layer = make()
        layer(_tensors(inputs))
        check_backends(layer, inputs, backends=backends)


def _require(holds: Any, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def _tensors(inputs: Any) -> Any:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)


def _shapes(values: Any) -> Any:
    return keras.tree.map_structure(lambda v: tuple(v.shape), values)


def _check_config(make: Callable[[], Any]) -> None:
    layer = make()
    _require(isinstance(layer, keras.layers.Layer), f"make() gives {type(layer).__name__}, not a Keras layer.")
    _require(make() is not layer, "make() gives the same layer twice; it must make a new one.")
    config = layer.get_config()
    again = type(layer).from_config(json.loads(json.dumps(config))).get_config()
    for name, value in config.items():
        _require(
            _plain(again.get(name)) == _plain(value),
            f"config '{name}' is {value!r}, but {again.get(name)!r} after from_config.",
        )


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value))


def _check_shapes(layer: Any, inputs: Any) -> None:
    promised = layer.compute_output_shape(_shapes(inputs))
    real = _shapes(layer(_tensors(inputs)))
    _require(promised == real, f"compute_output_shape promises {promised}; the outputs have {real}.")


def _check_maps(layer: Any, inputs: Any, expected: Mapping[str, Sequence[str]]) -> None:
    _, maps, labels = read_maps(layer, inputs)
    by_name = {label.name: label for label in labels.values()}
    _require(set(by_name) == set(expected), f"the layer sows the maps {sorted(by_name)}; expected {sorted(expected)}.")
    rows = len(keras.tree.flatten(inputs)[0])
    for key, values in maps.items():
        label = labels[key]
        axes = tuple(expected[label.name])
        _require(label.axes == axes, f"map '{label.name}' has the axes {label.axes}; expected {axes}.")
        fits = values.ndim == 1 + len(axes) and len(values) == rows
        _require(fits, f"map '{label.name}' has shape {values.shape}; expected ({rows}, {', '.join(axes)}).")
        _require(np.isfinite(values).all(), f"map '{label.name}' holds NaN or infinite values.")
        for name, ticks in label.coords.items():
            axis = name.split(".")[0]
            _require(axis in axes, f"map '{label.name}' labels an axis '{axis}' that it does not have.")
            length = values.shape[1 + axes.index(axis)]
            _require(len(ticks) == length, f"map '{label.name}' has {len(ticks)} labels '{name}' for {length} entries.")


def _check_dtype(layer: Any, inputs: Any, dtype: str) -> None:
    typed = type(layer).from_config({**layer.get_config(), "dtype": dtype})
    for output in keras.tree.flatten(typed(_tensors(inputs))):
        got = keras.backend.standardize_dtype(output.dtype)
        _require(
            got == typed.compute_dtype, f"policy {dtype} gives an output of {got}; expected {typed.compute_dtype}."
        )
        values = keras.ops.convert_to_numpy(keras.ops.cast(output, "float32"))
        _require(np.isfinite(values).all(), f"policy {dtype} gives NaN or infinite outputs.")
    if dtype == "float64":
        _check_fineness(typed, inputs)


def _check_fineness(layer: Any, inputs: Any) -> None:
    """Nothing between inputs or weights and an output or a map of a float64 layer is rounded to float32.

    Inputs and weights take two equal steps together, too small for the curvature of the layer to be seen: what it
    answers lies on a straight line, unless it is rounded.
    """
    draws = np.random.default_rng(0)
    start, direction = _moving(inputs, draws)
    trained = list(layer.trainable_weights)
    weights = [np.asarray(keras.ops.convert_to_numpy(w), "float64") for w in trained]
    weights = [w + 0.1 * draws.normal(size=w.shape) for w in weights]  # zeros would be as fine in float32
    directions = [draws.normal(size=w.shape) for w in weights]

    def answer(step: float) -> dict[str, Any]:
        for weight, value, change in zip(trained, weights, directions, strict=True):
            weight.assign(value + step * change)
        outputs, maps, labels = read_maps(layer, keras.tree.map_structure(lambda x, v: x + step * v, start, direction))
        named = {f"output {i}": values for i, values in enumerate(keras.tree.flatten(outputs))}
        return named | {f"map '{labels[key].name}'": values for key, values in maps.items()}

    first, second, third = (answer(step) for step in (0.0, _STEP, 2 * _STEP))
    sizes = {name: float(np.max(np.abs(values), initial=0.0)) for name, values in first.items()}
    smallest = 1e-6 * max(sizes.values(), default=1.0) or 1.0  # below, an array is what cancellation left over
    for name, values in first.items():
        bent = np.max(np.abs(values - 2.0 * second[name].astype("float64") + third[name]), initial=0.0)
        share = float(bent) / max(sizes[name], smallest)
        _require(share <= _ROUGHNESS, f"policy float64 gives {name} with rounding of {share:.1g}, as of float32.")


def _moving(inputs: Any, draws: np.random.Generator) -> tuple[Any, Any]:
    """Inputs in float64, with a direction to move them in; whole numbers stay."""

    def is_real(x: Any) -> bool:
        return bool(np.issubdtype(np.asarray(x).dtype, np.floating))

    def start(x: Any) -> Any:
        return np.asarray(x, "float64") if is_real(x) else np.asarray(x)

    def direction(x: Any) -> Any:
        return draws.normal(size=np.shape(x)) if is_real(x) else np.zeros_like(x)

    return keras.tree.map_structure(start, inputs), keras.tree.map_structure(direction, inputs)


def precision(dtype: str) -> contextlib.AbstractContextManager[Any]:
    """JAX truncates float64 to float32 unless its 64-bit mode is on; the other backends need nothing."""
    if dtype != "float64" or keras.backend.backend() != "jax":
        return contextlib.nullcontext()
    import jax

    wide: contextlib.AbstractContextManager[Any] = jax.enable_x64(True)
    return wide


def _model(layer: Any, inputs: Any) -> Any:
    def symbol(values: Any, name: str) -> Any:
        return keras.Input(values.shape[1:], dtype=str(values.dtype), name=name)

    if isinstance(inputs, Mapping):  # Keras wants the keys of a mapping to be the names of its inputs
        symbols: Any = {name: symbol(values, name) for name, values in inputs.items()}
    else:
        flat = [symbol(values, f"input_{i}") for i, values in enumerate(keras.tree.flatten(inputs))]
        symbols = keras.tree.pack_sequence_as(inputs, flat)
    return keras.Model(symbols, layer(symbols))


def _check_saving(layer: Any, inputs: Any) -> None:
    model = _model(layer, inputs)
    before, maps, _ = read_maps(model, inputs)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.keras"
        model.save(path)
        loaded = keras.saving.load_model(path)
    after, maps_after, _ = read_maps(loaded, inputs)
    pairs = zip(keras.tree.flatten([before, maps]), keras.tree.flatten([after, maps_after]), strict=True)
    same = all(np.allclose(a, b, rtol=1e-6, atol=1e-7) for a, b in pairs)
    _require(same, "outputs or maps change when the model is saved as .keras and loaded again.")


def _check_training(layer: Any, inputs: Any) -> None:
    model = _model(layer, inputs)
    targets = keras.tree.map_structure(lambda y: np.ones(y.shape, "float32"), read_maps(model, inputs)[0])
    start = [keras.ops.convert_to_numpy(w).copy() for w in layer.trainable_weights]
    model.compile(keras.optimizers.SGD(0.1), loss="mse")
    model.fit(inputs, targets, epochs=3, verbose=0)
    model.predict(inputs, verbose=0)
    for weight, value in zip(layer.trainable_weights, start, strict=True):
        moved = not np.array_equal(keras.ops.convert_to_numpy(weight), value)
        _require(moved, f"three training steps leave the weight '{weight.name}' as it was.")
    kept = [name for name, value in vars(layer).items() if name not in _OF_KERAS and _holds_tensor(value)]
    _require(not kept, f"after fit and predict the layer keeps a tensor in its attribute '{', '.join(kept)}'.")


_OF_KERAS = frozenset(vars(keras.layers.Layer()))
"""Attributes that every Keras layer has, which are Keras's own business."""


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, keras.Variable):
        return False
    if isinstance(value, Mapping):
        return any(_holds_tensor(v) for v in value.values())
    if isinstance(value, list | tuple | set):
        return any(_holds_tensor(v) for v in value)
    return bool(keras.ops.is_tensor(value))
