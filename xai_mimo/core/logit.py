"""Explaining a head of probabilities on its logit: before its final sigmoid or softmax, or as log-odds.

A probability near 0 or 1 hardly moves, whatever its inputs do; on the logit scale contributions add up where the model
adds them up. Where the model can be cut, what its final sigmoid or softmax reads is explained: for a softmax the unit's
own z_k, to which the same number may be added for all classes without a change of any probability; attributions add up
to the change of z_k. Elsewhere it is the log-odds of each probability, log(p / (1 - p)), of a class against the rest.
"""

import json
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, LeftOutWarning, PrecisionWarning
from xai_mimo.core.head_kinds import is_cumulative, is_of_classes
from xai_mimo.core.model import (
    Arrays,
    Differentiable,
    Interceptable,
    Linked,
    Model,
    Randomisable,
    Splittable,
    described,
)
from xai_mimo.core.reread import Ask, reread
from xai_mimo.core.streams import Array, Head
from xai_mimo.core.targets import Selector, take

On = Literal["output", "logit"]

OF_EACH_CLASS = "log-odds of each class"
"""The unit of a head of classes that is read as log-odds: one class against the rest, and no logits of a softmax."""

_LOGIT_UNITS = ("logit", "logits", "log-odds", "cumulative log-odds", OF_EACH_CLASS)
_OF_PROBABILITIES = ("binary", "multiclass", "multilabel", "ordinal")
_LOST: dict[type, str] = {
    Splittable: "cannot be cut at a layer too",
    Differentiable: "has no gradients",
    Interceptable: "cannot be intercepted",
    Randomisable: "cannot be copied with random weights",
}
_ROWS = 1024
_OUTSIDE = 1e-5
"""What rounding may add to a probability of 1."""
_SAME = 2e-2
"""So near must the sigmoid or softmax of what the model was cut before come to its answer, also in half precision."""


def check_on(on: str) -> On:
    """The argument ``on``, checked.

    Raises:
        BadSetting: another word.
    """
    if on not in get_args(On):
        raise BadSetting(
            f"on={on!r} is not one of 'output' and 'logit': a head is explained on what it gives, or before its final "
            "sigmoid or softmax."
        )
    return "logit" if on == "logit" else "output"


def on_attributes(on: On, values: Mapping[str, str]) -> dict[str, str]:
    """What a result says of it: ``on``, and in JSON what the values of each explained head are."""
    return {"on": on, **({"explained_value": json.dumps(values)} if on == "logit" else {})}


def on_logit(
    model: Model, heads: Collection[str], rows: Arrays, *, needs: Collection[type[Model]] = (), stacklevel: int = 3
) -> tuple[Model, dict[str, str]]:
    """The model with its heads of probabilities on their logits.

    Args:
        model: adapted.
        heads: names of those that are explained; others stay as they are.
        rows: of the data; the first 1024 are asked for, to see whether a head gives probabilities, and whether the
            model cut before the activation still is the model.
        needs: capabilities that are made use of; a model that has them and lacks them once it is cut before its
            activations (a torch module cannot then be cut at a layer too) is read as log-odds, which keeps them all.
        stacklevel: of the warnings.
    Returns:
        The model, of the same heads in other units; and for each of the heads that are explained what its values are,
        in words.
    Raises:
        BadSetting: a head of classes or choices gives values that are no probabilities.
    Warns:
        PrecisionWarning: some probabilities are 0 or 1 within rounding, whose log-odds are cut off.
        LeftOutWarning: no head that is explained is known to give probabilities.
    """
    words: dict[str, str] = {}
    wanted = []
    for head in model.heads:
        if head.name not in heads:
            continue
        if head.kind not in _OF_PROBABILITIES:
            words[head.name] = f"its output: a head of kind {head.kind} is none of probabilities"
        elif head.unit == "log-probability":
            words[head.name] = "its output, which is the logarithm of a probability already"
        elif head.unit in _LOGIT_UNITS:
            words[head.name] = f"its output, which is a {'logit' if 'logit' in head.unit else 'log-odds'} already"
        else:
            wanted.append(head)
    if not wanted:
        _warn_of_nothing_changed(model, words, stacklevel + 1)
        return model, words
    few = {name: x[:_ROWS] for name, x in rows.items()}
    outputs = model.predict(few)
    for head in wanted:
        _check_probabilities(model, head, outputs[head.name])
    cut, found, why = _cut(model, wanted, few, outputs)
    lost = [_LOST[kind] for kind in _LOST if kind in needs and isinstance(model, kind) and not isinstance(cut, kind)]
    if lost:
        why = {n: f"{described(model)}, cut {where}, {lost[0]}" for n, where in found.items()} | {
            head.name: why[head.name] for head in wanted if head.name not in found
        }
        cut, found = model, {}
    rest = tuple(head.name for head in wanted if head.name not in found)
    for name in rest:
        found[name] = f"log-odds of the probability, since {why[name]}"
        clipped = _clipped(outputs[name])
        if clipped:
            warnings.warn(_of_clipped(name, clipped, outputs[name], count_rows(rows)), PrecisionWarning, stacklevel)
    return (reread(cut, LogOdds(rest)) if rest else cut), {**words, **found}


def _warn_of_nothing_changed(model: Model, words: dict[str, str], stacklevel: int) -> None:
    kinds = {head.name: head.kind for head in model.heads if head.name in words}
    if not kinds or any(words[name].startswith("its output, which is") for name in kinds):
        return
    told = ", ".join(f"'{name}' is of kind {kind}" for name, kind in kinds.items())
    warnings.warn(
        f"on='logit' changes nothing: no head that is explained is known to give probabilities ({told}). If one does, "
        f"say so: xai_mimo.adapt(model, heads={{{next(iter(kinds))!r}: 'binary'}}, like=x).",
        LeftOutWarning,
        stacklevel=stacklevel,
    )


