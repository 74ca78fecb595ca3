"""Tokens that are patches of an image: how a row of them lies over rows and columns of patches."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt

import numpy as np

from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.positions import IMAGE, is_image
from xai_mimo.core.streams import Array, Stream


@dataclass(frozen=True)
class TokenGrid:
    """What has to be known of a transformer's tokens before a map of them is a picture.

    Attributes:
        prefix: tokens before the first patch, such as one for the class and registers. They have no position: their
            channels are not read, and no position gets what they carry.
        sides: rows and columns of patches, in reading order; None to take the grid of the image's aspect.
    """

    prefix: int = 0
    sides: tuple[int, int] | None = None

    @staticmethod
    def of(prefix_tokens: int, grid: Sequence[int] | None) -> "TokenGrid":
        """From a method's settings, checked.

        Raises:
            BadSetting: no whole number of at least 0, or no two whole numbers of at least 1.
        """
        if not _is_whole(prefix_tokens, 0):
            raise BadSetting(f"prefix_tokens must be a whole number of at least 0; got {prefix_tokens!r}.")
        if grid is None:
            return TokenGrid(int(prefix_tokens))
        if not isinstance(grid, list | tuple) or len(grid) != len(IMAGE) or not all(_is_whole(n, 1) for n in grid):
            raise BadSetting(f"grid must be rows and columns of patches, such as (14, 14); got {grid!r}.")
        return TokenGrid(int(prefix_tokens), (int(grid[0]), int(grid[1])))

    def patches(self, values: Array, axis: int, *, axes: int, what: str) -> Array:
        """The values without those of the prefix.

        Args:
            values: of a layer. axis: where its positions begin. axes: how many axes of positions it has.
            what: the values, for error texts.
        Raises:
            BadSetting: a grid or a prefix for a layer that has no row of tokens, or a prefix that is all of them.
        """
        if axes != 1:
            if self != TokenGrid():
                raise BadSetting(
                    f"prefix_tokens and grid are for rows of tokens, and {what} has {axes} axes of positions. Leave "
                    "them out, or name a layer that reads tokens."
                )
            return values
        if values.shape[axis] <= self.prefix:
            raise BadSetting(f"{what} has {values.shape[axis]} tokens, so {self.prefix} of them cannot be a prefix.")
        return values[(slice(None),) * axis + (slice(self.prefix, None),)]

    def lay(self, maps: Array, stream: Stream, shape: Sequence[int], *, axes: int, what: str) -> tuple[Array, int]:
        """Maps of patches as pictures, where the stream is one of images; other maps as they are.

        Args:
            maps: ``(..., *positions)``, without the prefix. axes: how many axes of positions they have.
            stream: that they will be laid over. shape: of one row of it.
            what: the maps, for error texts.
        Returns:
            The maps, and how many axes of positions they have now.
        Raises:
            NotSupported: tokens without a known grid. BadSetting: a grid that does not fit the tokens or the stream.
        """
        if axes != 1 or not is_image(stream.axes):
            if self.sides is not None:
                raise BadSetting(
                    f"grid={self.sides} is for tokens of an image, and {what} is laid over '{stream.name}', whose axes "
                    f"are {', '.join(stream.axes)}. Leave it out."
                )
            return self._with_prefix(maps, shape, axes), axes
        height, width = (int(shape[stream.axes.index(side)]) for side in IMAGE)
        rows, columns = self.sides or _same_aspect(maps.shape[-1], height, width) or (0, 0)
        if rows * columns != maps.shape[-1]:
            raise self._unknown_grid(maps.shape[-1], f"{height} x {width} image '{stream.name}'", what)
        return maps.reshape(*maps.shape[:-1], rows, columns), len(IMAGE)

    def _with_prefix(self, maps: Array, shape: Sequence[int], axes: int) -> Array:
        """Zeros for the prefix where the stream holds it too: where a layer's own tokens are explained."""
        if axes == 1 and self.prefix and shape[0] == maps.shape[-1] + self.prefix:
            return np.concatenate([np.zeros((*maps.shape[:-1], self.prefix)), maps], axis=-1)
        return maps

    def _unknown_grid(self, tokens: int, image: str, what: str) -> BadSetting | NotSupported:
        if self.sides is not None:
            rows, columns = self.sides
            return BadSetting(
                f"{what} has {tokens} patches besides {self.prefix} prefix tokens; grid={self.sides} wants "
                f"{rows * columns}."
            )
        return NotSupported(
            f"{what} has {tokens} tokens besides a prefix of {self.prefix}: no grid with the aspect of the "
            f"{image}. Say how many tokens stand before the patches, e.g. prefix_tokens=1 for one of the class, or how "
            "the patches lie: grid=(rows, columns)."
        )


def _same_aspect(tokens: int, height: int, width: int) -> tuple[int, int] | None:
    """The grid of so many patches with the aspect of an image, if there is one: square for a square image."""
    rows = isqrt(tokens * height // width)
    fits = rows > 0 and tokens % rows == 0 and rows * width == tokens // rows * height
    return (rows, tokens // rows) if fits else None


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least
