"""``explain``: one method on any number of rows, block by block, in memory or on disk."""

import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.baselines import check_background, choose_background
from xai_mimo.core.batches import begun, example_of
from xai_mimo.core.cut import Cut, cut_at
from xai_mimo.core.door import count_rows
from xai_mimo.core.engine import Engine
from xai_mimo.core.errors import BadSetting, LeftOutWarning
from xai_mimo.core.gradient_probe import gradient_warnings, targets_with_gradients
from xai_mimo.core.labels import check_labels
from xai_mimo.core.logit import On, check_on, on_attributes, on_logit
from xai_mimo.core.method import Method, flag, needs_of, positive, whole
from xai_mimo.core.model import Arrays, Differentiable, Model, Splittable
from xai_mimo.core.plugins import adapt
from xai_mimo.core.plugins import engine as find_engine
from xai_mimo.core.plugins import method as find_method
from xai_mimo.core.probes import check_model
from xai_mimo.core.progress import Advance, bar, check_progress, counted
from xai_mimo.core.rows import read_rows
from xai_mimo.core.streams import Stream, check_together
from xai_mimo.core.sums import heads_behind, split_sums, with_sums
from xai_mimo.core.targets import AnyTarget, expand
from xai_mimo.core.texts import tokenised, with_words
from xai_mimo.core.token_words import words_at
from xai_mimo.explainers.job import ExplainJob, attributes, blocks_of
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
            ``store``.
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
    whole(rows_per_block, "rows_per_block")
    whole(background_rows, "background_rows")
    positive(max_memory, "max_memory")
    check_progress(progress)
    flag(check, "check")
    if store is not None and not isinstance(store, str | os.PathLike):
        raise BadSetting(f"store is a folder ending in .zarr, or None for memory; got {store!r}.")
    place = None if store is None else check_place(Path(store))
    engine = find_engine(engine)
    x = begun(x)
    adapted = adapt(model, max_memory=max_memory, like=example_of(x))
    x, texts = tokenised(x, adapted)
    background, _ = tokenised(background, adapted, texts)
    adapted, named, inputs = read_rows(adapted, x, on_disk=True, folder=None if place is None else place.parent)
    asked = find_method(_default(adapted) if method is None else method)
    targets, sums = split_sums(targets, adapted.heads)
    values: dict[str, str] = {}
    if check_on(on) == "logit":
        needs = {*needs_of(asked), *(() if at is None else (Splittable,))}
        adapted, values = on_logit(adapted, heads_behind(targets, sums, adapted.heads), inputs, needs=needs)
    adapted = with_sums(adapted, sums)
    cut = cut_at(adapted, at)
    check_together(cut.part.streams)
    chosen, seed, rows_per_block = with_words(asked, texts), _seed(seed), int(rows_per_block)
    follows_gradients = Differentiable in needs_of(chosen) and isinstance(cut.part, Differentiable)
    if follows_gradients and (check or targets is None):
        outputs = cut.part.predict(cut.enter({name: values[:1] for name, values in inputs.items()}))
        targets, left_out = targets_with_gradients(targets, adapted.heads, outputs)
        if left_out:
            warnings.warn(f"{chosen.name}: {left_out}", LeftOutWarning, stacklevel=2)
    background_there = _background(background, inputs, cut, named, rows=background_rows, seed=seed)
    job = ExplainJob(
        cut=cut,
        method=chosen,
        inputs=inputs,
        background=background_there,
        targets=targets,
        labels=check_labels(labels, adapted.heads, count_rows(inputs), x),
        seed=seed,
        max_memory=int(max_memory),
        rows_per_block=rows_per_block,
        attrs={
            **attributes(cut, chosen, inputs, background_there, seed=seed, rows_per_block=rows_per_block),
            **on_attributes(on, values),
        },
        words=words_at(cut, inputs, {name: own.tokens for name, own in texts.items()}),
    )
    if check:
        few = check_model(cut, inputs, {target.head for target in expand(targets, adapted.heads)})
        if follows_gradients and isinstance(cut.part, Differentiable):
            for text in gradient_warnings(cut.part, few, targets, job.labels):
                warnings.warn(text, stacklevel=2)
    with bar(False if callable(progress) else progress, chosen.name) as shown:
        advance = progress if callable(progress) else counted(shown, chosen.name, job.rows)
        result, noticed = (
            explain_to_disk(job, engine, place, advance) if place is not None else _in_memory(job, engine, advance)
        )
    if noticed and background is None and _is_compared_with_itself(result, chosen):
        noticed = [lone_row_warning(chosen.name)]
    for warning in noticed:
        warnings.warn(warning, stacklevel=2)
    return result


def _is_compared_with_itself(result: xr.Dataset, method: Any) -> bool:
    """Whether the one row that there is was its own background, so that there is nothing to attribute."""
    if result.sizes["sample"] != 1:
        return False
    if hasattr(method, "baseline"):
        return isinstance(method.baseline, str) and method.baseline in ("background", "mean")
    there = "baseline_prediction" in result
    return there and bool((result["prediction"] == result["baseline_prediction"]).all())


def _default(model: Model) -> str:
    return "integrated_gradients" if isinstance(model, Differentiable) else "shapley"


def _seed(seed: Any) -> int:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise BadSetting(f"seed must be a whole number of at least 0; got {seed!r}.")
    return int(seed)


def _background(
    background: Any, inputs: Arrays, cut: Cut, streams: Sequence[Stream], *, rows: int, seed: int
) -> Arrays:
    if background is None:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        return cut.enter(choose_background(inputs, rows, rng))
    return cut.enter(check_background(background, streams))


def _in_memory(job: ExplainJob, engine: Engine, advance: Advance) -> tuple[xr.Dataset, list[UserWarning]]:
    start, noticed = time.perf_counter(), RunWarnings()
    blocks: dict[int, xr.Dataset] = {}
    for number, block in blocks_of(job, engine, range(job.blocks), advance):
        blocks[number] = block
        noticed = noticed.merge(RunWarnings.of(block))
    in_order = [blocks[number] for number in range(job.blocks)]
    result = (
        in_order[0]
        if len(in_order) == 1
        else xr.concat(
            in_order,
            dim="sample",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )
    )
    result.attrs["seconds"] = time.perf_counter() - start
    return result, noticed.warnings(job.method.name)