def _cut(
    model: Model, wanted: Sequence[Head], few: Arrays, outputs: Arrays
) -> tuple[Model, dict[str, str], dict[str, str]]:
    """The model cut before the activations that it finds, where that is in words, and why other heads are not cut."""
    why = {h.name: f"{described(model)} cannot be cut before its final sigmoid or softmax" for h in wanted}
    if not isinstance(model, Linked):
        return model, {}, why
    cut, found = model.before_link([head.name for head in wanted])
    if not found:
        return model, {}, why
    before = cut.predict(few)
    wrong = [h for h in wanted if h.name in found and not _gives(before[h.name], outputs[h.name])]
    why |= {h.name: f"{found[h.name]} there are values that do not make its answer" for h in wrong}
    if wrong:
        right = [name for name in found if name not in {h.name for h in wrong}]
        cut, found = model.before_link(right) if right else (model, {})
    return cut, dict(found), why


def _gives(logits: Array, probabilities: Array) -> bool:
    """Whether the sigmoid or the softmax over the last axis of one is the other."""
    z, p = np.asarray(logits, np.float64), np.asarray(probabilities, np.float64)
    candidates = [_sigmoid(z), *([_softmax(z)] if z.ndim > 1 else [])]
    return any(np.allclose(made, p, rtol=0.0, atol=_SAME) for made in candidates)


def _sigmoid(z: Array) -> Array:
    return np.asarray(0.5 * (1 + np.tanh(z / 2)))


def _softmax(z: Array) -> Array:
    grown = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(grown / grown.sum(axis=-1, keepdims=True))


def _check_probabilities(model: Model, head: Head, values: Array) -> None:
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    if known.size and (known.min() < -_OUTSIDE or known.max() > 1 + _OUTSIDE):
        raise BadSetting(
            f"on='logit' wants probabilities, and head '{head.name}' of {described(model)}, of kind {head.kind}, gives "
            f"values from {known.min():.4g} to {known.max():.4g}. If they are logits already, say so: "
            f"Head('{head.name}', {head.shape}, kind='{head.kind}', unit='log-odds'); if it is no head of classes, "
            "declare its kind; or leave out on='logit'."
        )


def _step(dtype: np.dtype[Any]) -> float:
    """The smallest distance from 1 that a dtype can hold; whole numbers are read as single precision."""
    return float(np.finfo(dtype if dtype.kind == "f" else np.float32).epsneg)


def _clipped(values: Array) -> int:
    step = _step(values.dtype)
    return int(((values < step) | (values > 1 - step)).sum())


def _of_clipped(name: str, clipped: int, values: Array, rows: int) -> str:
    step = _step(values.dtype)
    among = f"{len(values)} rows" if rows == len(values) else f"the first {len(values)} of {rows} rows"
    return (
        f"head '{name}' gives {clipped} of {values.size} probabilities in {among} that are 0 or 1, or nearer to them "
        f"than {values.dtype} can tell ({step:.2g}): these have no log-odds, and are taken as "
        f"{np.log(step):.4g} or {-np.log(step):.4g}, where nothing changes them. Explain such a head "
        "on='output', or give a model whose last layer has no activation."
    )


@dataclass(frozen=True)
class LogOdds:
    """Probabilities as log-odds, log(p / (1 - p)), cut off where p is nearer to 0 or 1 than its dtype can tell.

    Attributes:
        which: names of the heads that are read so.
    """

    which: tuple[str, ...]

    @property
    def name(self) -> str:
        """For fingerprints."""
        return f"log-odds of {self.which}"

    def heads(self, heads: tuple[Head, ...]) -> tuple[Head, ...]:
        """The same heads, in log-odds."""
        return tuple(replace(h, unit=_unit_of(h)) if h.name in self.which else h for h in heads)

    def outputs(self, outputs: Arrays) -> Arrays:
        """Log-odds in the dtype of the probabilities."""
        return {name: _log_odds(p) if name in self.which else p for name, p in outputs.items()}

    def gradients(self, ask: Ask, selectors: Sequence[Selector]) -> tuple[Arrays, Arrays]:
        """By the chain rule: those of the probability, divided by p (1 - p); zeros where it is cut off."""
        outputs, gradients = ask(selectors)
        slopes = np.ones((len(selectors), count_rows(outputs)))
        for i, selector in enumerate(selectors):
            if selector.head in self.which:
                slopes[i] = _slope(take(outputs, [selector])[0], _step(outputs[selector.head].dtype))
        return self.outputs(outputs), {
            name: g * slopes.reshape(*slopes.shape, *(1,) * (g.ndim - 2)).astype(g.dtype)
            for name, g in gradients.items()
        }


def _unit_of(head: Head) -> str:
    """The unit of a head's log-odds; whether an ordinal head's units are thresholds stays said."""
    if is_cumulative(head):
        return "cumulative log-odds"
    return OF_EACH_CLASS if is_of_classes(head) else "log-odds"


def _log_odds(p: Array) -> Array:
    step = _step(p.dtype)
    clipped = np.clip(np.asarray(p, np.float64), step, 1 - step)
    values: Array = np.log(clipped) - np.log1p(-clipped)
    return values.astype(p.dtype if p.dtype.kind == "f" else np.float32)


def _slope(p: Array, step: float) -> Array:
    is_free = (p >= step) & (p <= 1 - step)
    return np.where(is_free, 1 / np.where(is_free, p * (1 - p), 1.0), 0.0)
