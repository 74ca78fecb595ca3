"""The door of ``compare``: everything is checked once, rows are picked, and every random number gets its seed."""

import logging
import warnings
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import xarray as xr

from xai_mimo.comparison.choice import choose_methods
from xai_mimo.comparison.exhibits.words import Vocabulary, check_vocabulary
from xai_mimo.comparison.explanations import AnyMethod, is_interception, name_methods
from xai_mimo.comparison.players import agreed_players, by_players_in, with_players
from xai_mimo.comparison.ready_maps import Asked, fitted, layer_of
from xai_mimo.comparison.regions import Regions, rows_of_regions, split_truth
from xai_mimo.comparison.settings import Settings, is_whole
from xai_mimo.comparison.spaces import Space, choose_space
from xai_mimo.comparison.task_scores import check_task_rows, task_rows, task_scores
from xai_mimo.comparison.truth import NamedTruth, Truth, check_truth
from xai_mimo.core.baselines import check_background, choose_background
from xai_mimo.core.batches import begun, example_of
from xai_mimo.core.cut import Cut
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, LeftOutWarning
from xai_mimo.core.gradient_probe import gradient_warnings, targets_with_gradients
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.labels import check_labels
from xai_mimo.core.logit import On, check_on, on_logit
from xai_mimo.core.method import Method, needs_of
from xai_mimo.core.model import Arrays, Differentiable, Interceptable, Model, Randomisable, Splittable
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.plugins import adapt
from xai_mimo.core.probes import answers, check_model
from xai_mimo.core.rows import read_rows
from xai_mimo.core.streams import Array
from xai_mimo.core.sums import heads_behind, split_sums, with_sums
from xai_mimo.core.targets import AnyTarget, Selector, expand, select
from xai_mimo.core.texts import tokenised, with_words
from xai_mimo.metrics.installed import default_metrics, find_metrics
from xai_mimo.metrics.metric import Metric
from xai_mimo.record.results import TaskRow
from xai_mimo.record.words import Family

_BACKGROUND_ROWS = 100
_LOG = logging.getLogger("xai_mimo")

# The first children of the seed. Whatever has no number here gets its own by name, so that what one metric draws does
# not depend on which others run.
_STREAMS = {"rows": 0, "background": 1, "background again": 2, "resamples": 3, "curves": 4}
_BY_NAME = 6
_RUNS = {"methods": 7, "methods again": 8}


@dataclass(frozen=True)
class Request:
    """What is asked of a comparison: all of it checked, nothing computed yet.

    Attributes:
        model: the whole model, adapted; its heads as they are explained (see ``on``).
        name: what the record calls it.
        methods: label -> method, of those that are run. ready: label -> map that was brought in, fitted to the rows
            and targets. explainers: labels of both, in the order in which they were given.
        chosen: how the methods were chosen, "" where the user named them.
        left_out: heads that nobody named and no gradient method can explain, and why; "" without any.
        metrics: that are asked for, in order.
        are_named: whether the user named the metrics: then each must apply.
        data: all rows, ``{stream: (row, *shape)}``.
        picked: ``(sample,)``, numbers of the explained rows.
        inputs: these rows.
        selectors: the targets, resolved for them.
        labels: their true values, ``{head: (sample, ...)}``, of the heads that have any.
        task: how well the model does its heads, as given, else over all rows with labels.
        truth: features known to matter, with every name checked; None without any.
        regions: positions known to matter in the explained rows, by head or target.
        vocabulary: words of the ids of streams of tokens.
        tokens: of streams that came as texts, ``{stream: (sample, token) strings}``.
        backgrounds: rows that stand for "nothing known", of the first run and of the run again.
        space: where the comparison takes place.
        settings: of the scores.
        on: "output" or "logit". values: of which head that is what, in words; empty for outputs.
        seed: of everything random.
        title, command: for the record.
    """

    model: Model
    name: str
    methods: Mapping[str, Method]
    ready: Mapping[str, xr.Dataset]
    explainers: tuple[str, ...]
    chosen: str
    left_out: str
    metrics: tuple[Metric, ...]
    are_named: bool
    data: Arrays
    picked: Array
    inputs: Arrays
    selectors: Sequence[Selector]
    labels: Mapping[str, Array]
    task: tuple[TaskRow, ...]
    truth: NamedTruth | None
    regions: Regions
    vocabulary: Mapping[str, tuple[str, ...]]
    tokens: Mapping[str, Array]
    backgrounds: tuple[Arrays, Arrays]
    space: Space
    settings: Settings
    on: On
    values: Mapping[str, str]
    seed: int
    title: str
    command: str

    @property
    def families(self) -> tuple[Family, ...]:
        """Of the metrics, in order."""
        asked = {m.family for m in self.metrics}
        return tuple(f for f in get_args(Family) if f in asked)

    @property
    def steps(self) -> int:
        """How many steps of progress it will take: each run of each method, and each family of metrics."""
        return len(self.methods) * (1 + self.settings.ceilings) + len(self.families)

    @property
    def heads(self) -> dict[str, str]:
        """Name of the target -> its head."""
        return {s.name: s.head for s in self.selectors}

    def rng(self, what: str) -> np.random.Generator:
        """Random numbers for one purpose: always the same for the same seed and name."""
        return _rng(self.seed, what)

    def method_seeds(self, run: Literal["methods", "methods again"]) -> dict[str, int]:
        """Label -> the seed that ``explain`` is called with in the first run or in the run again."""
        return {label: method_seed(self.seed, label, run) for label in self.methods}


