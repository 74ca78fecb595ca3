"""What is read off a model of JAX before it is run: its streams, its heads, and its program."""

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax

from xai_mimo.core.declare import annotate_heads, annotate_streams, declared_streams
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.from_data import streams_from
from xai_mimo.core.outputs import heads_from
from xai_mimo.core.streams import Head, Stream, check_unique
from xai_mimo.sowing import MapLabels, collect
from xai_mimo_adapters.functions import Binding, bind, parameters_of
from xai_mimo_adapters.jax_adapter.engine import MAPS
from xai_mimo_adapters.jax_adapter.links import before_link, ends_before_links, kinds_of
from xai_mimo_adapters.jax_adapter.source import Source, Takes
from xai_mimo_adapters.jax_adapter.tracing import (
    ROWS,
    Tensors,
    Traced,
    every_step,
    first_line,
    outputs_of,
    trace,
    zeros_like,
)
from xai_mimo_adapters.jax_programs.programs import same_program

Declared = Mapping[str, Any] | Sequence[Any] | None
_RANDOM = ("key", "rng", "rngs", "prng_key", "rng_key", "dropout_rng")
_STATE = ("state",)


@dataclass(frozen=True)
class Reading:
    """A model as it was read.

    Attributes:
        source: the model taken apart.
        streams, heads: under the names that the user chose.
        inner: name of each stream -> what the model calls it. outputs: likewise of each head.
        binding: how streams are handed over.
        takes: rows, or one row.
        traced: the program.
        cut: the model's names of the outputs that end before their sigmoid or softmax.
    """

    source: Source
    streams: tuple[Stream, ...]
    heads: tuple[Head, ...]
    inner: Mapping[str, str]
    outputs: Mapping[str, str]
    binding: Binding
    takes: Takes
    traced: Traced
    cut: tuple[str, ...] = ()

    def run(self, weights: Any, inputs: Tensors) -> Tensors:
        """Outputs by the model's own names."""
        whole = functools.partial(_run, self.source, self.binding, self.takes)
        return ends_before_links(whole, self.cut, weights, inputs) if self.cut else whole(weights, inputs)

    def run_with_maps(self, labels: dict[str, MapLabels], weights: Any, inputs: Tensors) -> Tensors:
        """Outputs, and the maps that are sown, by their keys behind ``MAPS``; ``labels`` is filled."""
        return _run(self.source, self.binding, self.takes, weights, inputs, labels)

    def before_links(self, outputs: Sequence[str]) -> "Reading":
        """The same model, of which these outputs end before their sigmoid or softmax, where they end in one."""
        names = list(self.traced.outputs)
        cut = tuple(n for n in outputs if n in self.cut or before_link(self.traced.program, names.index(n)) is not None)
        other = replace(self, cut=cut)
        shown = {head for head, output in self.outputs.items() if output in cut}
        heads = tuple(
            replace(h, unit="logit" if h.kind == "multiclass" else "log-odds") if h.name in shown else h
            for h in self.heads
        )
        inner = [replace(s, name=self.inner[s.name]) for s in self.streams]
        traced = trace(other.run, self.source.weights(), inner, self.source.name)
        return replace(other, heads=heads, traced=traced)


def read(
    source: Source,
    *,
    streams: Declared = None,
    heads: Declared = None,
    like: Any = None,
    takes: Takes | None = None,
) -> Reading:
    """Read a model of JAX; nothing is executed.

    Args:
        source: the model taken apart.
        streams, heads: as ``adapt`` takes them.
        like: rows that tell of the streams; needed where streams are not declared.
        takes: whether the model is a function of many rows or of one; what the source says by default.
    Raises:
        NotSupported: nothing tells of the streams; it cannot be traced; it is random or keeps a state.
        ShapeMismatch: an output without one row for each that was asked.
    """
    if like is None and not streams:
        raise NotSupported(
            f"the inputs of '{source.name}' cannot be read off it. Give rows, xai_mimo.adapt(f, like=x), as explain "
            "and compare do; or name them, shapes without the batch axis: xai_mimo.adapt(f, streams={'sensors': (12,), "
            "'age': 1})."
        )
    parameters = _parameters(source)
    if like is not None:
        own = _computed_in(streams_from(like, parameters=parameters))
        named = annotate_streams(own, streams)
    else:
        named = own = _computed_in(declared_streams(streams or {}, dtype="float64"))
        check_unique([s.name for s in named], "input stream")
    _check_parameters(source, [s.name for s in own])
    together = "mapping" if like is None or isinstance(like, Mapping) else "list"
    binding = bind(source.signature, [s.name for s in own], source.name, together=together)  # type: ignore[arg-type]
    takes, traced = _traced(source, binding, own, takes or source.takes)
    _check_random(traced, source.name)
    seen = heads_from(zeros_like(traced.outputs), ROWS, kinds=kinds_of(traced))
    shown = annotate_heads(seen, heads)
    return Reading(
        source,
        named,
        shown,
        {s.name: o.name for s, o in zip(named, own, strict=True)},
        {h.name: o.name for h, o in zip(shown, seen, strict=True)},
        binding,
        takes,
        traced,
    )


