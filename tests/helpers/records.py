"""Seeded fake comparison records, as realistic as a report needs: nothing here was computed from a model."""

import json
from typing import Any

import numpy as np

HOSTILE = "<script>alert(1)</script>"
AWKWARD = r"a_b & 50% $x$ \input{x}"

_FEATURES = {
    "thermal": ("air temperature", "process temperature", "temperature difference"),
    "mechanical": ("rotational speed", "torque", "power", "vibration_rms_axial_direction_bearing_no_2"),
    "wear": ("tool wear",),
    "product": ("type L", "type M", "type H", "quality_of_raw_material_batch_supplier_7"),
}
_METHODS = (
    ("attention", "interception", False, "mail2025"),
    ("integrated_gradients", "integrated_gradients", True, "sundararajan2017"),
    ("shapley", "shapley", True, "castro2009"),
    ("expected_gradients", "expected_gradients", True, "erion2021"),
    ("gradient", "gradient", True, "simonyan2014"),
)
_METRICS = (
    ("feature_agreement", "agreement", "feature agreement", "larger", (0.0, 1.0)),
    ("sign_agreement", "agreement", "sign agreement", "larger", (0.0, 1.0)),
    ("spearman", "agreement", "Spearman correlation", "larger", (-1.0, 1.0)),
    ("pairwise_rank_agreement", "agreement", "pairwise rank agreement", "larger", (0.0, 1.0)),
    ("deletion_area", "faithfulness", "deletion area", "larger", (0.0, None)),
    ("insertion_area", "faithfulness", "insertion area", "smaller", (0.0, None)),
    ("comprehensiveness", "faithfulness", "comprehensiveness", "larger", (0.0, None)),
    ("sufficiency", "faithfulness", "sufficiency", "smaller", (0.0, None)),
    ("effective_features", "complexity", "effective number of features", "neither", (1.0, None)),
    ("share", "ground_truth", "share of mass on true features", "larger", (0.0, 1.0)),
    ("auroc", "ground_truth", "AUROC", "larger", (0.0, 1.0)),
    ("auroc_mean_map", "ground_truth", "AUROC of the mean map", "larger", (0.0, 1.0)),
)
_FAMILIES = {name: family for name, family, *_ in _METRICS}
_HEADS = ("heat dissipation failure", "power failure", "overstrain", "tool wear failure", "remaining life")
_BIBTEX = '@misc{%s,\n  title = {A Title with {B}races & 50%% More},\n  author = {Doe, J. and M{\\"u}ller, K.},\n  year = {2025}\n}'
FRACTIONS = [i / 10 for i in range(11)]


