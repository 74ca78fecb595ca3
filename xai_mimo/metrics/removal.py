"""How far the prediction moves while features are replaced, one after the other, in the order of a map.

Features (or whole streams) are replaced in the order of the map and the model answers again. The order is that of the
magnitudes, the one order that maps with and without a sign share, and the reaction is how far the target's value moves
from the prediction, whichever way; so every method, attention included, is measured with one yardstick:

    deletion(q)  = |f(x) - v(all but the top q)|     rises from 0; fast is good, a larger area is better
    insertion(q) = |f(x) - v(only the top q)|        falls to 0;   fast is good, a smaller area is better

A map with signs is also followed from its most positive feature to its most negative one (``Curves.by_value``): what
opposes each other then does not cancel.

v(S) is the mean of f over the replacement rows with the features in S taken from x. Equal magnitudes are ordered at
random. Random orders go the same way, as the control that every figure needs. Where features depend on each other,
inputs replaced so lie off the data; v(S) is then also asked with the replacement rows nearest to x in S alone, see
``metrics.nearest``.

Sources: Samek et al. (2017), "Evaluating the Visualization of What a Deep Neural Network Has Learned" (curves);
Petsiuk et al. (2018), "RISE" (deletion and insertion); Agarwal et al. (2022), "OpenXAI" (the absolute change).
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.method import bytes_per_row
from xai_mimo.core.model import Arrays
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import Masker, WholePlayers
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.targets import Selector, rows_of, take, take_mean
from xai_mimo.metrics.nearest import nearest_rows
from xai_mimo.metrics.scene import Scene

Predict = Callable[[Arrays], Mapping[str, Array]]

ERASER_FRACTIONS = (0.01, 0.05, 0.10, 0.20, 0.50)
"""Shares of the features that count as the explanation: DeYoung et al. (2020), Section 4.2."""


@dataclass(frozen=True)
class Curves:
    """Changes of one target while features are replaced in one order.

    Attributes:
        counts: ``(point,)`` how many players are replaced (deletion) or kept (insertion), from 0 to ``players``.
        players: number of features or streams in the order.
        deletion: ``(target, sample, point)``, f(x) - v(all but the top), signed, in the head's unit.
        insertion: ``(target, sample, point)``, f(x) - v(only the top), signed.
        top_sign: ``(target, sample)`` sign of the most important player; 0 in the control.
        ranks: ``(target, sample, player)``, 0 for the most important player.
        by_value: the same from the most positive player to the most negative one; None for maps without signs and for
            the control.
    """

    counts: Array
    players: int
    deletion: Array
    insertion: Array
    top_sign: Array
    ranks: Array
    by_value: "Curves | None" = None

    @property
    def fractions(self) -> Array:
        """Share of the players at each point, from 0 to 1."""
        return self.counts / self.players


def removal_curves(
    predict: Predict,
    inputs: Arrays,
    maps: Mapping[str, Any],
    selectors: Sequence[Selector],
    replacement: Arrays,
    *,
    signed: Collection[str] = (),
    players: WholePlayers | NamedPlayers = "features",
    streams: Sequence[Stream] = (),
    steps: int = 10,
    controls: int = 3,
    nearest: int | None = None,
    rng: np.random.Generator,
    max_memory: int = 2**26,
    advance: Advance = silent,
) -> tuple[dict[str, Curves], list[Curves]]:
    """Deletion and insertion of several methods' maps and of random orders, in shared batches.

    Args:
        predict: ``{stream: (row, *shape)}`` -> ``{head: (row, *shape)}``, any number of rows.
        inputs: the explained rows, ``{stream: (sample, *shape)}``.
        maps: label -> ``(target, sample, player)``, targets in the order of the selectors.
        selectors: the explained targets.
        replacement: rows to replace with, ``{stream: (row, *shape)}``; values are averaged over them.
        signed: labels of the maps that are followed by value too.
        players: what is replaced at once, see ``core.players``.
        streams: of the inputs, for their groups of features, which are replaced together.
        steps: points of a curve beyond the first; all features when there are fewer.
        controls: number of random orders, each the same for all targets and methods.
        nearest: average v(S) over so many of the replacement rows, those nearest to the explained row in S; None for
            all of them. Where nothing is known it is averaged over all.
        max_memory: bytes of one batch of replaced inputs.
        advance: told the share of the predictions just made.
    Returns:
        Curves by label, and one per random order.
    Raises:
        ShapeMismatch: a map does not fit the inputs. BadSetting: steps or controls below 1.
    """
    if steps < 1 or controls < 1:
        raise BadSetting(f"steps and controls must be at least 1; got {steps} and {controls}.")
    rows = count_rows(inputs)
    masker = Masker.of(inputs, players, streams)
    size = masker.count
    for label, values in maps.items():
        if np.shape(values) != (len(selectors), rows, size):
            raise ShapeMismatch(
                f"the map of '{label}' has shape {np.shape(values)}; expected {(len(selectors), rows, size)}: "
                f"one value per target, row and {players[:-1] if isinstance(players, str) else 'player'}."
            )
    values = {label: np.asarray(m, dtype=np.float64) for label, m in maps.items()}
    by_value = [label for label in maps if label in signed]
    # Ties of each map, and the random orders, are broken by streams of their own: what stands in the same comparison
    # changes neither, and so no test of a map against its controls.
    entropy = int(rng.integers(2**63))
    keys = [(f"magnitude {label}", np.abs(m)) for label, m in values.items()]
    keys += [(f"value {label}", values[label]) for label in by_value]
    ranks = _orders([*keys, ("random", np.zeros((controls, rows, size)))], entropy)
    counts = _counts(size, steps)
    inner = counts[1:-1]
    chosen = None if nearest is None else _nearest(inputs, replacement, ranks, inner, masker, nearest, max_memory, rng)
    answers = _answers(predict, inputs, selectors, replacement, chosen, ranks, inner, masker, max_memory, advance)
    full, empty = take(predict(inputs), selectors), _nothing_known(predict, inputs, replacement, selectors, masker)
    change = full.T[None, None, :, None, :] - _with_ends(answers, full, empty)  # (kind, order, sample, point, target)
    targets = np.arange(len(selectors))

    def curves(number: int, label: str) -> Curves:
        """Of the map with this number: each target's own change along its own order."""
        orders = number * len(selectors) + targets
        own = change[:, orders, :, :, targets]  # (target, kind, sample, point)
        top = ranks[orders].argmin(axis=-1)[..., None]
        sign = np.sign(np.take_along_axis(values[label], top, axis=-1))[..., 0]
        return Curves(counts, size, own[:, 0], own[:, 1], sign, ranks[orders])

    of_methods = {label: curves(i, label) for i, label in enumerate(maps)}
    for i, label in enumerate(by_value, start=len(maps)):
        of_methods[label] = replace(of_methods[label], by_value=curves(i, label))
    no_sign = np.zeros((len(selectors), rows))
    of_random = []
    for j in range(len(ranks) - controls, len(ranks)):
        deletion, insertion = np.moveaxis(change[:, j], -1, 1)  # each (target, sample, point)
        order = np.broadcast_to(ranks[j], (len(selectors), rows, size))
        of_random.append(Curves(counts, size, deletion, insertion, no_sign, order))
    return of_methods, of_random


