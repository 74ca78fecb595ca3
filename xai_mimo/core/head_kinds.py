"""What a head is: classes, choices or quantities, and whether as probabilities or logits. One rule for everybody.

============  =====================================  ==========================  =================================
kind          its units                              targets, unless named       labels of a row
============  =====================================  ==========================  =================================
regression    quantities                             every unit                  a number for each unit
binary        one choice                             the unit                    0 or 1
multiclass    classes of which one is right          the predicted class         the class
multilabel    choices, each by itself                every unit                  0 or 1 for each unit
ordinal       levels, the lowest first; or, where    the predicted level; of     the level, from 0
              ``Head.unit`` says "cumulative", the   thresholds every unit
              thresholds between them
quantile      quantiles of one quantity, by their    every unit                  the quantity: one number
              names "p10", "0.1" or "10%"
survival      times, with the share that lives on    every unit                  for each time 1 while it lives on,
                                                                                 else 0; NaN where it is unknown
============  =====================================  ==========================  =================================

Of several axes the last one holds the classes, levels, quantiles or times, and the others hold steps. The last three
kinds are declared; no adapter reads them off a model. Whether quantiles are in order is not checked.

The rule goes by value: the name of the activation that makes the output, the name of the loss that it is trained with,
and the number of units. Adapters, FLINT and the supervision of MHEX read heads with it, so that a head is the same
thing to all of them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from xai_mimo.core.streams import Head, HeadKind

HEAD_KINDS: tuple[HeadKind, ...] = ("regression", "binary", "multiclass", "multilabel")
"""The kinds that are read off models, and that layers can be trained for."""

_LEVEL = re.compile(r"(?P<sign>p|q|quantile|percentile)?[ _]?(?P<number>\d+(?:\.\d+)?|\.\d+) ?(?P<percent>%)?")

FINAL_SOFTMAX, FINAL_SIGMOID, ITS_LOSS = "final softmax", "final sigmoid", "the loss it was compiled with"
"""What tells a head's kind, in the words of ``Head.kind_from``."""

_QUANTITY_LOSSES = frozenset(
    [
        "mse",
        "meansquarederror",
        "mae",
        "meanabsoluteerror",
        "mape",
        "meanabsolutepercentageerror",
        "msle",
        "meansquaredlogarithmicerror",
        "huber",
        "huberloss",
        "logcosh",
    ]
)


@dataclass(frozen=True)
class HeadNature:
    """What a head's values are.

    Attributes:
        kind: as in ``Head``.
        values: "probability"; "logit", unnormalised; "quantity", in a unit of its own.
        kind_from: what told it, for ``Head.kind_from``.
    """

    kind: HeadKind
    values: Literal["probability", "logit", "quantity"]
    kind_from: str = field(default="", compare=False)

    @property
    def unit(self) -> str:
        """The word for ``Head.unit``; "" for quantities, whose unit no model tells."""
        if self.values == "quantity":
            return ""
        if self.values == "logit":
            return "logit" if self.kind == "multiclass" else "log-odds"
        return "probability"


def is_quantity(head: Head) -> bool:
    """Whether the values of a head are quantities, and neither classes nor choices nor levels."""
    return head.kind in ("regression", "quantile", "survival")


def is_cumulative(head: Head) -> bool:
    """Whether the units of an ordinal head are thresholds: how likely the level is above the first, the second, ..."""
    return head.kind == "ordinal" and "cumulative" in head.unit.lower()


def is_of_classes(head: Head) -> bool:
    """Whether the units along a head's last axis are classes, or levels, of which one is right."""
    return head.kind in ("multiclass", "ordinal") and head.classes > 1 and not is_cumulative(head)


def has_one_label(head: Head) -> bool:
    """Whether one number speaks for all units along a head's last axis: a class, a level or a quantity."""
    return is_of_classes(head) or is_cumulative(head) or head.kind == "quantile"


