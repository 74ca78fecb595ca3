"""Fake records with streams that have places, words and maps of layers, on top of ``make_record``."""

from typing import Any

import numpy as np

from tests.helpers.records import make_record

STEPS = [f"lag {8 - t}" for t in range(8)]


def pictured_record(
    *,
    streams: tuple[str, str, str] = ("weather", "scan", "review"),
    features: tuple[str, ...] = ("wind", "rain", "sun"),
    words: tuple[str, ...] = ("the", "film", "was", "good", "<pad>", "<pad>", "<pad>", "<pad>"),
    pixels: tuple[int, int] = (6, 4),
    layer: str = "reader",
    head: str = "risk",
    seed: int = 0,
    **options: Any,
) -> dict[str, Any]:
    """A record of one head over a series, an image and a text, with one map of every kind.

    Args:
        streams: names of the series, the image and the text. features: of the series.
        words: of the text in every example. pixels: height and width.
        layer, head: names.
        seed: of everything drawn.
        options: of ``make_record``.
    """
    rng = np.random.default_rng(seed)
    series, image, text = streams
    record = make_record(
        1,
        head_names=(head,),
        seed=seed,
        features={series: features, image: ("0",), text: ("(all places)",)},
        **options,
    )
    axes = {series: ["time", "feature"], image: ["height", "width", "channel"], text: ["token", "feature"]}
    shapes = {series: (8, len(features)), image: (*pixels, 1), text: (len(words), 2)}
    record["space"]["streams"] = [
        {"name": s, "axes": axes[s], "features": list(features) if s == series else ["0"], "sources": [s]}
        for s in streams
    ]
    record["true_features"] = {head: {series: [features[0]]}}
    labels = [m["label"] for m in record["methods"]]
    record["stream_maps"] = [
        _stream_map(rng, label, head, s, axes[s][:2], shapes[s][:2], features)
        for s in (series, image)
        for label in labels
    ]
    record["maps"] = _maps(rng, layer, head, series, features, pixels)
    for example in record["examples"]:
        example["inputs"] = {s: rng.random(shapes[s]).round(7).tolist() for s in streams}
        example["values"] = {m: {s: rng.standard_normal(shapes[s]).round(7).tolist() for s in streams} for m in labels}
        example["words"] = {text: list(words)}
        example["note"] = "blocks of 2 x 2 pixels"
    return record


def without_figures(record: dict[str, Any]) -> dict[str, Any]:
    """The same record with empty tables, but for its first example: a page of it is quickly drawn."""
    tables = ("scores", "differences", "shares", "features", "curves", "gaps", "verdicts", "stream_maps", "maps")
    return record | {key: [] for key in tables} | {"examples": record["examples"][:1]}


def _stream_map(
    rng: np.random.Generator, method: str, head: str, stream: str, axes: list, shape: tuple, features: tuple
) -> dict[str, Any]:
    mean = rng.standard_normal(shape).round(7)  # as many digits as a record has
    size = np.abs(mean) + 0.1
    coords = {"time": STEPS, "feature": list(features)} if axes == ["time", "feature"] else {}
    found = {"method": method, "head": head, "stream": stream, "axes": axes, "coords": coords, "note": ""}
    return {**found, "mean": mean.tolist(), "mean_abs": size.tolist(), "total": float(2 * size.sum())}


def _maps(
    rng: np.random.Generator, layer: str, head: str, series: str, features: tuple, pixels: tuple
) -> list[dict[str, Any]]:
    owners = {"feature": list(features), "feature.stream": [series] * len(features)}
    targets = {"target.head": [head] * 3, "target.unit": ["0", "1", "2"]}
    tall, wide = pixels
    kinds = {
        "temporal_attention": (("head", "time", "feature"), (2, 8, len(features)), {"time": STEPS, **owners}, False),
        "variable_attention": (("head", "feature"), (2, len(features)), {"head": [head, "b"], **owners}, False),
        "change": (("height", "width", "layer", "feature"), (tall, wide, 3, 1), {"layer": ["1", "2", "3"]}, True),
        "class_map": (("height", "width", "target"), (tall, wide, 3), targets, True),
        "class_likelihood": (("layer", "class"), (3, 3), {"layer": ["1", "2", "3"]}, False),
        "relevance": (("target", "attribute"), (3, 24), targets, True),
        "token_score": (("token", "target"), (8, 3), targets, True),
        "deviation": (("layer",), (3,), {"layer": ["1", "2", "3"]}, False),
        "bias": (("target",), (3,), targets, True),
        "gain": ((), (), {}, False),
    }
    found = []
    for name, (axes, shape, coords, signed) in kinds.items():
        mean = rng.standard_normal(shape) if signed else rng.random(shape)
        row = {"layer": layer, "name": name, "axes": list(axes), "coords": coords, "mean": np.asarray(mean).tolist()}
        found.append({**row, "rows": 256, "reference": "", "note": ""})
    silent = {"layer": layer, "axes": ["layer"], "coords": {}, "rows": 256, "reference": ""}
    found.append({**silent, "name": "large", "mean": None, "note": "left out: too many values"})
    found.append({**silent, "name": "nothing", "mean": [0.0, 0.0, 0.0], "note": ""})
    return found
