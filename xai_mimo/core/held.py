"""What belongs to a row and no method changes: a mask that says which of its steps there are.

The part of a model behind a cut reads such masks beside its streams (``Holding``). Rows carry them in the same mapping,
under names that no stream has, so that whoever picks, repeats or perturbs rows picks and repeats them too. A method
does not see them: it is called once for all rows that have one mask, on a model that holds it.
"""

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.interactions import Interactions
from xai_mimo.core.method import Attribution, Context, Method
from xai_mimo.core.model import Arrays, Holding, Model
from xai_mimo.core.named_values import NamedValues
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of


def held_by(model: Model) -> tuple[str, ...]:
    """Names of what rows of a model carry beside its streams."""
    return tuple(model.held) if isinstance(model, Holding) else ()


@contextlib.contextmanager
def _generator_kept() -> Iterator[None]:
    """Put the standard library's generator back: packages that methods import draw from it when they are imported."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@_generator_kept()
def call_method(
    method: Method, model: Model, rows: Arrays, selectors: Sequence[Selector], context: Context
) -> Attribution:
    """What a method says of some rows, each explained with what the row holds.

    Background rows take the place of a row's values under the mask of that row, not under their own. Where the rows
    are of several kinds, each kind has a random generator of its own, spawned from the context's: no two rows share
    their draws, and how many the rows of one kind need changes nothing for the others.

    Args:
        method: with its settings. model: that is explained.
        rows: as the model reads them. selectors: the targets of the rows.
        context: with a background that may hold masks of its own.
    """
    if not isinstance(model, Holding) or not model.held:
        return method(model, rows, selectors, context)
    names = held_by(model)
    context = replace(context, background=_without(context.background, names))
    indices = list(_rows_of_one_kind(rows, names))
    generators = context.rng.spawn(len(indices)) if len(indices) > 1 else [context.rng]
    parts = [
        method(
            model.holding({name: rows[name][index[:1]] for name in names}),
            _without({name: x[index] for name, x in rows.items()}, names),
            rows_of(selectors, index),
            replace(context, rng=rng, places=index, whole=context.whole and context.whole.of(index)),
        )
        for index, rng in zip(indices, generators, strict=True)
    ]
    return _joined(parts, np.argsort(np.concatenate(indices)))


def _without(rows: Arrays, names: Sequence[str]) -> Arrays:
    return {name: x for name, x in rows.items() if name not in names}


def _rows_of_one_kind(rows: Arrays, names: Sequence[str]) -> Iterator[Array]:
    """Numbers of the rows that hold the same, in the order in which each kind is first seen."""
    kinds: dict[bytes, list[int]] = {}
    for i in range(count_rows(rows)):
        kinds.setdefault(b"".join(rows[name][i].tobytes() for name in names), []).append(i)
    for index in kinds.values():
        yield np.array(index)


def _joined(parts: Sequence[Attribution], order: Array) -> Attribution:
    """Attributions of different rows as one, its rows in this order of theirs."""
    if len(parts) == 1:
        return parts[0]
    first = parts[0]

    def all_rows(arrays: Sequence[Array]) -> Array:
        joined: Array = np.concatenate(arrays, axis=1)[:, order]
        return joined

    def by_name(mappings: Sequence[Mapping[str, Array]]) -> Arrays:
        return {name: all_rows([each[name] for each in mappings]) for name in mappings[0]}

    baselines = [p.baseline_prediction for p in parts if p.baseline_prediction is not None]
    errors = [p.standard_error for p in parts if p.standard_error is not None]
    draws = [p.draws for p in parts if p.draws is not None]
    players = [p.players for p in parts if p.players is not None]
    return Attribution(
        values=by_name([p.values for p in parts]),
        prediction=all_rows([p.prediction for p in parts]),
        baseline_prediction=all_rows(baselines) if baselines else None,
        standard_error=by_name(errors) if errors else None,
        diagnostics=by_name([p.diagnostics for p in parts]),
        signed=first.signed,
        reference=first.reference,
        unexplained=tuple(dict.fromkeys(name for p in parts for name in p.unexplained)),
        draws=all_rows(draws) if draws else None,
        players=_joined_players(players, all_rows) if players else None,
        interactions=_joined_interactions([p.interactions for p in parts], all_rows),
    )


def _joined_players(parts: Sequence[NamedValues], all_rows: Callable[[Sequence[Array]], Array]) -> NamedValues:
    errors = [p.standard_error for p in parts if p.standard_error is not None]
    return replace(
        parts[0],
        values=all_rows([p.values for p in parts]),
        standard_error=all_rows(errors) if errors else None,
    )


def _joined_interactions(
    parts: Sequence[Interactions | None], all_rows: Callable[[Sequence[Array]], Array]
) -> Interactions | None:
    found = [part for part in parts if part is not None]
    if not found:
        return None
    triples = [part.triples for part in found if part.triples is not None]
    return replace(
        found[0],
        singles=all_rows([part.singles for part in found]),
        pairs=all_rows([part.pairs for part in found]),
        evaluations=all_rows([part.evaluations for part in found]),
        triples=all_rows(triples) if triples else None,
    )
