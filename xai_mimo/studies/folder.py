"""The output folder of a study or a demo."""

import os
from pathlib import Path

from xai_mimo.core.errors import FileProblem
from xai_mimo.record.files import make_folder, write_bytes


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made where missing, after a file was written into it: before hours of training, not behind them.

    Raises:
        FileProblem: a file stands in its place, or it cannot be written.
    """
    folder = Path(path)
    if folder.exists() and not folder.is_dir():
        raise FileProblem(f"output folder '{folder}' cannot be made: a file stands in its place. Name another --out.")
    make_folder(folder)
    write_bytes(b"", folder / ".can_write").unlink()
    return folder