def make_record(
    heads: int = 2,
    *,
    seed: int = 0,
    rows: int = 256,
    truth: bool = True,
    examples: bool = True,
    features: dict[str, tuple[str, ...]] | None = None,
    methods: int = 3,
    silent_head: bool = False,
    uses: bool = True,
    head_names: tuple[str, ...] | None = None,
    method_names: tuple[str, ...] | None = None,
) -> dict[str, Any]:
    """A record of the documented layout.

    Args:
        heads, methods: how many.
        seed: of everything drawn.
        rows: explained rows; one row has no intervals.
        truth, examples: whether the record holds them.
        features: names by stream.
        silent_head: the last head has null figures with notes and undecided verdicts.
        uses: verdicts have a word for each use, and differences more than one control; without: as older records.
        head_names, method_names: instead of the usual ones.
    """
    draw = _Draw(np.random.default_rng(seed), rows)
    streams = _FEATURES if features is None else features
    names = head_names or tuple(_HEADS[i] if i < len(_HEADS) else f"head {i + 1}" for i in range(heads))
    used = [
        (n, *_METHODS[i % len(_METHODS)][1:]) for i, n in enumerate(method_names or [m[0] for m in _METHODS[:methods]])
    ]
    silent = names[-1] if silent_head else None
    labels = [m[0] for m in used]
    players = [(s, f) for s, fs in streams.items() for f in fs]
    first = next(iter(streams))
    true = {h: {first: [streams[first][0]]} for h in names} if truth else None
    record = {
        "schema": "xai_mimo.comparison/1",
        "title": "Predictive maintenance: which sensors drive which failure?",
        "created": "2025-06-17T12:00:00+00:00",
        "seed": seed,
        "command": "xai-mimo demo --seed 0 --out report",
        "model": {
            "name": "mail_predictive_maintenance",
            "fingerprint": "3f9a1c0d5e7b2a88",
            "streams": [{"name": s, "axes": ["feature"], "features": list(f), "unit": ""} for s, f in streams.items()],
            "heads": [{"name": h, "kind": "binary", "units": [h], "unit": "probability"} for h in names],
        },
        "data": {
            "rows": 10 * rows,
            "explained_rows": rows,
            "sha256": "9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02",
        },
        "space": {
            "name": "at:mail",
            "text": "Maps are compared at the inputs of the layer 'mail', which reads the raw inputs.",
        },
        "targets": [{"name": h, "head": h, "unit": "predicted" if i % 2 else h} for i, h in enumerate(names)],
        "methods": [
            {
                "label": label,
                "name": name,
                "settings": {"tolerance": 0.01, "baseline": "mean"} if signed else {"kind": "attention"},
                "seed": seed,
                "signed": signed,
                **({"speaks_of": "sensitivity" if name == "gradient" else "attribution"} if uses else {}),
                "space": "at:mail",
                "seconds": 1.25 * (i + 1),
                "reference": reference,
                "converged": 0.998 if name == "integrated_gradients" else None,
            }
            for i, (label, name, signed, reference) in enumerate(used)
        ],
        "metrics": [
            {"name": name, "family": family, "title": title, "better": better, "bounds": bounds, "reference": ""}
            for name, family, title, better, bounds in _METRICS
        ],
        "scores": [s for h in names for s in _scores(draw, h, used, h == silent, truth)],
        "differences": [r for h in names for r in _differences(draw, h, labels, uses)],
        "shares": [r for h in names for r in _shares(draw, h, labels, list(streams))],
        "features": [r for h in names for r in _features(draw, h, used, players)],
        "curves": [c for h in names for m in [*labels, "random"] for c in _curves(draw, h, m)],
        "gaps": [_gap(draw, h, label) for h in names for label, _, signed, _ in used if signed],
        "examples": [e for h in names for e in _examples(draw, h, used, streams)] if examples else [],
        "verdicts": [
            _verdict(draw, h, m[0], m[2] and m[1] != "gradient", h == silent, uses) for h in names for m in used
        ],
        "task": [
            {"model": m, "head": h, "metric": "average precision", "seeds": 5, **draw.interval(0.9, 0.02, note=False)}
            for h in names
            for m in ("baseline", "MAIL local")
        ],
        "truth": true,
        "versions": {"python": "3.11.9", "xai-mimo": "0.1.0", "numpy": "2.1.0", "keras": "3.15.0", "jax": "0.10.0"},
        "references": {key: _BIBTEX % key for key in dict.fromkeys(m[3] for m in used)},
    }
    # Through JSON, as a saved record comes back: no tuples, no NumPy scalars.
    return json.loads(json.dumps(record, allow_nan=False))


class _Draw:
    """Numbers with intervals, or without where there is one row."""

    def __init__(self, rng: np.random.Generator, rows: int) -> None:
        self.rng, self.rows = rng, rows

    def interval(self, centre: float, width: float, *, key: str = "estimate", note: bool = True) -> dict[str, Any]:
        value = float(centre + width * self.rng.standard_normal())
        single = self.rows == 1
        found = {
            key: value,
            "low": None if single else value - 1.5 * width,
            "high": None if single else value + 1.7 * width,
        }
        return {**found, "note": "one row: no interval" if single else ""} if note else found