def curves_of(scene: Scene) -> tuple[dict[str, Curves], list[Curves]]:
    """The scene's curves by method, and those of random orders: computed once for all metrics that read them."""
    perturbed, settings = scene.perturbed, scene.settings
    nearest = settings.replacement_rows if settings.replacement == "nearest" else None
    return scene.once(
        "curves",
        lambda: removal_curves(
            perturbed.model.predict,
            perturbed.inputs,
            scene.maps.maps,
            perturbed.selectors,
            perturbed.replacement,
            signed=scene.maps.attributions,
            players=perturbed.players,
            streams=perturbed.model.streams,
            steps=settings.steps,
            controls=settings.controls,
            nearest=nearest,
            rng=scene.rng("curves"),
            advance=scene.advance,
        ),
    )


def _counts(players: int, steps: int) -> Array:
    """The points of a curve, the same from either end: a random order then deletes as well as it inserts, exactly."""
    even = np.rint(np.linspace(0, players, min(steps, players) + 1))
    eraser = np.ceil(np.array(ERASER_FRACTIONS) * players - 1e-9).clip(min=1)
    points = np.concatenate([even, eraser, [1]]).astype(np.int64)
    return np.unique(np.concatenate([points, players - points]))


def _orders(keys: Sequence[tuple[str, Array]], entropy: int) -> Array:
    """The ranks of all keys one after the other, ``(order, sample, player)``, in half the memory of whole numbers.

    Args:
        keys: with the name of the stream that breaks their ties.
        entropy: that all streams share.
    """
    ranks = np.empty((sum(len(key) for _, key in keys), *keys[0][1].shape[1:]), dtype=np.int32)
    start = 0
    for name, key in keys:
        own = np.random.default_rng([entropy, *name.encode()])
        ranks[start : start + len(key)] = _ranks(key, own)
        start += len(key)
    return ranks


