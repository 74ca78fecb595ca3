"""What FLINT has to know of a predictor: its heads, the tensors that are tapped, and one network that gives both."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from xai_mimo.core.head_kinds import HEAD_KINDS, activation_name, head_nature, losses_of_heads
from xai_mimo.core.streams import HeadKind
from xai_mimo.layers.keras_graph import calls_of, functional_core, named_outputs


@dataclass(frozen=True)
class PredictorHead:
    """A head of the predictor.

    Attributes:
        name: key of the mapping it returns, else name of the layer that makes it.
        units: of the head.
        kind: decides how the interpreter is measured against it.
        from_logits: whether its outputs are unnormalised: a told kind without a softmax, sigmoid or loss that says
            otherwise. False for quantities.
        activation: of the layer that makes it.
    """

    name: str
    units: int
    kind: HeadKind
    from_logits: bool
    activation: Any


@dataclass(frozen=True)
class Predictor:
    """A functional model, read.

    Attributes:
        model: as it was given.
        heads: in the order in which they are declared.
        trunk: inputs -> ``{"heads": [...], "taps": [...]}``; its layers are the model's own.
        pack: "one", "by name" or "in order": how the model returns its heads.
    """

    model: keras.Model
    heads: tuple[PredictorHead, ...]
    trunk: keras.Model
    pack: str

    @property
    def units(self) -> dict[str, int]:
        """Units by name of the heads."""
        return {head.name: head.units for head in self.heads}

    def inputs(self) -> Any:
        """New symbolic inputs, in the structure and with the names of the model's."""
        return keras.tree.map_structure(
            lambda t: keras.Input(t.shape[1:], dtype=t.dtype, name=t.name), _core(self.model).input
        )


@keras.saving.register_keras_serializable(package="xai_mimo")
class Frozen(keras.layers.Layer):
    """A network in inference mode whatever the mode of the model around it; no gradient reaches it in training.

    At inference gradients pass, so that inputs can be explained and changed. A ``training=False`` given to a nested
    functional model does not do: the outer model's mode overrides it.
    """

    def __init__(self, network: keras.Model, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.network = network

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """What the network gives."""
        outputs = self.network(inputs, training=False)
        return keras.tree.map_structure(keras.ops.stop_gradient, outputs) if training else outputs

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {**super().get_config(), "network": keras.saving.serialize_keras_object(self.network)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "Frozen":
        """Make the layer again, with a network of its own, which nobody trains."""
        network = keras.saving.deserialize_keras_object(copy.deepcopy(config["network"]), custom_objects)
        network.trainable = False
        return cls(**{**config, "network": network})


def read_predictor(model: Any, taps: Sequence[str], kinds: str | Mapping[str, str] | None) -> Predictor:
    """Read a predictor's heads and find the layers to tap.

    Args:
        model: functional or sequential.
        taps: names of layers.
        kinds: of the heads that cannot be read off: of all by name, or one for a single head.
    Raises:
        ValueError: the model is not functional, a layer does not exist, gives several tensors or is called several
            times, a head is no ``(batch, units)``, or its kind cannot be told.
    """
    core = _core(model)
    if isinstance(taps, str) or not taps or len(set(taps)) < len(taps):
        raise ValueError(f"Expected `taps` to be a list of names of layers, each once. Received: taps={taps!r}")
    tapped = [_tapped(core, name) for name in taps]
    named = _checked_outputs(core)
    named_kinds = _kinds(kinds, list(named))
    losses = losses_of_heads(getattr(model, "loss", None), list(named))
    heads = tuple(_head(name, tensor, named_kinds.get(name), losses.get(name)) for name, tensor in named.items())
    outputs = {"heads": list(named.values()), "taps": tapped}
    pack = "by name" if isinstance(core.output, Mapping) else "in order" if len(named) > 1 else "one"
    return Predictor(model, heads, keras.Model(core.input, outputs, name="flint_predictor"), pack)


def _core(model: Any) -> Any:
    """The functional model behind a functional or sequential model."""
    core = functional_core(model)
    if core is None:
        raise ValueError(
            "Expected `predictor` to be a built functional or sequential Keras model, whose layers can be tapped. "
            f"Received: predictor={type(model).__name__}. Build it as keras.Model(inputs, outputs)."
        )
    return core


def _tapped(core: Any, name: str) -> Any:
    nodes = calls_of(core, name)
    if not nodes:
        names = [operation.name for operation in core.operations if not isinstance(operation, keras.layers.InputLayer)]
        raise ValueError(f"Expected `taps` to name layers of '{core.name}': {', '.join(names)}. Received: '{name}'")
    if len(nodes) > 1 or len(nodes[0].outputs) > 1:
        many = f"is called {len(nodes)} times" if len(nodes) > 1 else f"gives {len(nodes[0].outputs)} tensors"
        raise ValueError(
            f"Expected `taps` to name layers that are called once and give one tensor. Received: '{name}', which {many}"
        )
    return nodes[0].outputs[0]


def _checked_outputs(core: Any) -> dict[str, Any]:
    """Output tensors by name, all of them ``(batch, units)``."""
    named = named_outputs(core)
    for name, tensor in named.items():
        shape: tuple[int | None, ...] = tuple(getattr(tensor, "shape", ()))
        if len(shape) != 2 or shape[-1] is None:
            raise ValueError(
                f"Expected heads of shape (batch, units). Received: head '{name}' of shape {shape or tensor}"
            )
    return named


def _kinds(kinds: str | Mapping[str, str] | None, heads: list[str]) -> dict[str, Any]:
    named: Any = {heads[0]: kinds} if isinstance(kinds, str) and len(heads) == 1 else kinds or {}
    fits = isinstance(named, Mapping) and set(named) <= set(heads) and set(named.values()) <= set(HEAD_KINDS)
    if not fits:
        raise ValueError(
            f"Expected `kinds` to give heads of {heads} one of {', '.join(map(repr, HEAD_KINDS))}. "
            f"Received: kinds={kinds!r}"
        )
    return dict(named)


def _head(name: str, tensor: Any, named_kind: Any, loss: Any) -> PredictorHead:
    operation, units = tensor._keras_history.operation, int(tensor.shape[-1])
    nature = head_nature(activation_name(operation), units, loss)
    kind = named_kind or (None if nature is None else nature.kind)
    if kind is None:
        raise ValueError(
            f"Expected to know what head '{name}' is: it ends in no softmax or sigmoid, and no loss was compiled that "
            f"tells. Give `kinds={{'{name}': ...}}`, one of {', '.join(map(repr, HEAD_KINDS))}; classes are then "
            "taken to be logits."
        )
    if (kind == "binary" and units > 1) or (kind == "multiclass" and units == 1):
        raise ValueError(
            f"Expected a {kind} head of {'1 unit' if units > 1 else '2 units or more'}. Received: "
            f"head '{name}' with {units}"
        )
    normalised = nature is not None and nature.values == "probability"
    activation = getattr(operation, "activation", None)
    return PredictorHead(name, units, kind, kind != "regression" and not normalised, activation)
