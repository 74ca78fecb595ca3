"""Maps that another package made, in the form of ours: what is common to all doors.

A map made elsewhere knows neither the model nor the rows nor the targets. All three are given with it, so that the
prediction, the fingerprint and the digest of the rows are there, by which ``compare`` and ``to_shap`` tell whether it
is what it is taken for. What cannot be known (settings, seed) is said to be unknown.
"""

import importlib.metadata
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.batches import begun, example_of
from xai_mimo.core.completeness import relative_gap
from xai_mimo.core.cut import Cut, cut_at
from xai_mimo.core.digest import digest
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, BadValues, IncompleteWarning
from xai_mimo.core.explanation import describe, plain, to_dataset
from xai_mimo.core.logit import On, check_on, on_attributes, on_logit
from xai_mimo.core.method import Attribution, flag, one_of
from xai_mimo.core.model import Arrays, Differentiable, Model, Splittable
from xai_mimo.core.names import check_text
from xai_mimo.core.plugins import adapt
from xai_mimo.core.probes import answers
from xai_mimo.core.rows import read_rows
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.targets import AnyTarget, Selector, Target, expand, select, take
from xai_mimo.core.texts import tokenised
from xai_mimo.core.versions import versions

_GAP = 0.1
"""A gap of so much, relative to what was to be explained, in most rows says that something does not belong together."""


@dataclass(frozen=True)
class Origin:
    """Where a map comes from, as the caller tells.

    Attributes:
        method: its name. package: that made it, as it is installed.
        settings: with which it was made; None where they are not known.
        signed: whether its values have a sign. speaks_of: what the sign speaks of, see ``core.speaks_of``.
    """

    method: str
    package: str
    settings: Mapping[str, Any] | None
    signed: bool
    speaks_of: SpeaksOf

    def __post_init__(self) -> None:
        if not isinstance(self.method, str) or not self.method.strip():
            raise BadSetting(f"name is what results call the method, a text that is not empty; got {self.method!r}.")
        check_text(self.method, "method")
        flag(self.signed, "signed")
        one_of(self.speaks_of, ("attribution", "sensitivity"), "speaks_of")
        if self.settings is not None and not isinstance(self.settings, Mapping):
            raise BadSetting(f"settings are a mapping of what the method was called with; got {self.settings!r}.")

    def attributes(self) -> dict[str, Any]:
        """As a result has them."""
        try:
            version = importlib.metadata.version(self.package)
        except importlib.metadata.PackageNotFoundError:
            version = ""
        unknown = "; settings unknown" if self.settings is None else ""
        settings = {name: plain(value, f"setting '{name}'") for name, value in (self.settings or {}).items()}
        return {
            "method": self.method,
            "settings": json.dumps(settings, sort_keys=True),
            "made_with": f"{self.package} {version}".rstrip() + unknown,
            "speaks_of": self.speaks_of,
        }


