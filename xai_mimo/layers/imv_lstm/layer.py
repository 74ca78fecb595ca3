"""IMV-LSTM: an LSTM over several variables that says which variable, and which step of it, its prediction came from."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import keras
import numpy as np
from keras import ops

from xai_mimo.layers.heads import check_count, draw_alike, read_heads
from xai_mimo.layers.imv_lstm.attention import (
    LOGIT_ACTIVATIONS,
    attended_steps,
    enrich,
    weigh_steps,
    weigh_variables,
)
from xai_mimo.layers.imv_lstm.cells import IMVFullCell, IMVTensorCell
from xai_mimo.layers.imv_lstm.inputs import VariableInputs
from xai_mimo.layers.imv_lstm.output import OutputNetworks
from xai_mimo.layers.stream_layout import check_names, feature_labels, joint_mask
from xai_mimo.sowing import is_collecting, sow

_CELLS = {"tensor": IMVTensorCell, "full": IMVFullCell}
_OUTPUTS = ("prediction", "mixture")


@keras.saving.register_keras_serializable(package="xai_mimo")
class IMVLSTM(keras.layers.Layer):
    """Interpretable multi-variable LSTM, for one or several heads.

    With the hidden states h^n_t of variable n (see ``IMVTensorCell`` and ``IMVFullCell``), for each head:

        alpha^n_t = softmax_t(tanh(w_n . h^n_t + beta_n))         temporal attention, one scorer per variable
        g^n = sum_t alpha^n_t h^n_t
        pi_n = softmax_n(tanh(v . [h^n_T (+) g^n] + c))           variable attention, one scorer for all variables
        mu_n, s_n = phi_n(h^n_T (+) g^n)                          see ``OutputNetworks``
        sigma_n = softplus(s_n) + min_scale
        y = sum_n pi_n mu_n                                       (Eq. 13)

    pi is the prior and (mu, sigma) are the Gaussians of the mixture in ``imv_losses`` (Eq. 8). The paper has one scalar
    head. Several heads are ours: they share the hidden states, and each has its own temporal and variable attention and
    its own phi, so that importances exist per head; the units of one head share its attention.

    Training. ``output="prediction"`` returns y, for losses such as the mean squared error; the layer then has no sigma,
    so that nobody can take a posterior from untrained variances. ``output="mixture"`` returns the mixture, for
    ``MixtureNLL`` or ``MixtureEM``; ``MixtureMean`` makes predictions of it:

        mixture = IMVLSTM(8, output="mixture")(inputs)
        trained = keras.Model(inputs, mixture)                    # compile(loss=MixtureNLL()), fit
        predictor = keras.Model(inputs, MixtureMean()(mixture))   # the same weights

    A likelihood-trained mixture has to explain each value by one variable alone, so that "tensor" fits sums of effects
    of several variables worse than with the mean squared error. Standardise the target: ``min_scale`` is in its unit.
    ``compile(jit_compile=True)`` works on every backend, but is of use on JAX and TensorFlow alone: on PyTorch Keras
    hands the step to ``torch.compile``, which needs a C++ compiler and breaks the graph at each time step (a minute of
    compiling for three steps), so that Keras leaves it out there unless told otherwise.

    Masks: the state stands still at masked steps, temporal attention is exactly zero there, and h_T is the state after
    the last real step, wherever the padding is. A row with a single real step attends to that step.

    Maps for ``collect()``, in float32 or better; T steps, ``feature`` is the variable:

    - ``temporal_attention (head, time, feature)``: alpha; always T long, zero at the last real step unless
      ``attend_last``, so that it lines up with the input. It scores states by their content, not by position, and a
      state carries more than its own step: in our experiments it did not recover planted lags;
    - ``variable_attention (head, feature)``: pi, the prior;
    - ``attention (time, head, feature)``, axes as MAIL's: pi_n alpha^n_t, sums to one over the input (ours,
      to compare with attributions). The part of h_T that enters beside g is not in it;
    - ``mean (target, feature)``: mu; ``contribution (target, feature)``: pi_n mu_n, sums to the prediction;
    - ``variance (target, feature)``, of mixtures only: sigma^2;
    - ``mask (time)``, of masked inputs only: 1.0 at real steps.

    Labels: ``target.head``, ``target.unit``, ``feature.stream``, and ``time`` as "lag T" ... "lag 1" (with a mask
    "step 1" ... "step T", because lags then differ between rows).

    Args:
        units: d, hidden units of each variable.
        variant: "tensor", an LSTM per variable; "full", gates that see all variables, better at interactions. With
            "full" the importances of variables are not identified, because every hidden vector has seen every variable.
        heads: mapping name -> width (``call`` returns a dict) or sequence of widths (a list, heads ``head_0``, ...).
            Default one scalar head, returned as a tensor.
        output: "prediction" or "mixture", see above.
        attend_last: let temporal attention weigh the last step too. The authors' code does not, the default; others do.
        logit_activation: "tanh" as in the authors' code, or "linear". With tanh no ratio of two weights exceeds e^2 and
            no pi exceeds e / (e + (N - 1) / e), 0.45 for N = 10: take "linear" where sharp importances are expected.
        share_output: one phi for all variables, instead of one each.
        hidden_layer: give phi a hidden layer of half its input's width, with ReLU; without one it is linear.
        dropout: rate of dropout before phi, in training only; ``seed`` makes it repeatable. The authors' code drops
            hidden states too and bounds the hidden kernels' norm, which is not offered here.
        unit_forget_bias: start the forget gates' biases at one.
        min_scale: smallest sigma, in the target's unit (our choice; the authors' code squares and adds 1e-5).
        feature_names: names of the N variables in the maps; default ``<stream>.<i>``.
        stream_names: names of the streams in the maps; default the keys of a mapping, else ``stream_0``, ...
        kernel_initializer, recurrent_initializer: of all kernels, with the fans of each part (our choice).
        bias_initializer: of all other biases than the forget gates'.
        cell_regularizer, output_regularizer: of all weights of the cell, biases included, and of the output kernels, as
            the authors regularise; attention is not regularised.

    Call arguments (each head gives ``(batch, width)``, or the mixture ``(batch, N, 1 + 2 width)``):
        inputs: ``(batch, T, N)``, or ``(batch, T, N, d_0)`` for variables of d_0 values each; or a list or mapping of
            streams ``(batch, T, variables)``, such as one for each variable, whose variables stand side by side.
        mask: ``(batch, T)`` for each stream, filled in by Keras; a step counts only where it counts in every stream.

    Raises:
        ValueError: an argument or the shape of the input is outside what is said here.

    Source: T. Guo, T. Lin and N. Antulov-Fantulin (2019), "Exploring Interpretable LSTM Neural Networks over
    Multi-Variable Data", ICML, PMLR 97:2494-2504, Section 3. Only parts of the text were at hand: the scorers and the
    range of temporal attention follow the authors' published code; initial values and the floor of sigma are ours.
    """

    reference = "guo2019imvlstm"

    def __init__(
        self,
        units: int,
        variant: Literal["tensor", "full"] = "tensor",
        heads: Mapping[str, int] | Sequence[int] | None = None,
        *,
        output: Literal["prediction", "mixture"] = "prediction",
        attend_last: bool = False,
        logit_activation: Literal["tanh", "linear"] = "tanh",
        share_output: bool = False,
        hidden_layer: bool = False,
        dropout: float = 0.0,
        seed: int | None = None,
        unit_forget_bias: bool = True,
        min_scale: float = 1e-3,
        feature_names: Sequence[str] | None = None,
        stream_names: Sequence[str] | None = None,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        cell_regularizer: Any = None,
        output_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_count(units, "`units`", f"units={units}")
        _check_choice("variant", variant, tuple(_CELLS))
        _check_choice("output", output, _OUTPUTS)
        _check_choice("logit_activation", logit_activation, tuple(LOGIT_ACTIVATIONS))
        if isinstance(min_scale, bool) or not 0 < min_scale < float("inf"):
            raise ValueError(f"Expected `min_scale` to be positive and finite. Received: min_scale={min_scale}")
        if isinstance(dropout, bool) or not 0 <= dropout < 1:
            raise ValueError(f"Expected `dropout` to be a rate from 0 to below 1. Received: dropout={dropout}")
        named = read_heads([1] if heads is None else heads)
        self._head_names, self._widths = tuple(named), tuple(named.values())
        self._pack = "one" if heads is None else "by name" if isinstance(heads, Mapping) else "in order"
        self.units = int(units)
        self.variant = variant
        self.output_kind = output
        self.attend_last = bool(attend_last)
        self.logit_activation = logit_activation
        self.share_output = bool(share_output)
        self.hidden_layer = bool(hidden_layer)
        self.dropout = float(dropout)
        self.seed = seed
        self.unit_forget_bias = bool(unit_forget_bias)
        self.min_scale = float(min_scale)
        self.feature_names = None if feature_names is None else check_names(feature_names, "feature_names")
        self.stream_names = None if stream_names is None else check_names(stream_names, "stream_names")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.cell_regularizer = keras.regularizers.get(cell_regularizer)
        self.output_regularizer = keras.regularizers.get(output_regularizer)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        """Create the cell and the weights of attention and outputs; those of all heads are stacked."""
        self._streams = self._read(input_shape)
        count, batch = self._streams.layout.width, self._streams.batch
        cell = _CELLS[self.variant](
            count,
            self.units,
            unit_forget_bias=self.unit_forget_bias,
            kernel_initializer=self.kernel_initializer,
            recurrent_initializer=self.recurrent_initializer,
            bias_initializer=self.bias_initializer,
            regularizer=self.cell_regularizer,
            dtype=self.dtype_policy,
            name="cell",
        )
        self.rnn = keras.layers.RNN(cell, return_sequences=True, dtype=self.dtype_policy, name="rnn")
        self.rnn.build((batch, self._streams.steps, count, self._streams.values))
        self.cell = cell
        self._add_attention(count)
        self.phi = OutputNetworks(
            self._widths,
            scales=self.output_kind == "mixture",
            shared=self.share_output,
            hidden=self.hidden_layer,
            dropout=self.dropout,
            seed=self.seed,
            kernel_initializer=self.kernel_initializer,
            bias_initializer=self.bias_initializer,
            regularizer=self.output_regularizer,
            dtype=self.dtype_policy,
            name="phi",
        )
        self.phi.build((batch, len(self._widths), count, 2 * self.units))

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Predictions or mixtures of all heads; the maps are sown if somebody collects."""
        mask = joint_mask(mask)
        hidden = self._hidden(inputs, mask)
        steps = attended_steps(hidden, mask, attend_last=self.attend_last)
        alpha = weigh_steps(hidden, self.temporal_kernel, self.temporal_bias, steps, self.logit_activation)
        enriched = enrich(hidden, alpha)
        log_prior = weigh_variables(enriched, self.variable_kernel, self.variable_bias, self.logit_activation)
        means, raw = self.phi(enriched, training=training)
        scales = None if raw is None else [ops.softplus(s) + self.min_scale for s in raw]
        if is_collecting():
            self._sow(alpha, log_prior, means, scales, mask)
        if scales is None:
            outputs = [_mean(log_prior[:, head], mean) for head, mean in enumerate(means)]
        else:
            outputs = [
                ops.concatenate([ops.expand_dims(log_prior[:, head], -1), mean, scale], axis=-1)
                for head, (mean, scale) in enumerate(zip(means, scales, strict=True))
            ]
        return self._packed([ops.cast(output, self.compute_dtype) for output in outputs])

    def compute_output_shape(self, input_shape: Any) -> Any:
        """``(batch, width)`` or ``(batch, N, 1 + 2 width)`` for each head, packed as ``call`` does."""
        read = self._read(input_shape)
        if self.output_kind == "mixture":
            return self._packed([(read.batch, read.layout.width, 1 + 2 * width) for width in self._widths])
        return self._packed([(read.batch, width) for width in self._widths])

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """No mask: the outputs have no steps."""
        return self._packed([None] * len(self._widths))

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        named = dict(zip(self._head_names, self._widths, strict=True))
        return {
            **super().get_config(),
            "units": self.units,
            "variant": self.variant,
            "heads": {"one": None, "by name": named, "in order": list(self._widths)}[self._pack],
            "output": self.output_kind,
            "attend_last": self.attend_last,
            "logit_activation": self.logit_activation,
            "share_output": self.share_output,
            "hidden_layer": self.hidden_layer,
            "dropout": self.dropout,
            "seed": self.seed,
            "unit_forget_bias": self.unit_forget_bias,
            "min_scale": self.min_scale,
            "feature_names": None if self.feature_names is None else list(self.feature_names),
            "stream_names": None if self.stream_names is None else list(self.stream_names),
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "recurrent_initializer": keras.initializers.serialize(self.recurrent_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "cell_regularizer": keras.regularizers.serialize(self.cell_regularizer),
            "output_regularizer": keras.regularizers.serialize(self.output_regularizer),
        }

    def _read(self, input_shape: Any) -> VariableInputs:
        variables = VariableInputs.of(input_shape, self.stream_names)
        if self.feature_names is not None and len(self.feature_names) != variables.layout.width:
            raise ValueError(
                f"Expected {variables.layout.width} feature names, one per variable. "
                f"Received: feature_names={list(self.feature_names)}"
            )
        return variables

    def _add_attention(self, count: int) -> None:
        heads, d = len(self._widths), self.units
        self._add_parts("temporal_kernel", (d, 1), heads * count, (heads, count, d))
        self._add_parts("variable_kernel", (2 * d, 1), heads, (heads, 2 * d))
        for name, shape in (("temporal_bias", (heads, count)), ("variable_bias", (heads,))):
            setattr(self, name, self.add_weight(name=name, shape=shape, initializer=self.bias_initializer))

    def _add_parts(self, name: str, part: tuple[int, int], count: int, shape: tuple[int, ...]) -> None:
        def draw(shape: tuple[int, ...], dtype: Any = None) -> Any:
            return ops.reshape(draw_alike(self.kernel_initializer, part, count, dtype=dtype), shape)

        setattr(self, name, self.add_weight(name=name, shape=shape, initializer=draw))

    def _hidden(self, inputs: Any, mask: Any) -> Any:
        """The hidden matrices of all steps, ``(B, T, N, d)``."""
        flat = self.rnn(self._streams.join(inputs), mask=mask)
        return ops.reshape(flat, (-1, ops.shape(flat)[1], self.cell.num_variables, self.units))

    def _packed(self, values: list[Any]) -> Any:
        if self._pack == "one":
            return values[0]
        return dict(zip(self._head_names, values, strict=True)) if self._pack == "by name" else values

    def _sow(self, alpha: Any, log_prior: Any, means: list[Any], scales: list[Any] | None, mask: Any) -> None:
        owners = [head for head, width in enumerate(self._widths) for _ in range(width)]
        coords = self._labels(alpha.shape[2], masked=mask is not None)
        heads = {axis: coords[axis] for axis in coords if axis.split(".")[0] in ("head", "feature")}
        targets = {axis: coords[axis] for axis in coords if axis.split(".")[0] in ("target", "feature")}
        steps = heads | {axis: coords[axis] for axis in coords if axis == "time"}
        prior = ops.exp(log_prior)

        def of_targets(values: list[Any]) -> Any:
            return ops.transpose(ops.concatenate(values, axis=-1), (0, 2, 1))

        def contribution() -> Any:
            return of_targets(means) * ops.take(prior, np.asarray(owners, "int32"), axis=1)

        sow(self, "temporal_attention", alpha, axes=("head", "time", "feature"), coords=steps)
        sow(self, "variable_attention", prior, axes=("head", "feature"), coords=heads)
        sow(
            self,
            "attention",
            ops.einsum("bhtn,bhn->bthn", alpha, prior),
            axes=("time", "head", "feature"),
            coords=steps,
        )
        sow(self, "mean", lambda: of_targets(means), axes=("target", "feature"), coords=targets)
        sow(self, "contribution", contribution, axes=("target", "feature"), coords=targets)
        if scales is not None:
            sow(self, "variance", ops.square(of_targets(scales)), axes=("target", "feature"), coords=targets)
        if mask is not None:
            coords = {axis: coords[axis] for axis in coords if axis == "time"}
            sow(self, "mask", ops.cast(mask, "float32"), axes=("time",), coords=coords)

    def _labels(self, steps: int | None, *, masked: bool) -> dict[str, Sequence[str]]:
        layout = self._streams.layout
        labels: dict[str, Sequence[str]] = {
            "head": self._head_names,
            "feature": self.feature_names or feature_labels(layout, None),
            "feature.stream": layout.owners,
            "target.head": [
                name for name, width in zip(self._head_names, self._widths, strict=True) for _ in range(width)
            ],
            "target.unit": [str(unit) for width in self._widths for unit in range(width)],
        }
        if steps is not None:
            labels["time"] = [f"step {t + 1}" if masked else f"lag {steps - t}" for t in range(steps)]
        return labels


def _mean(log_prior: Any, mean: Any) -> Any:
    return ops.sum(ops.expand_dims(ops.exp(log_prior), -1) * mean, axis=1)


def _check_choice(name: str, value: Any, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"Expected `{name}` to be one of {', '.join(map(repr, choices))}. Received: {name}={value!r}")
