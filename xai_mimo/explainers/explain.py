"""``explain``: one method on any number of rows, block by block, in memory or on disk."""

import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import xarray as xr

from xai_mimo.core.engine import Engine
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.logit import On
from xai_mimo.core.method import Method
from xai_mimo.core.plugins import engine as find_engine
from xai_mimo.core.progress import Advance, bar, check_progress, counted
from xai_mimo.core.targets import AnyTarget
from xai_mimo.explainers.job import ExplainJob, blocks_of, joined_blocks
from xai_mimo.explainers.read_job import read_job
from xai_mimo.explainers.run_warnings import RunWarnings, lone_row_warning
from xai_mimo.explainers.store import check_place
from xai_mimo.explainers.stored_run import explain_to_disk


def explain(
    model: Any,
    x: Any,
    method: str | Method | None = None,
    *,
    targets: Sequence[AnyTarget] | None = None,
    labels: Any = None,
    background: Any = None,
    background_rows: int = 100,
    at: str | None = None,
    on: On = "output",
    seed: int = 0,
    max_memory: int = 2**29,
    rows_per_block: int = 1024,
    store: str | Path | None = None,
    engine: str | Engine | None = None,
    check: bool = True,
    progress: bool | Advance | None = None,
) -> xr.Dataset:
    """Explain a model's heads for the given rows with one method.

    Args:
        model: anything ``adapt`` takes, or an adapted model.
        x: the rows, ``{stream: (sample, *shape)}``, a list in the model's order, or one array for one stream; data
            frames, whose columns are put in the order of the model's feature names and name its features where they
            have no names; or a loader of such batches (``DataLoader``, ``tf.data.Dataset``, a generator), which is
            read once, batch by batch: its rows wait on disk, beside the ``store`` or in the folder of temporary files,
            and memory holds a block of them. All is as for the same rows in one array, the background too.
        method: a name (default settings) or settings such as ``Shapley(budget=4096)``. None takes Integrated Gradients,
            and Shapley values of a model that has no gradients.
        targets: head names, ``(head, unit)`` pairs or ``Target`` objects, which may name a region of units whose mean
            is explained (``Target("mask", region=...)``); ("<survival head>", "mean") is the mean time lived up to
            the last time; None explains every head.
        labels: ``{head: (sample,)}``, needed by targets with unit "label".
        background: rows that stand for "nothing known", for the methods that need them; None draws
            ``background_rows`` rows of ``x``.
        at: a layer; explains its inputs instead of the model's.
        on: "logit" explains heads of probabilities (binary, multiclass, multilabel) before their final sigmoid or
            softmax where the model can be cut there (of a softmax the unit's own z), and as log-odds of the
            probability elsewhere; the attribute ``explained_value`` says which for each head. Other heads stay as they
            are. "output" explains what the model gives.
        seed: of everything random. The same seed, data and ``rows_per_block`` give the same numbers, with or without
            ``store``; of ``captum.FeaturePermutation`` and ``captum.GradientShap``, which draw anew for each chunk of
            rows, with the same ``max_memory`` too.
        max_memory: bytes that the model's passes and the method's intermediate arrays may take, each.
        rows_per_block: rows explained at a time.
        store: a folder ending in ``.zarr``. Blocks are written as they are finished, memory stays flat, and a run that
            was interrupted goes on where it stopped when it is called again with the same arguments. The result is
            opened lazily. One process writes to a store at a time; blocks that were damaged meanwhile are made again,
            with a warning, and a model that predicts something else for some stored rows is refused.
        engine: where blocks are done: the name of an installed engine, or an object with its ``run``; None does one
            after the other, here. The numbers are the same with every engine.
        check: ask the model a few rows first, and refuse one that does not do what an explanation assumes: whose rows
            depend on each other, that answers equal rows differently, or whose part behind ``at`` is not the model,
            as far as five rows can tell: what only other rows show passes. For a method that follows gradients,
            compare them with differences of the answers. False for who knows better.
        progress: show a bar; None does on a terminal, of work longer than a second; or a function to call with the
            number of rows just finished.
    Returns:
        The explanation; its layout is described in ``xai_mimo.core.explanation``. Of a stream with groups of features,
        Shapley values and occlusion have one value for each group; other methods have one for each feature.
    Raises:
        UnknownName, ShapeMismatch, BadValues, EmptyData, BadSetting, NotSupported: the arguments do not fit, or the
            model does not do what an explanation assumes (see ``check``). NotFinite: it answers NaN or infinity.
        FileProblem: the store cannot be written, holds another run, or is being written by another process.
        MissingDependency: ``store`` without zarr.
    Warns:
        UnusedStreamWarning: a head gave exact zeros on a whole stream. NotConvergedWarning: rows missed the tolerance.
        PrecisionWarning: ``on="logit"``, and probabilities of 0 or 1 have no log-odds.
        StoreWarning: the store was damaged, or computed by another backend. GradientWarning: a head's gradient does not
        say how its output changes. LeftOutWarning: a head of whole numbers, where the method follows gradients; or
            ``on="logit"``, and no head is known to give probabilities.
    """
    check_progress(progress)
    if store is not None and not isinstance(store, str | os.PathLike):
        raise BadSetting(f"store is a folder ending in .zarr, or None for memory; got {store!r}.")
    place = None if store is None else check_place(Path(store))
    engine = find_engine(engine)
    job = read_job(
        model,
        x,
        method,
        targets=targets,
        labels=labels,
        background=background,
        background_rows=background_rows,
        at=at,
        on=on,
        seed=seed,
        max_memory=max_memory,
        rows_per_block=rows_per_block,
        check=check,
        folder=None if place is None else place.parent,
    )
    with bar(False if callable(progress) else progress, job.method.name) as shown:
        advance = progress if callable(progress) else counted(shown, job.method.name, job.rows)
        result, noticed = (
            explain_to_disk(job, engine, place, advance) if place is not None else _in_memory(job, engine, advance)
        )
    if noticed and _is_compared_with_itself(result, job):
        noticed = [lone_row_warning(job.method.name, job.rows, was_drawn=background is None)]
    for warning in noticed:
        warnings.warn(warning, stacklevel=2)
    return result


def _is_compared_with_itself(result: xr.Dataset, job: ExplainJob) -> bool:
    """Whether all rows are one and the same, and so is the background, so that there is nothing to attribute."""
    first = {name: x[:1] for name, x in job.inputs.items()}
    if not all((x == first[name]).all() for name, x in job.inputs.items()):
        return False
    here = job.cut.enter(first)
    if not all((rows == here[name]).all() for name, rows in job.background.items()):
        return False
    baseline = getattr(job.method, "baseline", None)
    if baseline is not None:
        return isinstance(baseline, str) and baseline in ("background", "mean")
    there = "baseline_prediction" in result
    return there and bool((result["prediction"] == result["baseline_prediction"]).all())


def _in_memory(job: ExplainJob, engine: Engine, advance: Advance) -> tuple[xr.Dataset, list[UserWarning]]:
    start, noticed = time.perf_counter(), RunWarnings()
    blocks: dict[int, xr.Dataset] = {}
    for number, block in blocks_of(job, engine, range(job.blocks), advance):
        blocks[number] = block
        noticed = noticed.merge(RunWarnings.of(block))
    result = joined_blocks([blocks[number] for number in range(job.blocks)])
    result.attrs["seconds"] = time.perf_counter() - start
    return result, noticed.warnings(job.method.name)
