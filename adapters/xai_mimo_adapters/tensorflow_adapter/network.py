"""A model of TensorFlow as graphs: traced once for any number of rows, with gradients and with what its layers sow."""

import contextlib
import re
import threading
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import tensorflow as tf

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays
from xai_mimo.core.outputs import named_outputs
from xai_mimo.core.streams import Array
from xai_mimo.sowing import MapLabels, collect
from xai_mimo_adapters.chunks import check_float, split_floats
from xai_mimo_adapters.tensorflow_adapter.kept import Graphs, kept_graphs
from xai_mimo_adapters.tensorflow_adapter.program import Program
from xai_mimo_adapters.tensorflow_adapter.source import Call, Source, Tensors

_UNITS = "flat unit of each row"
"""Stands for the targets' units, ``(row, target)``, among the tensors that are handed to a graph."""
_named_outputs = tf.autograph.experimental.do_not_convert(named_outputs)
_FLOATS = ("bfloat16", "float16", "float32", "float64")


class Network:
    """A model's graphs: one of its outputs, one for each list of heads whose gradients were asked, one of its maps.

    They are traced for any number of rows, or, where the model's code needs to know how many there are, for each
    number of rows that comes. Variables are read at every call. A trace leaves the model's attributes as they were.

    Args:
        source: the model.
        call, plain: see ``Source.calls``.
        specs: shapes and dtypes of its inputs, by the names of the streams.
        rows: to try it with, ``{stream: (row, *shape)}``.
        batch: how many rows every call has; None for any number.
    Attributes:
        traces: how often the model was traced.
        labels: what the sown maps mean, known after the first ``maps``.
        outputs: names of its outputs, in its own order.
    Raises:
        NotSupported: it cannot be traced, or changes variables when it is called.
    """

    def __init__(
        self, source: Source, call: Call, plain: Call, specs: Mapping[str, tf.TensorSpec], rows: Arrays,
        batch: int | None,
    ) -> None:  # fmt: skip
        self.traces = 0
        self.outputs: tuple[str, ...] = ()
        self._source, self._call, self._plain, self._specs = source, call, plain, dict(specs)
        self._lock = threading.RLock()
        self._first_axis = {} if batch is None else {"batch": batch}
        self._is_open = batch is None
        self._whole = self._traced_somehow(rows)
        self.program = Program(self._whole.graph.as_graph_def())
        self._check_pure()
        self._graphs, self.labels = self._kept(source.model)

    @property
    def precision(self) -> str:
        """The coarsest float dtype that the graph computes in."""
        ops = self._whole.graph.get_operations()
        names = {tensor.dtype.name for op in ops for tensor in op.outputs}
        names |= {variable.dtype.name for variable in self.variables}
        return next((dtype for dtype in _FLOATS if dtype in names), "")

    @property
    def variables(self) -> tuple[Any, ...]:
        """What the graph reads."""
        return tuple(self._whole.graph.variables)

    @property
    def width(self) -> int:
        """Values that one row takes in a forward pass, where shapes are known."""
        tensors = [tensor for op in self._whole.graph.get_operations() for tensor in op.outputs]
        shapes = [tensor.shape.as_list() for tensor in tensors if tensor.shape.rank]
        return int(sum(np.prod([n or 1 for n in shape[1:]], dtype=np.int64) for shape in shapes if shape[0] is None))

    def tensor_of(self, output: str) -> str:
        """Name of the graph's tensor that is an output."""
        return str(self._whole.structured_outputs[output].name)

    def held(self) -> Iterator[tuple[str, Array]]:
        """Every array that the graph reads beside its inputs: variables, and tensors that its code closes over."""
        for i, variable in enumerate(self.variables):
            yield f"{i}:{variable.shape}:{variable.dtype.name}", _to_numpy(variable)
        for i, (outer, _) in enumerate(self._whole.graph.captures):
            if outer.dtype != tf.resource and outer.dtype != tf.variant and hasattr(outer, "numpy"):
                yield f"captured {i}", _to_numpy(outer)

    def forward(self, inputs: Arrays) -> Arrays:
        """Outputs for one chunk of rows."""
        tensors = self._tensors(inputs)
        graph = self._whole if self._is_open or self._fits(tensors) else self._graph("forward", self._outputs, tensors)
        return {name: _to_numpy(y) for name, y in graph(tensors).items()}

    def maps(self, inputs: Arrays) -> Arrays:
        """Every map sown while reading one chunk of rows, by key."""
        tensors = self._tensors(inputs)
        return _arrays(self._graph("maps", self._sown, tensors)(tensors))

    def gradients(self, inputs: Arrays, heads: Sequence[str], units: Array) -> tuple[Arrays, Arrays]:
        """Outputs, and ``{stream: (target, row, ...)}`` of the streams that hold floats, from one forward pass.

        Args:
            inputs: one chunk of rows. heads: the output of each target. units: ``(target, row)``, flat.
        """
        tensors = {**self._tensors(inputs), _UNITS: tf.constant(units.T)}
        for head in heads:
            check_float(head, self._whole.structured_outputs[head].dtype.name)
        function = partial(self._outputs_and_gradients, tuple(heads))
        try:
            outputs, gradients = self._graph(("gradients", tuple(heads)), function, tensors)(tensors)
        except Exception as err:  # a LookupError, or what a trace makes of it
            missing = re.search(r"No gradient defined for operation[^(]*\(op type: (\w+)\)", str(err))
            if missing is None:
                raise
            raise NotSupported(
                f"'{self._source.label}' has an operation without a gradient, {missing[1]}. Use a method that only "
                "asks for predictions, such as 'shapley'."
            ) from err
        return _arrays(outputs), _arrays(gradients)

    def _kept(self, model: Any) -> tuple[Graphs, dict[str, MapLabels]]:
        """Graphs of an earlier trace of the same operations on the same variables, and the labels of its maps."""
        if self.program.has_own_gradients:
            return {}, {}
        outputs = [self.tensor_of(name) for name in self.outputs]
        held = tuple(outer.ref() for outer, _ in self._whole.graph.captures)
        signature = tuple((name, spec.dtype, tuple(spec.shape)) for name, spec in self._specs.items())
        graphs = kept_graphs(model, (self.program.digest(outputs), self.outputs, signature, held))
        return graphs, graphs.setdefault("labels", {})

    def _outputs(self, tensors: Tensors) -> Tensors:
        self.traces += 1
        named = _named_outputs(self._call(self._cast(tensors)))
        self.outputs = tuple(sorted(named) if self._source.is_sorted else named)
        return {name: tf.convert_to_tensor(y) for name, y in named.items()}

    def _sown(self, tensors: Tensors) -> Tensors:
        self.traces += 1
        try:
            with _inlined(), collect(self.labels) as maps:
                self._plain(self._cast(tensors))
        except tf.errors.OperatorNotAllowedInGraphError:  # a function whose branches only its own trace can follow
            with collect(self.labels) as maps:
                self._plain(self._cast(tensors))
        return dict(maps)

    def _outputs_and_gradients(self, heads: tuple[str, ...], tensors: Tensors) -> tuple[Tensors, Tensors]:
        inputs = {name: x for name, x in tensors.items() if name != _UNITS}
        floats, _ = split_floats(inputs)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(floats)
            outputs = self._outputs(inputs)
            targets = [_chosen(outputs[head], tensors[_UNITS][:, i]) for i, head in enumerate(heads)]
        rows = [tape.gradient(y, floats, unconnected_gradients=tf.UnconnectedGradients.ZERO) for y in targets]
        return outputs, {name: tf.stack([tf.convert_to_tensor(row[name]) for row in rows]) for name in floats}

    def _cast(self, tensors: Tensors) -> Tensors:
        """Tensors in the dtypes of the model, of which NumPy has no bfloat16."""
        return {name: tf.cast(x, self._specs[name].dtype) for name, x in tensors.items()}

    def _tensors(self, inputs: Arrays) -> Tensors:
        return {name: tf.constant(x) for name, x in inputs.items()}

    def _graph(self, what: Hashable, function: Callable[..., Any], tensors: Tensors) -> Any:
        key = what if self._is_open else (what, *(tuple(x.shape) for x in tensors.values()))
        with self._lock:
            if key not in self._graphs:
                self._graphs[key] = self._traced(function, self._specs_of(tensors))
            return self._graphs[key]

    def _specs_of(self, tensors: Tensors) -> dict[str, tf.TensorSpec]:
        lengths = {
            name: [None, *(self._specs[name].shape[1:] if name in self._specs else x.shape[1:])]
            if self._is_open
            else x.shape
            for name, x in tensors.items()
        }
        return {name: tf.TensorSpec(lengths[name], x.dtype) for name, x in tensors.items()}

    def _fits(self, tensors: Tensors) -> bool:
        specs = self._whole.structured_input_signature[0][0]
        return all(specs[name].shape.is_compatible_with(x.shape) for name, x in tensors.items())

    def _traced(self, function: Callable[..., Any], specs: Mapping[str, tf.TensorSpec]) -> Any:
        # Not by calling tf.function itself, which counts the graphs of all models together and warns.
        with _unchanged(self._source.owner, self._source.label):
            return tf.function(function).get_concrete_function(dict(specs))

    def _traced_somehow(self, rows: Arrays) -> Any:
        """The graph of the outputs: for any number of rows, or else for as many as there are."""
        tensors = self._tensors(rows)
        if self._is_open:
            try:
                return self._traced(self._outputs, self._specs_of(tensors))
            except NotSupported:
                raise
            except Exception:  # code that needs to know how many rows there are; if not that, it is raised below
                self._is_open = False
        try:
            return self._traced(self._outputs, self._specs_of(tensors))
        except NotSupported:
            raise
        except Exception as err:
            shapes = ", ".join(f"{tuple(x.shape)} {x.dtype.name} for '{name}'" for name, x in tensors.items())
            raise NotSupported(
                f"'{self._source.label}' cannot be traced by tf.function with tensors of shape {shapes}: "
                f"{type(err).__name__}: {_first_line(err)} Give streams of the shapes and dtypes that it takes. "
                "Code that only runs eagerly can be predicted as a function of arrays: xai_mimo.adapt(lambda sensors: "
                "model(sensors).numpy(), ...)."
            ) from err

    def _check_pure(self) -> None:
        changed = self.program.assigned()
        if not changed:
            return
        names = {inner.op.name: outer for outer, inner in self._whole.graph.captures}
        variables = {id(v.handle): v.name for v in self.variables if hasattr(v, "handle")}
        called = [variables.get(id(names.get(name)), "") for name in changed]
        variable = next((name for name in called if name), "")
        what = f"its variable '{variable}'" if variable else "a variable or table"
        raise NotSupported(
            f"'{self._source.label}' changes {what} when it is called, so what a row gives depends on what was asked "
            "before it, and explaining would change the model. Give a function that only reads: without assign, "
            "counters and random generators, with training=False."
        )