def read_request(
    model: Any,
    x: Any,
    methods: Sequence[AnyMethod] | Mapping[str, AnyMethod] | xr.Dataset | None,
    *,
    metrics: Sequence[str | Metric] | None,
    labels: Any,
    task: Sequence[TaskRow | Mapping[str, Any]] | None,
    truth: Truth | None,
    vocabulary: Vocabulary | None,
    targets: Sequence[AnyTarget] | None,
    background: Any,
    at: str | None,
    on: On,
    space: str | None,
    players: NamedPlayers | None,
    rows: int | None,
    seed: int,
    settings: Settings | None,
    title: str,
    command: str,
    check: bool = True,
) -> Request:
    """Check the arguments of ``compare``, whose docstring says what they mean and what is refused."""
    if rows is not None:
        _check_whole(rows, "rows", least=1)
    _check_whole(seed, "seed", least=0)
    for text, what in ((title, "title"), (command, "command")):
        if not isinstance(text, str):
            raise BadSetting(f"{what} is text for the record; got {text!r}.")
    if not isinstance(settings, Settings | None):
        raise BadSetting(f"settings are a Settings object; got {settings!r}. Write e.g. settings=Settings(ks=(1, 3)).")
    x = begun(x)
    adapted = adapt(model, like=example_of(x))
    x, texts = tokenised(x, adapted)
    background, _ = tokenised(background, adapted, texts)
    adapted, named_streams, data = read_rows(adapted, x)
    targets, sums = split_sums(targets, adapted.heads)
    plain, adapted = adapted, with_sums(adapted, sums)
    total = count_rows(data)
    first = {name: values[:1] for name, values in data.items()}
    given_methods, chosen = {} if methods is None else name_methods(methods), ""
    named = {la: with_words(m, texts) for la, m in given_methods.items() if not isinstance(m, xr.Dataset)}
    ready = {la: m for la, m in given_methods.items() if isinstance(m, xr.Dataset)}
    if at is None and space in (None, "variables"):
        at = layer_of(ready)
    players = agreed_players(players, named)
    asked = default_metrics() if metrics is None else find_metrics(metrics)
    picked = _pick_rows(total, rows, _rng(seed, "rows"))
    inputs = {name: values[picked] for name, values in data.items()}
    of_all = check_labels(labels, adapted.heads, total, x)
    checked = {head: values[picked] for head, values in of_all.items()}
    targets, left_out = _targets(targets, adapted, named, first, by_gradients=methods is None)
    heads = {target.head for target in expand(targets, adapted.heads)}
    outputs = answers(adapted, data if of_all else inputs, np.arange(total) if of_all else picked, heads)
    explained = {head: values[picked] for head, values in outputs.items()} if of_all else outputs
    given, words = adapted, dict[str, str]()
    if check_on(on) == "logit":
        needs = {kind for method in named.values() for kind in needs_of(method)}
        if any("random weights" in getattr(metric, "needs", ()) for metric in asked):
            needs.add(Randomisable)
        if at is not None or Interceptable in needs:
            needs.add(Splittable)
        explained_heads = heads_behind(targets, sums, plain.heads)
        adapted, words = on_logit(plain, explained_heads, inputs, needs=needs, stacklevel=4)
        adapted = with_sums(adapted, sums)
        explained = answers(adapted, inputs, picked, heads)
    selectors = select(targets, adapted.heads, explained, checked)
    if methods is None:
        named, chosen = choose_methods(
            adapted, inputs, at, space, selectors=selectors, labels=checked, background=data, players=players
        )
    known, regions = _check_truth(truth, adapted, selectors, total)
    where = choose_space(adapted, first, intercepts=any(is_interception(m) for m in named.values()), at=at, space=space)
    if players is not None:
        where = by_players_in(where, players, adapted, first)
        named = {label: with_players(method, players) for label, method in named.items()}
    if check:
        _check_model(where.cut or Cut(adapted, adapted), inputs, named, targets, checked)
    if ready:
        known_as = (adapted.fingerprint(), *(() if adapted is plain else (plain.fingerprint(),)))
        of = Asked(known_as, data, picked, selectors, explained, where, on, words)
        ready = {label: fitted(label, explanation, of) for label, explanation in ready.items()}
    own = None if background is None else check_background(background, named_streams)
    again = ("background", "background again")
    if chosen:
        _LOG.info("compare chose its methods: %s", chosen)
    name = str(getattr(model, "name", "") or type(model).__name__)
    return Request(
        model=adapted,
        name=name,
        methods=named,
        ready=ready,
        explainers=tuple(given_methods or named),
        chosen=chosen,
        left_out=left_out,
        metrics=asked,
        are_named=metrics is not None,
        data=data,
        picked=picked,
        inputs=inputs,
        selectors=selectors,
        labels=checked,
        task=_task(task, name, given, selectors, of_all, outputs),
        truth=known,
        regions=rows_of_regions(regions, picked),
        tokens={name: own.tokens[picked] for name, own in texts.items()},
        vocabulary=check_vocabulary(vocabulary, adapted.streams, data),
        backgrounds=(
            own or choose_background(data, _BACKGROUND_ROWS, _rng(seed, again[0])),
            own or choose_background(data, _BACKGROUND_ROWS, _rng(seed, again[1])),
        ),
        space=where,
        settings=(settings or Settings()).for_rows(len(picked)),
        on=on,
        values=words,
        seed=int(seed),
        title=title or f"Comparison of {', '.join(given_methods or named)}",
        command=command,
    )


