"""A pickle that does something when it is read, so that a test can see whether it was read."""

import pickle
from pathlib import Path
from typing import Any


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = str(mark)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path(self.mark),)


def evil_pickle(mark: Path, protocol: int = 4) -> bytes:
    """A pickle that makes the file ``mark`` when it is read."""
    return pickle.dumps(Evil(mark), protocol=protocol)
