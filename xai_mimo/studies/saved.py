"""A saved model with rows from a file: load it safely, compare methods on it."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.result import Comparison
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.loading import load_model
from xai_mimo.core.model import Model
from xai_mimo.core.plugins import adapt
from xai_mimo.core.streams import Head, Stream, unknown
from xai_mimo.studies.rows import SUFFIXES, Rows, load_rows


@dataclass(frozen=True)
class Saved:
    """A model and rows that fit each other, read from their files.

    Attributes:
        model: adapted, with the names that the rows bring.
        rows: of the file. title: what is compared. command: that does it, without its options.
    """

    model: Model
    rows: Rows
    title: str
    command: str


def read_saved(model: str | os.PathLike[str], data: str | os.PathLike[str], *, trust: bool = False) -> Saved:
    """Read a model and rows.

    Args:
        model: whatever ``xai_mimo.load_model`` takes. data: rows, see ``load_rows``.
        trust: see ``xai_mimo.load_model``.
    Raises:
        BadSetting: the two files have changed places. FileProblem, BadValues: a file that is not what it should be;
        and whatever ``load_model`` and ``adapt`` raise.
    """
    if Path(data).suffix == ".keras" or Path(model).suffix.lower() in SUFFIXES:
        raise BadSetting(_misplaced(Path(model), Path(data)))
    rows = load_rows(data)
    net = _loaded(model, trust)
    adapted = adapt(net, like=rows.inputs)
    streams, heads = _annotated_streams(adapted.streams, rows), _annotated_heads(adapted.heads, rows)
    if (tuple(streams), tuple(heads)) != (adapted.streams, adapted.heads):
        adapted = adapt(net, streams, heads, like=rows.inputs)
    names = Path(model).name, Path(data).name
    command = f"xai-mimo report {names[0]} {names[1]}{' --trust' if trust else ''}"
    return Saved(adapted, rows, f"{names[0]} on {names[1]}", command)


def _misplaced(model: Path, data: Path) -> str:
    if data.suffix.lower() in SUFFIXES:
        return f"'{model}' and '{data}' both hold rows; the model comes first: xai-mimo report model.keras {data}"
    if model.suffix.lower() not in SUFFIXES:
        return f"'{data}' is a model; rows come second, in a file of their own: xai-mimo report {model} rows.npz"
    return f"the model comes first and the rows second: xai-mimo report {data} {model}"


def _loaded(model: str | os.PathLike[str], trust: bool) -> Any:
    """A model from its file; a Keras model without its losses, which may be of classes that nobody registered."""
    keras_alone = {"compile": False} if Path(model).suffix.lower() == ".keras" else {}
    return load_model(model, trust=trust, **keras_alone)


def compare_saved(
    saved: Saved,
    *,
    heads: tuple[str, ...] | None = None,
    rows: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Compare methods on a saved model.

    Args:
        saved: a model and rows.
        heads: explain these only.
        rows: explain at most so many rows, drawn with the seed.
        seed: of everything random.
        progress: show a bar; None does on a terminal, of work longer than a second.
    Raises:
        Whatever ``compare`` raises.
    """
    return compare(
        saved.model,
        saved.rows.inputs,
        labels=saved.rows.labels or None,
        targets=heads,
        rows=rows,
        seed=seed,
        title=saved.title,
        command=f"{saved.command} --seed {seed}",
        progress=progress,
    )


def _annotated_streams(streams: tuple[Stream, ...], rows_of_file: Rows) -> list[Stream]:
    for name in rows_of_file.features:
        if name not in {s.name for s in streams}:
            raise unknown(name, [s.name for s in streams], "input stream of the model")
    return [
        replace(
            s,
            features=rows_of_file.features.get(s.name, s.features),
            groups=rows_of_file.groups.get(s.name, {}),
        )
        for s in streams
    ]


def _annotated_heads(heads: tuple[Head, ...], rows_of_file: Rows) -> list[Head]:
    for name in (*rows_of_file.labels, *rows_of_file.kinds):
        if name not in {h.name for h in heads}:
            raise unknown(name, [h.name for h in heads], "head of the model")
    return [Head(h.name, h.shape, rows_of_file.kinds.get(h.name, h.kind), h.units, h.unit) for h in heads]
