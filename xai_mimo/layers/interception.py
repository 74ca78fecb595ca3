"""Read what layers sow, of one batch, and find the layer that was meant."""

import contextlib
from collections.abc import Collection, Mapping
from typing import Any

from xai_mimo.core.cut import layers_called

# ``sow`` and ``collect`` were imported from here before they had a file of their own; layers of others still do.
from xai_mimo.sowing import MapLabels as MapLabels
from xai_mimo.sowing import collect as collect
from xai_mimo.sowing import is_collecting as is_collecting
from xai_mimo.sowing import sow as sow


def read_maps(
    model: Any, inputs: Any, *, names: Collection[str] | None = None
) -> tuple[Any, dict[str, Any], dict[str, MapLabels]]:
    """Run a Keras model or layer once, in inference mode and without gradients, and read what its layers sow.

    For one batch; ``xai_mimo.intercept`` reads any number of rows with one compiled function.

    Args:
        model: Keras model or layer, whether or not its ``call`` takes ``training``.
        inputs: one batch, as the model takes it.
        names: of the maps, see ``collect``.
    Returns:
        outputs in the model's structure, maps and the meaning of their axes, both by ``"<layer path>/<map name>"``; all
        values are NumPy arrays.
    """
    import keras

    labels: dict[str, MapLabels] = {}
    tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    with _without_gradients():
        if not model.built:  # Keras builds by calling on symbols, and those must not be collected
            model(tensors, training=False)
        with collect(labels, names=names) as maps:
            outputs = model(tensors, training=False)
    arrays = {key: keras.ops.convert_to_numpy(value) for key, value in maps.items()}
    return keras.tree.map_structure(keras.ops.convert_to_numpy, outputs), arrays, labels


def _without_gradients() -> contextlib.AbstractContextManager[None]:
    import keras

    if keras.backend.backend() != "torch":
        return contextlib.nullcontext()
    import torch

    without_gradients: contextlib.AbstractContextManager[None] = torch.no_grad()
    return without_gradients


def layer_path(labels: Mapping[str, MapLabels], layer: str | None, model: Any, *, kind: str, sows: str) -> str:
    """Path of the one layer of a kind that a model holds, or of the one that was named.

    Args:
        labels: of all that the model sowed.
        layer: name or path; None where the model holds one such layer only.
        model: for the error text.
        kind: class of the layer, for the error text. sows: name of a map that this kind alone sows.
    Raises:
        ValueError: no layer fits, or several do.
    """
    paths = [label.layer for label in labels.values() if label.name == sows]
    fits = paths if layer is None else layers_called(layer, paths)
    if len(fits) != 1:
        expected = f"one {kind}" if layer is None else f"one {kind} called '{layer}'"
        mend = " Name one with `layer`." if len(fits) > 1 else ""
        raise ValueError(
            f"Expected model '{model.name}' to hold {expected}. Received: a model that holds {paths}.{mend}"
        )
    return fits[0]
