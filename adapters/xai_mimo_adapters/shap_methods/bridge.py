"""What shap's explainers have in common here; those that ask for predictions alone see a table of players.

The streams of a row are flattened side by side, and every value is a player, a group of features of a stream together,
unless ``players`` says otherwise: they are columns of one table for shap, one for each player.
shap treats two values as equal when they differ by less than 1e-5 of their size, and then gives the feature zero
without a word: a temperature of 300.001 K beside 300.002 K would vanish. So shap is handed the *rank* of each player's
values among the rows and the background, and the model gets the values of that rank: ranks are equal only where values
are.

shap draws from NumPy's global generator, and what it does with PyTorch modules may draw from PyTorch's. ``seeded`` is
the one place where these are touched: they are seeded from the method's own random stream for the duration of a call
and put back, also after an error. (Other threads that draw from them meanwhile would see it.)
"""

import contextlib
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, MissingDependency, NotSupported
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import Masker, WholePlayers, check_players
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take, take_mean

_EXACT = 2**53
"""The largest whole number up to which float64 has all."""

Predict = Callable[[Array], Array]
"""The model as shap calls it: ``(row, player)`` in ranks to ``(row, target)``."""

Run = Callable[[Predict, Array, Array, int], Array]
"""An explainer: ``(predict, background, rows, seed) -> (row, player, target)``; rows and background hold ranks."""


def check_whole_players(players: Any) -> None:
    """Refuse players that shap's table cannot have, before there is a model."""
    if isinstance(players, str) and players == "patches":
        raise BadSetting(
            "the SHAP bridge has no players='patches'; give label images, players={'image': labels}, or use 'shapley'."
        )
    check_players(players)


def masker_of(inputs: Arrays, players: WholePlayers | NamedPlayers, model: Model, method: str) -> Masker:
    """The players of some rows, the same ones in each of them."""
    masker = Masker.of(inputs, players, model.streams)
    if masker.differs_by_row:
        raise NotSupported(
            f"{method} has one table of players for all rows, and these labels differ from row to row. Use 'shapley', "
            "or explain row by row."
        )
    return masker


def shap_package() -> Any:
    """The package shap.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import shap
    except ImportError as err:
        raise MissingDependency("the SHAP bridge needs shap: pip install 'xai-mimo[shap]'") from err
    return shap


def torch_package() -> Any:
    """The package torch.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import torch
    except ImportError as err:
        raise MissingDependency(
            "shap's explainers of gradients need torch, on models of every framework: pip install 'xai-mimo[torch]'"
        ) from err
    return torch


def check_memory(coalitions: int, players: int, context: Context, method: str) -> None:
    """shap evaluates all coalitions of a row at once; refuse before the machine runs out of memory."""
    needed = coalitions * players * count_rows(context.background) * np.dtype(np.float64).itemsize
    if needed > context.max_memory:
        raise BadSetting(
            f"{method} would hold {needed / 1e6:.0f} MB of masked rows at once, more than max_memory "
            f"({context.max_memory / 1e6:.0f} MB). Use a smaller background, fewer samples, or 'shapley', which works "
            "in chunks."
        )


def explain_players(
    model: Model,
    inputs: Arrays,
    selectors: Sequence[Selector],
    context: Context,
    masker: Masker,
    run: Run,
) -> Attribution:
    """Run an explainer once for each group of rows whose targets have the same units.

    Args:
        masker: the players.
        run: the explainer.
    """
    rows = len(selectors[0].units)
    words = {n: _distinct(x, context.background[n]) for n, x in inputs.items() if _is_coded(x, context.background[n])}
    columns = np.concatenate([_columns(_coded(arrays, words)) for arrays in (inputs, context.background)])
    table, ranks = _rank(columns, masker.player_of)
    attributions = np.zeros((len(selectors), rows, masker.count))
    units = np.stack([s.units for s in selectors], axis=1)
    for group in np.unique(units, axis=0):
        index = np.flatnonzero((units == group).all(axis=1))
        predict = _predictor(model, inputs, words, table, masker.player_of, rows_of(selectors, index[:1]))
        seed = int(context.rng.integers(2**32))
        with seeded(seed):
            values = run(predict, ranks[rows:], ranks[index], seed)
        # shap drops the last axis when there is a single target.
        attributions[:, index] = np.moveaxis(values.reshape(len(index), -1, len(selectors)), -1, 0)
        context.advance(len(index))
    return Attribution(
        values=masker.split(attributions),
        prediction=take(model.predict(inputs), selectors),
        baseline_prediction=take_mean(model.predict(context.background), selectors),
        players=masker.named_values(attributions),
    )


