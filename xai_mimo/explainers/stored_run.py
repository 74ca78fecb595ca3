"""``explain`` with a store: begin a run on disk, go on with one, or read the one that is finished."""

import time
from pathlib import Path

import numpy as np
import xarray as xr

from xai_mimo.core.blocks import words_of_blocks
from xai_mimo.core.engine import Engine
from xai_mimo.core.errors import FileProblem, StoreWarning
from xai_mimo.core.progress import Advance
from xai_mimo.explainers.job import ExplainJob, blocks_of
from xai_mimo.explainers.store import BlockStore, is_finished, one_writer

# How many of the stored blocks are asked for again, first row and last, and by how much a prediction of theirs may
# differ: half precision and tensor cores round by less than a thousandth, and other weights make more of a difference.
_BLOCKS_ASKED = 4
_SAME_PREDICTION = 1e-3


def explain_to_disk(
    job: ExplainJob, engine: Engine, path: Path, advance: Advance
) -> tuple[xr.Dataset, list[UserWarning]]:
    """The explanation, opened lazily, and what the user should be told of it.

    Args:
        path: as ``check_place`` gives it.
    Raises:
        BadSetting, MissingDependency, FileProblem: see ``explain``.
    """
    if is_finished(path):
        store = _open(job, path)
        if not store.pending:
            _check_predictions(job, store)
            advance(job.rows)
            return store.finish(), _warnings(job, store)
    with one_writer(path):
        store = _open(job, path)
        _check_predictions(job, store)
        noted = _warnings(job, store, only_store=True)
        advance(store.noticed.rows)
        start = time.perf_counter()
        for number, block in blocks_of(job, engine, store.pending, advance):
            now = time.perf_counter()
            store = store.write(number, block, seconds=now - start)
            start = time.perf_counter()
        return store.finish(), noted + store.noticed.warnings(job.method.name)


def _open(job: ExplainJob, path: Path) -> BlockStore:
    backend = str(job.attrs.get("backend", ""))
    return BlockStore.open(path, job.identity(), rows=job.rows, rows_per_block=job.rows_per_block, backend=backend)


def _check_predictions(job: ExplainJob, store: BlockStore) -> None:
    """Ask the model again for some of the rows that are stored.

    A fingerprint does not see all that a plain function reads; its predictions do. Numbers of other backends, and of
    other numbers of rows at once, differ by rounding, which is let through.

    Raises:
        FileProblem: it predicts something else than when the store was written.
    """
    done = [store.account.rows_of(n) for n, is_done in enumerate(store.account.done) if is_done]
    if not done:
        return
    some = [done[i] for i in sorted({*np.linspace(0, len(done) - 1, _BLOCKS_ASKED).round().astype(int).tolist()})]
    rows = np.unique([row for block in some for row in (block.start, block.stop - 1)])
    stored = store.read(rows.tolist())
    held = np.asarray(stored["prediction"].values, dtype=np.float64)
    now = job.predictions(rows, stored["unit"].values)
    size = np.maximum(np.abs(held).max(axis=1, keepdims=True), np.abs(now).max(axis=1, keepdims=True))
    other = np.argwhere(~(np.abs(now - held) <= _SAME_PREDICTION * size + np.finfo(np.float32).tiny))
    if len(other):
        target, row = other[0]
        raise FileProblem(
            f"{store.path} holds another run: it was made by a model that gives '{stored['head'].values[target]}' "
            f"{held[target, row]:.6g} for row {rows[row]}, this one gives {now[target, row]:.6g}. Does the function "
            "read weights that have changed, or draw random numbers? Give another store=, or delete that folder."
        )


def _warnings(job: ExplainJob, store: BlockStore, *, only_store: bool = False) -> list[UserWarning]:
    """What the user should be told of a stored run."""
    texts: list[UserWarning] = []
    if store.damaged:
        texts.append(
            StoreWarning(
                f"{store.path} was damaged: {words_of_blocks(store.damaged)} were not what was written, and are made "
                "again. Is the disk failing?"
            )
        )
    others = [b for b in store.backends if b != store.backend]
    if others and store.backend:
        texts.append(
            StoreWarning(
                f"{store.path} was computed by {', '.join(others)}, and the model is on {store.backend} now: numbers "
                "of different backends differ by rounding. The result's attribute 'backend' says who computed."
            )
        )
    return texts if only_store else texts + store.noticed.warnings(job.method.name)