def _score(draw: _Draw, head: str, family: str, metric: str, method: str, centre: float, **more: Any) -> dict[str, Any]:
    found = {
        "head": head,
        "family": family,
        "metric": metric,
        "method": method,
        "other": None,
        "role": "value",
        "k": None,
    }
    return {**found, **draw.interval(centre, 0.02), "rows": draw.rows, **more}


def _null(row: dict[str, Any], note: str) -> dict[str, Any]:
    return {**row, "estimate": None, "low": None, "high": None, "rows": 0, "note": note}


def _scores(draw: _Draw, head: str, used: list, silent: bool, truth: bool) -> list[dict[str, Any]]:
    rows = []
    metrics = (("feature_agreement", 3), ("sign_agreement", 3), ("spearman", None), ("pairwise_rank_agreement", None))
    roles = (("value", 0.72), ("floor_random", 0.5), ("floor_permuted", 0.52), ("ceiling", 0.93))
    for i, (one, _, signed, _) in enumerate(used):
        for other, _, other_signed, _ in used[i + 1 :]:
            for metric, k in metrics:
                if metric == "sign_agreement" and not (signed and other_signed):
                    row = _score(draw, head, "agreement", metric, one, 0.5, other=other, k=k)
                    rows.append(_null(row, f"not defined: {one} has no sign"))
                    continue
                rows += [
                    _score(draw, head, "agreement", metric, one, centre, other=other, k=k, role=role)
                    for role, centre in roles
                ]
    for metric in ("deletion_area", "insertion_area", "comprehensiveness", "sufficiency"):
        rows += [_score(draw, head, "faithfulness", metric, m[0], 0.4) for m in used]
        rows.append(_score(draw, head, "faithfulness", metric, "random", 0.2, role="control_random"))
    rows += [_score(draw, head, "complexity", "effective_features", m[0], 3.2) for m in used]
    for label, *_ in used if truth else []:
        for metric, chance in (("share", 0.1), ("auroc", 0.5), ("auroc_mean_map", 0.5)):
            rows.append(_score(draw, head, "ground_truth", metric, label, 0.8))
            floor = {"estimate": chance, "low": None, "high": None, "role": "floor_random"}
            rows.append({**rows[-1], **floor, "note": "chance, exact: no interval"})
    return [_null(row, "undefined in all rows: the head is constant") for row in rows] if silent else rows


def _differences(draw: _Draw, head: str, labels: list[str], uses: bool) -> list[dict[str, Any]]:
    against = [(m, "random", "deletion_area") for m in labels]
    if uses:
        against += [
            (m, other, metric) for m in labels for other, metric in (("permuted", "share"), ("chance", "auroc"))
        ]
        against += [(one, other, "deletion_area") for i, one in enumerate(labels) for other in labels[i + 1 :]]
    rows = [_score(draw, head, _FAMILIES[metric], metric, m, 0.1, other=other) for m, other, metric in against]
    for row in rows:
        del row["role"], row["k"]
    return [{**row, "p": 0.0005, "p_corrected": 0.012} for row in rows]


def _shares(draw: _Draw, head: str, labels: list[str], streams: list[str]) -> list[dict[str, Any]]:
    rows = []
    for method in labels:
        for stream, mean in zip(streams, draw.rng.dirichlet(np.full(len(streams), 2.0)), strict=True):
            row = {"method": method, "head": head, "stream": stream, **draw.interval(float(mean), 0.0, key="mean")}
            rows.append(
                row if row["low"] is None else {**row, "low": 0.9 * row["mean"], "high": min(1.0, 1.1 * row["mean"])}
            )
    return rows


