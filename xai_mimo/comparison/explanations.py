"""Running every method of a comparison in one space, and keeping the time."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import xarray as xr

from xai_mimo.comparison.layer_shares import HeadRows, layer_shares
from xai_mimo.comparison.spaces import Space
from xai_mimo.core.errors import EmptyData
from xai_mimo.core.explanation import describe, settings_of
from xai_mimo.core.method import Method
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.plugins import method as find_method
from xai_mimo.core.progress import Advance, Steps
from xai_mimo.core.streams import Array, check_unique
from xai_mimo.core.targets import Selector, Target
from xai_mimo.metrics.aligned_maps import project_to_streams, project_to_variables
from xai_mimo.record.rows import MethodRow

Explain = Callable[..., xr.Dataset]


@dataclass(frozen=True)
class Explanations:
    """Every method's explanations from one seed and background.

    Attributes:
        raw: label -> the explanation as the method gave it.
        shown: label -> the same in the space of the comparison; ``raw`` itself unless maps were summed to streams.
        seconds: label -> wall time.
        seed: of this run.
    """

    raw: Mapping[str, xr.Dataset]
    shown: Mapping[str, xr.Dataset]
    seconds: Mapping[str, float]
    seed: int


def name_methods(methods: Sequence[str | Method] | Mapping[str, str | Method]) -> dict[str, Method]:
    """Methods by label: the keys of a mapping, else their names; the second of a name is called "name 2".

    Raises:
        UnknownName, BadSetting: not a method. DuplicateName: a name given twice as a string. EmptyData: no method.
    """
    if not methods:
        raise EmptyData("no methods were given: name at least one, e.g. methods=['integrated_gradients'].")
    if isinstance(methods, Mapping):
        return {str(label): find_method(spec) for label, spec in methods.items()}
    if isinstance(methods, str):
        return name_methods([methods])
    check_unique([m for m in methods if isinstance(m, str)], "method")
    named: dict[str, Method] = {}
    for spec in methods:
        found = find_method(spec)
        label, count = found.name, 1
        while label in named:
            count += 1
            label = f"{found.name} {count}"
        named[label] = found
    return named


def is_interception(method: Method) -> bool:
    """Whether a method reads a layer's own maps instead of perturbing or differentiating the model."""
    return method.name == "interception"


@dataclass(frozen=True)
class ExplainRequest:
    """What all methods of a comparison explain.

    Attributes:
        model: the whole model.
        space: where the maps are wanted.
        inputs: the explained rows, ``{stream: (sample, *shape)}``, of the whole model.
        targets: as the user gave them.
        labels: ``{head: (sample, ...)}`` for targets with unit "label".
        selectors: the same targets, resolved for the rows.
        explain: the function that runs one method.
        head_rows: the function that reads the rows of a layer's map that belong to the targets.
    """

    model: Model
    space: Space
    inputs: Arrays
    targets: Sequence[Target]
    labels: Mapping[str, Array]
    selectors: Sequence[Selector]
    explain: Explain
    head_rows: HeadRows

    def run(self, methods: Mapping[str, Method], background: Arrays, seed: int, step: Steps) -> Explanations:
        """Explanations every method once with this background and seed, each as one step."""
        raw, seconds = {}, {}
        for label, method in methods.items():
            started = time.perf_counter()
            with step(label, len(self.selectors[0].units)) as advance:
                raw[label] = self._explain(method, background, seed, advance)
            seconds[label] = time.perf_counter() - started
        return Explanations(raw, {label: self._shown(e) for label, e in raw.items()}, seconds, seed)

    def _explain(self, method: Method, background: Arrays, seed: int, advance: Advance) -> xr.Dataset:
        cut = self.space.cut
        if self.space.is_streams and cut is None and is_interception(method):
            return layer_shares(self.model, self.inputs, self.selectors, method, self.head_rows)
        behind = cut is not None and (self.space.is_at_layer or is_interception(method))
        return self.explain(
            self.model,
            self.inputs,
            method,
            targets=self.targets,
            labels=self.labels or None,
            background=background,
            at=cut.layer if cut is not None and behind else None,
            seed=seed,
            progress=advance,
        )

    def _shown(self, explanation: xr.Dataset) -> xr.Dataset:
        if self.space.is_streams:
            return project_to_streams(explanation, self.model.streams)
        if not self.space.is_at_layer:
            # A layer that reads the raw inputs: the same streams, perhaps in the layer's own order.
            explanation = explanation.assign_attrs(space="inputs", **describe(self.model.streams, self.model.heads))
        return project_to_variables(explanation, self.space.name) if self.space.by_variable else explanation


def unexplained(explanation: xr.Dataset) -> list[str]:
    """Streams that a method says nothing of: zeros there are no finding."""
    found: list[str] = json.loads(explanation.attrs.get("unexplained", "[]"))
    return found


def method_rows(methods: Mapping[str, Method], run: Explanations, space: Space) -> tuple[MethodRow, ...]:
    """The record's ``methods``: settings, seed, time, streams that a method says nothing of, and the share of rows that
    converged where it says so."""
    return tuple(
        MethodRow(
            label=label,
            name=method.name,
            settings=settings_of(method),
            seed=run.seed,
            signed=bool(run.shown[label].attrs["signed"]),
            space=space.name,
            seconds=run.seconds[label],
            reference=run.raw[label].attrs.get("reference", method.reference),
            unexplained=tuple(unexplained(run.raw[label])),
            converged=float(run.raw[label]["converged"].mean()) if "converged" in run.raw[label] else None,
        )
        for label, method in methods.items()
    )
