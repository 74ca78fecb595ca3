"""The comparison record's layout as types: what each table holds, and which values fit together."""

import math
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

Number = Annotated[float, Field(allow_inf_nan=False)]


def _finite(value: Any) -> Any:
    """A number, or lists of numbers of any depth."""
    if isinstance(value, list):
        for part in value:
            _finite(part)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must be finite numbers, or lists of them; holds {value!r}")
    return value


def _shape(value: Any) -> tuple[int, ...]:
    """Lengths of lists within lists, equal at each level."""
    if not isinstance(value, list):
        return ()
    shapes = {_shape(part) for part in value}
    if len(shapes) > 1:
        raise ValueError(f"must be a regular array; holds parts of the shapes {sorted(shapes)}")
    return (len(value), *(shapes.pop() if shapes else ()))


Nested = Annotated[Any, AfterValidator(_finite)]
Role = Literal["value", "floor_random", "floor_permuted", "ceiling", "control_random"]
Family = Literal["agreement", "faithfulness", "ground_truth", "complexity", "completeness"]


class _Strict(BaseModel):
    """No coercion: a number in quotes is an error, not a number."""

    model_config = ConfigDict(strict=True, extra="ignore")


class _Noted(_Strict):
    """A row in which null always comes with a note."""

    note: str = ""

    @model_validator(mode="after")
    def _null_is_explained(self) -> Self:
        empty = [name for name in type(self).model_fields if getattr(self, name) is None and name not in ("other", "k")]
        if empty and not self.note:
            raise ValueError(f"{', '.join(empty)} is null without a note that says why")
        return self


class _Stream(_Strict):
    name: str
    axes: list[str]
    features: list[str]
    unit: str


class _Head(_Strict):
    name: str
    kind: str
    units: list[str]
    unit: str


class _Model(_Strict):
    name: str
    fingerprint: str
    streams: list[_Stream]
    heads: list[_Head]


class _Data(_Strict):
    rows: int
    explained_rows: int
    sha256: str


class _SpaceStream(_Strict):
    name: str
    axes: list[str]
    features: list[str]
    sources: list[str]


class _Space(_Strict):
    name: str
    text: str
    streams: list[_SpaceStream] | None = None


class _Target(_Strict):
    name: str
    head: str
    unit: str


class _Method(_Strict):
    label: str
    name: str
    settings: dict[str, Any]
    seed: int
    signed: bool
    space: str
    seconds: Number
    reference: str
    converged: Number | None
    unexplained: list[str] = []


class _Score(_Noted):
    head: str
    family: Family
    metric: str
    method: str
    other: str | None
    role: Role
    k: int | None
    estimate: Number | None
    low: Number | None
    high: Number | None
    rows: int


class _Difference(_Noted):
    head: str
    metric: str
    method: str
    other: str
    estimate: Number | None
    low: Number | None
    high: Number | None
    rows: int
    p: Number | None
    p_corrected: Number | None


class _Share(_Noted):
    method: str
    head: str
    stream: str
    mean: Number | None
    low: Number | None
    high: Number | None


class _Feature(_Noted):
    method: str
    head: str
    stream: str
    feature: str
    mean: Number | None
    mean_abs: Number | None
    low: Number | None
    high: Number | None


class _Picture(_Noted):
    """Values over named axes: as many levels of lists as axes, a label for each place along a labelled axis."""

    axes: list[str]
    coords: dict[str, list[str]]
    mean: Nested | None

    def _check_shape(self, values: Any) -> None:
        shape = _shape(values)
        if len(shape) != len(self.axes):
            raise ValueError(f"the axes {self.axes} do not fit values of shape {shape}")
        for key, labels in self.coords.items():
            axis = key.split(".", 1)[0]
            if axis not in self.axes or len(labels) != shape[self.axes.index(axis)]:
                raise ValueError(f"{len(labels)} labels of {key!r} do not fit the axes {self.axes} of shape {shape}")

    @model_validator(mode="after")
    def _mean_fits_its_axes(self) -> Self:
        if self.mean is not None:
            self._check_shape(self.mean)
        return self


class _Map(_Picture):
    layer: str
    name: str
    rows: int
    reference: str


class _StreamMap(_Picture):
    method: str
    head: str
    stream: str
    mean_abs: Nested | None
    total: Number

    @model_validator(mode="after")
    def _magnitude_fits_its_axes(self) -> Self:
        if self.mean_abs is not None:
            self._check_shape(self.mean_abs)
        return self


class _Curve(_Strict):
    method: str
    head: str
    kind: Literal["deletion", "insertion"]
    fraction: list[Number]
    mean: list[Number | None]
    low: list[Number | None]
    high: list[Number | None]
    note: str = ""

    @model_validator(mode="after")
    def _same_length(self) -> Self:
        lengths = {name: len(getattr(self, name)) for name in ("fraction", "mean", "low", "high")}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"fraction, mean, low and high must be equally long; got {lengths}")
        if None in (*self.mean, *self.low, *self.high) and not self.note:
            raise ValueError("a point is null without a note that says why")
        return self


class _Gap(_Strict):
    method: str
    head: str
    relative_quantiles: dict[str, Number]
    share_within: Number
    tolerance: Number


class _Example(_Strict):
    row: int
    head: str
    prediction: Number
    label: Any
    inputs: dict[str, Nested]
    values: dict[str, dict[str, Nested]]
    words: dict[str, list[str]] = {}
    region: dict[str, Nested] = {}
    note: str = ""


class _Verdict(_Strict):
    head: str
    method: str
    verdict: Literal["supported", "doubtful", "misleading", "undecided"]
    text: str
    evidence: list[str]


class _Task(_Strict):
    model: str
    head: str
    metric: str
    estimate: Number | None
    low: Number | None
    high: Number | None
    seeds: int


class Record(_Strict):
    """The whole record; docs/architecture.md says what stands where."""

    schema_: Literal["xai_mimo.comparison/1"] = Field(alias="schema")
    title: str
    created: str
    seed: int
    command: str
    model: _Model
    data: _Data
    space: _Space
    targets: list[_Target] = Field(min_length=1)
    methods: list[_Method] = Field(min_length=1)
    scores: list[_Score]
    differences: list[_Difference] = []
    shares: list[_Share]
    features: list[_Feature]
    curves: list[_Curve]
    gaps: list[_Gap]
    maps: list[_Map] = []
    stream_maps: list[_StreamMap] = []
    examples: list[_Example]
    verdicts: list[_Verdict]
    task: list[_Task] = []
    truth: dict[str, dict[str, list[str]]] | None
    regions: dict[str, dict[str, Number]] | None = None
    true_features: dict[str, dict[str, list[str]]] = {}
    versions: dict[str, str]
    references: dict[str, str]
