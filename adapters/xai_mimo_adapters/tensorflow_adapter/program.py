"""What a traced graph says of itself: what makes its outputs, which variables it changes, a digest. Nothing is run."""

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xai_mimo.core.head_kinds import head_nature
from xai_mimo.core.outputs import SeenKind

_CALLS = frozenset(["PartitionedCall", "StatefulPartitionedCall"])
_SAME_VALUES = frozenset(["Identity", "IdentityN", "Cast", "EnsureShape", "StopGradient", "PreventGradient"])
_SAME_ELEMENTS = frozenset([*_SAME_VALUES, "Reshape", "Squeeze", "ExpandDims"])
_ASSIGNS = re.compile(
    r"Assign\w*VariableOp|Resource(Scatter|Apply|SparseApply|StridedSliceAssign)\w*|LookupTable(Insert|Import|Remove)\w*"
    r"|Rng(ReadAndSkip|Skip)\w*|Stateful(StandardNormal|Uniform|TruncatedNormal|RandomBinomial)\w*"
)
_CONDITIONALS = frozenset(["If", "StatelessIf", "Case", "StatelessCase"])


class Program:
    """A graph, and the functions that it calls.

    Args:
        graph_def: as ``graph.as_graph_def()`` writes it.
    """

    def __init__(self, graph_def: Any) -> None:
        self._nodes = list(graph_def.node)
        self._functions = {f.signature.name: f for f in graph_def.library.function}

    @property
    def has_own_gradients(self) -> bool:
        """Whether an operation has a gradient of the user's, which the graph does not show."""
        nodes = [*self._nodes, *(node for function in self._functions.values() for node in function.node_def)]
        return any("_gradient_op_type" in node.attr and node.op not in _CALLS for node in nodes)

    def kind_seen(self, output: str, units: int) -> SeenKind | None:
        """What the operation that makes an output tells of it: a sigmoid or a softmax; None for another.

        Args:
            output: name of a tensor, e.g. "Identity_1:0". units: how many values a row of it has.
        """
        if self._made_by(output, _SAME_VALUES) == "Softmax":
            nature = head_nature("softmax", units)
        elif self._made_by(output, _SAME_VALUES) == "LogSoftmax":
            return "multiclass", "final log-softmax", "log-probability"
        elif self._made_by(output, _SAME_ELEMENTS) == "Sigmoid":
            nature = head_nature("sigmoid", units)
        else:
            return None
        return None if nature is None else (nature.kind, nature.kind_from, nature.unit)

    def assigned(self) -> list[str]:
        """Names of the graph's own nodes that hold what a call changes; of captured variables their placeholders."""
        return sorted(set(self._assigned(self._nodes, {})))

    def digest(self, outputs: Iterable[str]) -> str:
        """SHA-256 over operations, attributes and who reads whom, whatever nodes and functions are called.

        Args:
            outputs: names of the tensors that are its outputs.
        """
        return self._digest(self._nodes, (), outputs)

    def _made_by(self, tensor: str, hand_on: frozenset[str]) -> str:
        """Type of the operation that makes a tensor, looking through those that hand it on and into calls."""
        nodes = {n.name: n for n in self._nodes}
        ways: list[tuple[dict[str, Any], dict[str, str]]] = []
        while True:
            name, _, place = tensor.lstrip("^").partition(":")
            node = nodes.get(name)
            if node is None:  # an argument of the function that we are in
                if not ways:
                    return ""
                nodes, arguments = ways.pop()
                if name not in arguments:
                    return ""
                tensor = arguments[name]
            elif node.op in _CALLS:
                function = self._functions[node.attr["f"].func.name]
                ways.append(
                    (nodes, dict(zip((a.name for a in function.signature.input_arg), node.input, strict=False)))
                )
                index = int(place.rpartition(":")[2] or 0)
                tensor = function.ret[function.signature.output_arg[index].name]
                nodes = {n.name: n for n in function.node_def}
            elif node.op in hand_on and node.input:
                index = int(place.rpartition(":")[2] or 0) if node.op == "IdentityN" else 0
                tensor = node.input[index]
            else:
                return str(node.op)

    def _assigned(self, nodes: Iterable[Any], arguments: Mapping[str, str]) -> Iterator[str]:
        nodes = list(nodes)
        by_name = {node.name: node for node in nodes}

        def own(tensor: str) -> str:
            name = tensor.partition(":")[0]
            while name in by_name and by_name[name].op == "Identity":
                name = by_name[name].input[0].partition(":")[0]
            return arguments.get(name, name)

        for node in nodes:
            if _ASSIGNS.fullmatch(node.op):
                yield own(node.input[0])
            given = [x for x in node.input if not x.startswith("^")][1 if node.op in _CONDITIONALS else 0 :]
            for function in self._called(node):
                inner = {a.name: own(x) for a, x in zip(function.signature.input_arg, given, strict=False)}
                yield from self._assigned(function.node_def, inner)

    def _called(self, node: Any) -> list[Any]:
        functions = [f for value in node.attr.values() for f in (value.func, *value.list.func) if f.name]
        return [self._functions[f.name] for f in functions if f.name in self._functions]

    def _digest(self, nodes: Iterable[Any], arguments: Iterable[str], outputs: Iterable[str]) -> str:
        nodes = list(nodes)
        numbers = {name: str(i) for i, name in enumerate([*arguments, *(node.name for node in nodes)])}

        def own(tensors: Iterable[str]) -> str:
            parts = [x.partition(":") for x in tensors if not x.startswith("^")]
            return ",".join(f"{numbers.get(name, name)}:{place}" for name, _, place in parts)

        sha = hashlib.sha256(own(outputs).encode())
        for node in nodes:
            sha.update(f"{node.op}({own(node.input)})".encode())
            for key in sorted(k for k in node.attr if not k.startswith("_") and k != "config_proto"):
                value = node.attr[key]
                if not value.func.name and not value.list.func:
                    sha.update(key.encode() + value.SerializeToString(deterministic=True))
            for function in self._called(node):
                inner = [a.name for a in function.signature.input_arg]
                made = [function.ret[a.name] for a in function.signature.output_arg]
                sha.update(self._digest(function.node_def, inner, made).encode())
        return sha.hexdigest()