@dataclass(frozen=True)
class Explained:
    """What a map made elsewhere is of: read and checked.

    Attributes:
        cut: the model, and where it was explained. as_given: the model before its heads were read on their logits.
        inputs: rows of the whole model. rows: of what was explained.
        selectors: the targets, resolved for them. prediction: ``(target, sample)``.
        on: "output" or "logit". values: of which head that is what, in words.
    """

    cut: Cut
    as_given: Model
    inputs: Arrays
    rows: Arrays
    selectors: Sequence[Selector]
    prediction: Array
    on: On
    values: Mapping[str, str]

    @property
    def streams(self) -> tuple[Stream, ...]:
        """On which the map lies."""
        return self.cut.part.streams

    @property
    def count(self) -> int:
        """Number of rows."""
        return count_rows(self.rows)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of one row of each stream."""
        return {name: x.shape[1:] for name, x in self.rows.items()}

    @property
    def names(self) -> list[str]:
        """Of the targets."""
        return [s.name for s in self.selectors]


def read_explained(
    model: Any,
    data: Any,
    targets: Sequence[AnyTarget] | AnyTarget | None,
    labels: Mapping[str, Any] | None,
    at: str | None,
    on: On,
) -> Explained:
    """Read what a map is of; ``from_shap`` says what each argument may be.

    Args:
        targets: None for every unit of every head, in the model's order.
    """
    x = begun(data)
    adapted = adapt(model, like=example_of(x))
    x, _ = tokenised(x, adapted)
    adapted, _, inputs = read_rows(adapted, x)
    as_given, words = adapted, dict[str, str]()
    asked = expand(targets if targets is not None else _every_unit(adapted), adapted.heads)
    heads = {target.head for target in asked}
    if check_on(on) == "logit":
        needs = (Differentiable, *(() if at is None else (Splittable,)))
        adapted, words = on_logit(adapted, heads, inputs, needs=needs, stacklevel=4)
    cut = cut_at(adapted, at)
    rows = cut.enter(inputs)
    outputs = answers(cut.part, rows, np.arange(count_rows(inputs)), heads)
    selectors = select(asked, adapted.heads, outputs, labels)
    return Explained(cut, as_given, inputs, rows, selectors, take(outputs, selectors), on, words)


def _every_unit(model: Model) -> list[Target]:
    return [Target(head.name, unit) for head in model.heads for unit in range(head.size)]


def dataset_of(
    values: Arrays,
    of: Explained,
    origin: Origin,
    baseline_prediction: Array | None,
    *,
    standard_error: Arrays | None = None,
    stacklevel: int = 3,
) -> xr.Dataset:
    """The map in the form of ours.

    Args:
        values: ``{stream: (target, sample, *shape)}``, streams and targets in order.
        baseline_prediction: ``(target, sample)``; None where it is not known.
        standard_error: like ``values``. stacklevel: of the warning.
    Raises:
        BadValues: NaN or infinity.
    Warns:
        IncompleteWarning: the values do not add up to what the prediction changed by.
    """
    for name, array in values.items():
        if not np.isfinite(array).all():
            place = [int(i) for i in np.argwhere(~np.isfinite(array))[0]]
            raise BadValues(
                f"the map holds {int((~np.isfinite(array)).sum())} values that are NaN or infinite, the first for "
                f"target '{of.names[place[0]]}' in row {place[1]} of stream '{name}' at {tuple(place[2:])}. Make it "
                "again, or leave those rows out of it and of data."
            )
    model = of.cut.whole
    attrs = {
        **origin.attributes(),
        "reference": "",
        "versions": json.dumps(versions()),
        "fingerprint": model.fingerprint(),
        **({} if model is of.as_given else {"model_fingerprint": of.as_given.fingerprint()}),
        "space": of.cut.space,
        "reads": json.dumps(of.cut.owners),
        "data_sha256": digest(of.inputs),
        **describe(of.streams, of.cut.part.heads),
        **on_attributes(of.on, of.values),
    }
    attribution = Attribution(
        {s.name: values[s.name] for s in of.streams},
        of.prediction,
        baseline_prediction,
        standard_error,
        signed=origin.signed,
    )
    made = to_dataset(attribution, streams=of.streams, selectors=of.selectors, samples=np.arange(of.count), attrs=attrs)
    if baseline_prediction is not None:
        _warn_of_gaps(made, stacklevel + 1)
    return made


def _warn_of_gaps(made: xr.Dataset, stacklevel: int) -> None:
    gaps = np.median(relative_gap(made).values, axis=1)
    off = [f"{name}: {gap:.2g}" for name, gap in zip(made["head"].values, gaps, strict=True) if gap > _GAP]
    if off:
        warnings.warn(
            f"the values of {made.attrs['method']!r} do not add up to the prediction less its baseline (relative gap "
            f"in the middle row: {', '.join(off)}). Are rows, targets and baseline those of the map, and was it made "
            "of the same output, or on='logit'? The gap of each row stands in 'completeness_gap'.",
            IncompleteWarning,
            stacklevel=stacklevel,
        )


def of_dtype(values: Array) -> Array:
    """The same as floats: in its own precision where it has one."""
    return values if values.dtype.kind == "f" else values.astype(np.float64)
