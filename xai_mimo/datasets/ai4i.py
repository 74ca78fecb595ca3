"""The AI4I 2020 predictive maintenance data set, from a local folder or its official source."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from xai_mimo.core.errors import BadValues
from xai_mimo.core.model import Arrays
from xai_mimo.datasets.archive import Archive
from xai_mimo.datasets.data import Data
from xai_mimo.datasets.rules import FAILURES, HEADS, STREAMS, TRUTH, UNITS, is_tie

FILE = "ai4i2020.csv"
URL = "https://archive.ics.uci.edu/static/public/601/ai4i+2020+predictive+maintenance+dataset.zip"
SHA256 = "dc6630cd9b1f0f853922fad78a1b6436570d3f1ec863f1dd5c4340ac56bc8a8e"
CITATION = "S. Matzka (2020), AI4I 2020 Predictive Maintenance Dataset, UCI ML Repository, data set 601 (CC BY 4.0)"
_ARCHIVE = Archive(
    name="ai4i2020",
    number=601,
    url=URL,
    sha256={FILE: SHA256},
    refused="several copies of this data set are edited. Use the file of UCI data set {number}, or study your own file "
    "with `xai-mimo study` and its `csv` key.",
)


def ai4i2020(folder: str | os.PathLike[str] | None = None) -> Data:
    """10000 rows of a milling machine with five failure modes and the rule behind each.

    Streams: ``product`` (type one-hot: L, M, H), ``thermal`` (air and process temperature, K), ``mechanical`` (speed,
    rpm; torque, Nm), ``wear`` (min). Heads, all binary and rare: TWF (46 rows), HDF (115), PWF (95), OSF (98) and RNF
    (19), which falls at random and serves as a negative control. The rules of HDF, PWF and OSF hold in all rows when
    they are computed in float64 (``exact_rules``); in TWF 43 of the 46 failures lie in the window of 200 to 240 min,
    where 747 sound rows lie too. ``ties`` marks 27 rows on the edge of the HDF rule.

    The row id, the product id (its letter is the type) and "Machine failure" (not the union of the modes in 27 rows)
    are left out.

    Args:
        folder: where ``ai4i2020.csv`` lies; see ``ai4i2020_path``.
    Raises:
        FileProblem: the file cannot be found or fetched, or is not the published one. BadValues: a cell is no number.
    Source: S. Matzka (2020), "Explainable Artificial Intelligence for Predictive Maintenance Applications".
    """
    frame = pd.read_csv(ai4i2020_path(folder), encoding="utf-8-sig")
    inputs = _streams(frame)
    return Data(
        name="ai4i2020",
        inputs=inputs,
        labels={name: frame[name].to_numpy(dtype=np.int64) for name in FAILURES},
        streams=STREAMS,
        heads=HEADS,
        truth=TRUTH,
        units=UNITS,
        ties=is_tie(inputs),
        source=CITATION,
    )


def ai4i2020_path(folder: str | os.PathLike[str] | None = None) -> Path:
    """The CSV file itself, checked.

    Looked for in ``folder``, then in ``$XAI_MIMO_DATA/ai4i2020`` and, without either, fetched once into the user's
    cache from the UCI Machine Learning Repository.

    The recorded checksum is that of a copy whose data cells all agree with three other independent copies; see
    ``Archive`` for what that means.

    Raises:
        FileProblem: no file in the folder named, no network, or another checksum than the recorded one.
        MissingDependency: pooch is needed to download.
    """
    return _ARCHIVE.find(folder)[FILE]


def _streams(frame: pd.DataFrame) -> Arrays:
    columns = {
        "thermal": ["Air temperature [K]", "Process temperature [K]"],
        "mechanical": ["Rotational speed [rpm]", "Torque [Nm]"],
        "wear": ["Tool wear [min]"],
    }
    types = frame["Type"].to_numpy()
    unknown = set(types) - set("LMH")
    if unknown:
        raise BadValues(f"column 'Type' of {FILE} holds {sorted(map(str, unknown))}; expected L, M or H.")
    return {
        "product": np.stack([types == letter for letter in "LMH"], axis=1).astype(np.float64),
        **{name: frame[names].to_numpy(dtype=np.float64) for name, names in columns.items()},
    }