def method_seed(seed: int, label: str, run: Literal["methods", "methods again"]) -> int:
    """The seed of one method: of the comparison's seed, its label and the run alone, below 2^32.

    Two methods that draw from one stream would agree in their noise. A seed, and not a stream spawned from one, so that
    a reader of the record can hand it to ``explain``.
    """
    # The whole label, since two labels may share a checksum.
    sequence = np.random.SeedSequence(seed, spawn_key=(_RUNS[run], *map(ord, label)))
    return int(sequence.generate_state(1)[0])


def _rng(seed: int, what: str) -> np.random.Generator:
    key = (_STREAMS[what],) if what in _STREAMS else (_BY_NAME, zlib.crc32(what.encode()))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def _targets(
    targets: Sequence[AnyTarget] | None,
    model: Model,
    methods: Mapping[str, Method],
    first: Arrays,
    *,
    by_gradients: bool,
) -> tuple[Sequence[AnyTarget] | None, str]:
    """The targets, without heads that a method which follows gradients could not explain, where none are named.

    Args:
        methods: that are named. first: a row. by_gradients: whether methods are still to be chosen.
    """
    if not isinstance(model, Differentiable) or not (by_gradients or _follow_gradients(methods)):
        return targets, ""
    outputs = model.predict(first)
    if by_gradients and targets is not None:
        return targets, ""
    targets, left_out = targets_with_gradients(targets, model.heads, outputs)
    if left_out:
        warnings.warn(f"compare: {left_out}", LeftOutWarning, stacklevel=4)
    return targets, left_out


def _follow_gradients(methods: Mapping[str, Method]) -> bool:
    return any(Differentiable in needs_of(method) for method in methods.values())


def _check_model(
    cut: Cut, inputs: Arrays, methods: Mapping[str, Method], targets: Sequence[AnyTarget] | None, labels: Arrays
) -> None:
    """Refuse a model that does not do what explanations assume, and warn of gradients that are not its output's."""
    few = check_model(cut, inputs, {target.head for target in expand(targets, cut.whole.heads)})
    if isinstance(cut.part, Differentiable) and _follow_gradients(methods):
        for text in gradient_warnings(cut.part, few, targets, labels):
            warnings.warn(text, stacklevel=4)


def _check_truth(
    truth: Truth | None, model: Model, selectors: Sequence[Selector], rows: int
) -> tuple[NamedTruth | None, Regions]:
    names = _names(model, selectors)
    streams = without_held(model).streams
    rest, regions = split_truth(truth, names, streams, rows)
    return (None if rest is None else check_truth(rest, names, streams)), regions


def _task(
    rows: Sequence[TaskRow | Mapping[str, Any]] | None,
    name: str,
    model: Model,
    selectors: Sequence[Selector],
    labels: Arrays,
    outputs: Arrays,
) -> tuple[TaskRow, ...]:
    """Task scores: the rows as they came, and of other heads what the labels of all rows tell."""
    checked = check_task_rows(rows or (), _names(model, selectors), "task")
    heads = {row.head for row in checked}
    scores = task_scores(model.heads, {head: y for head, y in labels.items() if head not in heads}, outputs)
    total = len(next(iter(outputs.values())))
    return (*checked, *task_rows(name, scores, f"over {total} rows; one model: no interval"))


def _names(model: Model, selectors: Sequence[Selector]) -> list[str]:
    """Of heads and targets."""
    return list(dict.fromkeys([*(h.name for h in model.heads), *(s.name for s in selectors)]))


def _check_whole(value: Any, what: str, *, least: int) -> None:
    if not is_whole(value) or value < least:
        raise BadSetting(f"{what} must be a whole number of at least {least}; got {value!r}.")


def _pick_rows(total: int, rows: int | None, rng: np.random.Generator) -> Array:
    if rows is None or rows >= total:
        return np.arange(total)
    return np.sort(rng.choice(total, size=rows, replace=False))