def _computed_in(streams: Sequence[Stream]) -> tuple[Stream, ...]:
    """The streams in the dtypes that JAX computes in, which are narrow unless ``jax_enable_x64`` is set."""
    return tuple(replace(s, dtype=str(jax.dtypes.canonicalize_dtype(s.dtype))) for s in streams)


def _traced(source: Source, binding: Binding, streams: Sequence[Stream], takes: Takes | None) -> tuple[Takes, Traced]:
    """The program of a model, and whether it takes rows or one row, which is tried where nothing says it."""

    def of(form: Takes) -> Traced:
        run = functools.partial(_run, source, binding, form)
        traced = trace(run, source.weights(), streams, source.name, is_plain=source.is_plain)
        if source.is_plain:
            _check_same(traced, trace(run, source.weights(), streams, source.name), source.name)
        return traced

    if takes is not None:
        return takes, of(takes)
    tried: dict[Takes, Traced] = {}
    failed: dict[Takes, Exception] = {}
    forms: tuple[Takes, Takes] = ("row", "rows")
    for form in forms:
        try:
            tried[form] = of(form)
        except Exception as err:  # whatever a module says to arrays of a rank that it does not take
            failed[form] = err
    if not tried:
        raise NotSupported(
            f"'{source.name}' takes neither one row nor a batch of them. Given one row: {first_line(failed['row'])}. "
            f"Given {ROWS} rows: {first_line(failed['rows'])}. The streams are "
            f"{', '.join(f'{s.name} {s.shape}' for s in streams)}, in inference mode and without a random key."
        ) from failed["row"]
    if len(tried) == 2 and tried["row"].outputs != tried["rows"].outputs:
        raise NotSupported(
            f"'{source.name}' takes one row and a batch of rows, and answers differently: {_shapes(tried['row'])} or "
            f"{_shapes(tried['rows'])} for {ROWS} rows. Say which it is: xai_mimo.adapt(model, takes='row') or "
            "takes='rows'."
        )
    form = next(iter(tried))
    return form, tried[form]


def _check_same(one: Traced, other: Traced, label: str) -> None:
    """Refuse a function that is another one each time that it is traced, such as one with noise of NumPy.

    Raises:
        NotSupported: it is.
    """
    if not same_program(one.program, other.program):
        raise NotSupported(
            f"'{label}' does another thing each time that it is traced, as with numbers of numpy.random or a counter, "
            "and explanations need the same answer each time. Give what changes as an input stream, or leave it out."
        )


def _run(
    source: Source,
    binding: Binding,
    takes: Takes,
    weights: Any,
    inputs: Tensors,
    labels: dict[str, MapLabels] | None = None,
) -> Tensors:
    """Run the network on rows, by the model's own names of its streams; sown maps stand beside the outputs."""
    rows = next(iter(inputs.values())).shape[0]

    def answer(given: Tensors) -> tuple[Any, Tensors]:
        model, paths = source.built(weights, labels is not None)
        with collect(labels, paths=paths) as maps:  # inside what is mapped over rows, from which no tracer may leak
            made = binding.call(model, given)
        return made, {f"{MAPS}{key}": value for key, value in maps.items()} if labels is not None else {}

    made, maps = answer(inputs) if takes == "rows" else jax.vmap(answer)(inputs)
    return {**outputs_of(made, rows, source.name), **maps}


def _parameters(source: Source) -> list[str]:
    """Names of the parameters that streams go to: those that must be given, else all."""
    every = [name for name in parameters_of(source.signature) if name not in (*_RANDOM, *_STATE)]
    known = inspect.signature(source.signature).parameters if every else {}
    return [name for name in every if known[name].default is inspect.Parameter.empty] or every


def _check_parameters(source: Source, streams: Sequence[str]) -> None:
    """Refuse a model that wants a random key or a state.

    Raises:
        NotSupported: it does.
    """
    try:
        parameters = inspect.signature(source.signature).parameters
    except (ValueError, TypeError):
        return
    for name, parameter in parameters.items():
        if parameter.default is not parameter.empty or name in streams or name not in (*_RANDOM, *_STATE):
            continue
        what = "a random key" if name in _RANDOM else "a state"
        raise NotSupported(
            f"'{source.name}' wants {what} ('{name}') with its rows, and explanations need the same answer each time. "
            f"Bind it, functools.partial({source.name}, {name}=...), where the answer does not depend on it; or give "
            "the model in inference mode."
        )


def _check_random(traced: Traced, label: str) -> None:
    """Refuse a model that draws other random numbers for each row: what it says of a row depends on its place.

    Raises:
        NotSupported: it does.
    """
    for step, _ in every_step(traced.program.jaxpr):
        shape = tuple(step.outvars[0].aval.shape) if step.primitive.name == "random_bits" else ()
        if ROWS in shape[:1]:
            raise NotSupported(
                f"'{label}' draws random numbers for each row (of shape {shape} for {ROWS} rows), so that its answer "
                "depends on the place of a row. Give it without its noise, as in inference."
            )


def _shapes(traced: Traced) -> str:
    return ", ".join(f"{name} {x.shape}" for name, x in traced.outputs.items())
