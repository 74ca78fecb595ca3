"""Any PyTorch model, or a function of tensors."""

import copy
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from xai_mimo.core.door import check_inputs
from xai_mimo.core.model import Arrays, Interceptions, Model
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.torch_adapter.calls import Callee, callee_of, on
from xai_mimo_adapters.torch_adapter.cut import Cut, Cuts
from xai_mimo_adapters.torch_adapter.hookable import HookableNetwork
from xai_mimo_adapters.torch_adapter.network import TorchNetwork
from xai_mimo_adapters.torch_adapter.reading import reading
from xai_mimo_adapters.torch_adapter.shuffling import shuffled
from xai_mimo_adapters.torch_adapter.spec import Spec, read_model
from xai_mimo_adapters.torch_adapter.tail import read_call, tail_call
from xai_mimo_adapters.torch_adapter.trace import Trace, traced

_TRACED = 7
"""Rows that are asked to see what a module computes: a number that hardly is the length of another axis."""


def TorchAdapter(
    model: Any,
    *,
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
    max_memory: int | None = None,
    like: Any = None,
) -> "TorchModule | TorchNetwork":
    """Adapt a model of PyTorch: a module can also be cut and copied; functions of tensors, scripted, compiled and
    exported modules cannot.

    The model is always read in evaluation mode, where its weights are and in their dtype. Weights, modes, hooks,
    ``grad`` and ``requires_grad``, and random states are left as they were, also after an error.

    The streams are what ``like`` holds, under its keys or the names of the parameters of ``forward``: given by name
    where the names agree, else by place, as one mapping or as one list, whichever the model takes. Heads are what it
    returns for the first rows: keys of a mapping, fields of a data class, named tuple or ``ModelOutput``,
    ``output_0``, ``output_1``, ... else. Their kinds are seen in a final softmax, log-softmax or sigmoid; every other
    head is a quantity, unless ``heads`` says otherwise. Convolutions tell which axis holds channels.

    Args:
        model: a ``torch.nn.Module``, scripted, traced or compiled ones too, a ``torch.export.ExportedProgram`` or its
            module, or a function of tensors.
        streams: names, feature names or units for its inputs; with shapes, in the place of ``like``.
        heads: names, kinds or units for its outputs.
        max_memory: bytes that one pass may take, by what a pass of two rows keeps; 512 MiB by default.
        like: rows, in any form that ``explain`` takes.
    Raises:
        NotSupported: there are neither rows nor streams, weights have no values or no gradients, or the model does not
            take these streams. ShapeMismatch: an output without a batch axis.
    """
    callee = callee_of(model)
    spec = read_model(callee, streams, heads, like)
    if callee.can_be_cut:
        return TorchModule(model, callee, spec, max_memory=max_memory)
    return TorchNetwork(
        callee,
        spec.streams,
        spec.heads,
        spec.call,
        spec.dtypes,
        max_memory=max_memory,
        plain=spec.plain,
        few=lambda: spec.rows,
    )


