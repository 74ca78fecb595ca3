"""Which layer made a tensor, of a model whose ``call`` is its own code and shows no graph."""

import contextlib
import contextvars
import threading
from collections.abc import Iterator
from typing import Any

import keras

_made: contextvars.ContextVar[list[tuple[Any, Any]] | None] = contextvars.ContextVar("xai_mimo_made", default=None)


class Makers:
    """The layers that were called while they were noted.

    Args:
        made: ``(tensor, layer)`` of each call that gave one tensor, in order of their ends.
    """

    def __init__(self, made: list[tuple[Any, Any]]) -> None:
        self._made = made

    def of(self, tensor: Any) -> Any | None:
        """The innermost layer that gave this very tensor, None where none did."""
        return next((layer for made, layer in self._made if made is tensor), None)


class _Noting:
    """``Layer.__call__``, replaced by the first who notes until the last has done, for threads that note alone."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    @contextlib.contextmanager
    def active(self) -> Iterator[None]:
        with self._lock:
            self._count += 1
            if self._count == 1:
                self._original = keras.layers.Layer.__call__
                keras.layers.Layer.__call__ = _noting(self._original)
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1
                if not self._count:
                    keras.layers.Layer.__call__ = self._original


def _noting(original: Any) -> Any:
    def __call__(layer: Any, *args: Any, **kwargs: Any) -> Any:
        answer, made = original(layer, *args, **kwargs), _made.get()
        if made is not None and hasattr(answer, "shape"):
            made.append((answer, layer))
        return answer

    return __call__


_NOTING = _Noting()


@contextlib.contextmanager
def noting_makers() -> Iterator[Makers]:
    """Note which layer makes which tensor; no layer and no model is changed, and the class is put back on error too."""
    made: list[tuple[Any, Any]] = []
    token = _made.set(made)
    try:
        with _NOTING.active():
            yield Makers(made)
    finally:
        _made.reset(token)
