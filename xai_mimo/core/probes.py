"""Whether a model does what every explanation assumes of it: a few rows are asked, before anything is explained.

Assumed are that a row's answer depends on that row alone, and is the same whenever it is asked for; that the part
behind a cut answers as the whole; and that its answers are numbers. Rows that are compared are asked in calls of the
same number of rows: whoever treats rows apart then gives the same bits in any precision, or nearly so (PyTorch on CPUs
is off by some five roundings), so that a difference is none of rounding.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from xai_mimo.core.cut import Cut
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import NotFinite, NotSupported
from xai_mimo.core.model import Arrays, Model, described
from xai_mimo.core.precision import is_half, precision_of
from xai_mimo.core.rounding import relative_rounding
from xai_mimo.core.streams import Array

_FEW = 5
_COMPANY = np.array([0, 1, 0, 2, 3, 4])
"""The first row twice, and not last: copies of the last row fill up a call."""
_COPIES = np.array([1, 1, 1, 1, 1, 1])
"""One of these rows among copies of itself, in as large a call."""
_SMALLER = 0.9
"""Where all rows are alike, others are this share of them: of the same signs, and in the same ranges. Floats alone:
whole numbers and truth values may be ids, of which only those in the data are known to exist."""
_NOT_OF_DATA = -1
_SPREAD, _ROUNDINGS = 1e-3, 32
"""Answers differ by more than this share of their spread over rows, and so many roundings of their size."""
_CUT_ROUNDINGS = 1024
_LOOSE_SPREAD, _LOOSE_SIZE = 0.05, 0.02
"""The same where calls have other lengths or are compiled apart: half precision is off by some per cent then."""
_SINGLE = float(np.finfo(np.float32).eps)
_GO_ON = "or explain it as it is: check=False."
_MEND = (
    "Use fixed numbers in the place of means, ranges, ranks or counts over the batch (a layer in inference mode has "
    f"them), {_GO_ON}"
)


@dataclass(frozen=True)
class Probe:
    """A few rows, and what a model answers to them.

    Attributes:
        rows: ``{stream: (row, *shape)}``.
        numbers: ``(row,)``, of the rows in the data; -1 where a row is none of the data.
        outputs: ``{head: (row, *shape)}``.
    """

    rows: Arrays
    numbers: Array
    outputs: Arrays

    def pick(self, places: Array) -> "Probe":
        """Some of the rows."""
        rows, outputs = ({n: x[places] for n, x in arrays.items()} for arrays in (self.rows, self.outputs))
        return Probe(rows, self.numbers[places], outputs)


def answers(model: Model, rows: Arrays, numbers: Array, heads: Collection[str]) -> Arrays:
    """What a model predicts for rows of the data: finite numbers.

    Args:
        model: adapted. rows: of it. numbers: ``(row,)``, theirs in the data.
        heads: that are explained; what others answer does not matter.
    Raises:
        NotFinite: NaN or infinity; the message names the head and the row.
    """
    try:
        outputs = model.predict(rows)
    except NotFinite as err:
        raise _not_finite(model, err.head, numbers[err.row]) from err
    check_answers(model, outputs, numbers, heads)
    return outputs


def check_background(model: Model, background: Arrays, heads: Collection[str]) -> None:
    """Refuse a model that answers NaN or infinity to the rows that stand for "nothing known"; see ``answers``."""
    try:
        answers(model, background, np.arange(count_rows(background)), heads)
    except NotFinite as err:
        raise NotFinite(
            f"{described(model)} answers NaN or infinity for head '{err.head}' to row {err.row} of the background, "
            "from which attributions are measured. Give a background that the model has an answer to: background=...",
            err.head,
            err.row,
        ) from err


def check_answers(model: Model, outputs: Arrays, numbers: Array, heads: Collection[str]) -> None:
    """Refuse outputs that are NaN or infinite; see ``answers``."""
    for head in heads:
        is_finite = np.isfinite(np.asarray(outputs[head])).reshape(len(numbers), -1).all(axis=1)
        if not is_finite.all():
            raise _not_finite(model, head, numbers[int(np.argmin(is_finite))])


def _not_finite(model: Model, head: str, row: int) -> NotFinite:
    return NotFinite(
        f"{described(model)} answers NaN or infinity for head '{head}', first in row {row}, whose inputs are finite: "
        "that is the model's own answer, which no method can explain. Look for a division by 0, a logarithm or a row "
        "that is all padding; leave such rows out, or name other heads in targets.",
        head,
        int(row),
    )


def check_model(cut: Cut, inputs: Arrays, heads: Collection[str]) -> Probe:
    """Refuse a model that does not do what an explanation assumes, as far as a few rows can tell.

    Args:
        cut: the model, and where it is explained.
        inputs: rows of the whole model, at least one.
        heads: that are explained.
    Returns:
        Rows of the part behind the cut, all different where the data has as many, and its answers to them.
    Raises:
        NotSupported: rows depend on each other, equal rows get other answers, or the part answers otherwise than the
            whole. NotFinite: the model answers NaN or infinity. ShapeMismatch: other shapes for other numbers of rows.
    """
    rows, numbers = _few_rows(inputs)
    few = check_rows(cut.whole, rows, numbers, heads)
    if cut.layer is None:
        return few
    behind = cut.enter(few.rows)
    probe = Probe(behind, few.numbers, answers(cut.part, behind, few.numbers, heads))
    _check_cut(cut, few, probe, heads)
    return probe


def check_rows(model: Model, rows: Arrays, numbers: Array, heads: Collection[str]) -> Probe:
    """Refuse a model whose answer to a row depends on its company, its place or the time; see ``check_model``.

    Args:
        model: adapted. rows: five of it. numbers: ``(5,)``, theirs in the data. heads: that are explained.
    """

    def ask(places: Array) -> Arrays:
        return answers(model, {n: x[places] for n, x in rows.items()}, numbers[places], heads)

    try:
        first = ask(_COMPANY)
    except Exception:  # perhaps only of rows that were made up, and then nothing that the user has to do with
        if numbers[-1] != _NOT_OF_DATA:
            raise
        rows, numbers = _copies(rows, numbers)
        first = ask(_COMPANY)
    copies = _by_itself(model, ask, _COPIES, numbers)
    for head in heads:
        pair = _unequal(first[head], copies[head])
        if pair is not None:
            raise _refusal(model, head, pair, first[head], ask(_COMPANY)[head], copies[head])
    _check_alone(model, _by_itself(model, ask, _COMPANY[:1], numbers), first, numbers, heads)
    once = np.array([0, 1, 3, 4, 5])
    return Probe({n: x[_COMPANY[once]] for n, x in rows.items()}, numbers, {head: first[head][once] for head in first})


def _few_rows(inputs: Arrays) -> tuple[Arrays, Array]:
    """Five rows from all over the data, and their numbers; others in their place where all of them are alike."""
    numbers = np.resize(np.linspace(0, count_rows(inputs) - 1, min(_FEW, count_rows(inputs))).astype(int), _FEW)
    rows = {name: x[numbers] for name, x in inputs.items()}
    if all((x == x[:1]).all() for x in rows.values()) and any(_can_be_less(x[0]) for x in rows.values()):
        rows = {n: np.concatenate([x[:1], _less(x[1:])]) if _can_be_less(x[0]) else x for n, x in rows.items()}
        numbers = np.array([numbers[0], *[_NOT_OF_DATA] * (_FEW - 1)])
    return rows, numbers


def _can_be_less(row: Array) -> bool:
    return row.dtype.kind == "f" and bool(row.any())


def _less(rows: Array) -> Array:
    return (rows * _SMALLER).astype(rows.dtype)


def _copies(rows: Arrays, numbers: Array) -> tuple[Arrays, Array]:
    """The first row in the place of every other."""
    return {n: x[:1].repeat(_FEW, axis=0) for n, x in rows.items()}, numbers[:1].repeat(_FEW)


def _by_itself(model: Model, ask: Callable[[Array], Arrays], places: Array, numbers: Array) -> Arrays:
    """Answers to one row without others."""
    try:
        return ask(places)
    except NotFinite as err:
        raise NotSupported(
            f"{described(model)} lets rows depend on each other: its head '{err.head}' answers row "
            f"{max(numbers[places[0]], 0)} with a number among other rows, and with NaN or infinity by itself. {_MEND}"
        ) from err


def _unequal(first: Array, copies: Array) -> tuple[float, float] | None:
    """Two different answers to one row, the farthest apart; None where there are none."""
    worst, pair = _same(first), None
    for equal in (first[[0, 2]], np.concatenate([first[1:2], copies])):
        flat = equal.reshape(len(equal), -1).astype(np.float64)
        if flat.size and (apart := np.ptp(flat, axis=0)).max() > worst:
            unit = int(apart.argmax())
            worst, pair = float(apart[unit]), (float(flat[0, unit]), _farthest(flat[:, unit]))
    return pair


def _farthest(values: Array) -> float:
    """The value farthest from the first."""
    return float(values[np.abs(values - values[0]).argmax()])


def _same(values: Array) -> float:
    """How far answers from calls of the same number of rows may be apart; half precision changes nothing there."""
    return _allowed(values, _SPREAD, _ROUNDINGS * min(relative_rounding(values), _SINGLE))


def _allowed(values: Array, of_spread: float, of_size: float) -> float:
    """How far two answers to one row may be apart: ``(row, *shape)`` are a head's answers to rows that differ."""
    if not values.size:
        return 0.0
    wide = values.astype(np.float64)
    return float(of_spread * np.ptp(wide, axis=0).max() + of_size * np.abs(wide).max())


