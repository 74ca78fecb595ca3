"""What a module computes for a few rows, written down: which tensor is made of which, and what each submodule reads.

Every operation below autograd is seen (``TorchDispatchMode``), so that what depends on what is known for integers,
truth values and masks too, whatever values they had. Of an operation that decides something in Python
(``if mask.all():``) everything may depend. Contents of tensors are not kept.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch.utils import _pytree as tree
from torch.utils._python_dispatch import TorchDispatchMode

from xai_mimo_adapters.functions import parameters_of
from xai_mimo_adapters.torch_adapter.calls import Tensors

_SHAPE_ALONE = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "empty_strided"}
    | {"new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided"}
)
"""Operations that read no values of what they are given."""
_DECISIONS = frozenset({"_local_scalar_dense", "is_nonzero", "equal", "item"})
"""Operations whose answer is a number of Python."""

Sources = frozenset[str]
GIVEN = "(given)"
"""Stands for what is put in the place of a module's inputs."""


@dataclass(frozen=True)
class Step:
    """One operation: the tensors, by number, that it reads, makes and writes into."""

    reads: tuple[int, ...]
    makes: tuple[int, ...]
    writes: tuple[int, ...]
    kind: Literal["values", "shape", "decision"]


@dataclass(frozen=True)
class Given:
    """One tensor that a module is called with.

    Attributes:
        place: among the flattened arguments. name: of its parameter, or its key where it lies in a mapping.
        tensor: its number. shape: with the batch axis.
    """

    place: int
    name: str
    tensor: int
    shape: tuple[int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Entry:
    """A module is called."""

    path: str
    given: tuple[Given, ...]


@dataclass(frozen=True)
class Trace:
    """One call of a model.

    Attributes:
        events: in order. inputs, outputs: numbers of these tensors, by the model's own names.
        storages: the memory that each tensor lies in, by number.
        rows: that the model was asked.
    """

    events: tuple[Step | Entry, ...]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]
    storages: Mapping[int, int]
    rows: int

    def calls(self, path: str) -> list[int]:
        """Places among the events at which a module is called."""
        return [i for i, event in enumerate(self.events) if isinstance(event, Entry) and event.path == path]

    def sources(self, cut: int | None = None, replaced: Sequence[int] = ()) -> "Flow":
        """Which inputs each tensor depends on, some being replaced by what is given when the event ``cut`` comes."""
        flow = Flow({number: frozenset({name}) for name, number in self.inputs.items()})
        for i, event in enumerate(self.events):
            if isinstance(event, Entry):
                flow.entered[i] = {given.tensor: flow.of(given.tensor) for given in event.given}
                if i == cut:
                    flow.replaced.update({number: frozenset({GIVEN}) for number in replaced})
                continue
            read: Sources = frozenset().union(*(flow.of(number) for number in event.reads))
            if event.kind == "decision":
                flow.decisions |= read
            got = frozenset() if event.kind == "shape" else read
            for number in event.makes:
                flow.found[number] = flow.found.get(number, frozenset()) | got
            for number in event.writes:
                self._write(flow, number, got)
        return flow

    def _write(self, flow: "Flow", number: int, got: Sources) -> None:
        """All tensors of one memory depend on what is written into it."""
        for other, storage in self.storages.items():
            if storage == self.storages[number]:
                flow.found[other] = flow.found.get(other, frozenset()) | got
        if number in flow.replaced:
            flow.replaced[number] |= got


@dataclass
class Flow:
    """What tensors depend on, by number.

    Attributes:
        found: the model's inputs of each. replaced: the same of those that others were put in the place of.
        decisions: inputs by whose values Python decided something. entered: of what each module was called with.
    """

    found: dict[int, Sources]
    replaced: dict[int, Sources] = field(default_factory=dict)
    decisions: Sources = frozenset()
    entered: dict[int, dict[int, Sources]] = field(default_factory=dict)

    def of(self, number: int) -> Sources:
        """The inputs that a tensor depends on, as far as the model has run."""
        return self.replaced.get(number, self.found.get(number, frozenset()))


def traced(model: torch.nn.Module, call: Callable[[Tensors], Tensors], inputs: Tensors) -> Trace:
    """Write down one call.

    Args:
        model: whose submodules are watched; the hooks are taken away again.
        call: of the model. inputs: a few rows.
    """
    recorder = _Recorder()
    with _watched(model, recorder), torch.no_grad(), recorder:
        outputs = call(inputs)
    return Trace(
        tuple(recorder.events),
        {name: recorder.number(x) for name, x in inputs.items()},
        {name: recorder.number(y) for name, y in outputs.items()},
        {number: _storage(x) for number, x in enumerate(recorder.kept)},
        int(next(iter(inputs.values())).shape[0]),
    )


class _Recorder(TorchDispatchMode):
    """Writes down operations, and keeps all tensors alive so that none is taken for another."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[Step | Entry] = []
        self.kept: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}

    def number(self, tensor: torch.Tensor) -> int:
        """The tensor's number, the same whenever it comes."""
        if id(tensor) not in self._numbers:
            self._numbers[id(tensor)] = len(self.kept)
            self.kept.append(tensor)
        return self._numbers[id(tensor)]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        name = func.overloadpacket.__name__
        kind: Literal["values", "shape", "decision"] = "values"
        if name in _SHAPE_ALONE:
            kind = "shape"
        elif name in _DECISIONS:
            kind = "decision"
        written = [
            value
            for argument, value in (
                *zip(func._schema.arguments, args, strict=False),
                *((a, kwargs[a.name]) for a in func._schema.arguments if a.name in kwargs),
            )
            if argument.alias_info is not None and argument.alias_info.is_write
        ]
        self.events.append(Step(self._numbered((args, kwargs)), self._numbered(made), self._numbered(written), kind))
        return made

    def _numbered(self, values: Any) -> tuple[int, ...]:
        return tuple(self.number(x) for x in tree.tree_leaves(values) if isinstance(x, torch.Tensor))

    def enter(self, path: str, module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        """A module is called."""
        parameters = parameters_of(module.forward)
        leaves, _ = tree.tree_flatten_with_path((args, kwargs))
        given = [
            Given(i, _name(keys, parameters), self.number(x), tuple(x.shape), x.dtype)
            for i, (keys, x) in enumerate(leaves)
            if isinstance(x, torch.Tensor)
        ]
        self.events.append(Entry(path, tuple(given)))


def _name(keys: Sequence[Any], parameters: Sequence[str]) -> str:
    """What one of the arguments ``(args, kwargs)`` is called: its key in a mapping, else its parameter."""
    for key in reversed(keys):
        if hasattr(key, "key"):
            return str(key.key)
    place = keys[1].idx
    return parameters[place] if place < len(parameters) else f"input_{place}"


def _storage(tensor: torch.Tensor) -> int:
    return int(tensor.untyped_storage()._cdata) if tensor.layout == torch.strided else id(tensor)


@contextmanager
def _watched(model: torch.nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Each call of a submodule is told to the recorder."""
    handles = []
    try:
        for path, module in model.named_modules():
            if path and not isinstance(module, torch.jit.ScriptModule):  # these take no hooks
                handles.append(module.register_forward_pre_hook(_telling(path, recorder), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _telling(path: str, recorder: _Recorder) -> Callable[..., None]:
    def hook(module: torch.nn.Module, args: Any, kwargs: Any) -> None:
        recorder.enter(path, module, args, kwargs)

    return hook
