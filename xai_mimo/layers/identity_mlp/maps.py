"""What an identity-initialised MLP sows: its states as maps with the names of features, heads and layers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from keras import ops

from xai_mimo.layers.identity_mlp import states as identity_states
from xai_mimo.layers.identity_mlp.states import Decomposition, States
from xai_mimo.sowing import sow

_LEADING_AXES = {0: (), 1: ("height",), 2: ("height", "width")}


@dataclass(frozen=True)
class Names:
    """What the axes of the maps are called.

    Attributes:
        axes: lengths of the axes of one row of the input.
        features: names along the last of them.
        heads: width by name of the heads, in the order of their scores.
        regression: names of the heads whose units are quantities.
    """

    axes: tuple[int, ...]
    features: tuple[str, ...]
    stream: str
    heads: Mapping[str, int]
    regression: tuple[str, ...]

    @property
    def leading(self) -> tuple[str, ...]:
        """Words for all axes of a row but the last."""
        count = len(self.axes) - 1
        return _LEADING_AXES.get(count) or tuple(f"axis_{i}" for i in range(1, count + 1))

    def of_features(self) -> dict[str, Sequence[str]]:
        """Labels along the feature axis."""
        return {"feature": self.features, "feature.stream": [self.stream] * len(self.features)}

    def of_units(self, axis: str, leave_out: Sequence[str] = ()) -> dict[str, Sequence[str]]:
        """Labels of an axis of units: whose each is, and its number there."""
        kept = {head: width for head, width in self.heads.items() if head not in leave_out}
        return {
            f"{axis}.head": [head for head, width in kept.items() for _ in range(width)],
            f"{axis}.unit": [str(unit) for width in kept.values() for unit in range(width)],
        }


def sow_maps(layer: Any, states: States, kernel: Any, bias: Any, *, names: Names, alpha: float) -> None:
    """Offer all maps that ``IdentityMLP`` describes; what nobody collects is not computed.

    Args:
        layer: whose maps they are.
        states: of one batch. kernel, bias: ``(L, n, n)`` and ``(L, n)``; all of one dtype, float32 or better.
    """
    rows = ops.shape(states.hidden[0])[0]
    steps = {"layer": [str(i + 1) for i in range(kernel.shape[0])]}

    def of_layers(name: str, values: Callable[[], Any], units: str, coords: Mapping[str, Sequence[str]]) -> None:
        sow(layer, name, values, axes=("layer", units), coords={**steps, **coords})

    def of_features(name: str, values: Callable[[], Any], other: str, coords: Mapping[str, Sequence[str]]) -> None:
        axes = (*names.leading, other, "feature")
        sow(layer, name, lambda: _unflattened(values(), names), axes=axes, coords={**coords, **names.of_features()})

    of_features("change", lambda: identity_states.changes(states, alpha), "layer", steps)
    of_features("increment", lambda: identity_states.increments(states), "layer", steps)
    scores = identity_states.scores(states)
    of_layers("score", lambda: scores, "target", names.of_units("target"))
    if set(names.heads) - set(names.regression):
        coords = names.of_units("class", leave_out=names.regression)
        of_layers("class_likelihood", lambda: _likelihood(scores, names), "class", coords)
    _sow_decompositions(layer, states, kernel, bias, names, alpha, of_features)
    for name, values in (
        ("deviation", identity_states.deviation(kernel, alpha)),
        ("diagonal", identity_states.mean_diagonal(kernel)),
        ("off_diagonal", identity_states.mean_off_diagonal(kernel)),
    ):
        sow(layer, name, ops.broadcast_to(values, (rows, kernel.shape[0])), axes=("layer",), coords=steps)


def _unflattened(values: Any, names: Names) -> Any:
    """``(B, other, D)`` as ``(B, *leading axes, other, last axis)`` of the input."""
    lead = len(names.axes) - 1
    whole = ops.reshape(values, (ops.shape(values)[0], values.shape[1], *names.axes))
    return ops.transpose(whole, (0, *range(2, 2 + lead), 1, 2 + lead))


def _sow_decompositions(
    layer: Any, states: States, kernel: Any, bias: Any, names: Names, alpha: float, of_features: Callable[..., None]
) -> None:
    kernels, biases = ops.unstack(kernel, num=kernel.shape[0]), ops.unstack(bias, num=kernel.shape[0])
    targets = names.of_units("target")
    whole = cache(lambda: identity_states.decompose(states, kernels, biases))
    directly = cache(lambda: identity_states.decompose_directly(states, kernels, biases, alpha))
    of_features("contribution", lambda: whole().terms, "target", targets)
    of_features("direct_contribution", lambda: directly()[0], "target", targets)
    coords = {**targets, **names.of_units("score")}
    sow(layer, "score_contribution", lambda: directly()[1].terms, axes=("target", "score"), coords=coords)

    def of_targets(name: str, values: Callable[[], Any]) -> None:
        sow(layer, name, values, axes=("target",), coords=targets)

    of_targets("bias", lambda: _repeated(whole()))
    of_targets("clip_residual", lambda: whole().residual)
    of_targets("direct_bias", lambda: _repeated(directly()[1]))
    of_targets("direct_clip_residual", lambda: directly()[1].residual)


def _repeated(parts: Decomposition) -> Any:
    """The bias for each row."""
    return ops.broadcast_to(parts.bias, ops.shape(parts.residual))


def _likelihood(scores: Any, names: Names) -> Any:
    """q^l of the class heads, ``(B, L, classes)``: softmax over each head, sigmoid for a head of one unit."""
    parts, start = [], 0
    for head, width in names.heads.items():
        own = scores[..., start : start + width]
        start += width
        if head not in names.regression:
            parts.append(ops.softmax(own, axis=-1) if width > 1 else ops.sigmoid(own))
    return ops.concatenate(parts, axis=-1)
