"""The published failure rules of the AI4I 2020 data set: exact, and smooth as an oracle model with known support.

Streams are ``product`` (one-hot L, M, H), ``thermal`` (air and process temperature, K), ``mechanical`` (rotational
speed, rpm; torque, Nm) and ``wear`` (tool wear, min). Heads are the failure modes TWF (tool wear), HDF (heat
dissipation), PWF (power), OSF (overstrain) and RNF (random).

Source: S. Matzka (2020), "Explainable Artificial Intelligence for Predictive Maintenance Applications", AI4I 2020;
rule texts from the data set's page, UCI Machine Learning Repository, data set 601.
"""

import numpy as np
from scipy.special import expit

from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.datasets.data import Truth

FAILURES = ("TWF", "HDF", "PWF", "OSF", "RNF")

TYPES = ("type=L", "type=M", "type=H")
STREAMS = (
    Stream("product", (3,), "float64", features=TYPES, groups={"type": TYPES}),
    Stream("thermal", (2,), "float64", features=("air", "process"), unit="K"),
    Stream("mechanical", (2,), "float64", features=("speed", "torque")),
    Stream("wear", (1,), "float64", features=("wear",), unit="min"),
)
HEADS = tuple(Head(name, kind="binary") for name in FAILURES)
UNITS = {"product": ("", "", ""), "thermal": ("K", "K"), "mechanical": ("rpm", "Nm"), "wear": ("min",)}

TRUTH: Truth = {
    "TWF": {"wear": ("wear",)},
    "HDF": {"thermal": ("air", "process"), "mechanical": ("speed",)},
    "PWF": {"mechanical": ("speed", "torque")},
    "OSF": {"product": TYPES, "mechanical": ("torque",), "wear": ("wear",)},
    "RNF": {},
}

_DIFFERENCE = 8.6  # K
_SPEED = 1380.0  # rpm
_POWER = (3500.0, 9000.0)  # W
_STRAIN = np.array([11_000.0, 12_000.0, 13_000.0])  # min Nm, for L, M, H
_WINDOW = (200.0, 240.0)  # min of tool wear
_CHANCE = 0.001  # of a random failure
# Share of rows inside the tool-wear window that fail in the published file: 43 of 790.
WINDOW_RATE = 43 / 790


def power(mechanical: Array) -> Array:
    """Mechanical power in W: torque (Nm) times speed (rpm) times 2 pi / 60."""
    return np.asarray(mechanical[:, 1] * mechanical[:, 0] * (2.0 * np.pi / 60.0))


def exact_rules(inputs: Arrays) -> Arrays:
    """The rules that leave nothing to chance, and the window in which a tool may fail.

        HDF     = process - air < 8.6 K  and  speed < 1380 rpm
        PWF     = power < 3500 W  or  power > 9000 W
        OSF     = wear * torque > 11000 (L), 12000 (M), 13000 (H) min Nm
        window  = 200 min <= wear <= 240 min; a tool fails somewhere in it, at random: TWF has no exact rule

    Computed in float64: 27 rows of the published file lie on 8.6 K, and 12 of them are flagged only because their
    difference is 8.599999999999966 there. In float32 17 labels come out otherwise.

    Args:
        inputs: ``{stream: (sample, feature)}`` in physical units, in the order of the module's docstring.
    Returns:
        ``{"HDF", "PWF", "OSF", "window": (sample,) bool}``.
    """
    product, thermal, mechanical, wear = (np.asarray(inputs[s.name], dtype=np.float64) for s in STREAMS)
    watt = power(mechanical)
    return {
        "HDF": (thermal[:, 1] - thermal[:, 0] < _DIFFERENCE) & (mechanical[:, 0] < _SPEED),
        "PWF": (watt < _POWER[0]) | (watt > _POWER[1]),
        "OSF": wear[:, 0] * mechanical[:, 1] > product @ _STRAIN,
        "window": (wear[:, 0] >= _WINDOW[0]) & (wear[:, 0] <= _WINDOW[1]),
    }


def is_tie(inputs: Arrays) -> Array:
    """Rows whose HDF label hangs on float64 rounding: a nominal difference of exactly 8.6 K, and speed < 1380 rpm.

    Returns:
        ``(sample,)`` bool; 27 rows of the published file.
    """
    thermal, mechanical = np.asarray(inputs["thermal"]), np.asarray(inputs["mechanical"])
    difference, speed = thermal[:, 1] - thermal[:, 0], mechanical[:, 0]
    ties: Array = np.logical_and(np.abs(difference - _DIFFERENCE) < 1e-6, speed < _SPEED)
    return ties


def smooth_rules(product: Array, thermal: Array, mechanical: Array, wear: Array) -> Arrays:
    """The rules as a differentiable model: an oracle whose heads depend on their true features and on nothing else.

    With s the logistic function,

        HDF = s((8.6 - (process - air)) / 0.2) s((1380 - speed) / 15)
        PWF = s((3500 - power) / 100) + s((power - 9000) / 100)
        OSF = s((wear * torque - limit(type)) / 200)
        TWF = 43/790 (s((wear - 200) / 2) - s((wear - 240) / 2))
        RNF = 0.001, whatever the input

    Above one half exactly where the exact rule holds, but for corners of HDF that touch both thresholds. A plain
    function over arrays: ``xm.adapt(smooth_rules, streams=rules.STREAMS, heads=rules.HEADS)``.

    Args:
        product: ``(sample, 3)``. thermal: ``(sample, 2)`` in K. mechanical: ``(sample, 2)`` in rpm and Nm.
        wear: ``(sample, 1)`` in min.
    Returns:
        ``{failure: (sample, 1)}``, probabilities.
    """
    watt = power(mechanical)
    difference, speed, worn = thermal[:, 1] - thermal[:, 0], mechanical[:, 0], wear[:, 0]
    heads = {
        "TWF": WINDOW_RATE * (expit((worn - _WINDOW[0]) / 2.0) - expit((worn - _WINDOW[1]) / 2.0)),
        "HDF": expit((_DIFFERENCE - difference) / 0.2) * expit((_SPEED - speed) / 15.0),
        "PWF": expit((_POWER[0] - watt) / 100.0) + expit((watt - _POWER[1]) / 100.0),
        "OSF": expit((worn * mechanical[:, 1] - product @ _STRAIN) / 200.0),
        "RNF": np.full(len(worn), _CHANCE),
    }
    return {name: values[:, None] for name, values in heads.items()}
