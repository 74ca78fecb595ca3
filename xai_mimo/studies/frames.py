"""Tables from files: CSV, and Parquet or Feather where pyarrow is installed."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd

from xai_mimo.core.errors import BadValues, EmptyData, FileProblem, MissingDependency
from xai_mimo.core.paths import reason

_BINARY: dict[str, Callable[[Path], pd.DataFrame]] = {".parquet": pd.read_parquet, ".feather": pd.read_feather}
SUFFIXES = (".csv", *_BINARY)
"""How the names of files of tables end."""


def read_frame(path: Path) -> pd.DataFrame:
    """A table, by the end of its name; CSV where that says nothing.

    Raises:
        FileProblem: the file cannot be read, or is no such table. EmptyData: it has no rows. BadValues: two columns
            have one name. MissingDependency: pyarrow, which reads Parquet and Feather, is not installed.
    """
    suffix = path.suffix.lower()
    frame = _read_binary(path, suffix) if suffix in _BINARY else _read_csv(path)
    frame.columns = [str(c).strip() for c in frame.columns]
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise BadValues(f"table '{path}' has two columns called '{twice[0]}'; rename one.")
    if frame.empty:
        raise EmptyData(f"table '{path}' has a header but no rows.")
    return frame


def _read_csv(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path, encoding="utf-8-sig", low_memory=False)
    except OSError as err:
        raise FileProblem(f"cannot read table '{path}': {err.strerror or err}.") from err
    except pd.errors.EmptyDataError as err:
        raise EmptyData(f"table '{path}' is empty; expected a header line and rows.") from err
    except (pd.errors.ParserError, UnicodeDecodeError) as err:
        raise FileProblem(f"'{path}' is not a CSV table in UTF-8: {str(err).strip()}.") from err


def _read_binary(path: Path, suffix: str) -> pd.DataFrame:
    try:
        return _BINARY[suffix](path)
    except ImportError as missing:
        raise MissingDependency(f"'{suffix}' files are read by pyarrow: pip install pyarrow") from missing
    except FileNotFoundError as err:
        raise FileProblem(f"cannot read table '{path}': {reason(err)}.") from err
    except Exception as err:  # of pyarrow, whose errors have no root of their own
        raise FileProblem(f"'{path}' is not a table as pandas writes it to '{suffix}' files: {err}.") from err
