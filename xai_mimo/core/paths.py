"""Where a file may be written: one rule and one wording for datasets and for reports."""

from pathlib import Path

from xai_mimo.core.errors import FileProblem


def check_folder_of(path: Path) -> None:
    """Refuse a path whose folder is not there: a misspelt one is not made.

    Raises:
        FileProblem: there is no such folder.
    """
    if not path.parent.is_dir():
        raise FileProblem(f"cannot write {path}: there is no folder {path.parent}. Make it first, or name another.")


def check_no_folder(path: Path) -> None:
    """Refuse a folder where the name of a file is expected.

    Raises:
        FileProblem: the path is a folder.
    """
    if path.is_dir():
        raise FileProblem(f"cannot write {path}: it is a folder. Give the name of a file inside it.")
