"""The same weights and the same inputs must give the same numbers on every Keras backend.

A process has one Keras backend, so each other one runs in a process of its own: ``python -m xai_mimo.testing.backends
FOLDER`` rebuilds the layer from its config, sets the weights found in the folder, and writes what it computed.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from xai_mimo.layers.interception import read_maps

BACKENDS = ("jax", "tensorflow", "torch")


def check_backends(layer: Any, inputs: Any, *, backends: Sequence[str] = BACKENDS, tolerance: float = 1e-5) -> None:
    """Outputs, maps and gradient of a built layer are equal on these backends.

    Args:
        layer: built; its class must be importable or registered by importing its module.
        inputs: one batch of NumPy arrays in the structure that the layer takes.
        backends: Keras backends to compare with the active one, which is skipped.
        tolerance: largest difference allowed, relative to the largest magnitude of the array (or absolute below 1).
    Raises:
        AssertionError: a backend fails, or differs by more than the tolerance.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_task(folder, layer, inputs)
        others = [backend for backend in backends if backend != keras.backend.backend()]
        with contextlib.ExitStack() as running:
            processes = [running.enter_context(_start(folder, backend)) for backend in others]
            ours = compute(layer, inputs)
            for backend, process in zip(others, processes, strict=True):
                _compare(ours, _finish(folder, backend, process), backend, tolerance)


def compute(layer: Any, inputs: Any) -> dict[str, np.ndarray]:
    """Outputs, maps, and the gradient of the sum of squared outputs to each trainable weight, by name."""
    outputs, maps, _ = read_maps(layer, inputs)
    computed = {f"output {i}": value for i, value in enumerate(keras.tree.flatten(outputs))}
    computed |= {f"map {key.rsplit('/', 1)[1]}": value for key, value in maps.items()}
    gradients = weight_gradients(layer, inputs)
    return computed | {f"gradient of {w.name}": g for w, g in zip(layer.trainable_weights, gradients, strict=True)}


def weight_gradients(layer: Any, inputs: Any) -> list[np.ndarray]:
    """Gradient of the sum of squared outputs with respect to each trainable weight, on the active backend."""
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)

    def loss(outputs: Any) -> Any:
        return sum(keras.ops.sum(keras.ops.square(y)) for y in keras.tree.flatten(outputs))

    weights = layer.trainable_variables
    if keras.backend.backend() == "jax":
        import jax

        values, other = [w.value for w in weights], [w.value for w in layer.non_trainable_variables]
        gradients = jax.grad(lambda values: loss(layer.stateless_call(values, other, tensors)[0]))(values)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            value = loss(layer(tensors))
        gradients = tape.gradient(value, [w.value for w in weights])
    else:
        import torch

        gradients = torch.autograd.grad(loss(layer(tensors)), [w.value for w in weights])
    return [keras.ops.convert_to_numpy(g) for g in gradients]


def _write_task(folder: Path, layer: Any, inputs: Any) -> None:
    flat = keras.tree.flatten(inputs)
    structure = keras.tree.pack_sequence_as(inputs, list(range(len(flat))))
    task = {
        "layer": keras.saving.serialize_keras_object(layer),
        "module": type(layer).__module__,
        "inputs": structure,
    }
    (folder / "task.json").write_text(json.dumps(task), encoding="utf-8")
    np.savez(folder / "inputs.npz", *flat)
    np.savez(folder / "weights.npz", *layer.get_weights())


@contextlib.contextmanager
def _start(folder: Path, backend: str) -> Iterator[subprocess.Popen[str]]:
    """A process that answers on this backend; it does not outlive the context."""
    command = [sys.executable, "-m", "xai_mimo.testing.backends", str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": backend}
    out, err = subprocess.DEVNULL, subprocess.PIPE
    with subprocess.Popen(command, env=environment, text=True, stdout=out, stderr=err) as process:
        try:
            yield process
        finally:
            process.kill()


def _finish(folder: Path, backend: str, process: subprocess.Popen[str]) -> dict[str, np.ndarray]:
    errors = process.communicate()[1]
    if process.returncode:
        raise AssertionError(f"the layer fails on backend '{backend}':\n{errors[-2000:]}")
    with np.load(folder / f"{backend}.npz") as found:
        return dict(found)


def _compare(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], backend: str, tolerance: float) -> None:
    here = keras.backend.backend()
    if set(ours) != set(theirs):
        raise AssertionError(f"backend '{backend}' gives {sorted(theirs)}; '{here}' gives {sorted(ours)}.")
    for name, value in ours.items():
        difference = np.max(np.abs(value - theirs[name]), initial=0.0)
        allowed = tolerance * max(1.0, float(np.max(np.abs(value), initial=0.0)))
        if not difference <= allowed:
            raise AssertionError(
                f"{name} differs by {difference:.3g} between '{here}' and '{backend}'; allowed {allowed:.3g}."
            )


def _answer(folder: Path) -> None:
    task = json.loads((folder / "task.json").read_text(encoding="utf-8"))
    __import__(task["module"])  # registers the layer's class
    layer = keras.saving.deserialize_keras_object(task["layer"])
    with np.load(folder / "inputs.npz") as stored:
        arrays = [stored[name] for name in stored.files]
    inputs = keras.tree.map_structure(lambda i: arrays[i], task["inputs"])
    layer(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs))
    with np.load(folder / "weights.npz") as stored:
        layer.set_weights([stored[name] for name in stored.files])
    np.savez(folder / f"{keras.backend.backend()}.npz", allow_pickle=False, **compute(layer, inputs))


if __name__ == "__main__":
    _answer(Path(sys.argv[1]))
