"""A model of JAX taken apart: the weights that it reads, and how it is called with them."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jax
import numpy as np

_INFERENCE = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "use_running_average": True,
    "inference": True,
}
"""Parameters by which modules are told that they are not trained now, and the value that says so."""


Takes = Literal["rows", "row"]


def no_weights() -> tuple[()]:
    """Of a function: what it closes over is its own."""
    return ()


def always() -> bool:
    """Of what cannot change otherwise than in its weights."""
    return True


@dataclass(frozen=True)
class Leaf:
    """One array of a model's weights.

    Attributes:
        layer: path of the module that holds it, e.g. "encoder/Dense_0"; "" for the model itself.
        name: of the array, with its path.
        is_trained: whether training changes it, unlike a moving mean.
    """

    layer: str
    name: str
    is_trained: bool


@dataclass(frozen=True)
class Source:
    """How a model is called, and with what.

    Attributes:
        model: what the user gave; what is compiled is kept with it.
        name: of the model, for errors and reports.
        signature: a function whose parameters are those that streams go to.
        built: ``built(weights, shown)`` is the model with these weights in inference mode, to be called with its
            streams, and the paths of the modules in it that do not know theirs, by identity. Where ``shown`` it also
            sows the maps of layers that are not ours.
        weights: the arrays that the model reads now, in any tree. They are arguments of what is compiled.
        leaves: of the weights, in the order of their tree; None where nothing is known of them.
        takes: "rows" for a function of batches, "row" of one row alone, None where it has to be tried.
        is_plain: whether it is a function that nobody traced before, and that may do what JAX cannot.
        is_current: whether the model is what it was, but for its weights; where it is not it is read again.
        again: reads it again.
    """

    model: Any
    name: str
    signature: Callable[..., Any]
    built: Callable[[Any, bool], tuple[Callable[..., Any], Mapping[int, str]]]
    weights: Callable[[], Any] = no_weights
    leaves: Callable[[Any], list[Leaf]] | None = None
    takes: Takes | None = "rows"
    is_plain: bool = False
    is_current: Callable[[], bool] = always
    again: "Callable[[], Source] | None" = None


def label_of(function: Any) -> str:
    """What a function or module is called: its own name, else its type's."""
    return str(getattr(function, "__qualname__", None) or type(function).__qualname__)


def flags_of(call: Callable[..., Any], *, required_only: bool = False) -> dict[str, bool]:
    """The parameters of a module's call that say whether it is trained, with the values that say it is not."""
    try:
        parameters = inspect.signature(call).parameters
    except (ValueError, TypeError):
        return {}
    return {
        name: value
        for name, value in _INFERENCE.items()
        if name in parameters and not (required_only and parameters[name].default is not inspect.Parameter.empty)
    }


def is_array(leaf: Any) -> bool:
    """Whether a leaf of a tree is an array, and so an argument of what is compiled."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def is_float(leaf: Any) -> bool:
    """Whether a leaf holds floats of any width, which training changes."""
    return is_array(leaf) and bool(jax.numpy.issubdtype(leaf.dtype, np.floating))


def words_of(path: Sequence[Any]) -> list[str]:
    """A path in a tree as words: keys, attributes and places."""
    words = [next((getattr(k, a) for a in ("name", "key", "idx") if hasattr(k, a)), k) for k in path]
    return [str(word) for word in words]


def leaves_of(weights: Any, is_trained: Callable[[list[str], Any], bool], *, skip: int = 0) -> list[Leaf]:
    """The leaves of a tree of weights, called by their paths.

    Args:
        weights: any tree. is_trained: of a path in words and its leaf.
        skip: so many words are left out at the front of the names.
    """
    found = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(weights)[0]:
        words = words_of(path)
        shown = words[skip:] or words
        found.append(Leaf("/".join(shown[:-1]), "/".join(shown), is_trained(words, leaf)))
    return found
