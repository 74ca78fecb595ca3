"""What ``compare`` returns."""

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from xai_mimo.record.check import to_dict
from xai_mimo.record.rows import Record, TaskRow, plain


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` returns.

    Attributes:
        explanations: every method's maps in the space of the comparison, with an ``explainer`` dimension.
        record: everything a report needs; the layout is in docs/architecture.md.
    """

    explanations: xr.Dataset
    record: Record = field(repr=False)

    @property
    def scores(self) -> pd.DataFrame:
        """One row per score: head, family, metric, method, other, role, k, estimate, low, high, rows, note."""
        return pd.DataFrame(plain(self.record.scores))

    @property
    def verdicts(self) -> pd.DataFrame:
        """One row per head and method: what may be concluded, and on what evidence."""
        return pd.DataFrame(plain(self.record.verdicts))

    def with_task(self, rows: Iterable[TaskRow]) -> "Comparison":
        """The same comparison with the task scores of a study in its record."""
        return dataclasses.replace(self, record=dataclasses.replace(self.record, task=tuple(rows)))

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON knows it: a copy that may be changed."""
        return to_dict(self.record)

    def to_json(self, path: str | Path | None = None) -> str:
        """The record as JSON text, also written to a file when a path is given; strict JSON, no NaN.

        Raises:
            FileProblem: the file cannot be written.
        """
        from xai_mimo.record.json_file import to_json, write

        if path is not None:
            write(self.record, path)
        return to_json(self.record)

    def to_latex(self, path: str | Path) -> Path:
        """Write the tables of the comparison as LaTeX; see ``reports.latex.write``."""
        from xai_mimo.reports.latex import write

        return write(self.record, path)

    def report(self, path: str | Path) -> Path:
        """Write one self-contained HTML file; see ``reports.html.write``."""
        from xai_mimo.reports.page.page import write

        return write(self.record, path)
