"""FLINT's networks joined into one functional graph that returns the predictor's outputs and adds the losses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import keras

from xai_mimo.layers.flint.interpreter import InterpreterHead
from xai_mimo.layers.flint.losses import EntropyPair, InputFidelity, OutputFidelity, Sparsity
from xai_mimo.layers.flint.networks import default_decoder, default_dictionary
from xai_mimo.layers.flint.predictor import Frozen, Predictor

Reconstruction = Literal["squared", "absolute"]


@dataclass(frozen=True)
class Networks:
    """What a user may replace; None stands for the default, a decoder of False for none."""

    dictionary: Any
    interpreter: Any
    decoder: Any
    activation: Any
    standardise: bool
    seed: int | None


@dataclass(frozen=True)
class Graph:
    """The joined networks. A plain object, so that Keras does not track its parts a second time.

    Attributes:
        inputs: symbolic, in the predictor's structure.
        outputs: the predictor's, as it packs them, behind the terms.
        attributes: phi ``(batch, J)``. scores: ``{head: (batch, units)}``, unnormalised.
        terms: of the loss, by name; "fidelity_<head>" for each head.
        reader: functional model inputs -> ``{"outputs": [...], "attributes": ..., "scores": {...}}``.
        encoder: functional model inputs -> attributes.
        generator: functional model attributes -> a list of reconstructions; None without a decoder.
    """

    predictor: Predictor
    dictionary: Any
    interpreter: Any
    decoder: Any
    inputs: Any
    outputs: Any
    attributes: Any
    scores: dict[str, Any]
    terms: dict[str, Any]
    reader: keras.Model
    encoder: keras.Model
    generator: keras.Model | None


def assemble(
    predictor: Predictor, networks: Networks, num_attributes: int, reconstruction: Reconstruction, *, frozen: bool
) -> Graph:
    """Join predictor, dictionary, interpreter head and decoder.

    The terms hang on the predictor's outputs, which pass through them untouched, so that the interpreter's own path
    holds nothing but itself. Their weights are set later.

    Args:
        predictor: as read.
        networks: the user's, or the defaults.
        num_attributes: J.
        reconstruction: error of L_if.
        frozen: run the predictor in inference mode and keep gradients from it.
    Raises:
        ValueError: a network of the user does not fit.
    """
    inputs = predictor.inputs()
    trunk = Frozen(predictor.trunk, name="flint_frozen") if frozen else predictor.trunk
    traced = trunk(inputs)
    taps = list(traced["taps"])
    dictionary = networks.dictionary
    if dictionary is None:
        shapes = [tuple(tap.shape) for tap in taps]
        dictionary = default_dictionary(
            shapes,
            num_attributes,
            activation=networks.activation,
            standardise=networks.standardise,
            seed=networks.seed,
        )
    attributes = dictionary(taps[0] if len(taps) == 1 else taps)
    _check_shapes("dictionary", [attributes], [(num_attributes,)])
    interpreter = networks.interpreter or InterpreterHead(predictor.units, seed=networks.seed, name="interpreter")
    if not isinstance(interpreter, InterpreterHead) or interpreter.heads != predictor.units:
        raise ValueError(
            f"Expected `interpreter` to be an InterpreterHead({predictor.units}). Received: interpreter="
            f"{interpreter.heads if isinstance(interpreter, InterpreterHead) else type(interpreter).__name__}. "
            "Relevances have their closed form for a linear head only."
        )
    by_head = interpreter(attributes)
    scores = {head: by_head[head] for head in predictor.units}  # some backends sort the keys of what a layer returns
    decoder, rebuilt = _decode(networks, attributes, keras.tree.flatten(inputs))
    terms = _terms(predictor, reconstruction if rebuilt else None)
    outputs = _charge(predictor, terms, list(traced["heads"]), attributes, scores, keras.tree.flatten(inputs), rebuilt)
    return Graph(
        predictor,
        dictionary,
        interpreter,
        decoder,
        inputs,
        outputs,
        attributes,
        scores,
        terms,
        keras.Model(inputs, {"outputs": list(traced["heads"]), "attributes": attributes, "scores": scores}),
        keras.Model(inputs, attributes),
        _generator(decoder, attributes),
    )


def _generator(decoder: Any, attributes: Any) -> keras.Model | None:
    if decoder is False:
        return None
    symbols = keras.Input(attributes.shape[1:], dtype=attributes.dtype)
    return keras.Model(symbols, keras.tree.flatten(decoder(symbols)))


def _decode(networks: Networks, attributes: Any, inputs: list[Any]) -> tuple[Any, list[Any]]:
    """The decoder and its reconstructions of the inputs."""
    if networks.decoder is False:
        return False, []
    shapes = [tuple(t.shape) for t in inputs]
    decoder = networks.decoder
    if decoder is None:
        for tensor, shape in zip(inputs, shapes, strict=True):
            if None in shape[1:] or not keras.backend.is_float_dtype(tensor.dtype):
                raise ValueError(
                    "Expected inputs of numbers and of fixed lengths, which can be reconstructed. Received: input "
                    f"'{tensor.name}' of shape {shape} and dtype {tensor.dtype}. Give your own `decoder`, or "
                    "decoder=False to train without reconstruction."
                )
        decoder = default_decoder(shapes, attributes.shape[-1], seed=networks.seed)
    rebuilt = keras.tree.flatten(decoder(attributes))
    _check_shapes("decoder", rebuilt, [shape[1:] for shape in shapes])
    return decoder, rebuilt


def _terms(predictor: Predictor, reconstruction: Reconstruction | None) -> dict[str, Any]:
    """The layers that add the losses, in the order in which the first output passes through them."""
    terms: dict[str, Any] = {"sparsity": Sparsity(name="flint_sparsity"), "entropy": EntropyPair(name="flint_entropy")}
    if reconstruction is not None:
        terms["reconstruction"] = InputFidelity(reconstruction, name="flint_reconstruction")
    for head in predictor.heads:
        term = f"fidelity_{head.name}"
        # Keras names an output without a key by its layer; one with a key may be called like an input (forecasts).
        name = term if predictor.pack == "by name" else head.name
        terms[term] = OutputFidelity(head.kind, head.units, head.activation, head.from_logits, name=name)
    return terms


def _charge(
    predictor: Predictor,
    terms: Mapping[str, Any],
    outputs: list[Any],
    attributes: Any,
    scores: Mapping[str, Any],
    inputs: list[Any],
    rebuilt: list[Any],
) -> Any:
    """The predictor's outputs behind the terms, in its own structure."""
    first = terms["entropy"]([terms["sparsity"]([outputs[0], attributes]), attributes])
    if rebuilt:
        first = terms["reconstruction"]([first, *inputs, *rebuilt])
    passed = {
        head.name: terms[f"fidelity_{head.name}"]([output, scores[head.name]])
        for head, output in zip(predictor.heads, [first, *outputs[1:]], strict=True)
    }
    if predictor.pack == "by name":
        return passed
    return next(iter(passed.values())) if predictor.pack == "one" else list(passed.values())


def _check_shapes(name: str, tensors: list[Any], wanted: list[tuple[int | None, ...]]) -> None:
    shapes = [tuple(getattr(t, "shape", ())[1:]) for t in tensors]
    if shapes != [tuple(shape) for shape in wanted]:
        raise ValueError(
            f"Expected `{name}` to give tensors of shapes {wanted} behind the batch axis. Received: {shapes}"
        )
