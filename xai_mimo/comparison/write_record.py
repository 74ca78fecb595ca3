"""The record of a comparison: what was asked, what was explained and what the scores are, as rows."""

import datetime
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.comparison.exhibits.examples import example_rows
from xai_mimo.comparison.exhibits.layer_maps import layer_maps
from xai_mimo.comparison.exhibits.stream_maps import stream_map_rows
from xai_mimo.comparison.explained import Explained
from xai_mimo.comparison.explanations import Explanations, is_interception, unexplained
from xai_mimo.comparison.ready_maps import made_by, seed_of
from xai_mimo.comparison.references import cited
from xai_mimo.comparison.regions import region_rows
from xai_mimo.comparison.request import Request
from xai_mimo.comparison.score import Scores
from xai_mimo.core.digest import digest
from xai_mimo.core.door import count_rows
from xai_mimo.core.explanation import settings_of, streams_of
from xai_mimo.core.levels import levels_of
from xai_mimo.core.method import Method, bibtex_of
from xai_mimo.core.model import Arrays
from xai_mimo.core.named_values import PLAYERS
from xai_mimo.core.positions import has_positions
from xai_mimo.core.speaks_of import speaks_of
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import labels_of
from xai_mimo.core.versions import versions
from xai_mimo.core.words import are_words
from xai_mimo.record.maps import Example, MapRow, StreamMap
from xai_mimo.record.rows import Record
from xai_mimo.record.subject import DataRow, HeadRow, MethodRow, ModelRow, SpaceRow, SpaceStream, StreamRow, TargetRow


def write_record(request: Request, explained: Explained, scores: Scores) -> Record:
    """Everything that a report needs."""
    shown = streams_of(next(iter(explained.first.shown.values())))
    kinds = _kinds_of_own_maps(request)
    streams = explained.scene.perturbed.model.streams
    maps, steps = layer_maps(request.model, request.inputs, streams, kinds)
    methods = _method_rows(request, explained)
    return Record(
        title=request.title,
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        seed=request.seed,
        command=request.command,
        settings={
            **request.settings.plain(),
            **({"methods": request.chosen} if request.chosen else {}),
            **({"targets": request.left_out} if request.left_out else {}),
            **({"on": request.on, "explained_value": dict(request.values)} if request.on == "logit" else {}),
        },
        model=_model_row(request),
        data=DataRow(rows=count_rows(request.data), explained_rows=len(request.picked), sha256=digest(request.data)),
        space=SpaceRow(name=request.space.name, text=request.space.text, streams=_space_streams(shown, explained)),
        targets=_target_rows(request),
        methods=methods,
        metrics=scores.metrics,
        scores=scores.scores,
        differences=scores.differences,
        shares=scores.shares,
        features=scores.features,
        true_features=scores.true_features,
        curves=scores.curves,
        gaps=scores.gaps,
        verdicts=scores.verdicts,
        stream_maps=() if request.space.is_streams else _stream_maps(explained, shown, steps),
        maps=maps,
        examples=_examples(request, explained),
        task=request.task,
        truth=request.truth,
        regions=region_rows(request.regions),
        versions=versions(),
        references=cited(_sources(request, methods, maps, scores)),
    )


def _sources(
    request: Request, methods: Sequence[MethodRow], maps: Sequence[MapRow], scores: Scores
) -> Iterator[tuple[str, str]]:
    """Key and entry of the methods, layers and metrics that were used."""
    yield from ((row.reference, bibtex_of(request.methods.get(row.label))) for row in methods)
    yield from ((row.reference, "") for row in maps)
    yield from ((metric.reference, bibtex_of(metric)) for metric in scores.metrics_run)


def _method_rows(request: Request, explained: Explained) -> tuple[MethodRow, ...]:
    """Settings, seed, time, streams that a method says nothing of, and the share of rows that converged where it says
    so."""
    first = explained.first
    return tuple(
        MethodRow(
            label=label,
            **(
                _of_ready(request.ready[label])
                if label in request.ready
                else _of_run(request.methods[label], first, label)
            ),
            signed=bool(first.shown[label].attrs["signed"]),
            space=request.space.name,
            unexplained=tuple(unexplained(first.raw[label])),
            converged=float(first.raw[label]["converged"].mean()) if "converged" in first.raw[label] else None,
        )
        for label in request.explainers
    )


def _of_run(method: Method, first: Explanations, label: str) -> dict[str, Any]:
    """What the record says of a method that the comparison ran."""
    return {
        "name": method.name,
        "settings": settings_of(method),
        "seed": first.seeds[label],
        "speaks_of": speaks_of(method),
        "seconds": first.seconds[label],
        "reference": first.raw[label].attrs.get("reference", method.reference),
    }