class TorchModule:
    """A module of PyTorch, which can be predicted, differentiated, intercepted, cut, copied and hooked.

    Args:
        model: the module.
        callee: how it is called. spec: its streams and heads. max_memory: see ``TorchAdapter``.
    """

    randomisation: ClassVar[Literal["shuffled"]] = "shuffled"

    def __init__(self, model: torch.nn.Module, callee: Callee, spec: Spec, *, max_memory: int | None = None) -> None:
        self.model = model
        self._callee, self._spec, self._max_memory = callee, spec, max_memory
        self._whole = HookableNetwork(
            callee,
            spec.streams,
            spec.heads,
            spec.call,
            spec.dtypes,
            max_memory=max_memory,
            floats_begin=self.where_floats_begin,
            few=lambda: spec.rows,
        )
        self._trace: Trace | None = None
        self._cuts: Cuts | None = None

    @property
    def name(self) -> str:
        """What the model is called, for reports and errors: its class."""
        return self._whole.name

    @property
    def backend(self) -> str:
        """The framework that computes."""
        return self._whole.backend

    @property
    def precision(self) -> str:
        """The coarsest float dtype of a weight; see ``core.precision.precision_of``."""
        return self._whole.precision

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The named inputs."""
        return self._whole.streams

    @property
    def heads(self) -> tuple[Head, ...]:
        """The named outputs, in the order of the model's answer."""
        return self._whole.heads

    def fingerprint(self) -> str:
        """SHA-256 over classes, structure, weights and buffers."""
        return self._whole.fingerprint()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs in evaluation mode: ``{head: (sample, *head.shape)}``, float32 or float64, or whole numbers."""
        return self._whole.predict(inputs)

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Gradients of several targets from one forward pass; see ``TorchNetwork.gradients``."""
        return self._whole.gradients(inputs, selectors, streams)

    def intercept(self, inputs: Any) -> Interceptions:
        """Every map that submodules show while reading the inputs; ``{}`` when none does."""
        return self._whole.intercept(inputs)

    def override(self, maps: Mapping[str, Array]) -> TorchNetwork:
        """The same model with these maps put in the place of those that its modules make; see ``Overridable``."""
        return self._whole.override(maps)

    def hookable(self) -> AbstractContextManager[torch.nn.Module]:
        """The model as one module that other libraries may hook; see ``Hookable``."""
        return self._whole.hookable()

    def before_link(self, heads: Sequence[str]) -> tuple[TorchNetwork, dict[str, str]]:
        """The same model, of which heads give what their final sigmoid or softmax reads; see ``Linked``."""
        return self._whole.before_link(heads)

    def renamed(self, streams: Sequence[Stream]) -> "TorchModule":
        """The same model under other descriptions of its streams; see ``Renamable``."""
        other = copy.copy(self)
        other._spec = self._spec.renamed(streams)
        other._whole, other._cuts = self._whole.renamed(streams), None
        return other

    def layers(self) -> tuple[str, ...]:
        """Submodules that ``tail`` takes, by their paths in ``named_modules``, in the order of their calls."""
        return self._read_cuts().layers()

    def tail(self, layer: str) -> TorchNetwork:
        """The part of the model behind what a submodule reads.

        Its streams are the tensors that the module is called with, as far as they depend on the model's inputs,
        followed by the model's inputs that reach a head beside the module. Masks (truth values, and whole numbers whose
        stream has "mask" in its name) are held (see ``Holding``). The whole module runs, with other tensors in the
        place of these, so that a pass costs as much as one of the whole.

        Raises:
            UnknownName: no such module. NotSupported: it is called several times or not at all, or reads no rows.
        """
        cut, own = self._read_cuts().at(layer), self._spec.dtypes
        with torch.inference_mode(False):
            row = on(self._callee.device, {name: x[:1] for name, x in self._spec.rows.items()})
        call = tail_call(
            self._spec.call, self.model.get_submodule(layer), cut, {n: x.to(own[n]) for n, x in row.items()}
        )
        return TorchNetwork(
            self._callee,
            cut.streams,
            self._spec.heads,
            call,
            {**own, **cut.dtypes},
            max_memory=self._max_memory,
            part=layer,
            held=cut.held,
            floats_begin=self.where_floats_begin,
            few=lambda: self._few(cut),
        )

    def activations(self, inputs: Any, layer: str) -> Arrays:
        """What a submodule reads: ``{stream of the tail: (sample, *shape)}``, and the masks that the tail holds."""
        cut = self._read_cuts().at(layer)
        arrays = check_inputs(inputs, self.streams)
        found = self._reader(cut).predict(arrays) if cut.computed else {}
        owns = {own: stream.name for own, stream in self._spec.streams.items()}
        beside = {stream.name: arrays[owns[own]] for own, stream in (*cut.beside.items(), *cut.held.items())}
        return found | beside

    def layer_streams(self, layer: str) -> dict[str, tuple[str, ...]]:
        """The model's streams that each stream of the tail depends on."""
        return dict(self._read_cuts().at(layer).sources)

    def where_floats_begin(self) -> str | None:
        """The first submodule at which every stream of the tail holds floats; None if there is none."""
        return self._read_cuts().where_floats_begin()

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> Model:
        """A copy with the weights of these submodules, or of all, shuffled.

        Each parameter keeps its values in a random order, and so its scale and whatever holds for each value; buffers
        stay as they are.

        Raises:
            UnknownName: no such submodule. NotSupported: the module cannot be copied.
        """
        return self._copied(shuffled(self.model, rng, layers))

    def _few(self, cut: Cut) -> Arrays:
        """A few rows of what a submodule reads, by the own names of the cut."""
        rows = {stream.name: self._spec.rows[own] for own, stream in self._spec.streams.items()}
        read = self.activations(rows, cut.path)
        return {own: read[stream.name] for own, stream in (*cut.streams.items(), *cut.held.items())}

    def _copied(self, model: torch.nn.Module) -> "TorchModule":
        callee = callee_of(model)
        return TorchModule(model, callee, self._spec.of(callee), max_memory=self._max_memory)

    def _reader(self, cut: Cut) -> TorchNetwork:
        heads = {own: Head(s.name, tuple(int(n or 1) for n in s.shape)) for own, s in cut.computed.items()}
        call = read_call(self._spec.call, self.model.get_submodule(cut.path), cut)
        return TorchNetwork(
            self._callee, self._spec.streams, heads, call, self._spec.dtypes, max_memory=self._max_memory
        )

    def _read_cuts(self) -> Cuts:
        if self._cuts is None:
            named = {path: module for path, module in self.model.named_modules() if path}
            self._cuts = Cuts(self._read_trace(), self._spec.streams, self._callee.modules, named, self.name)
        return self._cuts

    def _read_trace(self) -> Trace:
        """What the model computes for the rows that it was adapted with; done once."""
        if self._trace is None:
            spec, callee = self._spec, self._callee
            with reading(callee.modules, callee.device):
                rows = on(callee.device, {own: x[np.arange(_TRACED) % len(x)] for own, x in spec.rows.items()})
                tensors = {own: x.to(spec.dtypes[own]) for own, x in rows.items()}
                self._trace = traced(self.model, spec.call, tensors)
        return self._trace
