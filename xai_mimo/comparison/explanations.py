"""Running the methods of a comparison, keeping the time, and putting their maps into one space."""

import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.comparison.layer_shares import layer_shares
from xai_mimo.comparison.ready_maps import alone
from xai_mimo.comparison.spaces import Space
from xai_mimo.core.by_players import by_players
from xai_mimo.core.cut import Cut, cut_at
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting, EmptyData, NotSupported
from xai_mimo.core.explanation import describe, streams_of, to_dataset
from xai_mimo.core.held import call_method
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.labels import CheckedLabels
from xai_mimo.core.method import Context, Method
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.names import check_text
from xai_mimo.core.plugins import method as find_method
from xai_mimo.core.progress import Advance, Steps
from xai_mimo.core.streams import Array, check_unique
from xai_mimo.core.targets import Selector, rows_of
from xai_mimo.explainers.explain import explain
from xai_mimo.metrics.aligned_maps import project_to_groups, project_to_streams, project_to_variables, values_of
from xai_mimo.record.words import CHANCE, PERMUTED, RANDOM

_ROWS_PER_BLOCK = 1024
_BROUGHT_IN_BY = {"shap": "xai_mimo.from_shap", "torch": "xai_mimo.from_captum"}
_CONTROLS = {
    RANDOM: "a random order or map in the method's place",
    PERMUTED: "the method's own map with its values in other places",
    CHANCE: "what a map that says nothing scores",
}


@dataclass(frozen=True)
class Explanations:
    """Every method's explanations with one background, each from a seed of its own.

    Attributes:
        raw: label -> the explanation as the method gave it.
        shown: label -> the same in the space of the comparison; ``raw`` itself unless maps were summed to streams.
        seconds: label -> wall time; of ready maps none.
        seeds: label -> the seed that ``explain`` was called with; of ready maps none.
    """

    raw: Mapping[str, xr.Dataset]
    shown: Mapping[str, xr.Dataset]
    seconds: Mapping[str, float]
    seeds: Mapping[str, int]


AnyMethod = str | Method | xr.Dataset
"""What stands for a method in a comparison: its name, its settings, or a map that is ready."""


def name_methods(methods: Sequence[AnyMethod] | Mapping[str, AnyMethod] | xr.Dataset) -> dict[str, Method | xr.Dataset]:
    """Methods and ready maps by label: the keys of a mapping, else their names; the second of a name is "name 2".

    Raises:
        SchemaError: a dataset that is no explanation.
        UnknownName: no such method. BadSetting: not a method, or a label that is empty or a control's.
        BadValues: a label with control characters.
        DuplicateName: a name given twice as a string. EmptyData: no method.
    """
    if isinstance(methods, str | xr.Dataset):
        return name_methods([methods])
    if not isinstance(methods, Iterable) or getattr(methods, "ndim", 1) == 0:
        raise BadSetting(
            f"methods are a list of names and settings objects, or a mapping from labels to them; got {methods!r}. "
            "Write e.g. methods=['integrated_gradients'], or see xai_mimo.methods()."
        )
    if not isinstance(methods, Mapping):
        methods = list(methods)
    if not methods:
        raise EmptyData("no methods were given: name at least one, e.g. methods=['integrated_gradients'].")
    if isinstance(methods, Mapping):
        return {_checked(label): _found(label, spec) for label, spec in methods.items()}
    check_unique([m for m in methods if isinstance(m, str)], "method")
    named: dict[str, Method | xr.Dataset] = {}
    for place, spec in enumerate(methods, 1):
        method = _found(f"number {place}", spec)
        name = str(method.attrs["method"]) if isinstance(method, xr.Dataset) else method.name
        label, count = _checked(name), 1
        while label in named:
            count += 1
            label = f"{name} {count}"
        named[label] = method
    return named


