"""Where and how a file is written: one rule and one wording for datasets and for reports."""

import contextlib
import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from xai_mimo.core.errors import FileProblem


def as_path(path: object, of: str = "a file") -> Path:
    """A path from what a caller gives.

    Args:
        path: text or a ``Path``. of: what it is the path of, for the error.
    Raises:
        FileProblem: it is neither text nor a path, or holds characters that no name of a file can hold.
    """
    if not isinstance(path, str | os.PathLike) or not isinstance(os.fspath(path), str):
        raise FileProblem(f"expected the path of {of}, as text or as a Path; got {type(path).__name__}.")
    try:
        os.fsencode(path)
    except UnicodeEncodeError as err:
        raise FileProblem(f"{os.fspath(path)!r} is no path: it holds half of a surrogate pair.") from err
    if "\0" in os.fspath(path):
        raise FileProblem(f"{os.fspath(path)!r} is no path: it holds the character NUL.")
    try:
        os.stat(path)
    except OSError as err:
        if err.errno == errno.ENAMETOOLONG:
            raise FileProblem(f"{os.fspath(path)[:40]!r}... is no path: {reason(err)}.") from err
    return Path(path)


def check_folder_of(path: Path) -> None:
    """Refuse a path whose folder is not there: a misspelt one is not made.

    Raises:
        FileProblem: there is no such folder.
    """
    if not _is_folder(path.parent):
        raise FileProblem(f"cannot write {path}: there is no folder {path.parent}. Make it first, or name another.")


def check_no_folder(path: Path) -> None:
    """Refuse a folder where the name of a file is expected.

    Raises:
        FileProblem: the path is a folder.
    """
    if _is_folder(path):
        raise FileProblem(f"cannot write {path}: it is a folder. Give the name of a file inside it.")


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError as err:  # a folder that may not be entered
        raise FileProblem(f"cannot write {path}: {reason(err)}. Choose another place or name.") from err


@contextlib.contextmanager
def written_whole(path: str | Path, *, suffix: str = "") -> Iterator[Path]:
    """A place beside a path to write a file or folder to; it takes the path's name when the block ends without error.

    What is there already is replaced in one step, so that a crash leaves the old or the new and no half of one.

    Args:
        path: where to, in a folder that is there: a misspelt one is not made.
        suffix: of the temporary name, for writers that look at it.
    Raises:
        FileProblem: the path's folder is not there, or what the block writes cannot be written.
    """
    path = as_path(path)
    check_folder_of(path)
    beside = path.with_name(f"{part_prefix(path)}{secrets.token_hex(4)}.part{suffix}")
    try:
        yield beside
        _to_disk(beside)
        _put_in_place(beside, path)
    except BaseException as err:
        _remove(beside)
        if isinstance(err, OSError) and not isinstance(err, FileProblem):
            raise FileProblem(
                f"cannot write {path}: {reason(err)}. Choose a folder that can be written and has room."
            ) from err
        raise


def part_prefix(path: Path) -> str:
    """How the names begin under which parts of a path are written."""
    return f".{path.name.encode()[:100].decode(errors='ignore')}."


def reason(err: BaseException) -> str:
    """What the system says of an error, without the words of the library that met it."""
    number = err.errno if isinstance(err, OSError) else None
    return os.strerror(number) if number else f"the file is damaged or was cut short ({type(err).__name__})"


def _put_in_place(new: Path, path: Path) -> None:
    if not (new.is_dir() and path.is_dir()):
        new.replace(path)
        return
    old = path.with_name(f"{part_prefix(path)}{secrets.token_hex(4)}.old")
    path.rename(old)  # a folder cannot be replaced by another in one step
    new.rename(path)
    _remove(old)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _to_disk(path: Path) -> None:
    """What was written, out of the system's memory: else a power cut after the rename leaves an empty file."""
    for file in [f for f in path.rglob("*") if f.is_file()] if path.is_dir() else [path]:
        with file.open("rb+") as opened:
            os.fsync(opened.fileno())
