"""An engine: a dataclass of settings with a name, and one call that does the blocks of a job."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

import xarray as xr

from xai_mimo.core.engine import Job
from xai_mimo.core.progress import Advance, silent


@dataclass(frozen=True)
class Backwards:
    """The last block first: the result is the same."""

    name: ClassVar[str] = "toy_backwards"

    def run(self, job: Job, numbers: Iterable[int], advance: Advance = silent) -> Iterator[tuple[int, xr.Dataset]]:
        """Do the blocks in falling order."""
        for number in sorted(numbers, reverse=True):
            yield number, job.block(number, advance)
