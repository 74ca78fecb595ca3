"""Explanations in one space: every method run, once or twice, and laid out for the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

import xarray as xr

from xai_mimo.comparison.explanations import Again, ExplainRequest, Explanations
from xai_mimo.comparison.request import Request
from xai_mimo.comparison.settings import Settings
from xai_mimo.comparison.truth import true_features
from xai_mimo.core.baselines import mean_row
from xai_mimo.core.digest import digest
from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import join
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.logit import on_attributes
from xai_mimo.core.model import Arrays
from xai_mimo.core.progress import Steps
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.token_words import words_of
from xai_mimo.metrics.aligned_maps import align, values_of
from xai_mimo.metrics.scene import PerturbedModel, Scene
from xai_mimo.metrics.statistics import resample_counts


@dataclass(frozen=True)
class Explained:
    """What the methods of a comparison said, and all that it can be held against.

    Attributes:
        first: the explanations; those of the run again are in the scene alone.
        joined: the explanations in the space of the comparison, with an ``explainer`` dimension.
        counts: ``(resample, row)``, the bootstrap that all scores share.
        words: of the tokens of a stream, ``{stream: (sample, token) strings}``.
        owners: for each stream of a layer's inputs, the model's streams that it depends on; {} at the model's inputs.
        scene: what the metrics read.
    """

    first: Explanations
    joined: xr.Dataset
    counts: Array
    words: Mapping[str, Array]
    owners: Mapping[str, tuple[str, ...]]
    scene: Scene


def explain_all(request: Request, step: Steps) -> Explained:
    """Run every method, each as one step, again with another seed and background where ceilings are asked for."""
    asked = ExplainRequest(
        request.model,
        request.space,
        request.inputs,
        request.labels,
        request.selectors,
        on_attributes(request.on, request.values),
    )
    made = asked.run(request.methods, request.backgrounds[0], request.method_seeds("methods"), step)
    first = asked.with_ready(made, request.ready, request.explainers)
    again = (
        asked.run(request.methods, request.backgrounds[1], request.method_seeds("methods again"), step).shown
        if request.settings.ceilings
        else {}
    )
    joined = join(first.shown).assign_coords(sample=request.picked)  # checks that the maps fit together
    joined.attrs["data_sha256"] = digest(request.data)  # of which the samples are the numbers
    perturbed = _perturbed(request)
    _check_width(request, first, perturbed)
    space = request.space
    owners = space.cut.owners if space.cut is not None and space.is_at_layer else {}
    words = words_of(
        request.model.streams, owners, request.inputs, perturbed.inputs, request.vocabulary, request.tokens
    )
    counts = resample_counts(len(request.picked), request.settings.resamples, request.rng("resamples"))
    maps = align(first.shown, again, counts, words)
    scene = Scene(
        maps=maps,
        perturbed=perturbed,
        whole=request.model,
        explanations=first.raw,
        truth=true_features(request.truth or {}, request.heads, space, perturbed.model.streams, maps, perturbed.masker),
        regions={
            target: region
            for target, head in request.heads.items()
            if (region := request.regions.get(target, request.regions.get(head))) is not None
        },
        at_inputs=space.name == "inputs",
        labels=request.labels,
        texts=words,
        explain_again=Again(asked, request.methods, first, request.backgrounds[0]),
        settings=request.settings,
        metrics=tuple(m.name for m in request.metrics),
        ready=tuple(request.ready),
        rng=request.rng,
    )
    return Explained(first, joined, counts, words, owners, scene)


def _check_width(request: Request, first: Explanations, perturbed: PerturbedModel) -> None:
    """Refuse ready maps that divide the streams otherwise than what is replaced.

    Raises:
        SchemaError: a ready map has another number of values.
    """
    players = perturbed.masker.count if request.ready else 0
    for label in request.ready:
        width = values_of(first.shown[label]).shape[2]
        if width != players:
            raise SchemaError(
                f"the ready map '{label}' has {width} values a row, and the comparison is of {players} inputs. Compare "
                "where its values lie, space='variables' or space='streams', or explain by single values."
            )


def _perturbed(request: Request) -> PerturbedModel:
    """The whole model and its inputs, or the part behind the cut and what it reads."""
    space, background = request.space, request.backgrounds[0]
    model, inputs = without_held(request.model), request.inputs
    if space.cut is not None and space.is_at_layer:
        model, inputs, background = space.cut.part, space.cut.enter(inputs), space.cut.enter(background)
    return PerturbedModel(
        model,
        inputs,
        background,
        replacement(model.streams, background, request.settings),
        request.selectors,
        space.players
        if space.players is not None
        else "streams"
        if space.is_streams
        else "variables"
        if space.by_variable
        else "features",
    )


def replacement(streams: tuple[Stream, ...], background: Arrays, settings: Settings) -> Arrays:
    """Rows that replaced features are taken from; rows of the background where a stream of integers or words, or a
    category, has no mean.

    All rows of the background where the nearest of them are taken: which these are depends on what is known.
    """
    if settings.replacement == "nearest":
        return background
    if settings.replacement == "mean" and not any(s.is_integer or s.holds_words or s.groups for s in streams):
        return mean_row(background)
    return {name: rows[: settings.replacement_rows] for name, rows in background.items()}