def _found(label: Any, spec: Any) -> Method | xr.Dataset:
    if isinstance(spec, xr.Dataset):
        return alone(label, spec)
    root = type(spec).__module__.partition(".")[0]
    if root in _BROUGHT_IN_BY and not isinstance(spec, Method):
        raise BadSetting(
            f"'{label}' is a {type(spec).__name__} of {root}; bring it into our form first: "
            f"{_BROUGHT_IN_BY[root]}(..., model, x, name='{label}'), and give what that returns."
        )
    return find_method(spec)


def _checked(label: Any) -> str:
    """A label that can stand in the record, where the controls have theirs too."""
    if not isinstance(label, str) or not label.strip():
        raise BadSetting(
            f"a method is labelled {label!r}; a label is a text that is not empty, e.g. methods={{'mine': ...}}."
        )
    if label in _CONTROLS:
        raise BadSetting(
            f"'{label}' is the name of a control, {_CONTROLS[label]}; give the method another label, e.g. "
            f"methods={{'my {label}': ...}}."
        )
    return check_text(label, "method")


def is_interception(method: Method) -> bool:
    """Whether a method reads a layer's own maps instead of perturbing or differentiating the model."""
    return method.name == "interception"


@dataclass(frozen=True)
class ExplainRequest:
    """The rows and targets that every method of a comparison explains.

    Attributes:
        model: the whole model.
        space: where the maps are wanted.
        inputs: the explained rows, ``{stream: (sample, *shape)}``, of the whole model.
        labels: ``{head: (sample, ...)}`` for targets with unit "label".
        selectors: the targets, resolved for the rows.
        attrs: what the explanations say besides: whether heads are explained on their logits.
    """

    model: Model
    space: Space
    inputs: Arrays
    labels: Mapping[str, Array]
    selectors: Sequence[Selector]
    attrs: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, methods: Mapping[str, Method], background: Arrays, seeds: Mapping[str, int], step: Steps
    ) -> Explanations:
        """Run every method once with this background and its own seed, each as one step."""
        raw, seconds = {}, {}
        for label, method in methods.items():
            started = time.perf_counter()
            with step(label, len(self.selectors[0].units)) as advance:
                raw[label] = self._explain(method, background, seeds[label], advance)
            seconds[label] = time.perf_counter() - started
        return Explanations(raw, {label: self.shown(e) for label, e in raw.items()}, seconds, dict(seeds))

    def with_ready(self, made: Explanations, ready: Mapping[str, xr.Dataset], labels: Sequence[str]) -> Explanations:
        """The explanations of methods with ready maps among them, in the order of the labels.

        Args:
            made: by methods. ready: fitted to the rows and targets of the comparison.
        """
        raw = {label: ready[label] if label in ready else made.raw[label] for label in labels}
        shown = {label: self.shown(ready[label]) if label in ready else made.shown[label] for label in labels}
        return replace(made, raw=raw, shown=shown)

    def _explain(self, method: Method, background: Arrays, seed: int, advance: Advance) -> xr.Dataset:
        if self.reads_shares(method):
            return layer_shares(self.model, self.inputs, self.selectors, method, seed=seed)
        cut = self.cut_of(method)
        return explain(
            self.model,
            self.inputs,
            method,
            targets=[s.target for s in self.selectors],
            labels=CheckedLabels(self.labels),
            background=background,
            at=None if cut is None else cut.layer,
            seed=seed,
            check=False,  # done once, when the comparison was asked for
            progress=advance,
        ).assign_attrs(self.attrs)

    def reads_shares(self, method: Method) -> bool:
        """Whether a method's map is read as shares of streams, since the model cannot be cut at its layer."""
        return self.space.is_streams and self.space.cut is None and is_interception(method)

    def cut_of(self, method: Method) -> Cut | None:
        """Where the model is cut for a method; None where it explains the whole model."""
        return self.space.cut if self.space.is_at_layer or is_interception(method) else None

    def shown(self, explanation: xr.Dataset) -> xr.Dataset:
        """An explanation in the space of the comparison; one that lives there already as it is."""
        if self._lies_there(explanation):
            return explanation
        if self.space.is_streams:
            return project_to_streams(project_to_groups(explanation), without_held(self.model).streams)
        if not self.space.is_at_layer:
            # A layer that reads the raw inputs: the same streams, perhaps in the layer's own order.
            streams = without_held(self.model).streams
            explanation = explanation.assign_attrs(space="inputs", **describe(streams, self.model.heads))
        if self.space.players is not None:
            return by_players(explanation, self.space.players)
        explanation = project_to_groups(explanation)
        return project_to_variables(explanation, self.space.name) if self.space.by_variable else explanation

    def _lies_there(self, explanation: xr.Dataset) -> bool:
        """Whether a map was summed already, as one from an earlier comparison. What a layer read as shares of streams
        has the name of that space but still describes the model's own streams."""
        if not self.space.is_summed or explanation.attrs["space"] != self.space.name:
            return False
        return not self.space.is_streams or not any(stream.shape for stream in streams_of(explanation))


