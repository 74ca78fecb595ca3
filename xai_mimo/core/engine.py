"""Engines: where the blocks of a long work are done. Here, one after the other; elsewhere, as a plugin decides."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Protocol, runtime_checkable

import xarray as xr

from xai_mimo.core.progress import Advance, silent


class Job(Protocol):
    """Work that falls into numbered blocks, each a value in and a value out.

    A block depends on the job and on its number alone: pickled and done in another process, it gives the same bytes. A
    job can be pickled where its model can: a plain function that can be imported, say. A network of a framework mostly
    cannot, and has to be adapted again where it is wanted.
    """

    def rows_of(self, number: int) -> slice:
        """The rows that a block is about."""

    def block(self, number: int, advance: Advance = silent) -> xr.Dataset:
        """Do one block; ``advance`` is told of the rows that are finished."""


@runtime_checkable
class Engine(Protocol):
    """What does blocks: a plugin of the entry-point group ``xai_mimo.engines``, or an object given to ``explain``."""

    def run(self, job: Job, numbers: Iterable[int], advance: Advance = silent) -> Iterator[tuple[int, xr.Dataset]]:
        """Do these blocks, each once, and give each with its number as soon as it is finished, in any order.

        Args:
            job: whose blocks they are.
            numbers: of the blocks to do.
            advance: told of the rows that are finished, within a block or when it is there.
        """


@dataclass(frozen=True)
class Serial:
    """One block after the other, in this process and thread."""

    name: ClassVar[str] = "serial"

    def run(self, job: Job, numbers: Iterable[int], advance: Advance = silent) -> Iterator[tuple[int, xr.Dataset]]:
        """Do the blocks in the order of their numbers."""
        for number in numbers:
            yield number, job.block(number, advance)
