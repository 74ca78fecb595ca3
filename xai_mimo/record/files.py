"""How every report reaches the disk: whole or not at all, and into a folder that is there or was asked for."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from xai_mimo.core.errors import FileProblem
from xai_mimo.core.paths import as_path, check_no_folder, written_whole


def write_bytes(content: bytes, path: str | Path) -> Path:
    """Write a file in one step: a temporary file beside it, then a rename, so that a crash leaves no half file.

    Args:
        content: the whole file.
        path: where to, in a folder that is there: a misspelt one is not made.
    Returns:
        The path.
    Raises:
        FileProblem: the path is a folder, its folder is not there, or it cannot be written.
    """
    path = as_path(path)
    check_no_folder(path)
    with written_whole(path) as beside:
        beside.write_bytes(content)
    return path


def write_text(text: str, path: str | Path) -> Path:
    """``write_bytes`` of a text in UTF-8 with the same line ends on every system."""
    return write_bytes(text.encode("utf-8"), path)


def make_folder(folder: str | Path) -> Path:
    """The folder, made with its parents where missing.

    Raises:
        FileProblem: it cannot be made, or is a file.
    """
    folder = as_path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise FileProblem(
            f"cannot make the folder {folder}: {err.strerror or err}. Choose another place, or move what is in its way."
        ) from err
    return folder


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """The folder, made where missing, after a file was written into it: before hours of training, not behind them.

    Raises:
        FileProblem: a file stands in its place, or it cannot be written.
    """
    folder = as_path(path)
    if folder.exists() and not folder.is_dir():
        raise FileProblem(f"output folder '{folder}' cannot be made: a file stands in its place. Name another --out.")
    make_folder(folder)
    write_bytes(b"", folder / ".can_write").unlink()
    return folder


@contextlib.contextmanager
def output_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """``writable_folder`` while it is filled: where that fails before anything was written, no empty folder stays.

    Raises:
        FileProblem: see ``writable_folder``.
    """
    wanted = as_path(path)
    missing = [folder for folder in (wanted, *wanted.parents) if not folder.exists()]
    folder = writable_folder(wanted)
    try:
        yield folder
    except BaseException:
        for made in missing:
            with contextlib.suppress(OSError):  # something was written into it
                made.rmdir()
        raise