@dataclass(frozen=True)
class Again:
    """Explains once more what a comparison has explained: ``metrics.scene.ExplainAgain``.

    Methods are called as ``explain`` calls them, block by block with the same random numbers, but with the units of the
    first run.

    Attributes:
        asked: what was explained.
        methods: by label; ready maps have none and cannot be made again.
        first: the explanations there are.
        background: of the whole model.
    """

    asked: ExplainRequest
    methods: Mapping[str, Method]
    first: Explanations
    background: Arrays

    def __call__(self, label: str, *, inputs: Arrays | None = None, model: Model | None = None) -> Array:
        """Maps of one method, ``(target, sample, player)``, for other rows or for another model."""
        if label not in self.methods:
            raise NotSupported(
                f"'{label}' is a ready map: the method that made it cannot be run again here. Leave the map out, or "
                "score its method: metrics find the labels of ready maps in scene.ready."
            )
        method, asked = self.methods[label], self.asked
        whole = asked.model if model is None else model
        cut = asked.cut_of(method)
        if cut is not None and model is not None:
            cut = cut_at(model, cut.layer)
        rows, background = asked.inputs if inputs is None else inputs, self.background
        if asked.reads_shares(method):
            seed = self.first.seeds[label]
            return values_of(asked.shown(layer_shares(whole, rows, asked.selectors, method, seed=seed)))
        if cut is not None:
            # Moved rows of a comparison at the layer are rows of the layer already.
            rows = rows if inputs is not None and asked.space.is_at_layer else cut.enter(rows)
            background = cut.enter(background)
        explained = whole if cut is None else cut.part
        layer = None if cut is None else cut.layer
        return np.concatenate(
            [
                self._block(label, explained, rows, background, layer, number)
                for number in range(-(-count_rows(rows) // _ROWS_PER_BLOCK))
            ],
            axis=1,
        )

    def _block(
        self, label: str, model: Model, rows: Arrays, background: Arrays, layer: str | None, number: int
    ) -> Array:
        part = slice(number * _ROWS_PER_BLOCK, (number + 1) * _ROWS_PER_BLOCK)
        block = {name: x[part] for name, x in rows.items()}
        selectors = rows_of(self.asked.selectors, part)
        rng = np.random.default_rng(np.random.SeedSequence(self.first.seeds[label], spawn_key=(1, number)))
        context = Context(rng, background, layer=layer)
        attribution = call_method(self.methods[label], model, block, selectors, context)
        samples = np.arange(len(selectors[0].units))
        attrs = self.first.raw[label].attrs
        dataset = to_dataset(attribution, streams=model.streams, selectors=selectors, samples=samples, attrs=attrs)
        return values_of(self.asked.shown(dataset))


def unexplained(explanation: xr.Dataset) -> list[str]:
    """Streams that a method says nothing of: zeros there were not measured."""
    names: list[str] = json.loads(explanation.attrs.get("unexplained", "[]"))
    return names
