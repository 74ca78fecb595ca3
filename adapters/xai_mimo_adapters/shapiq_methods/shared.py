"""What all of shapiq is given: the package itself, and one row's game, of which each coalition is asked once."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from xai_mimo.core.coalitions import Game
from xai_mimo.core.errors import MissingDependency
from xai_mimo.core.streams import Array


def shapiq() -> Any:
    """The package.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import shapiq as package
    except ImportError as err:
        raise MissingDependency("interactions need shapiq: pip install 'xai-mimo[shapiq]'") from err
    return package


class RowGame:
    """One row's coalitions as shapiq asks for them, each answered once for all targets.

    An approximator draws the same coalitions for every target when it is seeded alike; whatever it asks for again is
    remembered, so that more targets cost no further prediction.

    Args:
        game: of all rows. row: whose coalitions these are.
    """

    def __init__(self, game: Game, row: int) -> None:
        self._game, self._row = game, row
        self._worth: dict[bytes, Array] = {}

    @property
    def evaluations(self) -> int:
        """How many different coalitions were asked for."""
        return len(self._worth)

    def of(self, target: int) -> Callable[[Array], Array]:
        """The game of one target: ``(coalition, player)`` booleans to ``(coalition,)``."""

        def worth(coalitions: Array) -> Array:
            found: Array = self.ask(np.atleast_2d(coalitions).astype(bool))[target]
            return found

        return worth

    def ask(self, known: Array) -> Array:
        """Worth of coalitions, ``(coalition, player)`` booleans: ``(target, coalition)``."""
        keys = [row.tobytes() for row in np.packbits(known, axis=1)]
        places = {key: place for place, key in enumerate(keys) if key not in self._worth}
        if places:
            new = known[list(places.values())]
            found = self._game.values(np.full(len(new), self._row), new)
            self._worth.update(zip(places, found.T, strict=True))
        answered: Array = np.stack([self._worth[key] for key in keys], axis=1)
        return answered


@contextlib.contextmanager
def unworried() -> Iterator[None]:
    """Leave out what shapiq warns of where a budget holds nearly all coalitions, which is no harm."""
    with warnings.catch_warnings():
        for words in ("Not all budget is required", "Sampling might be inefficient"):
            warnings.filterwarnings("ignore", message=words)
        yield
