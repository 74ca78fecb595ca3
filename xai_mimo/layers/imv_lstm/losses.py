"""The mixture that IMV-LSTM predicts with: its density, its posterior, and the losses that train it.

Symbols: B rows, N variables, w units of a head. Each row's value y, ``(w,)``, is drawn by one of the variables:

    p(y | X) = sum_n pi_n prod_u Normal(y[u]; mu_n[u], sigma_n[u]^2)                          (Eq. 8)

The paper has w = 1. With more units one latent variable n draws all units of a head together (ours), so that
importances stay one number per variable and head.

One tensor carries a mixture, ``(B, N, 1 + 2 w)``: log pi_n, then mu_n, then sigma_n. It is what
``IMVLSTM(output="mixture")`` returns and what the losses here take as predictions.

Source: Guo, Lin and Antulov-Fantulin (2019), Section 3. Eqs. 9-13 were not at hand in print: their form here is our
reading, chosen so that Lemma 3.3 (the bound) can be proved and the importances have their closed form.
"""

import math
from typing import Any, Literal, NamedTuple

import keras
from keras import ops

from xai_mimo.layers.precision import mean


class Mixture(NamedTuple):
    """A mixture taken apart.

    Attributes:
        log_prior: log pi, ``(B, N)``.
        mean: mu, ``(B, N, w)``, in the target's unit.
        scale: sigma, ``(B, N, w)``, in the target's unit.
    """

    log_prior: Any
    mean: Any
    scale: Any


def split_mixture(parameters: Any) -> Mixture:
    """Take apart the tensor ``(B, N, 1 + 2 w)`` of a mixture.

    Raises:
        ValueError: the last axis cannot be that of a mixture.
    """
    shape = tuple(parameters.shape)
    if len(shape) != 3 or shape[-1] is None or shape[-1] < 3 or shape[-1] % 2 == 0:
        raise ValueError(
            "Expected the parameters of a mixture, (batch, variables, 1 + 2 * units), as IMVLSTM(output='mixture') "
            f"returns them. Received: shape={shape}"
        )
    units = shape[-1] // 2
    return Mixture(parameters[..., 0], parameters[..., 1 : 1 + units], parameters[..., 1 + units :])


def log_joint(targets: Any, parameters: Any) -> Any:
    """log pi_n + sum_u log Normal(y[u]; mu_n[u], sigma_n[u]^2), ``(B, N)``.

    Args:
        targets: y, ``(B, w)``, or ``(B,)`` where w = 1.
        parameters: of the mixture, ``(B, N, 1 + 2 w)``.
    Raises:
        ValueError: the targets have another number of units than the mixture.
    """
    mixture = split_mixture(ops.convert_to_tensor(parameters))
    units = mixture.mean.shape[-1]
    targets = ops.cast(ops.convert_to_tensor(targets), mixture.mean.dtype)
    if len(targets.shape) == 1:
        targets = ops.expand_dims(targets, -1)
    if len(targets.shape) != 2 or targets.shape[-1] not in (None, units):
        raise ValueError(
            f"Expected targets of shape (batch, {units}), one value per unit of the mixture. "
            f"Received: shape={tuple(targets.shape)}"
        )
    deviation = (ops.expand_dims(targets, 1) - mixture.mean) / mixture.scale
    log_density = -0.5 * ops.square(deviation) - ops.log(mixture.scale) - 0.5 * math.log(2.0 * math.pi)
    return mixture.log_prior + ops.sum(log_density, axis=-1)


def mixture_posterior(targets: Any, parameters: Any) -> Any:
    """q_n = Pr(z = n | X, y), ``(B, N)``: which variable drew this value (Eq. 10).

    Proportional to prior times density. Whether the paper multiplies the global importance in as well could not be
    verified; here it is not (our reading). Arguments and errors as ``log_joint``.
    """
    return _normalized(log_joint(targets, parameters))


def em_bound(targets: Any, parameters: Any, posterior: Any = None, importance: Any = None) -> Any:
    """Each row's part of the loss of expectation maximisation, an upper bound of its negative log-likelihood (Eq. 9).

        L = -sum_n q_n (log Normal_n + log pi_n + log I_n)
        L - NLL = KL(q || exact posterior) + H(q) - sum_n q_n log I_n  >= 0

    for any distributions q and I. The paper sums over rows. The three-term form is our reading.

    Args:
        targets, parameters: as ``log_joint``.
        posterior: q, ``(B, N)``; default the exact posterior. No gradient flows through it.
        importance: I, ``(N,)``; default the mean of q over the rows, which minimises the third term.
    Returns:
        ``(B,)``.
    """
    joint = log_joint(targets, parameters)
    q = ops.stop_gradient(_normalized(joint) if posterior is None else ops.convert_to_tensor(posterior, joint.dtype))
    shares = mean(q, axis=0) if importance is None else ops.convert_to_tensor(importance, joint.dtype)
    # Where I_n = 0 with q_n = 0 the term is 0; where q_n > 0 it is infinite.
    log_shares = ops.where(q > 0, ops.log(shares), 0.0)
    return -ops.sum(q * (joint + log_shares), axis=-1)


