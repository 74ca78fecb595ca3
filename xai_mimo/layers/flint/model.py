"""FLINT: a second, small network that decides like the predictor and says why in attributes learned beside it."""

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import xarray as xr

from xai_mimo.layers.flint import maximisation, summary
from xai_mimo.layers.flint.graph import Graph, Networks, Reconstruction, assemble
from xai_mimo.layers.flint.predictor import read_predictor
from xai_mimo.layers.flint.schedule import (
    DEFAULT_WEIGHTS,
    FlintSchedule,
    Weights,
    check_weights,
    is_weight,
    read_schedule,
)
from xai_mimo.layers.heads import check_count


@keras.saving.register_keras_serializable(package="xai_mimo")
class FLINT(keras.Model):
    """A predictor f with an interpreter g = h(Phi(x)) over attributes that are learned from tapped layers of f.

        Phi(x) = Psi(f_I(x)) = (phi_1, ..., phi_J) >= 0        attribute dictionary, from the tapped layers I
        s(x)   = W^T Phi(x) + b                                interpreter head, one W and b for each head of f
        x'     = d(Phi(x))                                     decoder
        L = L_pred + beta L_of + gamma L_if + delta (entropy pair) + delta eta (L1)

    A FLINT is called, compiled, fitted and saved like its predictor, and returns the predictor's outputs, bit by bit.

    By design, f and g are trained together: ``compile`` takes the predictor's losses as usual. Post hoc, f is a given:
    it runs in inference mode, no weight and no state of it changes, and ``compile("adam")`` with ``fit(x)`` are enough.
    The layers are the predictor's own: training by design trains the predictor that was given.

    What is the paper's and what is ours. Paper: the objective, relevance, both modes. Its code: means instead of sums,
    the mini-batch for the training set, bias and dropout of h, the phases, and in L_of the detached outputs of f as the
    target, where the printed formula has g as the target, and fails. Ours: several heads over one dictionary, L_of of
    heads that are no single choice (``losses.output_fidelity``), default networks for other shapes, ReLU, and post hoc
    attributes that are standardised before it. Without that many die in the first epochs, of reconstruction alone; how
    many, and with them fidelity, is luck. By design they can die as well: ``standardise=True`` mends it there, and the
    leaky ReLU of the authors' code for MNIST does, at the price of attributes below 0.

    Faithfulness of g to f is encouraged, not guaranteed: read ``agrees`` and ``fidelity`` beside every explanation.

    Args:
        predictor: functional or sequential model whose heads are ``(batch, units)``.
        taps: names of the layers to read; late convolutional stages are usual. A layer behind dropout is read with it,
            which costs fidelity of quantities.
        num_attributes: J, of the dictionary; the paper has 24 to 36 for 10 classes.
        dictionary: Psi, a layer or model: the tapped tensors (a list where there are several) -> ``(batch, J)``. The
            default fits vectors, sequences and images, see ``default_dictionary``.
        interpreter: h, an ``InterpreterHead`` of the predictor's heads, for settings of its own.
        decoder: d, a layer or model: ``(batch, J)`` -> the predictor's inputs. ``False`` does without it and without
            L_if, as inputs of integers or of unknown length need. Default see ``default_decoder``.
        kinds: "multiclass", "multilabel", "binary" or "regression" of heads where neither the last activation nor the
            compiled loss of the predictor tells; by name, or one for a single head. Classes are then logits.
        weights: of the terms, merged into ``{"fidelity": beta = 0.5, "reconstruction": gamma = 0.8, "entropy": delta =
            0.2, "sparsity": delta * eta = 0.1}``.
        head_weights: factors of the heads' L_of; default 1. Quantities are measured in standard deviations of f, so
            that their unit needs no factor; but h starts at numbers of order one, and so should they. Above 1 with
            care: by design L_of moves the tapped layers, and a large factor costs f its own answers.
        schedule: when each term begins, see ``FlintSchedule``; None for constant weights.
        reconstruction_loss: "squared" or "absolute"; the authors have the latter for CIFAR-10.
        attribute_activation: of the default dictionary. The authors' for MNIST is leaky ReLU, slightly negative.
        standardise: the default dictionary's attributes before their activation, see ``Standardised``; ours. None is
            True post hoc, and False by design, as the authors have it.
        post_hoc: leave the predictor as it is.
        seed: of the initial weights of the default networks, and of h's dropout.

    Raises:
        ValueError: an argument does not fit the predictor; the text says how.

    Source: J. Parekh, P. Mozharovskyi and F. d'Alche-Buc (2021), "A Framework to Learn with Interpretation", NeurIPS
    34; read through its abstract, figures and official code.
    """

    reference = "parekh2021flint"
    _frozen: frozenset[int] = frozenset()

    def __init__(
        self,
        predictor: keras.Model,
        taps: Sequence[str],
        num_attributes: int,
        *,
        dictionary: Any = None,
        interpreter: Any = None,
        decoder: Any = None,
        kinds: str | Mapping[str, str] | None = None,
        weights: Mapping[str, float] | None = None,
        head_weights: Mapping[str, float] | None = None,
        schedule: str | Mapping[int, Mapping[str, float]] | None = "phases",
        reconstruction_loss: Reconstruction = "squared",
        attribute_activation: Any = "relu",
        standardise: bool | None = None,
        post_hoc: bool = False,
        seed: int | None = None,
        name: str = "flint",
    ) -> None:
        check_count(num_attributes, "`num_attributes`", f"num_attributes={num_attributes}")
        if reconstruction_loss not in ("squared", "absolute"):
            raise ValueError(
                "Expected `reconstruction_loss` to be one of 'squared', 'absolute'. "
                f"Received: reconstruction_loss={reconstruction_loss!r}"
            )
        final = {**DEFAULT_WEIGHTS, **check_weights(weights or {})}
        read, phases = read_predictor(predictor, taps, kinds), read_schedule(schedule)
        factors = _factors(head_weights or {}, list(read.units))
        standardised = post_hoc if standardise is None else standardise
        networks = Networks(dictionary, interpreter, decoder, attribute_activation, standardised, seed)
        graph = assemble(read, networks, int(num_attributes), reconstruction_loss, frozen=post_hoc)
        super().__init__(inputs=graph.inputs, outputs=graph.outputs, name=name)
        self.networks: Graph = graph
        self.post_hoc = post_hoc
        self.schedule = phases
        self.final_weights = final
        self.head_weights = factors
        self.reconstruction_loss = reconstruction_loss
        self._taps = tuple(taps)
        self._frozen = frozenset(id(v) for v in predictor.variables) if post_hoc else frozenset()
        self.set_term_weights(final)

    @property
    def trainable_variables(self) -> list[Any]:
        """Without the predictor's after the fact."""
        return [v for v in super().trainable_variables if id(v) not in self._frozen]

    @property
    def non_trainable_variables(self) -> list[Any]:
        """With the predictor's after the fact."""
        trained = {id(v) for v in self.trainable_variables}
        return [v for v in self.variables if id(v) not in trained]

    @property
    def trainable_weights(self) -> list[Any]:
        """Without the predictor's after the fact."""
        return [v for v in super().trainable_weights if id(v) not in self._frozen]

    @property
    def non_trainable_weights(self) -> list[Any]:
        """With the predictor's after the fact."""
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]

    def fit(self, *args: Any, callbacks: Any = None, **settings: Any) -> Any:
        """As ``keras.Model.fit``, with the model's ``schedule`` as a callback unless one is among ``callbacks``.

        Raises:
            ValueError: by design, and the model was compiled without the predictor's losses.
        """
        if self.compiled and self.loss is None and not self.post_hoc:
            raise ValueError(
                "Expected `compile` with `loss`, the losses that the predictor is trained with. Received: loss=None. "
                "To explain a trained predictor without changing it, make the model with post_hoc=True."
            )
        chosen = [] if callbacks is None else keras.tree.flatten(callbacks)
        if not any(isinstance(callback, FlintSchedule) for callback in chosen):
            chosen = [FlintSchedule(self.schedule), *chosen]
        return super().fit(*args, callbacks=chosen, **settings)

    def set_term_weights(self, weights: Mapping[str, float]) -> None:
        """Set weights of the terms now; those that are not named stay. Nothing is compiled again."""
        checked = check_weights(weights)
        for name, term in self.networks.terms.items():
            kind, _, head = name.partition("_")
            if kind in checked:
                term.weight.assign(checked[kind] * self.head_weights.get(head, 1.0))

    def term_weights(self) -> Weights:
        """The weights of the terms now; "fidelity_<head>" is beta times the head's factor."""
        return {name: float(keras.ops.convert_to_numpy(term.weight)) for name, term in self.networks.terms.items()}

    def take_term_means(self) -> dict[str, float]:
        """Mean of each term over the training steps since this was last asked, before weighting."""
        return {name: term.take_mean() for name, term in self.networks.terms.items()}

    def interpreter(self) -> keras.Model:
        """g as a functional model: inputs -> ``{head: unnormalised scores}``, with the weights of this model.

        It can be cut at its layer "interpreter", whose stream is "attributes". It is compiled with losses that tell
        what its heads are, for adapters and for ``evaluate``; give labels as ``{head: values}``.
        """
        interpreter = keras.Model(self.networks.inputs, self.networks.scores, name=f"{self.name}_interpreter")
        losses: dict[str, Any] = {
            "multiclass": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "regression": keras.losses.MeanSquaredError(),
        }
        several = keras.losses.BinaryCrossentropy(from_logits=True)
        interpreter.compile(loss={head.name: losses.get(head.kind, several) for head in self.networks.predictor.heads})
        return interpreter

    def interpret(
        self,
        x: Any,
        *,
        threshold: float = summary.THRESHOLD,
        taus: Sequence[float] = summary.TAUS,
        tolerance: float = summary.TOLERANCE,
        batch_size: int = 256,
    ) -> xr.Dataset:
        """Relevance of the attributes per row and per class, and how far they speak of f.

        Args, result and errors are described at ``summary.interpret``.
        """
        return summary.interpret(
            self.networks, x, threshold=threshold, taus=taus, tolerance=tolerance, batch_size=batch_size
        )

    def reconstruct(self, x: Any, *, without: Sequence[int] = (), batch_size: int = 256) -> Any:
        """d(Phi(x)) with some attributes set to zero, in the structure of the inputs, as NumPy arrays.

        What an attribute stands for is what goes missing without it.

        Args:
            x: inputs.
            without: numbers of the attributes to switch off.
        Raises:
            ValueError: there is no decoder or no such attribute.
        """
        return summary.reconstruct(self.networks, x, without=without, batch_size=batch_size)

    def maximise(
        self, x: Any, attributes: Sequence[int], recipe: maximisation.Maximisation | None = None
    ) -> maximisation.Maximised:
        """Change samples so that one attribute of each grows: what does it detect? See ``maximisation.maximise``.

        Args:
            x: samples, such as those of ``maximum_activating_samples``.
            attributes: number of the attribute of each row.
            recipe: settings; default the authors' for MNIST, with clipping.
        """
        return maximisation.maximise(self.networks.encoder, x, attributes, recipe or maximisation.Maximisation())

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values; the networks as Keras serialises them."""
        graph, serialize = self.networks, keras.saving.serialize_keras_object
        return {
            "predictor": serialize(graph.predictor.model),
            "taps": list(self._taps),
            "num_attributes": int(graph.attributes.shape[-1]),
            "dictionary": serialize(graph.dictionary),
            "interpreter": serialize(graph.interpreter),
            "decoder": graph.decoder and serialize(graph.decoder),
            "kinds": {head.name: head.kind for head in graph.predictor.heads},
            "weights": dict(self.final_weights),
            "head_weights": dict(self.head_weights),
            "schedule": self.schedule if isinstance(self.schedule, str) else self.schedule and dict(self.schedule),
            "reconstruction_loss": self.reconstruction_loss,
            "post_hoc": self.post_hoc,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Any = None) -> "FLINT":
        """Make the model again, with networks of its own; what is given stays, where Keras takes it apart in place."""
        revived = copy.deepcopy(dict(config))
        for name in ("predictor", "dictionary", "interpreter", "decoder"):
            if revived[name]:
                revived[name] = keras.saving.deserialize_keras_object(revived[name], custom_objects)
        return cls(**revived)


def _factors(head_weights: Mapping[str, float], heads: Sequence[str]) -> dict[str, float]:
    """The factor of each head's fidelity.

    Raises:
        ValueError: no such head, or a factor that is negative or not finite.
    """
    for head, factor in head_weights.items():
        if head not in heads or not is_weight(factor):
            raise ValueError(
                f"Expected `head_weights` to give finite numbers of 0 or more for heads of {list(heads)}. "
                f"Received: {head}={factor!r}"
            )
    return {head: float(head_weights.get(head, 1.0)) for head in heads}