def _is_coded(*rows: Array) -> bool:
    """Whether a table of numbers holds values by their places: words, and whole numbers too large for float64."""
    kind = rows[0].dtype.kind
    return kind == "O" or (kind in "iu" and any(x.size and max(-int(x.min()), int(x.max())) > _EXACT for x in rows))


def _distinct(*rows: Array) -> Array:
    """The words, and the numbers beside them, of some rows: ``(word,)``, each once."""
    words = dict.fromkeys(word for x in rows for word in x.ravel())
    return np.fromiter(words, dtype=rows[0].dtype, count=len(words))


def _coded(arrays: Arrays, words: Mapping[str, Array]) -> Arrays:
    """The arrays with words as their places among the distinct ones."""
    places = {name: {word: place for place, word in enumerate(known)} for name, known in words.items()}
    return {
        name: np.array([places[name][word] for word in x.ravel()]).reshape(x.shape) if name in places else x
        for name, x in arrays.items()
    }


def _columns(arrays: Arrays) -> Array:
    """Streams side by side: ``(row, value)`` in float64."""
    return np.concatenate([np.asarray(x, dtype=np.float64).reshape(len(x), -1) for x in arrays.values()], axis=1)


def _split(values: Array, like: Arrays) -> Arrays:
    """The inverse of ``_columns`` for ``(..., value)``: ``{stream: (..., *shape)}``."""
    ends = np.cumsum([int(np.prod(x.shape[1:], dtype=np.int64)) for x in like.values()])
    parts = np.split(values, ends[:-1], axis=-1)
    return {name: p.reshape(*p.shape[:-1], *x.shape[1:]) for (name, x), p in zip(like.items(), parts, strict=True)}


def _rank(columns: Array, player_of: Array) -> tuple[Array, Array]:
    """Sorted values of each player, and their places: ``table[ranks[i, player_of[j]], j] == columns[i, j]``.

    Whole numbers stay apart in shap's eyes up to 1e5 rows, a hundred times the block that ``explain`` hands over.
    """
    table, ranks = np.zeros_like(columns), np.empty((len(columns), int(player_of.max()) + 1))
    for player in range(ranks.shape[1]):
        own = np.flatnonzero(player_of == player)
        different, place = np.unique(columns[:, own], axis=0, return_inverse=True)
        table[: len(different), own] = different
        ranks[:, player] = place.reshape(-1)
    return table, ranks


def _predictor(
    model: Model,
    like: Arrays,
    words: Mapping[str, Array],
    table: Array,
    player_of: Array,
    selectors: Sequence[Selector],
) -> Predict:
    """The model as shap calls it: ranks ``(row, player)`` in, ``(row, target)`` out."""
    each = np.arange(table.shape[1])

    def predict(ranks: Array) -> Array:
        values = table[np.asarray(ranks).astype(np.int64)[:, player_of], each]
        inputs = {
            name: words[name][v.astype(np.int64)] if name in words else v.astype(like[name].dtype)
            for name, v in _split(values, like).items()
        }
        return take(model.predict(inputs), rows_of(selectors, np.zeros(len(values), dtype=np.int64))).T

    return predict


def each_target(run: Run, targets: int) -> Run:
    """An explainer of one target as one of several; rows that it asks for again are answered from what is known.

    Args:
        run: gives ``(row, player)`` when ``predict`` gives ``(row,)``; it draws the same numbers for each target.
        targets: how many.
    """

    def of_all(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
        known: dict[bytes, Array] = {}

        def answer(asked: Array) -> Array:
            key = hashlib.blake2b(np.ascontiguousarray(asked).tobytes(), digest_size=16).digest()
            if key not in known:
                known[key] = predict(asked)
            return known[key]

        values = []
        for target in range(targets):
            with seeded(seed):
                values.append(run(lambda asked, t=target: answer(asked)[:, t], background, rows, seed))  # type: ignore[misc]
        return np.stack(values, axis=-1)

    return of_all


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[Any]:
    """Seed the global generators of NumPy and, where it is loaded, of PyTorch; put their states back."""
    state = np.random.get_state()  # noqa: NPY002 - shap knows no other generator
    torch = sys.modules.get("torch")
    torch_state = torch.get_rng_state() if torch else None
    try:
        np.random.seed(seed)  # noqa: NPY002
        if torch:
            torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
        if torch:
            torch.set_rng_state(torch_state)
