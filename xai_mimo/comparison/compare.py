"""``compare``: several methods on one model, scored per head, in one space."""

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.comparison.exhibits.examples import example_rows
from xai_mimo.comparison.exhibits.layer_maps import layer_maps
from xai_mimo.comparison.exhibits.stream_maps import stream_map_rows
from xai_mimo.comparison.exhibits.words import Vocabulary, check_vocabulary, words_of
from xai_mimo.comparison.explanations import ExplainRequest, Explanations, is_interception, method_rows, name_methods
from xai_mimo.comparison.probability_drop_scores import drop_scores
from xai_mimo.comparison.references import cited, of_metrics
from xai_mimo.comparison.regions import Regions, region_rows, region_scores, rows_of_regions, split_truth
from xai_mimo.comparison.result import Comparison
from xai_mimo.comparison.score import (
    PerturbedModel,
    model_row,
    perturbed_model,
    replacement,
    score_everything,
    stream_rows,
    target_rows,
)
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.spaces import Space, choose_space
from xai_mimo.comparison.truth import Truth, check_truth, true_features
from xai_mimo.core.baselines import choose_background
from xai_mimo.core.digest import digest
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.explanation import join, streams_of, versions
from xai_mimo.core.method import Method
from xai_mimo.core.model import Model
from xai_mimo.core.plugins import adapt
from xai_mimo.core.positions import has_positions
from xai_mimo.core.progress import bar, steps
from xai_mimo.core.streams import Array, Stream, check_inputs, count_rows
from xai_mimo.core.targets import AnyTarget, Selector, check_labels, select
from xai_mimo.explainers.explain import explain
from xai_mimo.explainers.interception.from_map import head_rows
from xai_mimo.metrics.aligned_maps import AlignedMaps, align
from xai_mimo.metrics.statistics import resample_counts
from xai_mimo.record.rows import DataRow, Record, SpaceRow, StreamMap

METHODS = ("interception", "integrated_gradients", "shapley")
_BACKGROUND_ROWS = 100


def compare(
    model: Any,
    x: Any,
    methods: Sequence[str | Method] | Mapping[str, str | Method] = METHODS,
    *,
    labels: Any = None,
    truth: Truth | None = None,
    vocabulary: Vocabulary | None = None,
    targets: Sequence[AnyTarget] | None = None,
    background: Any = None,
    at: str | None = None,
    space: str | None = None,
    rows: int | None = None,
    seed: int = 0,
    settings: Settings | None = None,
    title: str = "",
    command: str = "",
    progress: bool = False,
) -> Comparison:
    """Explain a model with several methods and score them, head by head.

    Args:
        model: anything ``adapt`` takes.
        x: rows to explain, as ``check_inputs`` takes them.
        methods: names or settings objects; a mapping gives them labels of your own.
        labels: true values, ``{head: (sample, ...)}`` for some heads or a list with all; shown beside examples and
            needed for targets with unit "label".
        truth: features known to matter, ``{head: {stream: [feature, ...]}}`` or ``{head: [stream, ...]}``; or, where
            they differ from row to row, regions: ``{head: {stream: booleans (sample, *positions)}}``, each row of x.
        vocabulary: words of the ids that a stream of tokens holds, ``{stream: ("<pad>", "good", ...)}``, id 0 first;
            shown in the report in place of the ids.
        targets: what to explain; by default every head.
        background: rows that stand for "nothing known"; by default 100 rows drawn from ``x``.
        at: path of the layer at whose inputs to compare; by default found (see ``spaces.choose_space``).
        space: "variables" to take every entry of a stream's last axis as a whole (a series over all its steps, a
            channel); "streams" to compare shares of whole streams; "inputs" to insist on the model's inputs.
        rows: explain at most this many rows, drawn with the seed; None explains all.
        seed: of everything random.
        settings: of the scores.
        title, command: written into the record.
        progress: show a progress bar.
    Returns:
        Explanations, scores with intervals, and verdicts.
    Raises:
        BadSetting, NotSupported, UnknownName, ShapeMismatch, EmptyData, BadValues: see the functions named above.
    """
    named = name_methods(methods)
    adapted = adapt(model)
    everything = check_inputs(x, adapted.streams)
    total = count_rows(everything)
    draws = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(6)]
    picked = _pick_rows(total, rows, draws[0])
    settings = (settings or Settings()).for_rows(len(picked))
    inputs = {name: values[picked] for name, values in everything.items()}
    chosen = {head: values[picked] for head, values in check_labels(labels, adapted.heads, total).items()}
    selectors = select(targets, adapted.heads, adapted.predict(inputs), chosen)
    known, regions = _check_truth(truth, adapted, selectors, total)
    regions = rows_of_regions(regions, picked)
    vocabulary = check_vocabulary(vocabulary, adapted.streams, everything)
    first = {name: values[:1] for name, values in inputs.items()}
    intercepts = any(is_interception(m) for m in named.values())
    where = choose_space(adapted, first, intercepts=intercepts, at=at, space=space)
    given = None if background is None else check_inputs(background, adapted.streams)
    backgrounds = [given or choose_background(everything, _BACKGROUND_ROWS, draw) for draw in draws[1:3]]
    task = ExplainRequest(adapted, where, inputs, [s.target for s in selectors], chosen, selectors, explain, head_rows)
    with bar(progress, "compare") as shown_progress:
        step = steps(shown_progress, "compare", len(named) * (1 + settings.ceilings) + 3)
        run = task.run(named, backgrounds[0], seed, step)
        repeats = task.run(named, backgrounds[1], seed + 1, step).shown if settings.ceilings else {}
        joined = join(run.shown).assign_coords(sample=picked)
        counts = resample_counts(len(picked), settings.resamples, draws[3])
        subject = perturbed_model(where, adapted, inputs, backgrounds[0], selectors)
        owners = where.cut.owners if where.cut is not None and where.is_at_layer else {}
        words = words_of(adapted.streams, owners, inputs, subject.inputs, vocabulary)
        heads = {s.name: s.head for s in selectors}
        features = true_features(known or {}, heads, where, subject.model.streams, subject.inputs)
        panel = align(run.shown, repeats, counts, words)
        shown = streams_of(next(iter(run.shown.values())))
        with step("positions", 1):
            further = _over_positions(panel, subject, where, regions, heads, chosen, words, settings, draws[5])
        tables = score_everything(panel, run, subject, where, features, settings, draws[4], further=further, step=step)
    kinds = {str(getattr(m, "kind", "attention")) for m in named.values() if is_interception(m)}
    maps, labels_of_steps = layer_maps(adapted, inputs, subject.model.streams, kinds)
    methods_used = method_rows(named, run, where)
    record = Record(
        title=title or f"Comparison of {', '.join(named)}",
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=seed,
        command=command,
        settings=settings.plain(),
        model=model_row(adapted, str(getattr(model, "name", "") or type(model).__name__)),
        data=DataRow(rows=total, explained_rows=len(picked), sha256=digest(everything)),
        space=SpaceRow(name=where.name, text=where.text, streams=stream_rows(shown, owners)),
        targets=target_rows(adapted, selectors),
        methods=methods_used,
        **tables,
        stream_maps=() if where.is_streams else _stream_maps(run, shown, labels_of_steps, words),
        maps=maps,
        examples=tuple(
            example_rows(
                run.shown,
                _shown_inputs(subject, where),
                chosen,
                heads,
                picked,
                words,
                regions if where.name == "inputs" else {},
            )
        ),
        truth=known,
        regions=region_rows(regions),
        versions=versions(),
        references=cited(
            [
                *(m.reference for m in methods_used),
                *(m.reference for m in maps),
                *of_metrics(s["metric"] for s in further),
            ]
        ),
    )
    return Comparison(joined, record)