@contextlib.contextmanager
def _unchanged(owner: Any, label: str) -> Iterator[None]:
    """Attributes that a module's code sets while it is traced are put back: they would hold tensors of the graph."""
    modules = [] if owner is None else [owner, *owner.submodules]
    before = [(module, dict(vars(module))) for module in modules]
    count = 0 if owner is None else len(owner.variables)
    made = False
    try:
        yield
        made = owner is not None and len(owner.variables) != count
    finally:
        for module, attributes in before:
            vars(module).clear()
            vars(module).update(attributes)
    if made:
        raise NotSupported(
            f"'{label}' makes its variables when it is first called. Call it once on data before it is explained."
        )


@contextlib.contextmanager
def _inlined() -> Iterator[None]:
    """Functions that a model calls are part of its own trace: what is sown inside them can be taken out."""
    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


def _chosen(values: Any, units: Any) -> Any:
    """One value per row: ``(row, *shape)`` and flat units ``(row,)`` to ``(row,)``."""
    flat = tf.reshape(values, (tf.shape(values)[0], -1))
    # Not gathered: the gradient of that takes several times as long to trace.
    return tf.reduce_sum(flat * tf.one_hot(units, tf.shape(flat)[1], dtype=flat.dtype), axis=1)


def _first_line(err: BaseException) -> str:
    lines = [line.strip() for line in str(err).splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _arrays(tensors: Tensors) -> Arrays:
    return {name: _to_numpy(x) for name, x in tensors.items()}


def _to_numpy(tensor: Any) -> Array:
    return np.asarray(tensor)