def _features(draw: _Draw, head: str, used: list, players: list) -> list[dict[str, Any]]:
    rows = []
    base = draw.rng.dirichlet(np.full(len(players), 0.6))
    for label, _, signed, _ in used:
        scale = 1.0 if not signed else 0.35
        for (stream, feature), weight in zip(players, base, strict=True):
            size = float(scale * weight * draw.rng.uniform(0.6, 1.4))
            single = draw.rows == 1
            rows.append(
                {
                    "method": label,
                    "head": head,
                    "stream": stream,
                    "feature": feature,
                    "mean": size * float(draw.rng.uniform(-1, 1)) if signed else size,
                    "mean_abs": size,
                    "low": None if single else 0.85 * size,
                    "high": None if single else 1.15 * size,
                    "note": "one row: no interval" if single else "",
                }
            )
    return rows


def _curves(draw: _Draw, head: str, method: str) -> list[dict[str, Any]]:
    found = []
    speed = 1.2 if method == "random" else float(draw.rng.uniform(2.5, 5))
    for kind in ("deletion", "insertion"):
        along = np.array(FRACTIONS)
        up = 0.6 * (1 - np.exp(-speed * along)) / (1 - np.exp(-speed))
        mean = up if kind == "deletion" else 0.6 - up
        band = 0.03 * np.sqrt(along * (1 - along)) * 2
        single = draw.rows == 1
        found.append(
            {
                "method": method,
                "head": head,
                "kind": kind,
                "fraction": FRACTIONS,
                "mean": mean.tolist(),
                "low": [None] * 11 if single else (mean - band).tolist(),
                "high": [None] * 11 if single else (mean + band).tolist(),
                "note": "one row: no interval" if single else "",
            }
        )
    return found


def _gap(draw: _Draw, head: str, method: str) -> dict[str, Any]:
    median = float(10 ** draw.rng.uniform(-5, -3))
    quantiles = {"0.5": median, "0.9": 4 * median, "0.99": 9 * median, "1": 30 * median}
    return {"method": method, "head": head, "relative_quantiles": quantiles, "share_within": 0.997, "tolerance": 0.01}


def _examples(draw: _Draw, head: str, used: list, streams: dict) -> list[dict[str, Any]]:
    return [
        {
            "row": row,
            "head": head,
            "prediction": prediction,
            "label": label,
            "inputs": {s: draw.rng.standard_normal(len(f)).tolist() for s, f in streams.items()},
            "values": {
                m[0]: {
                    s: (v if m[2] else np.abs(v)).tolist()
                    for s, v in {s: draw.rng.standard_normal(len(f)) for s, f in streams.items()}.items()
                }
                for m in used
            },
        }
        for row, prediction, label in ((812, 0.974, 1.0), (77, 0.131, 0.0), (4031, 0.00021, None))
    ]


def _verdict(draw: _Draw, head: str, method: str, signed: bool, silent: bool, uses: bool) -> dict[str, Any]:
    words = ["supported", "supported", "doubtful", "misleading"]
    kind, *by_use = ["undecided"] * 4 if silent else draw.rng.choice(words, size=4).tolist()
    texts = {
        "supported": f"{method} can be used to tell which inputs drive head '{head}'.",
        "doubtful": f"Do not rely on {method} alone for head '{head}': its order is not clearly better than a random one.",
        "misleading": f"Do not use {method} for head '{head}': it points away from the inputs the model reacts to.",
        "undecided": f"Nothing can be said of {method} for head '{head}' yet: explain more rows.",
    }
    evidence = [
        "Faithfulness: replacing its top features first is better than a random order (area gained 0.12 (0.1 to 0.14)).",
        "Ground truth: its mean map ranks the true features first with AUROC 0.91 (0.88 to 0.94); 0.5 is chance.",
    ]
    if uses:
        evidence = [
            "Order: 0.12 gained.",
            "Shares: 61% lie where the effect is.",
            "Sign: none is wrong.",
            "Agreement, which decides nothing: 72%.",
        ]
    return {
        "head": head,
        "method": method,
        "verdict": kind,
        "text": texts[kind],
        "evidence": [] if silent else evidence,
        **(dict(zip(("order", "shares", "sign"), by_use[: 2 + signed], strict=False)) if uses else {}),
    }
