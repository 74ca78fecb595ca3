"""A deep MLP that starts as the identity, so that every layer stays readable in the words of its input."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.heads import check_count, initialize_each, read_heads
from xai_mimo.layers.identity_mlp import states as identity_states
from xai_mimo.layers.identity_mlp.maps import Names, sow_maps
from xai_mimo.layers.identity_mlp.states import ACTIVATIONS, States
from xai_mimo.layers.precision import precise, precise_dtype
from xai_mimo.layers.stream_layout import check_names
from xai_mimo.sowing import is_collecting


@keras.saving.register_keras_serializable(package="xai_mimo")
class IdentityMLP(keras.layers.Layer):
    """An MLP of equally wide layers, initialised as the identity, with dimensions of their own for the classes.

    With D features, C classes (or units, of all heads together), n = D + C and L = ``depth``:

        h^0 = [x ; 0],   z^l = W^l h^{l-1} + b^l,   h^l = phi(z^l) for l < L,   h^L = z^L
        h^l = [f^l ; s^l]                         features and scores; the outputs are s^L, logits
        W^l = alpha I, b^l = 0                    before training

    With hard tanh, alpha = 1 and |x| <= 1 the untrained network passes the features on exactly and all scores are zero.
    Training moves the weights little, and the less the deeper the network is, so feature j of a hidden layer still
    speaks of input j. ``deviation`` tells how far that holds: near 0 it does; 1.4, as after random initialisation, it
    does not. Nothing here needs a gradient.

    What is the paper's and what is ours. The abstract and the introduction give equally wide layers, scaled identity
    matrices, one further dimension per class, the change of the features as contribution map, and a class likelihood
    and accuracy in each layer. Our reading, because the rest of the paper was not at hand: zeros as padding, biases,
    hard tanh, alpha = 1, the last layer linear and without an output layer behind it, signed maps, softmax as the
    likelihood. Ours altogether: several heads, and the three decompositions of the scores. No figure of the paper is
    reproduced.

    **Importance.** ``change``, the paper's contribution map in our reading, shows what the layers did to the features;
    it is no map of important inputs: on scikit-learn's digits, deleting its top pixels hurts less than deleting random
    ones. ``contribution`` is one.

    Training (our reading): cross-entropy of the outputs alone, no loss on hidden layers, no weight decay (it pulls to
    zero, not to the identity), SGD with momentum 0.9 and the learning rate 0.1 / depth. With such a loss the last layer
    never changes the features. Every layer writes into every score, so the curvature of a squared error grows as
    depth * (sum_j f_j^2 + 1): give a head of quantities, with labels in [-1, 1], a loss weight of about 1 / D, or its
    scores saturate in the hidden layers, or training diverges where they are linear (our finding). So do class scores
    of images with a blank background at -1 (``tied`` in ``read_layers``): declare ``scale=(-high, high)``, which keeps
    a background of 0 at 0, and take linear scores.

    Maps for ``collect()``, in float32 or better, of the scaled inputs. Leading axes of images come first, e.g.
    ``(height, width, layer, feature)``; ``feature`` is the last axis of the input (the channel of an image, the column
    of one without channels). ``layer`` is labelled 1 ... L; ``target`` is all units of all heads, labelled
    ``target.head`` and ``target.unit``; so are ``class`` and ``score``; ``feature.stream`` is there as well.

    - ``change (layer, feature)``: c^l = f^l - alpha^l f^0;
    - ``increment (layer, feature)``: d^l = f^l - f^{l-1};
    - ``score (layer, target)``: s^l, logits of classes or quantities;
    - ``class_likelihood (layer, class)``: softmax of s^l over each head's classes; sigmoid for a head of one unit.
      Heads named in ``regression`` have none;
    - ``contribution (target, feature)``: each feature's part of the outputs; a score that later layers read is passed
      on to the features that wrote it. ``s^L = sum(contribution) + bias + clip_residual``, exactly;
    - ``bias (target)``, the same for all rows, and ``clip_residual (target)``, what the activation took from the scores
      on their way: zero with ``class_activation="linear"``, and not small otherwise;
    - ``direct_contribution (target, feature)``: A_uj = sum_l alpha^{L-l} (W^l - alpha I)_{D+u,j} h^{l-1}_j, what is
      written into the scores directly, and ``score_contribution (target, score)``, its columns j > D. These two,
      ``direct_bias (target)`` and ``direct_clip_residual (target)`` sum to s^L, exactly, too;
    - ``deviation (layer)``: ||W^l - alpha I||_F / ||alpha I||_F; ``diagonal (layer)`` and ``off_diagonal (layer)``: the
      means of W_jj and of |W_ij|. The same for all rows; read them beside every other map.

    "Exactly" is up to rounding in the dtype of the computation. ``Interception(kind="contribution")`` reads
    ``contribution`` as an explanation, whose completeness gap is then ``clip_residual``; ``baseline="background"``
    measures it from where Shapley values are measured, and not from the middle of the range, where a scaled feature is
    zero. ``Interception(kind="change")`` reads c^L.

    Args:
        num_classes: of a single head, whose logits ``call`` returns as a tensor. Give this or ``heads``.
        depth: L, the number of layers.
        activation: "hard_tanh"; "tanh", which shrinks the features a little in each layer; or "leaky_relu" (slope 0.1).
        alpha: scale of the initial identity; not zero. Only with 1 the untrained network is the identity.
        class_activation: "hidden_same", scores pass the activation like features; or "linear", they do not.
        heads: mapping name -> width (``call`` returns a dict) or sequence of widths (a list, heads ``head_0``, ...).
        regression: names of the heads whose units are quantities; all others are classes.
        scale: "none", the inputs are in [-1, 1] already; ``(low, high)``, the declared range of all features, mapped to
            [-1, 1]; "adapt", each feature's own range, computed by ``adapt(data)``. Until that is done, all outputs are
            NaN. Values outside the range are cut by the first layer.
        scale_to: map to [-scale_to, scale_to] instead; 0.9 keeps values off the kink of hard tanh.
        initializer: of the weight matrices instead of alpha I, for comparison; the maps then mean little.
        identity_penalty: mu of the loss mu * sum_l ||W^l - alpha I||_F^2.
        feature_names: names along the last axis of the input; default ``<stream_name>.<i>``.
        stream_name: name of the input stream in the maps.

    Call arguments:
        inputs: ``(batch, D)``, or images ``(batch, height, width[, channels])``, which are flattened. Each head gives
            ``(batch, width)``.

    Raises:
        ValueError: an argument or the shape of the input is outside what is said here.

    Source: S. Kubota, H. Hayashi, T. Hayase and S. Uchida (2021), "Layer-Wise Interpretation of Deep Neural Networks
    Using Identity Initialization", ICASSP, 3945-3949, abstract and Section 1.
    """

    reference = "kubota2021layerwise"

    def __init__(
        self,
        num_classes: int | None = None,
        depth: int = 10,
        activation: Literal["hard_tanh", "tanh", "leaky_relu"] = "hard_tanh",
        alpha: float = 1.0,
        class_activation: Literal["hidden_same", "linear"] = "hidden_same",
        heads: Mapping[str, int] | Sequence[int] | None = None,
        *,
        regression: Sequence[str] = (),
        scale: Literal["none", "adapt"] | tuple[float, float] = "none",
        scale_to: float = 1.0,
        initializer: Any = None,
        identity_penalty: float = 0.0,
        feature_names: Sequence[str] | None = None,
        stream_name: str = "stream_0",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if (num_classes is None) == (heads is None):
            raise ValueError(
                f"Expected one of `num_classes` and `heads`. Received: num_classes={num_classes}, heads={heads}"
            )
        if num_classes is not None:
            check_count(num_classes, "`num_classes`", f"num_classes={num_classes}")
        check_count(depth, "`depth`", f"depth={depth}")
        _check_activation(activation)
        if class_activation not in ("hidden_same", "linear"):
            raise ValueError(
                "Expected `class_activation` to be one of 'hidden_same', 'linear'. "
                f"Received: class_activation={class_activation!r}"
            )
        named = read_heads([num_classes] if heads is None else heads)
        self._head_names, self._widths = tuple(named), tuple(named.values())
        self._pack = "one" if heads is None else "by name" if isinstance(heads, Mapping) else "in order"
        self.regression = check_names(regression, "regression")
        if not set(self.regression) <= set(named):
            raise ValueError(f"Expected `regression` to name heads of {list(named)}. Received: regression={regression}")
        self.depth = int(depth)
        self.activation = activation
        self.alpha = _finite("alpha", alpha, alpha != 0, "not zero")
        self.class_activation = class_activation
        _check_scale(scale)
        self.scale = scale if isinstance(scale, str) else (float(scale[0]), float(scale[1]))
        self.scale_to = _finite("scale_to", scale_to, 0 < scale_to <= 1, "in (0, 1]")
        self.initializer = None if initializer is None else keras.initializers.get(initializer)
        self.identity_penalty = _finite("identity_penalty", identity_penalty, identity_penalty >= 0, "0 or more")
        self.feature_names = None if feature_names is None else check_names(feature_names, "feature_names")
        self.stream_name = check_names([stream_name], "stream_name")[0]

    def build(self, input_shape: Any) -> None:
        """Create the weights: the L matrices stacked, as Keras kernels ``(in, out)``, and the range of the inputs."""
        self._input_axes = self._read_shape(input_shape)
        features = int(np.prod(self._input_axes))
        size = features + sum(self._widths)
        each = keras.initializers.Identity(self.alpha) if self.initializer is None else self.initializer
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.depth, size, size),
            initializer=initialize_each(each, [(size, size)] * self.depth, ops.stack),
            regularizer=_pull_to_identity(self.identity_penalty, self.alpha) if self.identity_penalty else None,
        )
        self.bias = self.add_weight(name="bias", shape=(self.depth, size), initializer="zeros")
        self.low: Any = None
        self.high: Any = None
        if self.scale == "adapt":
            unknown = keras.initializers.Constant(float("nan"))
            fixed = {"shape": (features,), "initializer": unknown, "trainable": False, "autocast": False}
            self.low = self.add_weight(name="low", **fixed)
            self.high = self.add_weight(name="high", **fixed)

    def adapt(self, data: Any) -> None:
        """Take each feature's range from these rows, ``(rows, *axes of the input)``; a constant feature becomes 0.

        Raises:
            ValueError: ``scale`` is not "adapt", there are no rows, or a value is not finite.
        """
        if self.scale != "adapt":
            raise ValueError(f"Expected a layer with scale='adapt'. Received: adapt() with scale={self.scale!r}")
        values = np.asarray(data, "float64")
        if not len(values) or not np.isfinite(values).all():
            raise ValueError(
                f"Expected one row or more of finite data. Received: {len(values)} rows, "
                f"{int((~np.isfinite(values)).sum())} values that are not finite"
            )
        if not self.built:
            self.build((None, *values.shape[1:]))
        if values.shape[1:] != self._input_axes:
            raise ValueError(f"Expected rows of shape {self._input_axes}. Received: rows of {values.shape[1:]}")
        rows = values.reshape(len(values), -1)
        self.low.assign(rows.min(axis=0))
        self.high.assign(rows.max(axis=0))

    def call(self, inputs: Any) -> Any:
        """Scores of the last layer for all heads; the maps are sown if somebody collects."""
        rows = ops.reshape(ops.cast(inputs, self.compute_dtype), (-1, int(np.prod(self._input_axes))))
        kernel, bias = ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias)
        states = identity_states.run(
            self._scaled(rows),
            ops.unstack(kernel, num=self.depth),
            ops.unstack(bias, num=self.depth),
            self.activation,
            linear_scores=self.class_activation == "linear",
        )
        if is_collecting():
            self._sow(states, kernel, bias)
        return self._packed(self._of_heads(states.scores(self.depth)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """``(batch, width)`` for each head, packed as ``call`` does."""
        self._read_shape(input_shape)
        return self._packed([(input_shape[0], width) for width in self._widths])

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        named = dict(zip(self._head_names, self._widths, strict=True))
        return {
            **super().get_config(),
            "num_classes": self._widths[0] if self._pack == "one" else None,
            "depth": self.depth,
            "activation": self.activation,
            "alpha": self.alpha,
            "class_activation": self.class_activation,
            "heads": {"one": None, "by name": named, "in order": list(self._widths)}[self._pack],
            "regression": list(self.regression),
            "scale": self.scale if isinstance(self.scale, str) else list(self.scale),
            "scale_to": self.scale_to,
            "initializer": None if self.initializer is None else keras.initializers.serialize(self.initializer),
            "identity_penalty": self.identity_penalty,
            "feature_names": None if self.feature_names is None else list(self.feature_names),
            "stream_name": self.stream_name,
        }

    def _read_shape(self, input_shape: Any) -> tuple[int, ...]:
        """The axes of one row."""
        shape = tuple(input_shape)
        if len(shape) < 2 or any(not isinstance(axis, int) or axis < 1 for axis in shape[1:]):
            raise ValueError(
                "Expected one input of shape (batch, ..., features) whose axes behind the batch are of fixed length. "
                f"Received: shape={shape}"
            )
        if self.feature_names is not None and len(self.feature_names) != shape[-1]:
            raise ValueError(
                f"Expected {shape[-1]} feature names, one for each entry of the last axis. "
                f"Received: feature_names={list(self.feature_names)}"
            )
        return shape[1:]

    def _scaled(self, rows: Any) -> Any:
        """f^0: the rows mapped to [-scale_to, scale_to], with a constant feature at zero."""
        if self.scale == "none":
            return rows if self.scale_to == 1.0 else rows * self.scale_to
        low, high = (self.low, self.high) if self.scale == "adapt" else self.scale
        low, high = (ops.convert_to_tensor(value, dtype=precise_dtype(rows)) for value in (low, high))
        half = ops.where(high == low, ops.ones_like(low), (high - low) / 2.0)
        scaled = (precise(rows) - (low + (high - low) / 2.0)) / half * self.scale_to
        return ops.cast(scaled, self.compute_dtype)

    def _of_heads(self, values: Any) -> list[Any]:
        """The last axis, C long, cut into the heads."""
        ends = [int(end) for end in np.cumsum(self._widths)]
        return [values[..., end - width : end] for end, width in zip(ends, self._widths, strict=True)]

    def _packed(self, values: list[Any]) -> Any:
        if self._pack == "one":
            return values[0]
        return dict(zip(self._head_names, values, strict=True)) if self._pack == "by name" else values

    def _sow(self, states: States, kernel: Any, bias: Any) -> None:
        count = self._input_axes[-1]
        names = Names(
            self._input_axes,
            self.feature_names or tuple(f"{self.stream_name}.{i}" for i in range(count)),
            self.stream_name,
            dict(zip(self._head_names, self._widths, strict=True)),
            self.regression,
        )
        sow_maps(self, states.precise(), precise(kernel), precise(bias), names=names, alpha=self.alpha)


def _pull_to_identity(strength: float, alpha: float) -> Callable[[Any], Any]:
    """mu * sum_l ||W^l - alpha I||_F^2, in ``floatx`` like the loss of ``compile`` that Keras adds it to."""

    def penalty(kernel: Any) -> Any:
        away = ops.sum(ops.square(kernel - alpha * ops.eye(kernel.shape[-1], dtype=kernel.dtype)))
        return ops.cast(strength * away, keras.config.floatx())

    return penalty


def _check_activation(activation: Any) -> None:
    if activation in tuple(ACTIVATIONS):
        return
    reason = ""
    if activation in ("relu", "relu6"):
        reason = (
            " The dimensions of the classes start at zero, where ReLU passes no gradient: hidden layers would never "
            "learn to write class scores. Take 'leaky_relu'."
        )
    choices = ", ".join(map(repr, ACTIVATIONS))
    raise ValueError(f"Expected `activation` to be one of {choices}.{reason} Received: activation={activation!r}")


def _check_scale(scale: Any) -> None:
    if isinstance(scale, str) and scale in ("none", "adapt"):
        return
    pair = scale if isinstance(scale, list | tuple) and len(scale) == 2 else ()
    numbers = [value for value in pair if isinstance(value, int | float | np.number) and np.isfinite(value)]
    if len(numbers) != 2 or not numbers[0] < numbers[1]:
        raise ValueError(
            f"Expected `scale` to be 'none', 'adapt' or (low, high) with low < high. Received: scale={scale!r}"
        )


def _finite(name: str, value: float, holds: bool, what: str) -> float:
    if isinstance(value, bool) or not np.isfinite(value) or not holds:
        raise ValueError(f"Expected `{name}` to be finite and {what}. Received: {name}={value!r}")
    return float(value)
