"""What ``compare`` returns."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from xai_mimo.comparison.task_scores import check_task_rows
from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import validate
from xai_mimo.core.streams import Array
from xai_mimo.core.terminal import printable
from xai_mimo.record.check import to_dict
from xai_mimo.record.maps import FeatureRow, Share
from xai_mimo.record.results import Difference, Score, TaskRow, Verdict
from xai_mimo.record.row import Nested, plain
from xai_mimo.record.rows import Record
from xai_mimo.record.subject import MetricRow
from xai_mimo.reports.verdicts import have_uses, legend, verdict_table


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` returns.

    Attributes:
        explanations: every method's maps in the space of the comparison, with an ``explainer`` dimension.
        record: everything a report needs; the layout is in docs/architecture.md.
    """

    explanations: xr.Dataset
    record: Record

    def __repr__(self) -> str:
        """What was compared, and the verdicts as a table."""
        record = self.record
        counts = {"method": len(record.methods), "head": len(record.targets), "row": record.data.explained_rows}
        how_many = ", ".join(f"{n} {what}{'s' * (n != 1)}" for what, n in counts.items())
        title = f"Comparison: {how_many}, in the space {printable(record.space.name)}"
        if not record.verdicts:
            return f"{title}: no verdicts"
        header, *rows = verdict_table(record.verdicts)
        shown = pd.DataFrame([[printable(cell) for cell in row] for row in rows], columns=header)
        hint = f"{legend()}. Why: .verdicts" if have_uses(record.verdicts) else "Why: .verdicts"
        return f"{title}\n\n{shown.to_string(index=False)}\n\n{hint}"

    @property
    def scores(self) -> pd.DataFrame:
        """Every score, with what it must be held against.

        Columns:
            head: name of the target.
            family: agreement, faithfulness, ground_truth, complexity, ...
            metric: of the family; which direction is better stands in ``metrics``.
            method: label, or "random" for the control.
            other: label of the second method where a metric compares two; else None.
            role: "value"; "floor_random" and "floor_permuted", what chance gives; "ceiling", what the method reaches
                against itself; "control_random", a random order in its place. A value is worth nothing without its
                floor, and cannot be expected to pass its ceiling.
            k: number of features the metric looks at; NaN where it looks at all.
            estimate: mean over rows, in the metric's unit; NaN where it is not defined, and the note says why.
            low, high: 95 % interval over rows. It knows nothing of another training of the model, or of
                another seed of the method: for that see the ceiling.
            rows: that have a value. Below some 30, distrust the interval.
            note: why something is NaN, or what else to know.
        """
        return _table(self.record.scores, Score)

    @property
    def metrics(self) -> pd.DataFrame:
        """The metrics that ran, so that a score can be read.

        Columns:
            name: as in ``scores``.
            family: as in ``scores``.
            title: what reports call it.
            better: "larger" or "smaller" values speak for a method; "neither": no direction does.
            bounds: smallest and largest possible value; None where there is no bound.
            reference: BibTeX key of its source; the entry is in ``record.references``.
        """
        return _table(self.record.metrics, MetricRow)

    @property
    def differences(self) -> pd.DataFrame:
        """How much better one method is than another, or than its controls, paired over rows.

        The table to rank methods by, and the tests that verdicts rest on.

        Columns:
            head, family, metric: as in ``scores``.
            method: label of the first.
            other: label of the second; or what a map is held against: "random", a random order or map in its place;
                "permuted", the method's own map with its values changing places within each row; "chance", what a map
                that says nothing scores, known without drawing. No method can be labelled so.
            estimate: mean over rows of the difference, in the metric's unit. Positive: the first is better, whatever
                the metric's own direction.
            low, high: 95 % interval over rows; where it holds 0 the two are not told apart.
            rows: that have a value for both.
            note: why something is NaN.
            p: two-sided, that the mean difference is 0: below 0.05 exactly where the interval leaves 0 out. Do not
                judge by it where many pairs were tried.
            p_corrected: after Holm's correction over the tests that answer one question: judge by this one. For
                "random", "permuted" and "chance" these are all tests of that method for that head, on which its verdict
                rests, whatever other methods stand beside it; for two methods, all pairs of that head.
        """
        return _table(self.record.differences, Difference)

    @property
    def shares(self) -> pd.DataFrame:
        """Each stream's share of the magnitude of each method's map.

        Columns:
            method, head, stream: whose map, of what, and where.
            mean: over rows, from 0 to 1; the shares of a map sum to 1. Wide streams gain by their width alone, and
                a share has no sign.
            low, high: 95 % interval over rows.
            note: says where a method says nothing of a stream: its 0 was not measured.
        """
        return _table(self.record.shares, Share)

    @property
    def features(self) -> pd.DataFrame:
        """What each method gives each feature; the 200 that matter most to some method where there are more.

        Columns:
            method, head, stream, feature: whose map, of what, and where.
            mean: over rows, with its sign, in the unit of the map: an attribution's is the head's, and an attention's
                is no unit. Near 0 where rows pull to different sides.
            mean_abs: mean magnitude over rows, in the same unit. Of methods with different units compare orders or
                shares, never these numbers.
            low, high: 95 % interval of ``mean_abs`` over rows.
            note: why something is NaN.
        """
        return _table(self.record.features, FeatureRow)

    @property
    def curves(self) -> pd.DataFrame:
        """Deletion and insertion curves, one row for each point.

        Columns:
            method, head: label, or "random" for the control; name of the target.
            kind: "deletion" replaces the map's top features first, "insertion" keeps them first.
            fraction: of the features that are replaced or kept, from 0 to 1.
            mean: over rows of the absolute change of the prediction, in the head's unit. Deletion rises from 0 and
                should rise early; insertion falls to 0 and should fall early. Rows that lie far from the data, as
                half-replaced ones do, may move a model for other reasons: read a curve against the control's.
            low, high: 95 % interval over rows, point by point.
            note: why something is NaN.
        """
        columns = ["method", "head", "kind", "fraction", "mean", "low", "high", "note"]
        points = [
            (c.method, c.head, c.kind, *point, c.note)
            for c in self.record.curves
            for point in zip(c.fraction, c.mean, c.low, c.high, strict=True)
        ]
        return pd.DataFrame(points, columns=columns)

    @property
    def gaps(self) -> pd.DataFrame:
        """Completeness gaps of the methods that have a baseline, one row for each method and head.

        Columns:
            method, head: label, and name of the target.
            quantile_0.5, quantile_0.9, quantile_0.99, quantile_1: over rows, of the gap relative to the change of the
                prediction (or to a tenth of the sum of the absolute attributions, where that is larger); no unit, 0 is
                best. A large gap says that the attributions are not yet computed well enough to be read.
            share_within: share of rows within the tolerance, 1 is best.
            tolerance: that the method was asked for, relative.
        """
        rows = [
            {
                "method": g.method,
                "head": g.head,
                **{f"quantile_{q}": value for q, value in g.relative_quantiles.items()},
                "share_within": g.share_within,
                "tolerance": g.tolerance,
            }
            for g in self.record.gaps
        ]
        return pd.DataFrame(rows) if rows else pd.DataFrame(columns=["method", "head", "share_within", "tolerance"])

    @property
    def examples(self) -> pd.DataFrame:
        """Single rows with their maps: one line for each row, method and stream.

        Rows are those with the highest, the median and the lowest prediction of each head: they show what maps look
        like, and prove nothing.

        Columns:
            row: its number in the data.
            head: name of the target.
            unit: name of the head's unit that is explained in this row; None in older records.
            prediction: the target's value, in the head's physical unit.
            label: true value; None where it is not known.
            method, stream: whose map, and where.
            inputs: array of the row's values, in the stream's unit, of a group of features their mean (the level of a
                category stands in ``record.examples``); None where it is too large for the record.
            values: array of the map's, in the unit of the map; likewise. Images may come in blocks, see the note.
            note: what was made coarser or left out.
        """
        columns = ["row", "head", "unit", "prediction", "label", "method", "stream", "inputs", "values", "note"]
        lines = [
            (
                *(e.row, e.head, e.unit, e.prediction, e.label, method, stream),
                *(_array(e.inputs.get(stream)), _array(values), e.note),
            )
            for e in self.record.examples
            for method, streams in e.values.items()
            for stream, values in streams.items()
        ]
        return pd.DataFrame(lines, columns=columns)

    @property
    def verdicts(self) -> pd.DataFrame:
        """What may be concluded, one row for each head and method.

        Columns:
            head, method: name of the target, and label.
            verdict: "supported", "doubtful", "misleading" or "undecided"; the rule stands in ``comparison.verdicts``.
                It speaks of this model on these rows. It is the word in all: a map may well be supported for its order
                and doubtful for its shares.
            order: the word for which inputs matter more than which; None in older records.
            shares: the word for how much each input counts; None likewise.
            sign: the word for whether an input raises or lowers the prediction; None where the map says nothing of it.
            text: the verdict as a sentence.
            evidence: list of sentences, one for each kind of score it rests on.
        """
        return _table(self.record.verdicts, Verdict)

    def with_task(self, rows: Iterable[TaskRow | Mapping[str, Any]]) -> "Comparison":
        """The same comparison with task scores in its record, so that its report shows how well the models do.

        Args:
            rows: ``TaskRow(model=..., head=..., metric=..., estimate=..., low=..., high=..., seeds=...)`` each, or a
                mapping with these keys; they take the place of those that are there.
        Raises:
            SchemaError: no list of rows, or a row with a key that is missing, of the wrong type, or None without a
                note. UnknownName: a head that the model does not have, or a key that no such row has.
        """
        heads = [*dict.fromkeys([*(h.name for h in self.record.model.heads), *(t.name for t in self.record.targets)])]
        task = check_task_rows(rows, heads)
        return dataclasses.replace(self, record=dataclasses.replace(self.record, task=task))

    @staticmethod
    def from_json(source: str | Path, explanations: xr.Dataset | None = None) -> "Comparison":
        """A comparison that ``to_json`` wrote: its tables are read and its reports are written as before.

        Args:
            source: path of the file, or the text itself.
            explanations: the maps, which the record does not hold: ``comparison.explanations`` as ``xai_mimo.save``
                and ``xai_mimo.load`` keep them. None leaves them out; then they are an empty dataset.
        Raises:
            FileProblem: the file cannot be read. SchemaError: it is no record of ours, or the maps are of another
                comparison.
        """
        from xai_mimo.record.json_file import from_json

        record = from_json(source)
        if explanations is None:
            return Comparison(xr.Dataset(), record)
        validate(explanations)
        held = {
            "methods": [str(label) for label in explanations.coords["explainer"].values.ravel()]
            if "explainer" in explanations.coords
            else [],
            "rows": explanations.attrs.get("data_sha256"),
            "model": explanations.attrs.get("fingerprint"),
        }
        expected = {
            "methods": [method.label for method in record.methods],
            "rows": record.data.sha256,
            "model": record.model.fingerprint,
        }
        for what, value in expected.items():
            if held[what] != value:
                raise SchemaError(
                    f"these explanations are not those of the comparison: the {what} of these are {held[what]}, and "
                    f"the record's {value}. Give what was saved of the same comparison.explanations, or leave them out."
                )
        return Comparison(explanations, record)

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

    def report(self, path: str | Path, format: str | None = None) -> Path:
        """Write a report: one HTML file that needs nothing else, or another format.

        Args:
            path: of the file; its folder must be there.
            format: "html", "latex" (tables), "json" (the record), or a plugin of the group ``xai_mimo.reports``; None
                follows the end of the path, and is HTML where no format ends so.
        Raises:
            UnknownName: no such format. BadSetting: the path ends as that of another format. FileProblem: the file
                cannot be written.
        """
        from xai_mimo.reports.formats import write

        return write(self.record, path, format)


def _table(rows: Sequence[Any], of: type) -> pd.DataFrame:
    """Rows as a table that has its columns even where there is no row, or where no row has a value."""
    columns = [column.name for column in dataclasses.fields(of)]
    return pd.DataFrame([{**dict.fromkeys(columns), **row} for row in plain(rows)], columns=columns)


def _array(values: Nested | None) -> Array | None:
    return None if values is None else np.asarray(values, dtype=np.float64)