def _refusal(
    model: Model, head: str, pair: tuple[float, float], first: Array, again: Array, copies: Array
) -> NotSupported:
    """Why equal rows got different answers.

    Args:
        pair: the two answers. first, again: to one company, asked twice. copies: to equal rows.
    """
    one, other = (f"{value:.6g}" for value in pair)
    who, allowed = described(model), _same(first)
    inside = max(_apart(first[[0, 2]]), _apart(copies))
    if _apart(np.stack([first, again])) > allowed:
        what = "is random" if inside > allowed else "is random, or keeps a state from call to call"
        return NotSupported(
            f"{who} {what}: asked again, its head '{head}' answers the same row with {other} and not with {one}, so "
            "equal rows would get other maps. Switch off in inference whatever draws random numbers (dropout, noise, "
            f"sampling) or remembers, {_GO_ON}"
        )
    if inside > allowed:
        return NotSupported(
            f"{who} is random with a fixed seed, or reads a row's place among the others: its head '{head}' answers "
            f"equal rows of one call with {one} and {other}. Switch off in inference whatever draws random numbers "
            f"(dropout, noise, sampling), {_GO_ON}"
        )
    return NotSupported(
        f"{who} lets rows depend on each other: its head '{head}' answers one row with {one} among other rows, and "
        f"with {other} among copies of itself. Methods ask for rows in other companies than yours, so their numbers "
        f"would be of another model. {_MEND}"
    )


