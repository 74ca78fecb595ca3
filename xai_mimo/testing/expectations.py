"""What contracts are made of: claims with a sentence for when they fail, numbers that agree, all targets of a model."""

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from xai_mimo.core.errors import XaiMimoError
from xai_mimo.core.model import Model
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector


def require(holds: Any, sentence: str) -> None:
    """Raise ``AssertionError`` with the sentence unless the claim holds."""
    if not holds:
        raise AssertionError(sentence)


def require_refusal(call: Callable[[], Any], error: type[XaiMimoError], what: str, *, naming: str = "") -> None:
    """The call raises this error of ours.

    Args:
        call: what should be refused.
        error: the class, from ``xai_mimo.core.errors``.
        what: the subject of the sentence, e.g. "predict, given NaN".
        naming: a word that the error's text must hold, e.g. the name of the stream.
    """
    try:
        call()
    except error as err:
        require(naming in str(err), f"{what}, raises {error.__name__} that does not name '{naming}': {err}")
    except Exception as err:
        raise AssertionError(
            f"{what}, raises {type(err).__name__} ({err}); expected {error.__name__} of xai_mimo.core.errors."
        ) from err
    else:
        raise AssertionError(f"{what}, raises nothing; expected {error.__name__} of xai_mimo.core.errors.")


def require_equal(ours: Mapping[str, Array], expected: Mapping[str, Array], tolerance: float, what: str) -> None:
    """Arrays of the same names, shapes and values.

    Args:
        ours: what was computed.
        expected: what it should be.
        tolerance: largest difference allowed, relative to the largest magnitude of the array (or absolute below 1).
        what: the subject of the sentence, e.g. "predict on one row".
    """
    require(set(ours) == set(expected), f"{what} gives {sorted(ours)}; expected {sorted(expected)}.")
    for name, wanted in expected.items():
        values = np.asarray(ours[name])
        fits = values.shape == wanted.shape
        require(fits, f"{what} gives shape {values.shape} for '{name}'; expected {wanted.shape}.")
        difference = largest(np.asarray(values, np.float64) - wanted)
        allowed = tolerance * max(1.0, largest(wanted))
        require(difference <= allowed, f"{what} differs in '{name}' by {difference:.3g}; allowed {allowed:.3g}.")


def largest(values: Array) -> float:
    """Largest magnitude; 0 of nothing, NaN where one value is."""
    return float(np.max(np.abs(np.asarray(values, np.float64)), initial=0.0))


def every_target(model: Model, rows: int) -> list[Selector]:
    """Every unit of every head, for so many rows."""
    return [
        Selector(f"{head.name}:{unit}", head.name, np.full(rows, unit, dtype=np.int64))
        for head in model.heads
        for unit in range(head.size)
    ]


@contextmanager
def works(what: str) -> Iterator[None]:
    """What lies inside raises nothing but the sentences of its own claims."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as err:
        raise AssertionError(f"{what} fails with {type(err).__name__}: {err}") from err


@contextmanager
def unchanged(state: Callable[[], Mapping[str, Any]], what: str) -> Iterator[None]:
    """What ``state`` gives by name is the same before and after, whatever happens in between."""
    before = copy.deepcopy(dict(state()))
    try:
        yield
    finally:
        after = state()
        changed = [name for name, value in before.items() if not _same(after.get(name), value)]
        require(not changed, f"{what} changes {', '.join(changed)}; it must be left as it was.")


def _same(one: Any, other: Any) -> bool:
    if isinstance(other, Mapping):
        return isinstance(one, Mapping) and set(one) == set(other) and all(_same(one[k], v) for k, v in other.items())
    if isinstance(other, list | tuple):
        return isinstance(one, list | tuple) and len(one) == len(other) and all(map(_same, one, other))
    return bool(np.array_equal(one, other))
