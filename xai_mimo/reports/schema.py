"""The comparison record's layout, checked at the door; behind it every report trusts its values.

The layout is the one of docs/architecture.md, "The comparison record". Keys beyond it are kept and ignored, so that a
newer minor addition does not make old reports unreadable; another schema version is refused.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from xai_mimo.core.errors import SchemaError

SCHEMA = "xai_mimo.comparison/1"
_SHOWN = 5

Number = Annotated[float, Field(allow_inf_nan=False)]


def _finite(value: Any) -> Any:
    """A number, or lists of numbers of any depth."""
    if isinstance(value, list):
        for part in value:
            _finite(part)
    elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"must be finite numbers, or lists of them; holds {value!r}")
    return value


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


class _Space(_Strict):
    name: str
    text: str


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


class _Record(_Strict):
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
    examples: list[_Example]
    verdicts: list[_Verdict]
    task: list[_Task] = []
    truth: dict[str, dict[str, list[str]]] | None
    versions: dict[str, str]
    references: dict[str, str]


def check(record: Any) -> dict[str, Any]:
    """Check a comparison record and hand it back unchanged.

    Args:
        record: ``Comparison.to_dict()`` or the same read from JSON.
    Raises:
        SchemaError: not a mapping; another schema version; a key missing or of the wrong type; a number that is not
            finite; null without a note; a row about a head or method that the record does not declare.
    """
    if not isinstance(record, Mapping):
        raise SchemaError(
            f"a comparison record is a mapping with the key 'schema'; got {type(record).__name__}. "
            "Pass Comparison.to_dict() or the dictionary read from its JSON file."
        )
    version = record.get("schema")
    if version != SCHEMA:
        raise SchemaError(
            f"this version of xai_mimo reads comparison records of schema {SCHEMA!r}; got {version!r}. "
            "Make the record again, or read it with the version that wrote it."
        )
    try:
        _Record.model_validate(record)
    except ValidationError as err:
        raise SchemaError(_explain(err)) from err
    plain = dict(record)
    _check_names(plain)
    return plain


def _explain(err: ValidationError) -> str:
    # A union reports one error per alternative: one line per place in the record is enough.
    places = {
        ".".join(str(part) for part in e["loc"] if not str(part).startswith(("list[", "constrained-", "float", "str")))
        or "record": e["msg"]
        for e in reversed(err.errors(include_url=False, include_input=False))
    }
    lines = [f"{place}: {message}" for place, message in reversed(places.items())]
    more = f" (and {len(lines) - _SHOWN} more)" if len(lines) > _SHOWN else ""
    return (
        f"the comparison record does not have the documented layout: {'; '.join(lines[:_SHOWN])}{more}. "
        "The layout is in docs/architecture.md, 'The comparison record'."
    )


def _check_names(record: Mapping[str, Any]) -> None:
    heads = _unique((t["name"] for t in record["targets"]), "targets")
    methods = _unique((m["label"] for m in record["methods"]), "methods")
    for table in ("scores", "shares", "features", "curves", "gaps", "examples", "verdicts"):
        _check_known(record[table], "head", heads, table)
    for table in ("shares", "features", "gaps", "verdicts"):
        _check_known(record[table], "method", methods, table)
    for table in ("scores", "curves"):
        _check_known(record[table], "method", [*methods, "random"], table)


def _unique(names: Iterable[str], table: str) -> list[str]:
    found = list(names)
    twice = sorted({name for name in found if found.count(name) > 1})
    if twice:
        raise SchemaError(f"the record's {table} must have different names; given more than once: {', '.join(twice)}.")
    return found


def _check_known(rows: Sequence[Mapping[str, Any]], key: str, known: Sequence[str], table: str) -> None:
    for i, row in enumerate(rows):
        if row[key] not in known:
            raise SchemaError(
                f"{table}[{i}] is about {key} {row[key]!r}, which the record does not declare; known: "
                f"{', '.join(known)}."
            )
