"""The one door of ``explain`` and ``interactions``: what a user asked for, checked, as a job."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xai_mimo.core.baselines import check_background, choose_background
from xai_mimo.core.batches import begun, example_of
from xai_mimo.core.cut import cut_at
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, LeftOutWarning
from xai_mimo.core.explanation import to_dataset
from xai_mimo.core.gradient_probe import gradient_warnings, targets_with_gradients
from xai_mimo.core.labels import check_labels
from xai_mimo.core.logit import On, check_on, on_attributes, on_logit
from xai_mimo.core.method import Method, flag, needs_of, positive, whole
from xai_mimo.core.model import Arrays, Differentiable, Model, Splittable
from xai_mimo.core.plugins import adapt
from xai_mimo.core.plugins import method as find_method
from xai_mimo.core.probes import check_model
from xai_mimo.core.rows import read_rows
from xai_mimo.core.streams import Stream, check_together
from xai_mimo.core.sums import heads_behind, split_sums, with_sums
from xai_mimo.core.targets import AnyTarget, expand
from xai_mimo.core.texts import tokenised, with_words
from xai_mimo.core.token_words import words_at
from xai_mimo.explainers.job import ExplainJob, Naming, attributes


def read_job(
    model: Any,
    x: Any,
    method: str | Method | None,
    *,
    targets: Sequence[AnyTarget] | None,
    labels: Any,
    background: Any,
    background_rows: int,
    at: str | None,
    on: On,
    seed: int,
    max_memory: int,
    rows_per_block: int,
    check: bool,
    folder: Path | None = None,
    naming: Naming = to_dataset,
) -> ExplainJob:
    """Read and check what was asked for; the model is asked for a few rows.

    Args:
        folder: where the rows of a loader wait; None for the folder of temporary files.
        naming: makes a block's dataset of what the method returns.
        All others are those of ``explain``; what is raised and warned of there for its arguments is so here, a warning
        as if the caller's caller had raised it.
    """
    whole(rows_per_block, "rows_per_block")
    whole(background_rows, "background_rows")
    positive(max_memory, "max_memory")
    flag(check, "check")
    x = begun(x)
    adapted = adapt(model, max_memory=max_memory, like=example_of(x))
    x, texts = tokenised(x, adapted)
    background, _ = tokenised(background, adapted, texts)
    adapted, named, inputs = read_rows(adapted, x, on_disk=True, folder=folder)
    asked = find_method(_default(adapted) if method is None else method)
    targets, sums = split_sums(targets, adapted.heads)
    as_given, values = adapted, dict[str, str]()
    if check_on(on) == "logit":
        needs = {*needs_of(asked), *(() if at is None else (Splittable,))}
        explained = heads_behind(targets, sums, adapted.heads)
        adapted, values = on_logit(adapted, explained, inputs, needs=needs, stacklevel=4)
    adapted = with_sums(adapted, sums)
    cut = cut_at(adapted, at)
    check_together(cut.part.streams)
    chosen, seed, rows_per_block = with_words(asked, texts), _seed(seed), int(rows_per_block)
    follows_gradients = Differentiable in needs_of(chosen) and isinstance(cut.part, Differentiable)
    if follows_gradients and (check or targets is None):
        outputs = cut.part.predict(cut.enter({name: values[:1] for name, values in inputs.items()}))
        targets, left_out = targets_with_gradients(targets, adapted.heads, outputs)
        if left_out:
            warnings.warn(f"{chosen.name}: {left_out}", LeftOutWarning, stacklevel=3)
    own_background = _background(background, inputs, named, rows=background_rows, seed=seed)
    background_there = cut.enter(own_background)
    job = ExplainJob(
        cut=cut,
        method=chosen,
        inputs=inputs,
        background=background_there,
        own_background=own_background,
        targets=targets,
        labels=check_labels(labels, adapted.heads, count_rows(inputs), x),
        seed=seed,
        max_memory=int(max_memory),
        rows_per_block=rows_per_block,
        attrs={
            **attributes(cut, chosen, inputs, background_there, seed=seed, rows_per_block=rows_per_block),
            **on_attributes(on, values),
            **({} if adapted is as_given else {"model_fingerprint": as_given.fingerprint()}),
        },
        words=words_at(cut, inputs, {name: own.tokens for name, own in texts.items()}),
        naming=naming,
    )
    if check:
        few = check_model(cut, inputs, {target.head for target in expand(targets, adapted.heads)})
        if follows_gradients and isinstance(cut.part, Differentiable):
            for text in gradient_warnings(cut.part, few, targets, job.labels):
                warnings.warn(text, stacklevel=3)
    return job


def _default(model: Model) -> str:
    return "integrated_gradients" if isinstance(model, Differentiable) else "shapley"


def _seed(seed: Any) -> int:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise BadSetting(f"seed must be a whole number of at least 0; got {seed!r}.")
    return int(seed)


def _background(background: Any, inputs: Arrays, streams: Sequence[Stream], *, rows: int, seed: int) -> Arrays:
    if background is None:
        rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
        return choose_background(inputs, rows, rng)
    return check_background(background, streams)
