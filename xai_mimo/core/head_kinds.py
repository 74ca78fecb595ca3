"""What a head is: classes, choices or quantities, and whether as probabilities or logits. One rule for everybody.

The rule goes by value: the name of the activation that makes the output, the name of the loss that it is trained with,
and the number of units. Adapters, FLINT and the supervision of MHEX read heads with it, so that a head is the same
thing to all of them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from xai_mimo.core.streams import HeadKind

HEAD_KINDS: tuple[HeadKind, ...] = get_args(HeadKind)

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
