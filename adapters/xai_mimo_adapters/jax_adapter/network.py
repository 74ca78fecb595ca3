"""A running network of JAX as a model of named streams and heads."""

import copy
import functools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal

import jax
import numpy as np

from xai_mimo.core.door import check_inputs, count_rows
from xai_mimo.core.errors import NotSupported, ShapeMismatch
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions, instead_of_integers
from xai_mimo.core.streams import Head, Stream, unknown
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.chunks import padded_rows, put, row_slices, rows_that_fit
from xai_mimo_adapters.jax_adapter.engine import engine_of
from xai_mimo_adapters.jax_adapter.identity import fingerprint
from xai_mimo_adapters.jax_adapter.links import link_of
from xai_mimo_adapters.jax_adapter.reading import Reading, read
from xai_mimo_adapters.jax_adapter.source import Leaf
from xai_mimo_adapters.jax_adapter.tracing import precision, values_of_a_row

DEFAULT_MAX_MEMORY = 2**29


class JaxNetwork:
    """A function of JAX that can be predicted, differentiated and intercepted; compiled once for each size of a chunk.

    Args:
        reading: the model as it was read.
        max_memory: bytes that one pass may take; decides how many rows go at once. 512 MiB by default.
    """

    backend: ClassVar[str] = "jax"

    def __init__(self, reading: Reading, max_memory: int | None) -> None:
        self._max_memory = max_memory or DEFAULT_MAX_MEMORY
        self._streams = reading.streams
        self._take(reading)

    def _take(self, reading: Reading) -> None:
        """Run the model as it was read."""
        self._reading = reading
        self._engine = engine_of(reading.source.model, reading.traced.program, reading.source.name)
        self._width = values_of_a_row(reading.traced)

    def _current(self) -> Reading:
        """What was read of the model, once more where it has changed otherwise than in its weights."""
        before = self._reading
        if before.source.again is not None and not before.source.is_current():
            own = tuple(replace(stream, name=before.inner[stream.name]) for stream in before.streams)
            now = read(before.source.again(), streams=own, takes=before.takes)
            if [h.shape for h in now.heads] != [h.shape for h in before.heads]:
                raise NotSupported(f"model '{self.name}' has other outputs than when it was adapted; adapt it again.")
            outputs = dict(zip(before.outputs, now.outputs.values(), strict=True))
            now = replace(now, streams=before.streams, heads=before.heads, inner=before.inner, outputs=outputs)
            self._take(now.before_links(before.cut) if before.cut else now)
        return self._reading

    @property
    def name(self) -> str:
        """What the function or module is called."""
        return self._reading.source.name

    @property
    def precision(self) -> str:
        """The coarsest float dtype that it computes in; see ``core.precision.precision_of``."""
        return precision(self._reading.traced)

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs, in the order of the data or of their declaration."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the model's own order."""
        return self._reading.heads

    @property
    def traces(self) -> int:
        """How often the network was traced for compiling."""
        return self._engine.traces

    def fingerprint(self) -> str:
        """SHA-256 over the program, its constants and the weights."""
        reading = self._current()
        return fingerprint(reading.traced.program, reading.source.weights())

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``, float32 or float64."""
        reading, arrays = self._current(), self._checked(inputs)
        weights, outputs = reading.source.weights(), dict[str, Any]()
        for chunk, rows in self._chunks(arrays, factor=2):
            put(outputs, self._engine.forward(reading.run, weights, chunk), rows, count_rows(arrays))
        return self._named(outputs)

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, *stream.shape)}`` from one forward pass; see ``Differentiable``.

        Args:
            inputs: as ``predict`` takes them.
            selectors: one per target.
            streams: those to differentiate by; the others are held, and may be integers or truth values. None for all.
        Raises:
            UnknownName: no such stream. NotSupported: one of them holds integers, or a head gives integers.
        """
        reading, names = self._current(), self._floats(streams)
        arrays = self._checked(inputs)
        weights, total = reading.source.weights(), count_rows(arrays)
        units = np.stack([s.units for s in selectors]).astype(np.int32)
        heads, by = [reading.outputs[s.head] for s in selectors], [reading.inner[name] for name in names]
        outputs, gradients = dict[str, Any](), dict[str, Any]()
        for chunk, rows in self._chunks(arrays, factor=4, targets=len(heads)):
            chosen = padded_rows({"units": units.T}, rows, count_rows(chunk))["units"].T
            y, g = self._engine.gradients(reading.run, weights, chunk, by, heads, chosen)
            put(outputs, y, rows, total)
            put(gradients, g, rows, total, axis=1)
        return self._named(outputs), {name: gradients[reading.inner[name]] for name in names}

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that layers sow while reading the inputs; ``{}`` when none sows."""
        reading, arrays = self._current(), self._checked(inputs)
        weights, maps, labels = reading.source.weights(), dict[str, Any](), self._engine.labels
        run = functools.partial(reading.run_with_maps, labels)
        for chunk, rows in self._chunks(arrays, factor=3):
            part = self._engine.maps(run, weights, chunk)
            for key, values in part.items():
                if values.ndim != 1 + len(labels[key].axes) or len(values) != count_rows(chunk):
                    raise ShapeMismatch(
                        f"map '{key}' was sown with shape {values.shape}; expected the batch axis and then one axis "
                        f"for each of {labels[key].axes}."
                    )
            put(maps, part, rows, count_rows(arrays))
        return {
            key: InterceptionMap(
                labels[key].layer,
                labels[key].name,
                maps[key],
                labels[key].axes,
                dict(labels[key].coords),
                labels[key].reference,
            )
            for key in labels  # in the order of the layers; what was jitted is sorted by name
            if key in maps
        }

    def before_link(self, heads: Sequence[str]) -> tuple["JaxNetwork", dict[str, str]]:
        """The same model, of which heads give what their final sigmoid or softmax is taken of; see ``Linked``.

        Args:
            heads: names of those that are wanted so.
        Returns:
            The model, and in words where it was cut, ``{"risk": "before its final sigmoid"}``; heads that end in
            another way are not among them.
        """
        now = self._current()
        cut = now.before_links([now.outputs[name] for name in heads])
        other = copy.copy(self)
        other._take(cut)
        names = list(now.traced.outputs)
        links = {h: link_of(now.traced.program, names.index(o)) for h, o in now.outputs.items() if o in cut.cut}
        return other, {h: f"before its final {'link' if link is None else link.kind}" for h, link in links.items()}

    def renamed(self, streams: Sequence[Stream]) -> "JaxNetwork":
        """The same network under other descriptions of its streams; see ``Renamable``."""
        other = copy.copy(self)
        other._streams = tuple(streams)
        return other

    def _floats(self, streams: Sequence[str] | None) -> list[str]:
        """Names of the streams to differentiate by, checked."""
        by_name = {stream.name: stream for stream in self._streams}
        names = list(by_name) if streams is None else list(streams)
        for name in names:
            if name not in by_name:
                raise unknown(name, by_name, "input stream")
            if "float" not in by_name[name].dtype:
                holds = "truth values" if by_name[name].dtype == "bool" else "integers"
                raise NotSupported(
                    f"input stream '{name}' holds {holds} ({by_name[name].dtype}), which have no gradient. "
                    f"{instead_of_integers(self)}"
                )
        return names

    def _checked(self, inputs: Any) -> Arrays:
        arrays = check_inputs(inputs, self._streams)
        return {inner: arrays[name] for name, inner in self._reading.inner.items()}

    def _named(self, outputs: Arrays) -> Arrays:
        return {name: outputs[inner] for name, inner in self._reading.outputs.items()}

    def _chunks(self, arrays: Arrays, factor: int, targets: int = 0) -> Iterator[tuple[Arrays, slice]]:
        one_row = sum(x[:1].nbytes for x in arrays.values())
        fit = rows_that_fit(4 * factor * self._width + (targets + 1) * one_row, self._max_memory)
        for rows, size in row_slices(count_rows(arrays), fit):
            yield padded_rows(arrays, rows, size), rows


class JaxModule(JaxNetwork):
    """A network whose weights are known, and so can be others: a module, or a function with its weights bound."""

    randomisation: ClassVar[Literal["shuffled"]] = "shuffled"

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> "JaxModule":
        """A copy with the weights of these layers, or of all, shuffled; nothing is compiled for it.

        Each trained array keeps its values in a random order, and so its scale.

        Args:
            rng: of the orders.
            layers: paths of modules, such as "encoder" or "encoder/Dense_0"; None for all.
        Raises:
            UnknownName: no such layer.
        """
        source = self._current().source
        weights = source.weights()
        named: list[Leaf] = [] if source.leaves is None else source.leaves(weights)
        for layer in layers or ():
            if not any(_is_in(leaf, layer) for leaf in named):
                raise unknown(layer, dict.fromkeys(leaf.layer for leaf in named if leaf.layer), "layer")
        values, tree = jax.tree.flatten(weights)
        shuffled = [
            _permuted(value, rng)
            if leaf.is_trained and (layers is None or any(_is_in(leaf, layer) for layer in layers))
            else value
            for leaf, value in zip(named, values, strict=True)
        ]
        new = jax.tree.unflatten(tree, shuffled)
        other = copy.copy(self)
        still = replace(source, weights=lambda: new, again=None)
        other._reading = replace(self._reading, source=still)
        return other


def _is_in(leaf: Leaf, layer: str) -> bool:
    return leaf.layer == layer or leaf.layer.startswith(f"{layer}/") or leaf.name == layer


def _permuted(value: Any, rng: np.random.Generator) -> jax.Array:
    flat = np.asarray(value).ravel()
    return jax.numpy.asarray(rng.permutation(flat).reshape(np.shape(value)))
