"""From explanations to the comparison record: every score, in the layout of docs/architecture.md."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.comparison import score_rows as records
from xai_mimo.comparison.agreement_scores import agreement_scores
from xai_mimo.comparison.explanations import Explanations, unexplained
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.spaces import Space
from xai_mimo.comparison.verdicts import verdicts
from xai_mimo.core.baselines import mean_row
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.progress import Steps
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.faithfulness import Curves, removal_curves
from xai_mimo.metrics.ground_truth import TrueFeatures
from xai_mimo.record.rows import (
    Curve,
    Difference,
    FeatureRow,
    Gap,
    HeadRow,
    ModelRow,
    Score,
    Share,
    SpaceStream,
    StreamRow,
    TargetRow,
)

_TOLERANCE = 0.01
_STILL = 1e-6


@dataclass(frozen=True)
class PerturbedModel:
    """What is perturbed in the space of the comparison.

    Attributes:
        model: whose streams the maps lie on.
        inputs: the explained rows as that model reads them.
        background: likewise.
        selectors: the explained targets.
    """

    model: Model
    inputs: Arrays
    background: Arrays
    selectors: Sequence[Selector]


def perturbed_model(
    space: Space, model: Model, inputs: Arrays, background: Arrays, selectors: Sequence[Selector]
) -> PerturbedModel:
    """The whole model and its inputs, or the part behind the cut and what it reads."""
    if space.cut is None or not space.is_at_layer:
        return PerturbedModel(model, inputs, background, selectors)
    return PerturbedModel(space.cut.model, space.cut.move(inputs), space.cut.move(background), selectors)


def score_everything(
    panel: AlignedMaps,
    run: Explanations,
    subject: PerturbedModel,
    space: Space,
    truth: Mapping[str, TrueFeatures],
    settings: Settings,
    rng: np.random.Generator,
    *,
    step: Steps,
    further: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Every table of the record that is computed from maps: scores, differences, shares, features, curves, verdicts.

    ``further`` are rows of scores that were computed elsewhere; verdicts read them too. ``step`` is told of two steps.
    """
    with step("faithfulness", 1) as advance:
        curves, controls = removal_curves(
            subject.model.predict,
            subject.inputs,
            panel.maps,
            subject.selectors,
            replacement(subject.model.streams, subject.background, settings),
            players="streams" if space.is_streams else "variables" if space.by_variable else "features",
            steps=settings.steps,
            controls=settings.controls,
            rng=rng,
            advance=advance,
        )
    with step("agreement", len(panel.heads) * math.comb(len(panel.labels), 2)) as advance:
        agreements = agreement_scores(panel, rng, settings.ks, advance=advance)
    scores = tuple(
        Score(**row)
        for row in (
            *agreements,
            *records.faithfulness_scores(panel, curves, controls),
            *records.truth_scores(panel, truth),
            *records.complexity_scores(panel),
            *further,
        )
    )
    differences = tuple(Difference(**row) for row in records.differences(panel, curves, controls, rng))
    gaps = records.gap_rows(run.raw, {label: _tolerance(e.attrs) for label, e in run.raw.items()})
    shares = records.share_rows(panel, {label: unexplained(e) for label, e in run.raw.items()})
    features = [] if space.is_streams else records.feature_rows(panel)
    return {
        "scores": scores,
        "differences": differences,
        "shares": tuple(Share(**row) for row in shares),
        "features": tuple(FeatureRow(**row) for row in features),
        "true_features": records.true_feature_rows(panel, truth),
        "curves": tuple(Curve(**row) for row in records.curve_rows(panel, curves, controls)),
        "gaps": tuple(Gap(**row) for row in gaps),
        "verdicts": verdicts(
            panel.heads,
            panel.signed,
            scores,
            differences,
            undecidable={**heads_without_inputs(truth), **unresponsive_heads(panel, run, curves, controls)},
        ),
    }


def replacement(streams: Sequence[Stream], background: Arrays, settings: Settings) -> Arrays:
    """Rows that replaced features are taken from; rows of the background where a stream of integers has no mean."""
    if settings.replacement == "mean" and not any(s.is_integer for s in streams):
        return mean_row(background)
    return {name: rows[: settings.replacement_rows] for name, rows in background.items()}


def heads_without_inputs(truth: Mapping[str, TrueFeatures]) -> dict[str, str]:
    """Heads that are known to depend on no input, with the sentence that says so."""
    return {
        head: f"Head '{head}' is known to depend on no input: whatever its maps show is noise that the model has "
        "learned."
        for head, known in truth.items()
        if known.is_null
    }


def unresponsive_heads(
    panel: AlignedMaps, run: Explanations, curves: Mapping[str, Curves], controls: Sequence[Curves]
) -> dict[str, str]:
    """Heads whose value does not move, whatever is replaced, with the sentence that says so."""
    prediction = next(iter(run.raw.values()))["prediction"].transpose("head", "sample").values
    still = {}
    for h, head in enumerate(panel.heads):
        moved = max(
            float(np.abs(part[h]).max()) for c in (*curves.values(), *controls) for part in (c.deletion, c.insertion)
        )
        if moved <= _STILL * max(1e-12, float(np.abs(prediction[h]).max())):
            still[head] = (
                f"Head '{head}' does not react when its inputs are replaced, so there is nothing to explain. "
                "Is it trained, and does it read any stream?"
            )
    return still


def _tolerance(attrs: Mapping[str, Any]) -> float:
    found = json.loads(attrs.get("settings", "{}")).get("tolerance")
    return float(found) if isinstance(found, int | float) else _TOLERANCE


def model_row(model: Model, name: str) -> ModelRow:
    """The record's ``model``."""
    return ModelRow(
        name=name,
        fingerprint=model.fingerprint(),
        streams=tuple(StreamRow(name=s.name, axes=s.axes, features=s.features, unit=s.unit) for s in model.streams),
        heads=tuple(HeadRow(name=h.name, kind=h.kind, units=h.units, unit=h.unit) for h in model.heads),
    )


def stream_rows(streams: Sequence[Stream], owners: Mapping[str, Sequence[str]]) -> tuple[SpaceStream, ...]:
    """The streams of the space of a comparison; ``sources`` are the model's streams that each depends on."""
    return tuple(
        SpaceStream(name=s.name, axes=s.axes, features=s.features, sources=tuple(owners.get(s.name, (s.name,))))
        for s in streams
    )


def target_rows(model: Model, selectors: Sequence[Selector]) -> tuple[TargetRow, ...]:
    """The record's ``targets``."""
    heads = {h.name: h for h in model.heads}
    return tuple(
        TargetRow(name=s.name, head=s.head, unit=s.unit if isinstance(s.unit, str) else heads[s.head].units[s.unit])
        for s in selectors
    )
