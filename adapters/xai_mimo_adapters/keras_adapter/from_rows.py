"""What a Keras model does not say of itself, read off rows: the streams of a call of its own, and its first call."""

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import keras

from xai_mimo.core.batches import Batches
from xai_mimo.core.declare import declared_streams
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import ShapeMismatch
from xai_mimo.core.from_data import first_rows, is_one_per_stream, streams_from
from xai_mimo.core.streams import Stream
from xai_mimo_adapters.functions import names_for

# Parameters of a call that are no inputs.
_NO_INPUTS = ("training", "mask")


def streams_of_rows(model: Any, like: Any) -> tuple[Stream, ...]:
    """The inputs of a model as rows describe them, floats in the dtype of its weights.

    Called by the keys of a mapping, else by the parameters of the model's ``call``, else ``input_0``, ``input_1``, ....
    """
    rows = first_rows(like)
    weights = model.dtype_policy.variable_dtype
    read = streams_from(
        rows,
        parameters=names_for(model.call, rows, without=_NO_INPUTS),
        float_dtype=weights if weights in ("float32", "float64") else "float32",
    )
    # JAX has no wider integers, and three backends shall read the same.
    return tuple(replace(s, dtype="int32") if s.is_integer else s for s in read)


def build_by_rows(model: Any, like: Any, streams: Any) -> None:
    """Create the weights of a model that has none, by a call on the first rows, as its own first call would.

    Args:
        model: that is not built. like: rows, as ``explain`` takes them. streams: as declared, if they are.
    Raises:
        ShapeMismatch: the model does not take them.
    """
    rows = first_rows(like)
    named = declared_streams(streams) if streams else streams_of_rows(model, like)
    arrays = check_inputs(rows, named)
    tensors = {name: keras.ops.convert_to_tensor(values) for name, values in arrays.items()}
    try:
        _first_call(model, tensors, rows)
    except Exception as err:  # whatever its layers and the backend say; it is raised again, in words
        shapes = ", ".join(f"{name} {x.shape[1:]}" for name, x in arrays.items())
        raise ShapeMismatch(
            f"model '{model.name}' has no weights yet, and its first call does not take the rows ({shapes}): "
            f"{type(err).__name__}: {err}"
        ) from err


def _first_call(model: Any, tensors: dict[str, Any], rows: Any) -> None:
    """As the names of its parameters say, else in the form of the rows."""
    names, parameters = list(tensors), inspect.signature(model.call).parameters
    if len(names) > 1 and all(name in parameters for name in names):
        model(**tensors, training=False)
    elif len(names) > 1:
        is_list = isinstance(rows, list | tuple) and is_one_per_stream(rows)
        model(list(tensors.values()) if is_list else tensors, training=False)
    else:
        try:
            model(tensors[names[0]], training=False)
        except Exception:  # a call that looks its input up by name
            if not isinstance(rows, Mapping) or names[0] in parameters:
                raise
            model(tensors, training=False)


def named_by_rows(model: Any, like: Any) -> dict[str, tuple[int | None, ...]] | None:
    """The one input of a sequential model under the one name that the rows have; None where they have none.

    Keras makes such an input's name up, so that nobody could give a mapping.
    """
    rows = like.first if isinstance(like, Batches) else like
    if not isinstance(model, keras.Sequential) or not isinstance(rows, Mapping) or len(rows) != 1:
        return None
    return {str(name): tuple(model.inputs[0].shape[1:]) for name in rows}
