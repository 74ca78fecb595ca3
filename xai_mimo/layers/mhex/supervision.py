"""Deep supervision: every MHEX head inside a network is trained towards the labels of the network's outputs."""

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from xai_mimo.core.cut import last_name
from xai_mimo.core.head_kinds import HEAD_KINDS, activation_name, head_nature, losses_of_heads
from xai_mimo.core.streams import HeadKind, pair_names
from xai_mimo.layers.keras_graph import functional_core, named_outputs
from xai_mimo.layers.mhex.head import MHEXHead
from xai_mimo.sowing import MapLabels, collect


class Supervised(NamedTuple):
    """What a network gives in training.

    Attributes:
        outputs: of the network.
        logits: of its heads, ``{path of the head's layer: {output: (batch, units)}}``.
    """

    outputs: Any
    logits: dict[str, dict[str, Any]]


@keras.saving.register_keras_serializable(package="xai_mimo")
class DeepSupervision(keras.Model):
    """A network that holds MHEX heads, trained with a loss for each of them.

        L = L_main + sum over outputs h and blocks l of lambda_hl L(y_h, logits_hl)
        lambda_hl = weight_h * block_weight_l / (sum of the block weights)

    ``compile``, ``fit``, losses and metrics are those of the network. In inference (``predict``, ``evaluate``,
    ``model(x)``) this *is* the network, to the bit: the loss of ``evaluate`` is the main one alone, and not to be
    compared with that of training.

    Losses of the heads, on logits, by the kind of output: "multiclass", cross-entropy over softmax (labels are class
    numbers, or a column per class); "binary" and "multilabel", cross-entropy over sigmoid, mean over units;
    "regression", mean squared error. Sample weights count as in the main loss; ``loss_weights`` do not.

    Args:
        network: holds ``MHEXHead`` layers whose heads are named like its outputs, or are as many, in the same order.
        kinds: what each output is, ``{output: kind}``, or one word for all. By default it is read off the activation of
            the layer that makes the output, softmax or sigmoid; else off the loss that the network was compiled with,
            or that this model is (``core.head_kinds``).
        weight: of each output, shared out over the blocks: one number for all, or ``{output: number}``, 0 for those not
            named. 0.5 is our choice; the paper's weights are not known. With 0 the class kernels are not trained.
        block_weights: ``{name or path of a head's layer: number}``; 1 for those not named.

    Raises:
        ValueError: an argument is outside what is said here; from ``compile``, a kind has to be told.

    Source: B. Sun and P. Liò (2025), arXiv:2501.01311, as publicly described ("Deep Supervision"). That the losses are
    added, and with which weights, is our reading.
    """

    def __init__(
        self,
        network: keras.Model,
        kinds: str | Mapping[str, str] | None = None,
        weight: float | Mapping[str, float] = 0.5,
        block_weights: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        blocks = [layer for layer in network._flatten_layers() if isinstance(layer, MHEXHead)]
        if not blocks:
            raise ValueError(f"Expected a network that holds MHEXHead layers. Received: '{network.name}', without one")
        self.network = network
        self.heads = dict(blocks[0].heads)
        self.outputs_of = match_heads(self.heads, list(named_outputs(network)))
        if any(layer.heads != self.heads for layer in blocks):
            raise ValueError(
                f"Expected the same heads in all blocks. Received: {[dict(layer.heads) for layer in blocks]}"
            )
        outputs = list(self.outputs_of.values())
        if isinstance(kinds, Mapping) and not set(kinds) <= set(self.output_names):
            raise ValueError(f"Expected `kinds` for outputs out of {self.output_names}. Received: kinds={dict(kinds)}")
        self.kinds = {**self._read_kinds(network), **_named_kinds(kinds, outputs)}
        self.weight = _weights(weight, outputs, "weight", otherwise=0.0)
        names = [layer.name for layer in blocks]
        by_name = {last_name(key): value for key, value in (block_weights or {}).items()}
        self.block_weights = _weights(by_name, names, "block_weights", otherwise=1.0)
        core = functional_core(network)
        if core is not None:  # it has no weights of its own
            self.build(core.input_shape)
        self.built = network.built

    @property
    def output_names(self) -> list[str]:
        """Names of the network's outputs, so that losses can be given by name."""
        return list(named_outputs(self.network)) or list(self.heads)

    def inference(self) -> keras.Model:
        """The network alone, with the weights that training gave it: to predict with, to save and to explain."""
        return self.network

    def compile(self, *args: Any, **settings: Any) -> None:
        """As ``keras.Model.compile``; kinds that are not known yet are read off the losses."""
        super().compile(*args, **settings)
        self.kinds = {**self._read_kinds(self), **self.kinds}
        unknown = [name for name in self.outputs_of.values() if name not in self.kinds]
        if unknown:
            raise ValueError(
                f"Expected to know what output '{unknown[0]}' is: it ends in no softmax or sigmoid, and its loss does "
                f"not tell. Give `kinds={{'{unknown[0]}': ...}}`, one of {', '.join(map(repr, HEAD_KINDS))}. "
                f"Received: loss={self.loss!r}"
            )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """As ``keras.Model.compile_from_config``, which leaves models with a ``compile`` of their own uncompiled."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The network's outputs; in training ``Supervised``."""
        if not training:
            return self.network(inputs, training=False)
        labels: dict[str, MapLabels] = {}
        with collect(labels, names=("logits",)) as maps:
            outputs = self.network(inputs, training=True)
        return Supervised(outputs, {labels[key].layer: self._by_output(values) for key, values in maps.items()})

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """The main loss; in training with those of the heads."""
        if not isinstance(y_pred, Supervised):
            return super().compute_loss(x, y, y_pred, sample_weight, training)
        loss = super().compute_loss(x, y, y_pred.outputs, sample_weight, training)
        return loss + self._supervision(y, y_pred.logits, sample_weight)

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        """Metrics of the network's outputs."""
        return super().compute_metrics(
            x, y, y_pred.outputs if isinstance(y_pred, Supervised) else y_pred, sample_weight
        )

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {
            **super().get_config(),
            "network": keras.saving.serialize_keras_object(self.network),
            "kinds": dict(self.kinds),
            "weight": dict(self.weight),
            "block_weights": dict(self.block_weights),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "DeepSupervision":
        """Rebuild the network first; what is given stays as it is, where Keras takes models apart in place."""
        revived = copy.deepcopy(config)
        network = keras.saving.deserialize_keras_object(revived.pop("network"), custom_objects=custom_objects)
        return cls(network, **revived)

    def _read_kinds(self, compiled: keras.Model) -> dict[str, HeadKind]:
        units = {self.outputs_of[head]: width for head, width in self.heads.items()}
        return kinds_read_off(self.network, units, getattr(compiled, "loss", None))

    def _by_output(self, logits: Any) -> dict[str, Any]:
        ends = np.cumsum(list(self.heads.values())).tolist()
        return {
            self.outputs_of[head]: logits[:, end - width : end]
            for (head, width), end in zip(self.heads.items(), ends, strict=True)
        }

    def _supervision(self, y: Any, logits: Mapping[str, Mapping[str, Any]], sample_weight: Any) -> Any:
        """Sum over blocks and outputs of their weighted losses."""
        weights = {path: self.block_weights[last_name(path).split("@")[0]] for path in logits}
        total, whole = 0.0, sum(weights.values()) or 1.0
        for path, outputs in logits.items():
            for name, values in outputs.items():
                labels, rows = self._of_output(y, name, "labels"), self._of_output(sample_weight, name, "weights")
                loss = _loss(self.kinds[name], labels, values)(labels, values, sample_weight=rows)
                total = total + self.weight[name] * weights[path] / whole * loss
        return total

    def _of_output(self, values: Any, name: str, what: str) -> Any:
        """The labels or sample weights of one output, in whatever structure they came."""
        if isinstance(values, Mapping) and name in values:
            return values[name]
        if isinstance(values, list | tuple) and len(values) == len(self.output_names):
            return values[self.output_names.index(name)]
        nested = isinstance(values, Mapping | list | tuple) or (values is None and what == "labels")
        if nested or (what == "labels" and len(self.output_names) > 1):
            raise ValueError(
                f"Expected {what} for the outputs {self.output_names}, by name or in this order. Received: "
                f"{list(values) if isinstance(values, Mapping) else type(values).__name__}"
            )
        return values


def match_heads(heads: Mapping[str, int], outputs: list[str]) -> dict[str, str]:
    """The output that each head is for: by name, or by order where no name agrees; itself where outputs have no names.

    Raises:
        ValueError: some names agree and some do not, or there are not as many.
    """
    pairs = pair_names(list(heads), outputs or list(heads))
    if pairs is None:
        raise ValueError(f"Expected heads named like the network's outputs {outputs}. Received: heads={list(heads)}")
    return pairs


def kinds_read_off(model: Any, units: Mapping[str, int], losses: Any) -> dict[str, HeadKind]:
    """The kinds of those outputs whose activation or loss tells.

    Args:
        model: whose graph is looked at, where it has one.
        units: by name of the outputs.
        losses: as a model was compiled with.
    """
    activations = {
        name: activation_name(tensor._keras_history.operation) for name, tensor in named_outputs(model).items()
    }
    by_output = losses_of_heads(losses, list(units))
    natures = {name: head_nature(activations.get(name, ""), n, by_output.get(name)) for name, n in units.items()}
    return {name: nature.kind for name, nature in natures.items() if nature is not None}


def _named_kinds(kinds: str | Mapping[str, str] | None, outputs: list[str]) -> dict[str, Any]:
    """The kinds that the user gave."""
    named = dict.fromkeys(outputs, kinds) if isinstance(kinds, str) else {k: v for k, v in (kinds or {}).items() if v}
    for output, kind in named.items():
        if kind not in HEAD_KINDS:
            raise ValueError(
                f"Expected `kinds` to say what output '{output}' is, one of {', '.join(map(repr, HEAD_KINDS))}. "
                f"Received: kinds={kinds!r}"
            )
    return {output: named[output] for output in outputs if output in named}


def _weights(value: float | Mapping[str, float], names: list[str], argument: str, otherwise: float) -> dict[str, float]:
    named = dict(value) if isinstance(value, Mapping) else dict.fromkeys(names, value)
    unknown = set(named) - set(names)
    if unknown or any(isinstance(v, bool) or not np.isfinite(v) or v < 0 for v in named.values()):
        raise ValueError(
            f"Expected `{argument}` to be finite and 0 or more, for names out of {names}. Received: {argument}={value}"
        )
    return {name: float(named.get(name, otherwise)) for name in names}


def _loss(kind: str, labels: Any, logits: Any) -> keras.losses.Loss:
    if kind == "regression":
        return keras.losses.MeanSquaredError()
    if kind != "multiclass":
        return keras.losses.BinaryCrossentropy(from_logits=True)
    if len(labels.shape) == 2 and labels.shape[-1] == logits.shape[-1] > 1:
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)
