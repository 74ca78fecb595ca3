"""A saved Keras model with rows from a file: load it safely, compare methods on it."""

import os
from dataclasses import replace
from pathlib import Path

from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.result import Comparison
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.plugins import adapt
from xai_mimo.core.streams import Head, Stream, unknown
from xai_mimo.layers.saved import load_model
from xai_mimo.studies.rows import Rows, load_rows


def compare_saved(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str],
    *,
    heads: tuple[str, ...] | None = None,
    rows: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
) -> Comparison:
    """Compare methods on a saved model.

    Args:
        model: a ``.keras`` file. data: an ``.npz`` file, see ``load_rows``.
        heads: explain these only.
        rows: explain at most so many rows, drawn with the seed.
        seed: of everything random.
        progress: show a bar; None does on a terminal, of work longer than a second.
    Raises:
        BadSetting: the two files have changed places. FileProblem, BadValues: a file that is not what it should be;
        and whatever ``compare`` raises.
    """
    if Path(data).suffix == ".keras" or Path(model).suffix == ".npz":
        raise BadSetting(f"the model comes first and the rows second: xai-mimo report {data} {model}")
    rows_of_file = load_rows(data)
    net = load_model(model, compile=False)
    adapted = adapt(net)
    adapted = adapt(
        net, _annotated_streams(adapted.streams, rows_of_file), _annotated_heads(adapted.heads, rows_of_file)
    )
    return compare(
        adapted,
        rows_of_file.inputs,
        labels=rows_of_file.labels or None,
        targets=heads,
        rows=rows,
        seed=seed,
        title=f"{Path(model).name} on {Path(data).name}",
        command=f"xai-mimo report {Path(model).name} {Path(data).name} --seed {seed}",
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
