"""How every report reaches the disk: whole or not at all."""

import contextlib
import secrets
from pathlib import Path

from xai_mimo.core.errors import FileProblem


def write_bytes(content: bytes, path: str | Path) -> Path:
    """Write a file in one step: a temporary file beside it, then a rename, so that a crash leaves no half file.

    Args:
        content: the whole file.
        path: where to; missing folders are made.
    Returns:
        The path.
    Raises:
        FileProblem: the path is a folder, or its folder cannot be made or written.
    """
    path = Path(path)
    if path.is_dir():
        raise FileProblem(f"cannot write {path}: it is a folder. Give the name of a file inside it.")
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.part")
    try:
        with temporary.open("xb") as file:
            file.write(content)
        temporary.replace(path)
    except OSError as err:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise FileProblem(
            f"cannot write {path}: {err.strerror or err}. Choose a folder that can be written and has room."
        ) from err
    return path


def write_text(text: str, path: str | Path) -> Path:
    """``write_bytes`` of a text in UTF-8 with the same line ends on every system."""
    return write_bytes(text.encode("utf-8"), path)


def make_folder(folder: str | Path) -> Path:
    """The folder, made with its parents where missing.

    Raises:
        FileProblem: it cannot be made, or is a file.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise FileProblem(
            f"cannot make the folder {folder}: {err.strerror or err}. Choose another place, or move what is in its way."
        ) from err
    return folder