def _apart(values: Array) -> float:
    """How far answers to one row are apart: ``(answer, ...)``."""
    return float(np.ptp(values.astype(np.float64), axis=0).max()) if values.size else 0.0


def _check_alone(model: Model, alone: Arrays, first: Arrays, numbers: Array, heads: Collection[str]) -> None:
    """Refuse a model that answers the first row alone otherwise than among others."""
    for head in heads:
        among = first[head][:1]
        apart = np.abs(alone[head].astype(np.float64) - among)
        if apart.size and apart.max() > _allowed(first[head], _LOOSE_SPREAD, _LOOSE_SIZE):
            unit = np.unravel_index(int(apart.argmax()), apart.shape)
            raise NotSupported(
                f"{described(model)} answers a row by the rows that are asked for with it: its head '{head}' gives row "
                f"{numbers[0]} {float(alone[head][unit]):.6g} alone and {float(among[unit]):.6g} among {len(_COMPANY)} "
                f"rows. {_MEND}"
            )


def _check_cut(cut: Cut, whole: Probe, part: Probe, heads: Collection[str]) -> None:
    """Refuse a cut behind which the answers are not those of the whole."""
    is_loose = is_half(precision_of(cut.whole)) or any(relative_rounding(x) > _SINGLE for x in part.rows.values())
    for head in heads:
        expected, values = whole.outputs[head], part.outputs[head]
        size = _LOOSE_SIZE if is_loose else _CUT_ROUNDINGS * _SINGLE
        apart = np.abs(expected.astype(np.float64) - values)
        if apart.size and apart.max() > _allowed(expected, _LOOSE_SPREAD, size):
            unit = np.unravel_index(int(apart.argmax()), apart.shape)
            raise NotSupported(
                f"what lies behind layer '{cut.layer}' of {described(cut.whole)} is another model than the whole: head "
                f"'{head}' is {float(values[unit]):.6g} behind it and {float(expected[unit]):.6g} in the whole. "
                "Something reaches the head beside what the layer reads, such as a mask that travels on a tensor. "
                f"Explain at another layer or at the model's inputs, {_GO_ON}"
            )
