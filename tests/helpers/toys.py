"""Small NumPy models with gradients and maps worked out by hand: what every method can be checked against.

They satisfy ``core.model``'s protocols and know no framework. Weights are drawn from a seed, so a test can rebuild them
or read them off the returned object.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from xai_mimo.core.door import check_inputs
from xai_mimo.core.model import Arrays, InterceptionMap
from xai_mimo.core.streams import Head, Stream

Jacobian = dict[str, np.ndarray]
"""``{head: (sample, unit, feature)}``, features of all streams side by side."""


@dataclass(frozen=True)
class Predictor:
    """A model that only predicts.

    Attributes:
        streams, heads: rank-1 streams; heads of any width.
        forward: ``(sample, feature)`` in float64, streams side by side, -> ``{head: (sample, unit)}``.
        rows_seen: number of rows of every call, for tests that count the work.
    """

    streams: tuple[Stream, ...]
    heads: tuple[Head, ...]
    forward: Callable[[np.ndarray], dict[str, np.ndarray]]
    rows_seen: list[int] = field(default_factory=list)

    def fingerprint(self) -> str:
        return "0" * 16

    def predict(self, inputs: object) -> Arrays:
        x = self.flat(inputs)
        self.rows_seen.append(len(x))
        return self.outputs(x)

    def flat(self, inputs: object) -> np.ndarray:
        arrays = check_inputs(inputs, self.streams)
        return np.concatenate([arrays[s.name].astype(np.float64) for s in self.streams], axis=1)

    def outputs(self, x: np.ndarray) -> Arrays:
        made = self.forward(x)
        dtype = np.result_type(*(s.dtype for s in self.streams if not s.is_integer), np.float16)
        return {h.name: made[h.name].reshape(len(x), *h.shape).astype(dtype) for h in self.heads}


@dataclass(frozen=True)
class Toy(Predictor):
    """A predictor with its Jacobian: ``jacobian(x)`` gives ``{head: (sample, unit, feature)}``."""

    jacobian: Callable[[np.ndarray], Jacobian] = None  # type: ignore[assignment]

    def gradients(
        self, inputs: object, selectors: Sequence, streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        x = self.flat(inputs)
        self.rows_seen.append(len(x))
        jacobian = self.jacobian(x)
        rows = np.arange(len(x))
        picked = np.stack([jacobian[s.head][rows, s.units] for s in selectors])
        ends = np.cumsum([s.size for s in self.streams])[:-1]
        parts = np.split(picked, ends, axis=2)
        slopes = {s.name: p.astype(s.dtype) for s, p in zip(self.streams, parts, strict=True)}
        return self.outputs(x), {name: slopes[name] for name in (slopes if streams is None else streams)}


def mlp(
    activation: str = "tanh",
    streams: Mapping[str, int] | None = None,
    heads: Mapping[str, int] | None = None,
    *,
    hidden: int = 8,
    seed: int = 0,
    dtype: str = "float64",
    unused: Mapping[str, str] | None = None,
    scale: float = 1.0,
) -> Toy:
    """One hidden layer per head: ``y = W2 act(W1 x + b1) + b2``.

    Args:
        activation: "tanh", "relu" or "linear" (then the whole model is linear).
        streams, heads: name -> width.
        unused: head -> the stream that it does not read.
        scale: of the first weights; large values bend the path more.
    """
    widths = dict(streams or {"u": 3, "v": 2})
    outs = dict(heads or {"y": 1, "z": 3})
    rng = np.random.default_rng(seed)
    size, starts = sum(widths.values()), dict(zip(widths, np.cumsum([0, *widths.values()]), strict=False))
    weights = {}
    for head, units in outs.items():
        w1 = scale * rng.standard_normal((hidden, size)) / np.sqrt(size)
        if unused and head in unused:
            start = starts[unused[head]]
            w1[:, start : start + widths[unused[head]]] = 0.0
        weights[head] = (
            w1,
            rng.standard_normal(hidden),
            rng.standard_normal((units, hidden)),
            rng.standard_normal(units),
        )
    act, slope = _ACTIVATIONS[activation]

    def forward(x: np.ndarray) -> dict[str, np.ndarray]:
        return {h: act(x @ w1.T + b1) @ w2.T + b2 for h, (w1, b1, w2, b2) in weights.items()}

    def jacobian(x: np.ndarray) -> Jacobian:
        return {h: np.einsum("uk,nk,kf->nuf", w2, slope(x @ w1.T + b1), w1) for h, (w1, b1, w2, _) in weights.items()}

    return _toy(widths, outs, forward, jacobian, dtype)


_ACTIVATIONS = {
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) ** 2),
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0).astype(float)),
    "linear": (lambda z: z, np.ones_like),
}


def _toy(
    widths: Mapping[str, int],
    heads: Mapping[str, int],
    forward: Callable[[np.ndarray], dict[str, np.ndarray]],
    jacobian: Callable[[np.ndarray], Jacobian],
    dtype: str,
) -> Toy:
    return Toy(
        tuple(Stream(name, (width,), dtype=dtype) for name, width in widths.items()),
        tuple(Head(name, (units,)) for name, units in heads.items()),
        forward,
        jacobian=jacobian,
    )


def linear(
    weights: Mapping[str, Sequence[Sequence[float]]] | None = None,
    streams: Mapping[str, int] | None = None,
    *,
    dtype: str = "float64",
) -> Toy:
    """``y_h = x W_h^T + 1``; weights ``{head: (unit, feature)}``. Streams default to ``u`` (3) and ``v`` (2)."""
    widths = dict(streams or {"u": 3, "v": 2})
    w = {
        h: np.asarray(v, float)
        for h, v in (weights or {"y": [[1, -2, 3, 0.5, 4]], "z": [[0, 1, 0, 0, 0], [2, 0, 0, 0, 0]]}).items()
    }

    def forward(x: np.ndarray) -> dict[str, np.ndarray]:
        return {h: x @ v.T + 1.0 for h, v in w.items()}

    def jacobian(x: np.ndarray) -> Jacobian:
        return {h: np.repeat(v[None], len(x), axis=0) for h, v in w.items()}

    return _toy(widths, {h: len(v) for h, v in w.items()}, forward, jacobian, dtype)


def machine() -> Toy:
    """``risk = 4 air - 3 process + 2 gap + 1``, ``life = tanh(3 torque - 2 tool + 1)`` in hours, ``dead = 1``."""
    weights = {"risk": [[4.0, -3.0, 2.0, 0.0, 0.0]], "life": [[0.0, 0.0, 0.0, -2.0, 3.0]], "dead": [[0.0] * 5]}
    flat = linear(weights, {"thermal": 3, "wear": 2})

    def forward(x: np.ndarray) -> dict[str, np.ndarray]:
        y = flat.forward(x)
        return y | {"life": np.tanh(y["life"])}

    def jacobian(x: np.ndarray) -> Jacobian:
        slopes = flat.jacobian(x)
        return slopes | {"life": slopes["life"] * (1 - forward(x)["life"] ** 2)[:, :, None]}

    return Toy(
        (
            Stream("thermal", (3,), dtype="float64", features=("air", "process", "gap")),
            Stream("wear", (2,), dtype="float64", features=("tool", "torque")),
        ),
        (Head("risk"), Head("life", unit="h"), Head("dead")),
        forward,
        jacobian=jacobian,
    )


def additive(streams: Mapping[str, int] | None = None, *, dtype: str = "float64") -> Toy:
    """``y = sum_i sin((i + 1) x_i)`` and ``z = sum_i x_i^2``: no interactions, so Shapley values are known."""
    widths = dict(streams or {"u": 3, "v": 2})
    factor = np.arange(1, sum(widths.values()) + 1)

    def forward(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": np.sin(factor * x).sum(1, keepdims=True), "z": (x**2).sum(1, keepdims=True)}

    def jacobian(x: np.ndarray) -> Jacobian:
        return {"y": (factor * np.cos(factor * x))[:, None], "z": 2 * x[:, None]}

    return _toy(widths, {"y": 1, "z": 1}, forward, jacobian, dtype)


def product(width: int = 2, *, dtype: str = "float64") -> Toy:
    """``y = sum_i u_i v_i``: from a zero baseline each stream gets exactly half of every product."""

    def forward(x: np.ndarray) -> dict[str, np.ndarray]:
        return {"y": (x[:, :width] * x[:, width:]).sum(1, keepdims=True)}

    def jacobian(x: np.ndarray) -> Jacobian:
        return {"y": np.concatenate([x[:, width:], x[:, :width]], axis=1)[:, None]}

    return _toy({"u": width, "v": width}, {"y": 1}, forward, jacobian, dtype)


def constant(*, dtype: str = "float64") -> Toy:
    """Head ``c`` is 5 everywhere, head ``y`` is the sum of ``u``; stream ``v`` is used by neither."""
    return linear({"c": [[0, 0, 0, 0, 0]], "y": [[1, 1, 1, 0, 0]]}, dtype=dtype)


@dataclass(frozen=True)
class AttentionToy(Toy):
    """Encoders ``x_s E_s^T``, then one attention layer "mail" as published, linear heads.

    a = softmax(S_h x), y = (a * x) W_h^T + b_h. ``tail("mail")`` is the same model without encoders, whose maps and
    gradients live on the layer's own inputs. ``layer`` is the path under which the maps are given.
    """

    encoders: Mapping[str, np.ndarray] | None = None
    scores: Mapping[str, np.ndarray] = field(default_factory=dict)
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    bias: Mapping[str, np.ndarray] = field(default_factory=dict)
    layer: str = "model/mail"

    def encode(self, x: np.ndarray) -> np.ndarray:
        if self.encoders is None:
            return x
        parts = np.split(x, np.cumsum([s.size for s in self.streams])[:-1], axis=1)
        return np.concatenate([p @ self.encoders[s.name].T for p, s in zip(parts, self.streams, strict=True)], axis=1)

    def intercept(self, inputs: object) -> dict[str, InterceptionMap]:
        x = self.encode(self.flat(inputs))
        attention = {h: _softmax(x @ s.T) for h, s in self.scores.items()}
        owner = self.tail("mail").streams
        features = {
            "feature": tuple(f for s in owner for f in s.features),
            "feature.stream": tuple(s.name for s in owner for _ in s.features),
        }
        heads = {"head": tuple(h.name for h in self.heads)}
        units = [(h.name, str(u)) for h in self.heads for u in range(h.size)]
        targets = {"target.head": tuple(h for h, _ in units), "target.unit": tuple(u for _, u in units)}
        contribution = [attention[h] * x * self.weights[h][int(u)] for h, u in units]
        maps = {
            "attention": (np.stack([attention[h.name] for h in self.heads], 1), ("head", "feature"), heads),
            "context": (np.stack([attention[h.name] * x for h in self.heads], 1), ("head", "feature"), heads),
            "contribution": (np.stack(contribution, 1), ("target", "feature"), targets),
        }
        return {
            f"{self.layer}/{name}": InterceptionMap(self.layer, name, values, axes, {**coords, **features})
            for name, (values, axes, coords) in maps.items()
        }

    def layers(self) -> tuple[str, ...]:
        return ("mail",)

    def tail(self, layer: str) -> "AttentionToy":
        assert layer in ("mail", self.layer)
        if self.encoders is None:
            return self
        streams = tuple(Stream(f"{s.name}_code", (len(self.encoders[s.name]),), dtype=s.dtype) for s in self.streams)
        return _attention(streams, self.heads, None, self.scores, self.weights, self.bias)

    def activations(self, inputs: object, layer: str) -> Arrays:
        tail = self.tail(layer)
        parts = np.split(self.encode(self.flat(inputs)), np.cumsum([s.size for s in tail.streams])[:-1], axis=1)
        return {s.name: p.astype(s.dtype) for s, p in zip(tail.streams, parts, strict=True)}

    def layer_streams(self, layer: str) -> dict[str, tuple[str, ...]]:
        return {t.name: (s.name,) for t, s in zip(self.tail(layer).streams, self.streams, strict=True)}


def attention(
    *, raw: bool = False, seed: int = 0, dtype: str = "float64", heads: Mapping[str, int] | None = None
) -> AttentionToy:
    """An ``AttentionToy``; ``raw`` leaves the encoders out, so that the layer reads the model's own inputs."""
    rng = np.random.default_rng(seed)
    widths, codes = {"u": 3, "v": 2}, ({"u": 3, "v": 2} if raw else {"u": 4, "v": 3})
    outs = dict(heads or {"y": 1, "z": 2})
    size = sum(codes.values())
    encoders = None if raw else {s: rng.standard_normal((codes[s], widths[s])) for s in widths}
    return _attention(
        tuple(Stream(name, (width,), dtype=dtype) for name, width in widths.items()),
        tuple(Head(name, (units,)) for name, units in outs.items()),
        encoders,
        {h: rng.standard_normal((size, size)) for h in outs},
        {h: rng.standard_normal((units, size)) for h, units in outs.items()},
        {h: rng.standard_normal(units) for h, units in outs.items()},
    )