@keras.saving.register_keras_serializable(package="xai_mimo")
class MixtureNLL(keras.losses.Loss):
    """Negative log-likelihood of the mixture: -log sum_n pi_n prod_u Normal(y[u]; mu_n[u], sigma_n[u]^2).

    Targets ``(B, w)`` (or ``(B,)``), predictions ``(B, N, 1 + 2 w)`` as ``IMVLSTM(output="mixture")`` gives. The
    authors sum over rows, Keras takes their mean by default: with ``reduction="sum"`` regularisation weighs as theirs.

    Source: Guo et al. (2019), Eq. 8.
    """

    def __init__(self, reduction: str = "sum_over_batch_size", name: str = "mixture_nll", dtype: Any = None) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row, ``(B,)``."""
        return -ops.logsumexp(log_joint(y_true, y_pred), axis=-1)


@keras.saving.register_keras_serializable(package="xai_mimo")
class MixtureEM(keras.losses.Loss):
    """What the maximisation step minimises in the network's weights: -sum_n q_n (log Normal_n + log pi_n), q constant.

    These are the first two terms of Eq. 9; the third moves the global importances only, which have a closed form (see
    ``xai_mimo.layers.summarise``).

    Args:
        e_step: "batch" takes q from the current weights at every batch; its gradient is exactly that of ``MixtureNLL``
            (Fisher's identity), so that the two train alike, though this loss is the larger number. "epoch" takes q
            from the caller, as further columns of the targets, ``(B, w + N)``: EM as textbooks write it, with
            ``mixture_posterior`` for the expectation step.
        reduction, name, dtype: as in ``keras.losses.Loss``.

    Source: Guo et al. (2019), Eqs. 9-11 (our reading).
    """

    def __init__(
        self,
        e_step: Literal["batch", "epoch"] = "batch",
        reduction: str = "sum_over_batch_size",
        name: str = "mixture_em",
        dtype: Any = None,
    ) -> None:
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if e_step not in ("batch", "epoch"):
            raise ValueError(f"Expected `e_step` to be one of 'batch', 'epoch'. Received: e_step={e_step!r}")
        self.e_step = e_step

    def call(self, y_true: Any, y_pred: Any) -> Any:
        """Loss of each row, ``(B,)``."""
        if self.e_step == "batch":
            joint = log_joint(y_true, y_pred)
            q = ops.stop_gradient(_normalized(joint))
        else:
            targets, q = _targets_and_posterior(y_true, y_pred)
            joint = log_joint(targets, y_pred)
        return -ops.sum(q * joint, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Arguments of the constructor as plain values."""
        return {**super().get_config(), "e_step": self.e_step}


@keras.saving.register_keras_serializable(package="xai_mimo")
class MixtureMean(keras.layers.Layer):
    """The prediction of a mixture, y = sum_n pi_n mu_n (Eq. 13): ``(B, N, 1 + 2 w)`` to ``(B, w)``.

    It has no weights: put it behind a trained mixture, and the new model predicts with the trained one's weights.
    """

    def call(self, inputs: Any) -> Any:
        """The mean of each row's mixture."""
        mixture = split_mixture(inputs)
        return ops.sum(ops.expand_dims(ops.exp(mixture.log_prior), -1) * mixture.mean, axis=1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(B, w)``."""
        return (input_shape[0], input_shape[-1] // 2)


def _normalized(joint: Any) -> Any:
    """Probabilities of the variables from their log joint density; one variable alone has probability one."""
    return ops.exp(joint - ops.logsumexp(joint, axis=-1, keepdims=True))


def _targets_and_posterior(y_true: Any, y_pred: Any) -> tuple[Any, Any]:
    variables, units = y_pred.shape[1], y_pred.shape[-1] // 2
    if len(y_true.shape) != 2 or y_true.shape[-1] != units + variables:
        raise ValueError(
            f"Expected targets of shape (batch, {units + variables}), {units} values and the {variables} probabilities "
            f"of the last expectation step (e_step='epoch'). Received: shape={tuple(y_true.shape)}"
        )
    return y_true[:, :units], y_true[:, units:]
