"""A CSV file and a study's settings in; streams, heads and labels out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from xai_mimo.core.errors import BadValues
from xai_mimo.core.model import Arrays
from xai_mimo.core.paths import as_path
from xai_mimo.core.streams import Array, Head, Stream, unknown
from xai_mimo.datasets import Data, ai4i2020_path
from xai_mimo.studies.frames import read_frame
from xai_mimo.studies.settings import HeadSettings, StreamSettings, StudySettings

_LEVELS_AT_MOST = 50
_SHOWN = 80  # characters of a cell in an error


def read_table(settings: StudySettings) -> Data:
    """The rows of a study.

    Raises:
        FileProblem: the file cannot be read or is no CSV. EmptyData: it has no rows. UnknownName: a column is missing;
            the message names the nearest one. BadValues: text in a numeric column, an empty cell, a label that its
            kind of head cannot have; the message names column, row (counted from 1 below the header) and value.
    """
    path = ai4i2020_path() if settings.dataset == "ai4i2020" else as_path(settings.csv, "a table")
    frame = read_frame(path)
    inputs: Arrays = {}
    streams = []
    for name, stream in settings.streams.items():
        inputs[name], features, groups = _stream(frame, stream, path.name)
        streams.append(Stream(name, (len(features),), features=features, unit=stream.unit, groups=groups))
    labels: Arrays = {}
    heads = []
    for name, head in settings.heads.items():
        labels[name], declared = _head(frame, name, head, path.name)
        heads.append(declared)
    return Data(
        name=settings.dataset or path.stem,
        inputs=inputs,
        labels=labels,
        streams=tuple(streams),
        heads=tuple(heads),
        truth=_truth(settings, streams),
        units={s.name: (s.unit,) * len(s.features) for s in streams},
        ties=np.zeros(len(frame), dtype=bool),
        source=str(path.name),
    )


def _column(frame: pd.DataFrame, name: str, file: str) -> "pd.Series[Any]":
    if name not in frame.columns:
        raise unknown(name, frame.columns, f"column of '{file}'")
    column = frame[name]
    gaps = np.flatnonzero(column.isna().to_numpy())
    if len(gaps):
        raise BadValues(
            f"column '{name}' of '{file}' has {len(gaps)} empty or NaN cells, the first in row {gaps[0] + 1}; impute "
            "them or drop those rows."
        )
    return column


def _numbers(frame: pd.DataFrame, name: str, file: str) -> Array:
    column = _column(frame, name, file)
    try:
        numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float64)
    except OverflowError:  # a whole number of hundreds of digits
        numbers = np.array([_number(cell) for cell in column])
    wrong = np.flatnonzero(~np.isfinite(numbers))
    if len(wrong):
        raise BadValues(
            f"column '{name}' of '{file}' holds {_shortened(column.iloc[wrong[0]])!r} in row {wrong[0] + 1}; expected "
            "finite numbers. Clean the cell, or name the column under 'categorical' of its stream."
        )
    return numbers


def _number(cell: object) -> float:
    try:
        return float(str(cell))
    except ValueError:
        return np.nan


def _shortened(cell: object) -> str:
    text = str(cell)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _stream(
    frame: pd.DataFrame, settings: StreamSettings, file: str
) -> tuple[Array, tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Values ``(row, feature)``, names of features, and the features of each categorical column."""
    blocks: list[Array] = []
    features: list[str] = []
    groups: dict[str, tuple[str, ...]] = {}
    for name in settings.columns:
        if name in settings.categorical:
            levels, codes = np.unique(_column(frame, name, file).astype(str).to_numpy(dtype=str), return_inverse=True)
            if len(levels) > _LEVELS_AT_MOST:
                raise BadValues(
                    f"categorical column '{name}' of '{file}' has {len(levels)} levels; at most {_LEVELS_AT_MOST} make "
                    "sense as 0/1 features. Is it an identifier?"
                )
            blocks.append(np.eye(len(levels))[codes])
            groups[name] = tuple(f"{name}={level}" for level in levels)
            features += groups[name]
        else:
            blocks.append(_numbers(frame, name, file)[:, None])
            features.append(name)
    return np.concatenate(blocks, axis=1), tuple(features), groups


def _head(frame: pd.DataFrame, name: str, settings: HeadSettings, file: str) -> tuple[Array, Head]:
    if settings.kind == "multiclass":
        levels, codes = np.unique(
            _column(frame, settings.column, file).astype(str).to_numpy(dtype=str), return_inverse=True
        )
        _varies(codes, name, settings.column, file)
        return codes.astype(np.int64), Head(name, (len(levels),), "multiclass", tuple(levels), "log-odds")
    values = _numbers(frame, settings.column, file)
    _varies(values, name, settings.column, file)
    if settings.kind == "regression":
        return values, Head(name, (1,), "regression")
    wrong = np.flatnonzero((values != 0) & (values != 1))
    if len(wrong):
        raise BadValues(
            f"column '{settings.column}' of '{file}' holds {values[wrong[0]]:g} in row {wrong[0] + 1}, but head "
            f"'{name}' is binary; expected 0 and 1, or kind = 'multiclass' or 'regression'."
        )
    return values.astype(np.int64), Head(name, (1,), "binary", unit="log-odds")


def _varies(values: Array, name: str, column: str, file: str) -> None:
    if (values == values[0]).all():
        raise BadValues(
            f"head '{name}': column '{column}' of '{file}' is the same in every row; nothing can be learnt."
        )


def _truth(settings: StudySettings, streams: Sequence[Stream]) -> dict[str, dict[str, tuple[str, ...]]]:
    """Columns as features: a categorical column stands for all of its levels."""
    features = {s.name: s.features for s in streams}
    truth = {}
    for head, head_settings in settings.heads.items():
        if head_settings.truth is None:
            continue
        truth[head] = {
            stream: tuple(f for f in features[stream] for c in columns if f == c or f.startswith(f"{c}="))
            for stream, columns in head_settings.truth.items()
        }
    return truth
