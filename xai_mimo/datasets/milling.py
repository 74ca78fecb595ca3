"""A milling machine to generate rows from: the published rules on realistic marginals, with known truth per head."""

import numpy as np
from scipy.special import ndtr

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array
from xai_mimo.datasets.data import Data
from xai_mimo.datasets.rules import FAILURES, HEADS, STREAMS, TRUTH, UNITS, WINDOW_RATE, exact_rules, is_tie

# Quantiles of the published file at these levels, in its own resolution.
# fmt: off
LEVELS = (0, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975, 0.99, 0.995,
          0.999, 1)
QUANTILES = {
    "air": (295.3, 295.5, 295.6, 295.9, 296.7, 297.1, 297.4, 298.1, 298.7, 299.2, 300.1, 300.6, 301.1, 301.9, 302.7,
            303.5, 303.8, 304.1, 304.2, 304.3, 304.5),
    "process": (305.7, 305.9, 306.2, 306.6, 307.4, 307.7, 308.1, 308.6, 309.1, 309.6, 310.1, 310.5, 310.9, 311.3,
                311.9, 312.5, 313.0, 313.2, 313.4, 313.6, 313.8),
    "speed": (1168, 1212, 1256, 1275, 1305, 1332, 1364, 1405, 1439, 1470, 1503, 1541, 1584, 1644, 1746, 1868, 1984,
              2188, 2372, 2706, 2886),
    "torque": (3.8, 9.8, 14.5, 16.7, 20.3, 23.5, 27.2, 31.4, 34.8, 37.5, 40.1, 42.7, 45.3, 48.3, 52.6, 56.1, 59.6,
               62.8, 65.9, 70.6, 76.6),
    "wear": (0, 0, 0, 0, 4, 10, 20, 42, 64, 86, 108, 130, 151.3, 174, 195, 206, 215, 222, 229, 241, 253),
}
# fmt: on
_DECIMALS = {"air": 1, "process": 1, "speed": 0, "torque": 1, "wear": 0}
_TYPES = (0.6000, 0.2997, 0.1003)  # L, M, H
_RANDOM_RATE = 0.0019
# Correlations of the normal scores that give the file's Pearson correlations .876 and -.875 behind these quantiles.
_THERMAL, _MECHANICAL = 0.8811, -0.9393
_BLOCK = 20_000


def predictive_maintenance(
    n: int = 10_000, seed: int = 0, *, independent: bool = False, positives: float | None = None
) -> Data:
    """Rows of a milling machine whose failures follow the published rules of AI4I 2020.

    Marginals are the published file's, by linear interpolation between 21 recorded quantiles, rounded to the file's
    resolution; air and process temperature (correlation .876) and speed and torque (-.875) are tied by a Gaussian
    copula; everything else is independent. Failure rates come out at about HDF 1.2 %, PWF 1.0 %, OSF 1.0 % (the file:
    1.15, 0.95, 0.98); PWF has more rows below 3500 W and fewer above 9000 W than the file. A tool inside its window
    (wear 200 to 240 min) fails with probability 43/790, as in the file; RNF falls at random on 0.19 % of the rows.

    Args:
        n: number of rows.
        seed: the same seed gives the same rows.
        independent: draw every feature on its own, with the same marginals: breaks the two correlations and so
            separates an explainer's error from credit that moves inside a correlated pair.
        positives: None for the natural rates; else this share of the rows is drawn for each of TWF, HDF, PWF and OSF
            (at most 0.25, or no row would be left for the sound machine) and RNF falls on this share at random. Rows
            that fail in two ways count for both, so that shares come out up to a fifth higher (PWF, which is common
            when speed and torque are independent, up to twice). Choosing rows by their
            labels changes the marginals, and features that share a rule become dependent.
    Returns:
        The rows, shuffled, with the truth per head; tied rows (see ``is_tie``) carry their float64 label.
    Raises:
        BadSetting: fewer than one row, or positives outside (0, 0.25].
    Source: rules as in ``rules``; marginals of the data set's published file.
    """
    if n < 1:
        raise BadSetting(f"n is the number of rows and must be at least 1; got {n}.")
    if positives is not None and not 0 < positives <= 0.25:
        raise BadSetting(f"positives must lie above 0 and at most at 0.25 (four failure modes); got {positives}.")
    rng = np.random.default_rng(seed)
    if positives is None:
        inputs = _machines(n, independent, rng)
        labels = _failures(inputs, WINDOW_RATE, _RANDOM_RATE, rng)
    else:
        inputs, labels = _enriched(n, positives, independent, rng)
    return Data(
        name="predictive_maintenance" + ("_independent" if independent else ""),
        inputs=inputs,
        labels=labels,
        streams=STREAMS,
        heads=HEADS,
        truth=TRUTH,
        units=UNITS,
        ties=is_tie(inputs),
        source=f"generated: predictive_maintenance(n={n}, seed={seed}, {independent=}, {positives=})",
    )


def _machines(n: int, independent: bool, rng: np.random.Generator) -> Arrays:
    scores = dict(zip(QUANTILES, rng.standard_normal((len(QUANTILES), n)), strict=True))
    if not independent:
        scores["process"] = _tie(scores["air"], scores["process"], _THERMAL)
        scores["speed"] = _tie(scores["torque"], scores["speed"], _MECHANICAL)
    column = {
        name: np.round(np.interp(ndtr(scores[name]), LEVELS, QUANTILES[name]), _DECIMALS[name]) for name in QUANTILES
    }
    types = rng.choice(3, size=n, p=_TYPES)
    return {
        "product": np.eye(3)[types],
        "thermal": np.stack([column["air"], column["process"]], axis=1),
        "mechanical": np.stack([column["speed"], column["torque"]], axis=1),
        "wear": column["wear"][:, None],
    }


def _tie(one: Array, other: Array, correlation: float) -> Array:
    return np.asarray(correlation * one + np.sqrt(1.0 - correlation**2) * other)


def _failures(inputs: Arrays, window_rate: float, random_rate: float, rng: np.random.Generator) -> Arrays:
    rules = exact_rules(inputs)
    n = len(rules["window"])
    rules["TWF"] = rules.pop("window") & (rng.random(n) < window_rate)
    rules["RNF"] = rng.random(n) < random_rate
    return {name: rules[name].astype(np.int64) for name in FAILURES}


def _enriched(n: int, positives: float, independent: bool, rng: np.random.Generator) -> tuple[Arrays, Arrays]:
    """Draw natural rows until each failure mode has its share, and sound machines fill the rest."""
    missing = {**dict.fromkeys(("TWF", "HDF", "PWF", "OSF"), int(np.ceil(n * positives))), "sound": n}
    kept: dict[str, list[Arrays]] = {group: [] for group in missing}
    while any(missing.values()):
        inputs = _machines(_BLOCK, independent, rng)
        labels = _failures(inputs, WINDOW_RATE, positives, rng)
        failed = {group: labels[group] == 1 for group in missing if group != "sound"}
        for group, mask in {**failed, "sound": ~np.logical_or.reduce(list(failed.values()))}.items():
            rows = np.flatnonzero(mask)[: missing[group]]
            missing[group] -= len(rows)
            kept[group].append({name: values[rows] for name, values in {**inputs, **labels}.items()})
    blocks = [block for group in kept.values() for block in group]  # failures first, so that sound rows are cut off
    order = rng.permutation(n)
    drawn = {name: np.concatenate([block[name] for block in blocks])[:n][order] for name in blocks[0]}
    return {s.name: drawn[s.name] for s in STREAMS}, {name: drawn[name] for name in FAILURES}
