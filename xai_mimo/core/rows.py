"""Rows as the user has them, read once for a whole explanation: in memory, or those of a loader on disk."""

import contextlib
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xai_mimo.core.batches import Batches, fitting, joined
from xai_mimo.core.declare import named_like
from xai_mimo.core.door import check_batch, check_inputs
from xai_mimo.core.errors import FileProblem
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.paths import reason
from xai_mimo.core.streams import Array, Stream


def read_rows(
    model: Model, x: Any, *, on_disk: bool = False, folder: Path | None = None
) -> tuple[Model, tuple[Stream, ...], Arrays]:
    """Rows as arrays, and the model and its streams with the names that data frames give their features.

    Args:
        model: adapted.
        x: as ``batches.begun`` gives it.
        on_disk: whether the rows of a loader go to disk, so that memory holds one batch of them. Their arrays own the
            space, which is free again when they are gone.
        folder: where to; None for the folder of temporary files, ``TMPDIR``.
    Returns:
        The model, its streams, and ``{stream: (row, *shape)}``.
    Raises:
        As ``check_inputs``; of a loader the message names the batch. FileProblem: the disk takes no more.
    """
    if not isinstance(x, Batches):
        inputs = check_inputs(x, model.streams)
        return *named_like(model, x), inputs
    check_batch(x.first, model.streams, 1, x.kind)
    model, named = named_like(model, x.first)
    checked = fitting((check_batch(batch, named, number, x.kind) for number, batch in enumerate(x, 1)), x.kind)
    return model, named, _to_disk(checked, folder) if on_disk else joined(list(checked))


def _to_disk(batches: Iterable[Arrays], folder: Path | None) -> Arrays:
    """All rows, as arrays that are read from disk where they are looked at; what is written into them stays in memory.

    The files have no names, so that nothing is left behind whatever ends the process. Words stay in memory.
    """
    files: dict[str, Any] = {}
    words: dict[str, list[Array]] = {}
    rows, last = 0, {}
    with contextlib.ExitStack() as opened:  # what is mapped stays so when its file is closed
        for batch in batches:
            rows, last = rows + len(next(iter(batch.values()))), batch
            for name, values in batch.items():
                if values.dtype.hasobject:
                    words.setdefault(name, []).append(values)
                    continue
                with _told(folder):
                    if name not in files:
                        files[name] = opened.enter_context(tempfile.TemporaryFile(dir=folder))
                    files[name].write(np.ascontiguousarray(values).data)
        with _told(folder):
            return {
                name: np.concatenate(words[name]) if name in words else _mapped(files[name], rows, last[name])
                for name in last
            }


@contextlib.contextmanager
def _told(folder: Path | None) -> Iterator[None]:
    """What the disk says, with a way out."""
    try:
        yield
    except OSError as err:
        raise FileProblem(
            f"the rows of the loader cannot be kept in {folder or tempfile.gettempdir()}: {reason(err)}. Set TMPDIR to "
            "a folder with more room, or store= to a place in one."
        ) from err


def _mapped(file: Any, rows: int, like: Array) -> Array:
    file.flush()
    shape = (rows, *like.shape[1:])
    if 0 in shape:
        return np.empty(shape, like.dtype)
    return np.asarray(np.memmap(file, like.dtype, mode="c", shape=shape))