def _shown_inputs(subject: PerturbedModel, where: Space) -> dict[str, Array]:
    """The rows as examples show them: the means of each variable where maps are by variable."""
    if not where.by_variable:
        return subject.inputs
    return {name: x.reshape(len(x), -1, *x.shape[1:][-1:]).mean(axis=1) for name, x in subject.inputs.items()}


def _stream_maps(
    run: Explanations, shown: Sequence[Stream], steps: Mapping[str, Sequence[str]], words: Mapping[str, Array]
) -> tuple[StreamMap, ...]:
    """Pictures of the streams with positions; a text has none, because its tokens differ from row to row."""
    streams = [s for s in shown if has_positions(s) and s.name not in words and "token" not in s.axes]
    return tuple(stream_map_rows(run.shown, streams, steps))


def _over_positions(
    panel: AlignedMaps,
    subject: PerturbedModel,
    where: Space,
    regions: Regions,
    heads: Mapping[str, str],
    labels: Mapping[str, Array],
    texts: Collection[str],
    settings: Settings,
    rng: np.random.Generator,
) -> list[dict[str, Any]]:
    """Scores of maps whose players have positions: marked regions, and drops of class probabilities."""
    marked = region_scores(panel, regions, heads, subject.inputs, where, tolerance=settings.tolerance, rng=rng)
    if where.is_streams or where.by_variable:
        return marked
    rows = replacement(subject.model.streams, subject.background, settings)
    dropped = drop_scores(
        panel,
        subject.model,
        subject.inputs,
        rows,
        subject.selectors,
        labels,
        share=settings.deleted,
        rng=rng,
        texts=texts,
    )
    return [*marked, *dropped]


def _check_truth(
    truth: Truth | None, model: Model, selectors: Sequence[Selector], rows: int
) -> tuple[dict[str, dict[str, tuple[str, ...]]] | None, Regions]:
    names = list(dict.fromkeys([*(h.name for h in model.heads), *(s.name for s in selectors)]))
    rest, regions = split_truth(truth, names, model.streams, rows)
    return (None if rest is None else check_truth(rest, names, model.streams)), regions


def _pick_rows(total: int, rows: int | None, rng: np.random.Generator) -> Array:
    if rows is not None and rows < 1:
        raise BadSetting(f"rows must be at least 1; got {rows}.")
    if rows is None or rows >= total:
        return np.arange(total)
    return np.sort(rng.choice(total, size=rows, replace=False))
