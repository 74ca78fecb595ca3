"""What is said where a model's answer or its gradient is NaN or infinite: which head, which row, at which point."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from xai_mimo.core.errors import NotFinite
from xai_mimo.core.precision import is_half
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector

Where = Callable[[int], str]
"""Words for the point of this number."""

_NO_GRADIENTS = "Leave such rows out, or take a method that needs no gradients, such as 'shapley' or 'occlusion'."


def check_values(values: Array, selectors: Sequence[Selector], where: Where, *, mend: str = "") -> None:
    """Refuse values ``(target, point)`` that are NaN or infinite.

    Args:
        values: of the targets. selectors: the targets. where: the points, in words.
        mend: what can be done about it; "" names other methods and baselines.
    Raises:
        NotFinite: for the first such value.
    """
    if np.isfinite(values).all():
        return
    target, point = (int(i) for i in np.argwhere(~np.isfinite(values))[0])
    head = selectors[target].name
    mend = mend or (
        "No path may lead there: take another baseline, such as baseline='mean', or a method that asks for no points "
        "between rows, such as 'shapley'."
    )
    raise NotFinite(f"head '{head}' is {_word(values[target, point])} at {where(point)}. {mend}", head)


def check_gradients(
    gradients: Mapping[str, Array], selectors: Sequence[Selector], where: Where, *, precision: str = ""
) -> None:
    """Refuse gradients ``{stream: (target, point, *shape)}`` that are NaN or infinite.

    Args:
        gradients: of the targets. selectors: the targets. where: the points, in words.
        precision: in which the model computes, where that is known.
    Raises:
        NotFinite: for the first such value.
    """
    for stream, slope in gradients.items():
        if not np.isfinite(slope).all():
            bad = ~np.isfinite(slope)
            target, point = (int(i) for i in np.argwhere(bad.reshape(*bad.shape[:2], -1).any(axis=2))[0])
            value = slope[target, point][bad[target, point]].ravel()[0] if slope.ndim > 2 else slope[target, point]
            raise no_gradient(selectors[target].name, stream, where(point), float(value), precision=precision)


def no_gradient(head: str, stream: str, where: str, value: float, *, precision: str = "") -> NotFinite:
    """The error that says where a head has no gradient."""
    if is_half(precision):
        cause = (
            f"The model computes in half precision ({precision}), in which gradients overflow: load it under the "
            "float32 policy, keras.config.set_dtype_policy('float32')."
        )
    else:
        cause = (
            "The model has none there, as a norm, a distance or a square root has none at 0: add a small number under "
            f"the root. {_NO_GRADIENTS}"
        )
    return NotFinite(
        f"the gradient of head '{head}' with respect to input stream '{stream}' is {_word(value)} at {where}. {cause}",
        head,
    )


def _word(value: float) -> str:
    return "NaN" if np.isnan(value) else "infinite" if value > 0 else "minus infinity"
