"""What one pass of a torch model computes, and in which of its modules: read off the graph that autograd keeps.

Captum's rules are hooks on modules. What a model computes by a function (``torch.relu``), or in a module that Captum
has no rule for, gets its plain gradient without a word; here such operations are found and named.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xai_mimo.core.streams import Array, Head

MOVING = frozenset(
    {"View", "UnsafeView", "ReshapeAlias", "Reshape", "Permute", "Transpose", "T", "Squeeze", "Unsqueeze", "Expand"}
    | {"Repeat", "Cat", "Stack", "Split", "SplitWithSizes", "UnsafeSplit", "Unbind", "Slice", "Select", "Index"}
    | {"IndexSelect", "Gather", "Clone", "Alias", "ToCopy", "Flip", "Roll", "ConstantPadNd", "AsStrided", "Unfold"}
    | {"Diagonal", "PixelShuffle", "PixelUnshuffle", "Lift", "ViewAsReal", "ChannelShuffle"}
)
"""Operations that only move values, or repeat them."""
_SUMS = frozenset(
    {
        "Add",
        "Sub",
        "Rsub",
        "Neg",
        "Sum",
        "Mean",
        "Cumsum",
        "Tril",
        "Triu",
        "Trace",
        "DiagEmbed",
        "Scatter",
        "ScatterAdd",
    }
    | {"IndexAdd", "IndexCopy", "AvgPool2D", "AvgPool3D", "AdaptiveAvgPool2D", "AdaptiveAvgPool3D", "UpsampleNearest1D"}
    | {"UpsampleNearest2D", "UpsampleNearest3D", "UpsampleLinear1D", "UpsampleBilinear2D", "UpsampleTrilinear3D"}
    | {"UpsampleBicubic2D", "ReflectionPad1D", "ReflectionPad2D", "ReflectionPad3D", "ReplicationPad1D", "Im2Col"}
    | {
        "ReplicationPad2D",
        "ReplicationPad3D",
        "Col2Im",
        "MkldnnConvolution",
        "MkldnnLinear",
        "FftR2C",
        "FftC2R",
        "Real",
    }
)
"""Further linear operations, whatever they are given."""
_PRODUCTS: Mapping[str, tuple[int, int]] = {
    **dict.fromkeys(("Mul", "Mm", "Bmm", "Mv", "Dot", "Matmul", "Linear", "Convolution"), (0, 1)),
    **dict.fromkeys(("Addmm", "Baddbmm", "Addbmm", "Addmv", "Addcmul"), (1, 2)),
}
"""Linear where one factor alone depends on the inputs: which of their operands are the factors."""
_CHOICES: Mapping[str, str] = {"Where": "_saved_condition", "MaskedFill": "_saved_mask"}
"""Linear where what decides is the same for all rows: where that is kept."""
_NORMS = frozenset({"NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm"})
"""Linear with statistics of the training."""

Node = Any
Edge = tuple[Node, int]
"""One tensor, by the operation that made it and which of its outputs it is."""


@dataclass(frozen=True)
class Call:
    """One call of a module.

    Attributes:
        path: of the module. module: itself.
        begin, end: numbers of the first operation within, and of the first behind.
        reads: the tensors that it is called with.
        is_plain: whether it is called with one tensor by place and nothing else.
    """

    path: str
    module: Any
    begin: int
    end: int
    reads: tuple[Edge, ...]
    is_plain: bool


@dataclass(frozen=True)
class Operation:
    """One operation on the way from the streams to a head.

    Attributes:
        name: as autograd calls it, e.g. "Relu". node: itself.
        within: the innermost module call that made it; None in the model's own ``forward``.
        is_linear: in what depends on the streams, as far as is known.
        is_threshold: a product with zeros and ones that differ from row to row and follow no stream by a gradient.
    """

    name: str
    node: Node
    within: Call | None
    is_linear: bool
    is_threshold: bool

    @property
    def place(self) -> str:
        """Where it is computed, for error texts."""
        if self.within is None:
            return "in the model's own forward"
        return f"in '{self.within.path}' ({type(self.within.module).__name__})"


@dataclass
class Pass:
    """One pass of some rows.

    Attributes:
        rows: how many.
        calls: of all modules, in the order in which they ended.
        answer: all units of all heads, ``(row, unit)``.
        ways: of each head, the operations on the way from the streams to it.
        bytes_per_row: that the modules gave.
    """

    rows: int
    calls: list[Call] = field(default_factory=list)
    answer: Array | None = None
    ways: dict[str, list[Operation]] = field(default_factory=dict)
    bytes_per_row: int = 0

    def calls_of(self, module: Any) -> list[Call]:
        """The calls of one module."""
        return [call for call in self.calls if call.module is module]

    def readers(self, head: str, edge: Edge) -> list[Operation]:
        """The operations on the way to a head that read a tensor."""
        return [op for op in self.ways[head] if edge in op.node.next_functions]


def read_pass(module: Any, streams: Sequence[Any], heads: Sequence[Head], *, cloned: Callable[[Any], bool]) -> Pass:
    """Run a model once and see what it computes.

    Args:
        module: as ``Hookable`` gives it. streams: a tensor of a few different rows for each, which requires gradients.
        heads: of the model.
        cloned: whether Captum hands a module a copy of what it reads, as it does where it hooks the way back.
    """
    found, handles = Pass(len(streams[0])), []
    for path, each in module.named_modules():
        if path:
            begun: list[tuple[int, tuple[Edge, ...], bool]] = []
            handles.append(each.register_forward_pre_hook(_beginning(begun, cloned(each)), with_kwargs=True))
            handles.append(each.register_forward_hook(_ending(begun, path, found)))
    try:
        answer = module(*streams)
    finally:
        for handle in handles:
            handle.remove()
    found.answer = answer.detach().cpu().numpy()
    leaves = {stream.view_as(stream).grad_fn.next_functions[0][0] for stream in streams}
    joined = answer.grad_fn
    while joined is not None and _name(joined) != "Cat":
        joined = joined.next_functions[0][0]
    parts = joined.next_functions if joined is not None else [(None, 0)] * len(heads)
    for head, (node, _) in zip(heads, parts, strict=False):
        found.ways[head.name] = sorted(_way(node, leaves, found), key=lambda op: int(op.node._sequence_nr()))
    return found


def _beginning(begun: list[tuple[int, tuple[Edge, ...], bool]], clones: bool) -> Callable[..., Any]:
    import torch

    def hook(module: Any, args: Any, kwargs: Any) -> Any:
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
        edges = tuple((x.grad_fn, x.output_nr) for x in tensors if x.grad_fn is not None)
        is_plain = len(args) == len(edges) == 1 and not kwargs
        begun.append((torch.autograd._get_sequence_nr(), edges, is_plain))
        return ((args[0].clone(),), kwargs) if clones and is_plain else None

    return hook


def _ending(begun: list[tuple[int, tuple[Edge, ...], bool]], path: str, found: Pass) -> Callable[..., None]:
    import torch
    from torch.utils import _pytree as tree

    def hook(module: Any, args: Any, made: Any) -> None:
        begin, reads, is_plain = begun.pop()
        found.calls.append(Call(path, module, begin, torch.autograd._get_sequence_nr(), reads, is_plain))
        found.bytes_per_row += (
            sum(x.nbytes for x in tree.tree_leaves(made) if isinstance(x, torch.Tensor)) // found.rows
        )

    return hook


def _name(node: Node) -> str:
    """What an operation is called: "Relu" of "ReluBackward0"."""
    return str(node.name()).rpartition("::")[2].partition("Backward")[0]


def _way(head: Node, leaves: Collection[Node], found: Pass) -> Iterator[Operation]:
    """The operations between the streams and a head, whatever depends on no stream left out."""
    depends: dict[Node, bool] = {None: False}
    waiting = [] if head is None else [head]
    while waiting:
        node = waiting[-1]
        before = [other for other, _ in node.next_functions if other not in depends]
        if before:
            waiting.extend(before)
            continue
        waiting.pop()
        if node not in depends:
            depends[node] = node in leaves or any(depends[other] for other, _ in node.next_functions)
    for node, is_on_it in depends.items():
        if is_on_it and node not in leaves:
            inputs = [depends[other] for other, _ in node.next_functions]
            is_linear = _is_linear(node, inputs, found.rows)
            is_threshold = _name(node) == "Mul" and not all(inputs) and _is_gate(node, found.rows)
            yield Operation(_name(node), node, _within(node, found.calls), is_linear, is_threshold)


def _within(node: Node, calls: Sequence[Call]) -> Call | None:
    """The innermost call in which an operation was made; calls come in the order in which they ended."""
    number = node._sequence_nr()
    return next((call for call in calls if call.begin <= number < call.end), None)


def _is_linear(node: Node, inputs: Sequence[bool], rows: int) -> bool:
    """Whether an operation is linear in those of its operands that depend on the streams."""
    name = _name(node)
    if name in _PRODUCTS:
        one, other = _PRODUCTS[name]
        return not (inputs[one] and inputs[other]) and not _is_gate(node, rows)
    if name == "Div":
        return not inputs[1]
    if name in _CHOICES:
        return not _differs_by_row(getattr(node, _CHOICES[name]), rows)
    if name in _NORMS:
        return not getattr(node, "_saved_training", False)
    return name in MOVING or name in _SUMS


def _is_gate(node: Node, rows: int) -> bool:
    """Whether a product has zeros and ones for a factor that differ from row to row: a threshold, most likely."""
    kept = [getattr(node, name, None) for name in ("_saved_self", "_saved_other")]
    return any(x is not None and bool(((x == 0) | (x == 1)).all()) and _differs_by_row(x, rows) for x in kept)


def _differs_by_row(values: Any, rows: int) -> bool:
    return values.ndim > 0 and len(values) == rows and bool((values != values[:1]).any())