def _attention(streams, heads, encoders, scores, weights, bias) -> AttentionToy:
    toy: AttentionToy

    def forward(x: np.ndarray) -> dict[str, np.ndarray]:
        code = toy.encode(x)
        return {h: (_softmax(code @ s.T) * code) @ weights[h].T + bias[h] for h, s in scores.items()}

    def jacobian(x: np.ndarray) -> Jacobian:
        code = toy.encode(x)
        into = np.eye(x.shape[1]) if encoders is None else _block_diagonal([encoders[s.name] for s in streams])
        return {h: _attention_jacobian(code, s, weights[h]) @ into for h, s in scores.items()}

    toy = AttentionToy(
        streams, heads, forward, jacobian=jacobian, encoders=encoders, scores=scores, weights=weights, bias=bias
    )
    return toy


def _attention_jacobian(x: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """d/dx_k of sum_i W_ui a_i x_i, where da_i/dx_k = a_i (S_ik - sum_j a_j S_jk)."""
    a = _softmax(x @ scores.T)
    change = a[:, :, None] * (scores[None] - (a @ scores)[:, None, :])
    return weights[None] * a[:, None, :] + np.einsum("ui,ni,nik->nuk", weights, x, change)


def _softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _block_diagonal(blocks: Sequence[np.ndarray]) -> np.ndarray:
    out = np.zeros((sum(b.shape[0] for b in blocks), sum(b.shape[1] for b in blocks)))
    row = column = 0
    for b in blocks:
        out[row : row + b.shape[0], column : column + b.shape[1]] = b
        row, column = row + b.shape[0], column + b.shape[1]
    return out


def rows(model: Predictor, count: int = 6, seed: int = 1) -> Arrays:
    """Standard normal rows for a toy, in its dtypes."""
    rng = np.random.default_rng(seed)
    return {s.name: rng.standard_normal((count, *s.shape)).astype(s.dtype) for s in model.streams}
