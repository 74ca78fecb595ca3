"""What kind of value each output of an ONNX graph is, from the operator that makes it."""

from dataclasses import dataclass
from typing import Any

from xai_mimo.core.head_kinds import head_nature
from xai_mimo.core.streams import HeadKind

_SAME_VALUES = frozenset(["Identity", "Cast", "Dropout"])
_SAME_ELEMENTS = frozenset([*_SAME_VALUES, "Flatten", "Reshape", "Squeeze", "Unsqueeze"])
_CLASSIFIERS = frozenset(["LinearClassifier", "SVMClassifier", "TreeEnsembleClassifier"])


@dataclass(frozen=True)
class Seen:
    """What an operator tells of a head.

    Attributes:
        kind: as in ``Head``. kind_from: what was seen. unit: as in ``Head``.
        units: names of the classes, where they stand in the graph.
    """

    kind: HeadKind = "regression"
    kind_from: str = ""
    unit: str = ""
    units: tuple[str, ...] = ()


def kind_seen(proto: Any, output: str, shape: tuple[int, ...]) -> Seen:
    """What can be seen of an output: a final sigmoid or softmax, or a classifier of scikit-learn's.

    Args:
        proto: the parsed model, or None.
        output: its name. shape: of the head, without the batch axis.
    """
    if proto is None:
        return Seen()
    made_by = {name: (node, place) for node in proto.graph.node for place, name in enumerate(node.output)}
    last, place = _behind(made_by, output, _SAME_VALUES)
    if last is not None and last.op_type in ("Softmax", "LogSoftmax") and _is_over_classes(proto, last, len(shape)):
        is_log = last.op_type == "LogSoftmax"
        return Seen("multiclass", "final log-softmax" if is_log else "final softmax", f"{'log-' * is_log}probability")
    elementwise, _ = _behind(made_by, output, _SAME_ELEMENTS)
    if elementwise is not None and elementwise.op_type == "Sigmoid":
        size = 1
        for n in shape:
            size *= n
        nature = head_nature("sigmoid", size)
        return Seen() if nature is None else Seen(nature.kind, "final sigmoid", nature.unit)
    if last is not None and last.op_type in ("Normalizer", "ZipMap"):
        normalised = last.op_type == "Normalizer"
        last, place = _behind(made_by, last.input[0], _SAME_VALUES | {"Normalizer"})
        return _of_classifier(last, place, shape, "probability" if normalised else "")
    return _of_classifier(last, place, shape, "")


def _of_classifier(node: Any, place: int, shape: tuple[int, ...], unit: str) -> Seen:
    if node is None or node.op_type not in _CLASSIFIERS or place != 1:
        return Seen()
    labels = _attribute(node, "classlabels_int64s", "classlabels_ints", "classlabels_strings") or ()
    names = tuple(label.decode() if isinstance(label, bytes) else str(label) for label in labels)
    is_normal = (_attribute(node, "post_transform") or b"NONE") in (b"SOFTMAX", b"LOGISTIC")
    return Seen(
        "multiclass",
        f"classes of {node.op_type}",
        "probability" if is_normal else unit,
        names if shape and len(names) == shape[-1] else (),
    )


def _behind(made_by: dict[str, tuple[Any, int]], name: str, hand_on: frozenset[str]) -> tuple[Any, int]:
    """The node that makes a value, and which of its outputs it is, looking through those that hand it on."""
    node, place = made_by.get(name, (None, 0))
    while node is not None and node.op_type in hand_on and place == 0 and node.input:
        node, place = made_by.get(node.input[0], (None, 0))
    return node, place


def _is_over_classes(proto: Any, node: Any, rank: int) -> bool:
    """Whether a softmax runs along the last axis of a head of this rank."""
    axis = _attribute(node, "axis")
    if axis is None:
        opset = next((entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")), 13)
        axis = -1 if opset >= 13 else 1
    return axis in (-1, rank)


def _attribute(node: Any, *names: str) -> Any:
    """The first of these attributes that a node has; None where it has none."""
    for attribute in node.attribute:
        if attribute.name in names:
            values = (list(attribute.ints), list(attribute.strings), attribute.s or None)
            return next((value for value in values if value), attribute.i)
    return None
