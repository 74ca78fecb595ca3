"""The output folder of a study or a demo."""

import json
import os
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import FileProblem


def make_folder(path: str | os.PathLike[str]) -> Path:
    """Create the folder if it is not there, and make sure that files can be written into it.

    Raises:
        FileProblem: a file stands in its place, or it cannot be written.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".xai_mimo_can_write"
        probe.touch()
        probe.unlink()
    except (FileExistsError, NotADirectoryError) as err:
        raise FileProblem(
            f"output folder '{folder}' cannot be made: a file stands in its place. Name another --out."
        ) from err
    except OSError as err:
        raise FileProblem(f"output folder '{folder}' cannot be written: {err.strerror}. Name another --out.") from err
    return folder


def write_json(path: Path, values: Any) -> None:
    """Write JSON whole or not at all, so that a run cut short leaves no half file that looks like a result."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)