def _ranks(key: Array, rng: np.random.Generator) -> Array:
    """0 for the player with the largest key; ties in random order."""
    order = np.lexsort(np.stack([rng.random(key.shape), -key]), axis=-1)
    return np.argsort(order, axis=-1)


def _answers(
    predict: Predict,
    inputs: Arrays,
    selectors: Sequence[Selector],
    replacement: Arrays,
    chosen: Array | None,
    ranks: Array,
    counts: Array,
    masker: Masker,
    max_memory: int,
    advance: Advance,
) -> Array:
    """v for every kind, order, row and point, of every target: ``(kind, order, sample, point, target)``.

    ``chosen``, ``(kind, order, sample, point, draw)``, are the numbers of the replacement rows; None for all of them.
    """
    draws = count_rows(replacement) if chosen is None else chosen.shape[-1]
    shape = (2, len(ranks), ranks.shape[1], len(counts), draws)
    total = int(np.prod(shape))
    answers = np.empty((total, len(selectors)))
    batch = max(1, max_memory // max(1, bytes_per_row(inputs)))
    for start in range(0, total, batch):
        items = np.arange(start, min(total, start + batch))
        kind, order, row, point, draw = np.unravel_index(items, shape)
        in_top = ranks[order, row] < counts[point][:, None]
        known = np.where(kind[:, None] == 0, ~in_top, in_top)
        other = draw if chosen is None else chosen[kind, order, row, point, draw]
        rows, replaced = ({n: x[i] for n, x in part.items()} for part, i in ((inputs, row), (replacement, other)))
        answers[items] = take(predict(masker.against_own(rows, replaced, known)), rows_of(selectors, row)).T
        advance(len(items) / total)
    means: Array = answers.reshape(*shape, len(selectors)).mean(axis=4)
    return means


def _nothing_known(
    predict: Predict, inputs: Arrays, replacement: Arrays, selectors: Sequence[Selector], masker: Masker
) -> Array:
    """v where all is replaced: ``(target, sample)``; what a row holds, such as its mask, stays its own."""
    if set(inputs) <= set(masker.divisions):
        return take_mean(predict(replacement), selectors)
    values = np.empty((len(selectors), count_rows(inputs)))
    for i in range(count_rows(inputs)):
        row = {name: x[i : i + 1] for name, x in inputs.items()}
        outputs = predict(masker.against_each(row, replacement, np.zeros((1, masker.count), dtype=bool)))
        values[:, i : i + 1] = take_mean(outputs, rows_of(selectors, slice(i, i + 1)))
    return values


def _nearest(
    inputs: Arrays,
    replacement: Arrays,
    ranks: Array,
    counts: Array,
    masker: Masker,
    nearest: int,
    max_memory: int,
    rng: np.random.Generator,
) -> Array:
    """The replacement rows nearest to each row in what is known: ``(kind, order, sample, point, draw)`` numbers."""
    of_row = nearest_rows(inputs, replacement, masker, nearest, rng)
    # A coalition takes a mark and a distance for every player and replacement row.
    coalition = 16 * (masker.count + count_rows(replacement))
    batch = max(1, max_memory // (2 * max(1, len(counts)) * coalition))
    rows = []
    for row in range(ranks.shape[1]):
        choose = of_row(row)
        blocks = []
        for start in range(0, len(ranks), batch):
            in_top = ranks[start : start + batch, row, None] < counts[:, None]  # (order, point, player)
            blocks.append(np.stack([choose(known) for known in (~in_top, in_top)]))
        rows.append(np.concatenate(blocks, axis=1))
    return np.stack(rows, axis=2)


def _with_ends(answers: Array, full: Array, empty: Array) -> Array:
    """Answers with those at both ends, where every order is the same: all is known, ``full``, or nothing, ``empty``."""
    kinds, orders, rows, _, targets = answers.shape
    first = np.stack([full.T, empty.T])[:, None, :, None, :]  # deletion begins with all, insertion with nothing
    ends = [np.broadcast_to(end, (kinds, orders, rows, 1, targets)) for end in (first, first[::-1])]
    return np.concatenate([ends[0], answers, ends[1]], axis=3)
