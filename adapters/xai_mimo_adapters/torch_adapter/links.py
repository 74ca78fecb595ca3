"""A model of which heads give what their final sigmoid or softmax reads, seen while it runs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch.overrides import TorchFunctionMode

from xai_mimo_adapters.torch_adapter.calls import Call, Tensors

_LINKS = {"sigmoid": "sigmoid", "sigmoid_": "sigmoid", "expit": "sigmoid", "softmax": "softmax", "_softmax": "softmax"}
"""Operations that make probabilities, by name."""
_FORMS = frozenset(
    {"squeeze", "unsqueeze", "view", "reshape", "flatten", "unflatten", "_unsafe_view", "expand", "clone", "contiguous"}
    | {"to", "float", "double", "half", "bfloat16", "type", "_to_copy", "alias"}
)
"""Operations that give the values they read in another shape or dtype."""
_PICKS = frozenset({"__getitem__", "select", "slice", "narrow", "split", "chunk", "unbind", "tensor_split"})
"""Operations that give some of the values they read: of a softmax these say nothing without the others."""


def before_links(call: Call, heads: Sequence[str], found: dict[str, str]) -> Call:
    """A call that gives, for some heads, what their final sigmoid or softmax over the last axis reads.

    Args:
        call: of a model whose operations are called from Python. heads: by the call's own names.
        found: filled, when the call runs, with "sigmoid" or "softmax" for each head that ends in one; other heads are
            as they were.
    """

    def before(given: Tensors) -> Tensors:
        with _Links() as links:
            outputs = call(given)
        for head in heads:
            link = links.of(outputs[head])
            if link is not None:
                outputs = {**outputs, head: link[0]}
                found[head] = link[1]
        return outputs

    return before


class _Note(NamedTuple):
    """What probabilities were made of.

    Attributes:
        made: the probabilities, kept so that their identity is not given to another tensor.
        read: what they were made of. kind: by what.
        versions: of both, then.
    """

    made: torch.Tensor
    read: torch.Tensor
    kind: str
    versions: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Whether neither was written into since, itself or through a view."""
        return self.versions == (self.made._version, self.read._version)


class _Links(TorchFunctionMode):
    """Remembers what probabilities were made of, whatever shape they are brought into."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[int, _Note] = {}

    def of(self, made: Any) -> tuple[torch.Tensor, str] | None:
        """What an output was made of and by which link, in its own shape; None where it is of another kind."""
        note = self._read.get(id(made))
        return (note.read, note.kind) if note is not None and note.holds and note.read.shape == made.shape else None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name, x = _name(func), args[0] if args else kwargs.get("input")
        before = x.clone() if name.endswith("_") and name in _LINKS else x  # it is written over
        made = func(*args, **kwargs)
        if name in _LINKS and _is_over_the_last_axis(name, before, args, kwargs):
            self._note(made, before, _LINKS[name])
            return made
        note = self._read.get(id(x)) if args else None
        if note is not None and note.holds and (name in _FORMS or (name in _PICKS and note.kind == "sigmoid")):
            self._note(made, func(note.read, *args[1:], **kwargs), note.kind)
        return made

    def _note(self, made: Any, read: Any, kind: str) -> None:
        pairs = [(made, read)] if isinstance(made, torch.Tensor) else list(zip(made, read, strict=True))
        for one, other in pairs:
            self._read[id(one)] = _Note(one, other, kind, (one._version, other._version))


def _name(func: Any) -> str:
    schema = getattr(func, "_schema", None)  # of an operation of an exported program
    return str(schema.name).rpartition("::")[2] if schema is not None else str(getattr(func, "__name__", ""))


def _is_over_the_last_axis(name: str, x: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> bool:
    if _LINKS[name] == "sigmoid":
        return True
    dim = kwargs.get("dim", args[1] if len(args) > 1 else None)
    return dim in (-1, x.ndim - 1) and x.ndim > 1
