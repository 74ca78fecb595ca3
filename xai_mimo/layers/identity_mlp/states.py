"""The states of an identity-initialised MLP, layer by layer, and what can be told from them without a gradient.

Words as in ``IdentityMLP``: D features f, C scores s (the units of all heads), n = D + C, L layers. Kernels are stored
``(in, out)`` as Keras does, so that ``kernel = W^T`` and the rows of W that write scores are ``kernel[:, D:]``.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keras import ops

from xai_mimo.layers.precision import matmul, mean, precise, tanh


def hard_tanh(z: Any) -> Any:
    """clip(z, -1, 1), with the derivative 1 at the bounds on every backend.

    ``ops.clip`` has a derivative there that depends on the backend, and values of -1 or 1 are common: the background
    of an image.
    """
    return ops.where(z > 1.0, ops.ones_like(z), ops.where(z < -1.0, -ops.ones_like(z), z))


def leaky_relu(z: Any) -> Any:
    """z, or 0.1 z where z is negative; the derivative at zero, where all scores start, is 1 on every backend."""
    return ops.where(z >= 0.0, z, 0.1 * z)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {"hard_tanh": hard_tanh, "tanh": tanh, "leaky_relu": leaky_relu}


@dataclass(frozen=True)
class States:
    """What the layers computed for one batch.

    Attributes:
        width: D, the number of features.
        hidden: h^0, ..., h^L, each ``(B, n)``.
        residuals: h^l - z^l of the scores, l = 1..L, each ``(B, C)``: what the activation took from them; None where
            it took nothing.
    """

    width: int
    hidden: Sequence[Any]
    residuals: Sequence[Any | None]

    def features(self, layer: int) -> Any:
        """f^l, ``(B, D)``."""
        return self.hidden[layer][:, : self.width]

    def scores(self, layer: int) -> Any:
        """s^l, ``(B, C)``."""
        return self.hidden[layer][:, self.width :]

    def precise(self) -> "States":
        """The same values in float32 or better."""
        return States(
            self.width,
            [precise(h) for h in self.hidden],
            [None if r is None else precise(r) for r in self.residuals],
        )


@dataclass(frozen=True)
class Decomposition:
    """An exact sum: s^L = sum of ``terms`` over their last axis + ``bias`` + ``residual``.

    Attributes:
        terms: ``(B, C, sources)``.
        bias: ``(C,)``, the same for all rows.
        residual: ``(B, C)``, what the activation took from the scores.
    """

    terms: Any
    bias: Any
    residual: Any


def run(x: Any, kernels: Sequence[Any], biases: Sequence[Any], activation: str, *, linear_scores: bool) -> States:
    """All layers on scaled rows ``(B, D)``; the last one is linear.

    Args:
        kernels, biases: of the L layers, ``(n, n)`` and ``(n,)``.
        linear_scores: the activation is for the features only.
    """
    width, last = x.shape[-1], len(kernels) - 1
    hidden = [ops.pad(x, ((0, 0), (0, kernels[0].shape[0] - width)))]
    residuals: list[Any] = []
    for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        z = matmul(hidden[-1], kernel) + bias
        if layer == last:
            h = z
        elif linear_scores:
            h = ops.concatenate([ACTIVATIONS[activation](z[:, :width]), z[:, width:]], axis=-1)
        else:
            h = ACTIVATIONS[activation](z)
        residuals.append(None if layer == last or linear_scores else h[:, width:] - z[:, width:])
        hidden.append(h)
    return States(width, hidden, residuals)


def changes(states: States, alpha: float) -> Any:
    """c^l = f^l - alpha^l f^0, ``(B, L, D)``."""
    start = states.features(0)
    return ops.stack([states.features(i) - alpha**i * start for i in range(1, len(states.hidden))], axis=1)


def increments(states: States) -> Any:
    """d^l = f^l - f^{l-1}, ``(B, L, D)``."""
    return ops.stack([states.features(i) - states.features(i - 1) for i in range(1, len(states.hidden))], axis=1)


def scores(states: States) -> Any:
    """s^l, ``(B, L, C)``."""
    return ops.stack([states.scores(i) for i in range(1, len(states.hidden))], axis=1)


def decompose(states: States, kernels: Sequence[Any], biases: Sequence[Any]) -> Decomposition:
    """Each feature's part of the last scores, where a score that is read again is passed on to what wrote it.

        terms[u, j] = sum_l (P^l W^l_sf)[u, j] f^{l-1}_j,   P^l = W^L_ss ... W^{l+1}_ss,   P^L = I
        bias = sum_l P^l b^l_s,   residual = sum_l P^l r^l

    which unrolls s^l = W^l_sf f^{l-1} + W^l_ss s^{l-1} + b^l_s + r^l, with s^0 = 0.
    """
    width = states.width
    carry = ops.eye(kernels[0].shape[0] - width, dtype=kernels[0].dtype)
    writing: list[Any] = []
    carries: list[Any] = []
    for kernel in reversed(kernels):
        writing.insert(0, matmul(kernel[:width, width:], carry))
        carries.insert(0, carry)
        carry = matmul(kernel[width:, width:], carry)
    sources = [states.features(i) for i in range(len(kernels))]
    return _gather(states, sources, writing, biases, carries)


def decompose_directly(
    states: States, kernels: Sequence[Any], biases: Sequence[Any], alpha: float
) -> tuple[Any, Decomposition]:
    """What each feature and each score writes into the scores itself, layer by layer.

        A[u, j] = sum_l alpha^{L-l} (W^l - alpha I)[D + u, j] h^{l-1}_j,   j = 1..n

    Returns:
        the part of the features, ``(B, C, D)``, and the decomposition whose terms are the other C columns of A.
    """
    width, last = states.width, len(kernels) - 1
    identity = alpha * ops.eye(kernels[0].shape[0], dtype=kernels[0].dtype)
    writing = [alpha ** (last - i) * (kernel - identity)[:, width:] for i, kernel in enumerate(kernels)]
    eye = ops.eye(kernels[0].shape[0] - width, dtype=kernels[0].dtype)
    carries = [alpha ** (last - i) * eye for i in range(len(kernels))]
    whole = _gather(states, states.hidden[:-1], writing, biases, carries)
    return whole.terms[..., :width], Decomposition(whole.terms[..., width:], whole.bias, whole.residual)


def _gather(
    states: States, sources: Sequence[Any], writing: Sequence[Any], biases: Sequence[Any], carries: Sequence[Any]
) -> Decomposition:
    """Sums over the layers of sources times ``writing`` ``(sources, C)``, and of biases and residuals carried on."""
    width, terms, bias = states.width, 0.0, 0.0
    residual = ops.zeros_like(states.scores(0))
    for source, kernel, b, r, carry in zip(sources, writing, biases, states.residuals, carries, strict=True):
        terms = terms + ops.expand_dims(source, 1) * ops.transpose(kernel)
        bias = bias + matmul(b[width:], carry)
        if r is not None:
            residual = residual + matmul(r, carry)
    return Decomposition(terms, bias, residual)


def deviation(kernel: Any, alpha: float) -> Any:
    """||W^l - alpha I||_F / ||alpha I||_F of each layer, ``(L,)``."""
    count = kernel.shape[-1]
    moved = ops.square(kernel - alpha * ops.eye(count, dtype=kernel.dtype))
    return ops.sqrt(ops.sum(moved, axis=(1, 2))) / (abs(alpha) * count**0.5)


def mean_diagonal(kernel: Any) -> Any:
    """Mean of W^l_jj, ``(L,)``."""
    return mean(ops.diagonal(kernel, axis1=1, axis2=2), axis=-1)


def mean_off_diagonal(kernel: Any) -> Any:
    """Mean of |W^l_ij| over i != j, ``(L,)``."""
    count = kernel.shape[-1]
    apart = ops.abs(kernel) * (1.0 - ops.eye(count, dtype=kernel.dtype))
    return ops.sum(apart, axis=(1, 2)) / (count * (count - 1))