def quantile_levels(head: Head) -> tuple[float, ...] | None:
    """The levels of a head of quantiles, between 0 and 1, by the names of its units; None where they tell none.

    "p10", "P10", "10%" and "percentile 10" are 0.1; so are "q0.1" and "0.1". Without a sign of per cent or "p", numbers
    up to 1 are shares and others per cent.

    Example:
        >>> quantile_levels(Head("hours", (3,), kind="quantile", units=("p10", "p50", "p97.5")))
        (0.1, 0.5, 0.975)
    """
    levels = tuple(_level(name) for name in head.class_names)
    return None if None in levels else tuple(level for level in levels if level is not None)


def _level(name: str) -> float | None:
    found = _LEVEL.fullmatch(name.strip().lower())
    if found is None:
        return None
    number = float(found["number"])
    is_percent = found["percent"] or found["sign"] in ("p", "percentile") or number > 1
    level = round(number / 100, 12) if is_percent else number
    return level if 0 < level < 1 else None


def head_nature(activation: str, units: int, loss: Any = None) -> HeadNature | None:
    """What a head is, as far as its activation tells, else its loss; None where neither does.

    ========================  =========================================  ====================================
    activation                loss                                       the head
    ========================  =========================================  ====================================
    softmax                   any                                        multiclass, probabilities
    sigmoid                   any                                        binary or multilabel, probabilities
    another                   categorical cross-entropy                  multiclass
    another                   other cross-entropies, or ``from_logits``  binary or multilabel
    another                   squared, absolute, Huber, log-cosh error   regression
    another                   another, or none                           None
    ========================  =========================================  ====================================

    A head of one unit is binary, one of several is multilabel. In the third and fourth line values are logits if the
    loss has ``from_logits=True``, else probabilities, which is what such a loss takes them for.

    Args:
        activation: see ``activation_name``.
        units: number of the head's values.
        loss: name, function or object, such as Keras takes; None where it is not known.
    """
    choices: HeadKind = "binary" if units == 1 else "multilabel"
    if activation == "softmax":
        return HeadNature("multiclass", "probability", FINAL_SOFTMAX)
    if activation == "sigmoid":
        return HeadNature(choices, "probability", FINAL_SIGMOID)
    names = _loss_names(loss)
    from_logits = getattr(loss, "from_logits", False) is True
    if from_logits or any("crossentropy" in name or name == "bce" for name in names):
        is_categorical = any("categorical" in name for name in names)
        return HeadNature(
            "multiclass" if is_categorical else choices, "logit" if from_logits else "probability", ITS_LOSS
        )
    return HeadNature("regression", "quantity", ITS_LOSS) if any(name in _QUANTITY_LOSSES for name in names) else None


def activation_name(operation: Any) -> str:
    """The name of the activation that an operation ends in, else of the operation itself, in lower case.

    A wrapper, such as one that applies a layer at every step, ends in what its ``layer`` does.
    """
    activation, wrapped = getattr(operation, "activation", None), getattr(operation, "layer", None)
    if activation is None and wrapped is not None:
        return activation_name(wrapped)
    made_by = operation if activation is None else activation
    return str(getattr(activation, "__name__", None) or type(made_by).__name__).lower()


def losses_of_heads(loss: Any, heads: Sequence[str]) -> dict[str, Any]:
    """The loss of each head, where a model's ``loss`` tells it: a mapping, a list in order, or one for all."""
    if isinstance(loss, Mapping):
        return dict(loss)
    if isinstance(loss, list | tuple):
        return dict(zip(heads, loss, strict=False))
    return {} if loss is None else dict.fromkeys(heads, loss)


def _loss_names(loss: Any) -> list[str]:
    """What a loss is called, in lower case and without underscores: an object by its class and by its own name."""
    own = [getattr(loss, attribute, "") for attribute in ("name", "__name__")]
    names = [loss] if isinstance(loss, str) else [type(loss).__name__, *own]
    return [str(name).lower().replace("_", "") for name in names]
