"""The mask that a tensor carries, as Keras has it: read off, and put on again.

A layer takes it off the tensors that it is given, where the layer before has put it. That is beside the graph, so these
two are done by layers too, which Keras hands the mask of its own accord.
"""

from dataclasses import dataclass
from typing import Any

import keras


class _ReadMask(keras.Layer):
    """Gives the mask that a tensor carries, or None."""

    def __init__(self) -> None:
        super().__init__(name="read_mask", autocast=False)
        self.supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        return mask

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """None: a mask carries no mask."""


class _CarryMask(keras.Layer):
    """Gives the tensor itself, which carries the mask from then on."""

    def __init__(self) -> None:
        super().__init__(name="carry_mask", autocast=False)
        self.supports_masking = True

    def call(self, x: Any, mask: Any = None) -> Any:
        return x


def mask_of(tensor: Any) -> Any:
    """The mask that a tensor carries; None where it carries none."""
    return _ReadMask()(tensor)


def with_mask(tensor: Any, mask: Any) -> Any:
    """The tensor, carrying a mask."""
    return _CarryMask()(tensor, mask=mask)


def without_mask(tensor: Any) -> Any:
    """The tensor, carrying no mask; whoever else holds it keeps it with its mask."""
    return keras.ops.copy(tensor)


@dataclass(frozen=True)
class CarryMask:
    """An operation of a graph: what a nested model does with the mask that it is called with.

    Attributes:
        name: of the nested model.
    """

    name: str

    def call(self, x: Any, mask: Any) -> Any:
        """The tensor, carrying the mask."""
        return with_mask(x, mask)

    def __call__(self, x: Any, mask: Any) -> Any:
        """See ``call``."""
        return self.call(x, mask)


@dataclass(frozen=True)
class CarryArguments:
    """What ``CarryMask`` is called with, in the words of Keras's own record of a call.

    Attributes:
        args: the symbolic tensor. kwargs: its mask.
    """

    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    @staticmethod
    def of(tensor: Any, mask: Any) -> "CarryArguments":
        """Arguments of one call."""
        return CarryArguments((tensor,), {"mask": mask})

    def fill_in(self, tensors: dict[int, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The tensors in the place of the symbolic ones, which are known by their identities."""
        return (tensors[id(self.args[0])],), {"mask": tensors[id(self.kwargs["mask"])]}
