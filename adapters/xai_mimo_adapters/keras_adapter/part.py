"""A whole Keras model, or the part of one behind a cut, as a model of named streams and heads."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Arrays, InterceptionMap, Interceptions
from xai_mimo.core.streams import Head, Stream, check_inputs, unknown
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.keras_adapter.runner import Runner


class KerasPart:
    """A differentiable, interceptable model over a running Keras network.

    Args:
        streams: named inputs; their order is the one of ``tensors``.
        heads: named outputs; their order is the one of ``outputs``.
        tensors: what the network calls its inputs.
        outputs: what the network calls its outputs.
        runner: the network.
        fingerprint: called when the digest is asked for, since weights may change.
        advice: where to explain instead, for a stream without gradient.
        relabel: gives a map the names that this model uses.
    """

    def __init__(
        self,
        streams: tuple[Stream, ...],
        heads: tuple[Head, ...],
        tensors: Sequence[str],
        outputs: Sequence[str],
        runner: Runner,
        fingerprint: Callable[[], str],
        advice: Callable[[Stream], str],
        relabel: Callable[[InterceptionMap], InterceptionMap],
    ) -> None:
        self._streams = streams
        self._heads = heads
        self._tensors = dict(zip([s.name for s in streams], tensors, strict=True))
        self._outputs = dict(zip([h.name for h in heads], outputs, strict=True))
        self._runner = runner
        self._fingerprint = fingerprint
        self._advice = advice
        self._relabel = relabel

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs."""
        return self._streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs."""
        return self._heads

    def fingerprint(self) -> str:
        """SHA-256 over configuration and weights, and over the cut where there is one."""
        return self._fingerprint()

    @property
    def traces(self) -> int:
        """How often the network was traced for compiling; 0 on PyTorch, which runs eagerly."""
        return self._runner.engine.traces

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in inference mode: ``{head: (sample, *head.shape)}``, float32 or float64."""
        return self._named_outputs(self._runner.forward(self._checked(inputs)))

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, *stream.shape)}``; exact zeros where a head does not read a stream.

        Args:
            inputs: as ``predict`` takes them.
            selectors: one per target.
            streams: those to differentiate by; the others are held, and may be integers or truth values. None for all.
        Raises:
            UnknownName: no such stream. NotSupported: one of them holds integers, or a head gives integers.
        """
        names = [s.name for s in self._streams]
        for name in names if streams is None else streams:
            if name not in names:
                raise unknown(name, names, "input stream")
            stream = self._streams[names.index(name)]
            if np.dtype(stream.dtype).kind != "f":
                raise NotSupported(
                    f"input stream '{stream.name}' holds integers ({stream.dtype}), which have no gradient. "
                    f"{self._advice(stream)}"
                )
        arrays = self._checked(inputs)
        units = np.stack([s.units for s in selectors]).astype(np.int32)
        outputs, gradients = self._runner.gradients(arrays, [self._outputs[s.head] for s in selectors], units)
        return self._named_outputs(outputs), {
            name: gradients[self._tensors[name]] for name in (names if streams is None else streams)
        }

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that the layers sow while reading the inputs, in inference mode; ``{}`` when none sows."""
        arrays, labels = self._runner.maps(self._checked(inputs))
        return {
            key: self._relabel(
                InterceptionMap(
                    labels[key].layer,
                    labels[key].name,
                    arrays[key],
                    labels[key].axes,
                    dict(labels[key].coords),
                    labels[key].reference,
                )
            )
            for key in labels
            if key in arrays
        }

    def _checked(self, inputs: Any) -> Arrays:
        arrays = check_inputs(inputs, self._streams)
        return {inner: arrays[name] for name, inner in self._tensors.items()}

    def _named_outputs(self, outputs: Arrays) -> Arrays:
        return {name: outputs[inner] for name, inner in self._outputs.items()}
