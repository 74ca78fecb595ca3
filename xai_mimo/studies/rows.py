"""The file that rows travel in: ``.npz``, an array per stream, nothing pickled."""

import os
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xai_mimo.core.archives import check_size
from xai_mimo.core.errors import BadValues, FileProblem, XaiMimoError
from xai_mimo.core.model import Arrays
from xai_mimo.core.paths import as_path, written_whole
from xai_mimo.core.streams import Array, Stream
from xai_mimo.datasets import Data
from xai_mimo.studies import frames

SUFFIXES = (".npz", *frames.SUFFIXES)
"""How the names of files of rows end."""
_MARKS = ("input:", "label:", "kind:", "features:", "groups:")


@dataclass(frozen=True)
class Rows:
    """Rows as they lie in a file.

    Attributes:
        inputs: ``{stream: (sample, *axes)}``; of a table, the table without its labels, columns as they are.
        labels: ``{head: (sample, ...)}``, for some heads or none.
        features: ``{stream: feature names}``, for some streams or none.
        groups: ``{stream: {group: feature names}}``, likewise.
        kinds: ``{head: kind}``, for some heads or none.
    """

    inputs: Any
    labels: Arrays
    features: dict[str, tuple[str, ...]]
    groups: dict[str, dict[str, tuple[str, ...]]]
    kinds: dict[str, Any]


def save_rows(path: Path, data: Data) -> None:
    """Write rows as ``.npz``: an array per stream, and ``label:<head>, kind:<head>, features:<stream>``.

    ``groups:<stream>`` names the group of each feature where there are any, "" for none.
    """
    named: dict[str, Any] = {
        **{f"input:{name}" if name.startswith(_MARKS) else name: values for name, values in data.inputs.items()},
        **{f"label:{name}": values for name, values in data.labels.items()},
        **{f"kind:{h.name}": np.array(h.kind) for h in data.heads},
        **{f"features:{s.name}": np.array(s.features) for s in data.streams},
        **{f"groups:{s.name}": np.array(_group_of_each(s)) for s in data.streams if s.groups},
    }
    # Not by numpy.savez, which cannot hold a name "file".
    with written_whole(path, suffix=".npz") as beside, zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, values in named.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, np.asarray(values), allow_pickle=False)


def load_rows(path: str | os.PathLike[str]) -> Rows:
    """Read rows; nothing is unpickled.

    Args:
        path: ``.npz`` with an array per stream; ``label:<head>``, ``kind:<head>``, ``features:<stream>`` and
            ``groups:<stream>`` may stand beside them. Or a table (``.csv``, ``.parquet``, ``.feather``) with a column
            per feature and ``label:<head>`` for labels; its columns are divided among the streams by their names.
    Raises:
        FileProblem: it cannot be read, is damaged or something else, or unpacks to far more than it is large.
        BadValues: an array would have to be unpickled, or names are no list.
    """
    path = as_path(path)
    if not path.is_file():
        what = "it is a folder; give the name of an .npz file inside it" if path.is_dir() else "there is no such file"
        raise FileProblem(f"cannot read '{path}': {what}.")
    if path.suffix.lower() in frames.SUFFIXES:
        return _of_table(frames.read_frame(path), path)
    if not zipfile.is_zipfile(path):
        mend = f"numpy.savez('{path.with_suffix('.npz')}', stream=array, ...)"
        raise FileProblem(
            f"'{path}' is not an .npz file; write one with {mend}. Tables end in {', '.join(frames.SUFFIXES)}."
        )
    arrays = _read_arrays(Path(path))
    part = {mark: {n.removeprefix(mark): a for n, a in arrays.items() if n.startswith(mark)} for mark in _MARKS}
    for name, values in (part["features:"] | part["groups:"]).items():
        if values.ndim != 1:
            raise BadValues(f"names of '{name}' in '{path}' have shape {values.shape}; expected a list of names.")
    features = {name: tuple(str(f) for f in values) for name, values in part["features:"].items()}
    return Rows(
        {name: values for name, values in arrays.items() if not name.startswith(_MARKS)} | part["input:"],
        part["label:"],
        features,
        {name: _groups(features.get(name, ()), of_each, name, path) for name, of_each in part["groups:"].items()},
        {name: str(kind) for name, kind in part["kind:"].items()},
    )


def _of_table(frame: Any, path: Path) -> Rows:
    """A table, whose labels stand in columns of their own."""
    labels = {name: frame[name].to_numpy() for name in frame.columns if name.startswith("label:")}
    inputs = frame.drop(columns=list(labels))
    if not len(inputs.columns):
        raise BadValues(f"table '{path}' holds labels alone; expected a column for each feature beside them.")
    return Rows(inputs, {name.removeprefix("label:"): values for name, values in labels.items()}, {}, {}, {})


def _group_of_each(stream: Stream) -> list[str]:
    """The group of each feature, "" for none."""
    owner = {feature: group for group, features in stream.groups.items() for feature in features}
    return [owner.get(feature, "") for feature in stream.features]


def _groups(
    features: tuple[str, ...], of_each: Array, stream: str, path: str | os.PathLike[str]
) -> dict[str, tuple[str, ...]]:
    """The inverse of ``_group_of_each``."""
    if of_each.shape != (len(features),):
        raise BadValues(
            f"'groups:{stream}' of '{path}' has shape {of_each.shape}; expected a group, or '', for each of the "
            f"{len(features)} names of 'features:{stream}'."
        )
    groups: dict[str, tuple[str, ...]] = {}
    for feature, group in zip(features, of_each, strict=True):
        if group:
            groups[str(group)] = (*groups.get(str(group), ()), feature)
    return groups


def _read_arrays(path: Path) -> Arrays:
    try:
        with zipfile.ZipFile(path) as archive:
            check_size(path, archive.infolist(), ": numpy.savez")
        with np.load(path, allow_pickle=False) as opened:
            return {name: _read_array(opened, name, path) for name in opened.files}
    except (XaiMimoError, MemoryError):
        raise
    except Exception as err:  # of a damaged directory of an archive: zipfile's and NumPy's own
        raise FileProblem(f"cannot read '{path}': the file is damaged ({type(err).__name__}).") from err


def _read_array(archive: Any, name: str, path: str | os.PathLike[str]) -> Array:
    try:
        values = archive[name]
    except Exception as err:  # of a damaged member: zlib's, zipfile's and NumPy's own, even MemoryError
        if "allow_pickle" in str(err):
            raise BadValues(
                f"array '{name}' of '{path}' holds Python objects, which would have to be unpickled and could run "
                "code; save numbers only."
            ) from err
        raise FileProblem(
            f"'{path}' is damaged: its array '{name}' cannot be read ({type(err).__name__}). Write the file again."
        ) from err
    if not isinstance(values, np.ndarray):
        raise FileProblem(f"'{path}' holds '{name}', which is no NumPy array; write it with numpy.savez.")
    return values