def _of_ready(explanation: xr.Dataset) -> dict[str, Any]:
    """What the record says of a map that was brought in: what the map itself tells."""
    attrs = explanation.attrs
    return {
        "name": str(attrs["method"]),
        "settings": json.loads(attrs.get("settings", "{}")),
        "seed": seed_of(explanation),
        "speaks_of": attrs.get("speaks_of", "attribution"),
        "seconds": None,
        "reference": attrs.get("reference", ""),
        "ready": made_by(explanation),
    }


def _kinds_of_own_maps(request: Request) -> set[str]:
    """Which kinds of a layer's own map are shown as a method's."""
    ready = [e.attrs for e in request.ready.values() if e.attrs["method"] == "interception"]
    return {str(getattr(m, "kind", "attention")) for m in request.methods.values() if is_interception(m)} | {
        str(json.loads(attrs.get("settings", "{}")).get("kind", "attention")) for attrs in ready
    }


def _model_row(request: Request) -> ModelRow:
    model = request.model
    return ModelRow(
        name=request.name,
        fingerprint=model.fingerprint(),
        streams=tuple(_stream_row(s) for s in model.streams),
        heads=tuple(HeadRow(name=h.name, kind=h.kind, units=h.units, unit=h.unit) for h in model.heads),
    )


def _stream_row(s: Stream) -> StreamRow:
    return StreamRow(name=s.name, axes=s.axes, features=s.features, unit=s.unit, groups=_groups(s))


def _groups(stream: Stream) -> dict[str, tuple[str, ...]] | None:
    """Features that stand for one thing; None where there are none, as the record has it."""
    return {name: tuple(features) for name, features in stream.groups.items()} or None


def _space_streams(streams: Sequence[Stream], explained: Explained) -> tuple[SpaceStream, ...]:
    """The streams that the maps lie on; ``sources`` are the model's streams that each depends on."""
    sources = list(
        dict.fromkeys(
            o for s in explained.scene.perturbed.model.streams for o in explained.owners.get(s.name, (s.name,))
        )
    )
    of_columns = {s.name: s for s in explained.scene.perturbed.model.streams}
    return tuple(
        SpaceStream(
            name=s.name,
            axes=s.axes,
            features=s.features,
            sources=tuple(sources if s.name == PLAYERS.name else explained.owners.get(s.name, (s.name,))),
            groups=_groups(of_columns[s.name]) if s.features and s.name in of_columns else None,
        )
        for s in streams
    )


def _target_rows(request: Request) -> tuple[TargetRow, ...]:
    heads = {h.name: h for h in request.model.heads}
    return tuple(
        TargetRow(name=s.name, head=s.head, unit=s.unit if isinstance(s.unit, str) else heads[s.head].units[s.unit])
        for s in request.selectors
    )


def _stream_maps(
    explained: Explained, shown: Sequence[Stream], steps: Mapping[str, Sequence[str]]
) -> tuple[StreamMap, ...]:
    """Pictures of the streams with positions; a text has none, because its tokens differ from row to row."""
    streams = [s for s in shown if has_positions(s) and s.name not in explained.words and "token" not in s.axes]
    return tuple(stream_map_rows(explained.first.shown, streams, steps))


def _examples(request: Request, explained: Explained) -> tuple[Example, ...]:
    perturbed, space = explained.scene.perturbed, request.space
    streams = perturbed.model.streams
    return tuple(
        example_rows(
            explained.first.shown,
            {}
            if space.players is not None
            else {stream.name: perturbed.inputs[stream.name] for stream in streams}
            if space.is_streams
            else _as_maps_lie(perturbed.inputs, streams, space.by_variable),
            _labels_of_targets(request),
            request.heads,
            _units_of_rows(request),
            request.picked,
            explained.words,
            request.regions if space.name == "inputs" else {},
            {}
            if space.is_streams or space.players is not None
            else levels_of(streams, perturbed.inputs, perturbed.background),
        )
    )


def _units_of_rows(request: Request) -> dict[str, list[str]]:
    """Target -> the name of the unit that is explained in each row."""
    names = {head.name: head.units for head in request.model.heads}
    return {s.name: [names[s.head][unit] for unit in s.units] for s in request.selectors}


def _labels_of_targets(request: Request) -> Arrays:
    """Target -> what the labels say of it; targets without labels are left out."""
    heads = {head.name: head for head in request.model.heads}
    labels = {s.name: labels_of(s, heads[s.head], request.labels) for s in request.selectors}
    return {name: values for name, values in labels.items() if values is not None}


def _as_maps_lie(inputs: Arrays, streams: Sequence[Stream], by_variable: bool) -> Arrays:
    """The rows as examples show them: means over the values that maps count as one."""
    shown = {}
    for stream in streams:
        x = inputs[stream.name]
        if are_words(x):
            shown[stream.name] = x
            continue
        if by_variable:
            x = x.reshape(len(x), -1, *x.shape[1:][-1:]).mean(axis=1)
        if stream.groups:
            belongs = np.eye(len(stream.variables))[list(stream.variable_of)]
            x = x @ (belongs / belongs.sum(axis=0))
        shown[stream.name] = x
    return shown
