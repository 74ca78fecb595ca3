"""Beijing PM2.5: hourly fine dust and weather of five years, from a local folder or its official source."""

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from xai_mimo.core.errors import BadValues
from xai_mimo.core.streams import Array
from xai_mimo.datasets.archive import Archive
from xai_mimo.datasets.data import Data
from xai_mimo.datasets.series import Series, windows

FILE = "PRSA_data_2010.1.1-2014.12.31.csv"
ARCHIVE = Archive(
    name="beijing_pm25",
    number=381,
    url="https://archive.ics.uci.edu/static/public/381/beijing+pm2+5+data.zip",
    sha256={FILE: "4127f868775e31b3956522adc0ec75af8937dde6a3896e8beed3a376c6d27f1c"},
)
CITATION = "S. X. Chen (2015), Beijing PM2.5, UCI ML Repository, data set 381 (CC BY 4.0)"
DIRECTIONS = ("NE", "NW", "SE", "cv")
_WIND = tuple(f"wind={d}" for d in DIRECTIONS)
STREAMS = {
    "pollution": ("pm25",),
    "thermo": ("dew_point", "temperature", "pressure"),
    "wind": (*_WIND, "wind_speed"),
    "precip": ("snow", "rain"),
}
CALENDAR = ("sin_hour", "cos_hour", "sin_month", "cos_month")
_COLUMNS = ["No", "year", "month", "day", "hour", "pm2.5", "DEWP", "TEMP", "PRES", "cbwd", "Iws", "Is", "Ir"]
# Column of the file -> our name, unit.
_NUMBERS = {
    "pm2.5": ("pm25", "ug/m3"),
    "DEWP": ("dew_point", "degC"),
    "TEMP": ("temperature", "degC"),
    "PRES": ("pressure", "hPa"),
    "Iws": ("wind_speed", "m/s"),
    "Is": ("snow", "h"),
    "Ir": ("rain", "h"),
}


def beijing_pm25(
    folder: str | os.PathLike[str] | None = None,
    *,
    steps: int = 10,
    horizons: Sequence[int] = (1, 6),
    joined: bool = False,
    calendar: bool = False,
) -> Data:
    """Windows of fine dust and weather; each head is the dust so many hours ahead.

    Streams, each ``(sample, steps, feature)``: ``pollution`` (PM2.5, ug/m3), ``thermo`` (dew point, temperature,
    pressure), ``wind`` (direction one-hot, with ``cv`` for calm and variable; speed cumulated since the direction last
    changed) and ``precip`` (cumulated hours of snow and of rain). Heads ``pm25_t+<h>``, ug/m3.

    2067 hours have no PM2.5. They are filled with the last value before, which leaks nothing but makes flat stretches;
    ``measured`` of the result tells which labels nobody measured, so that scores can be given with and without them.

    Args:
        folder: where the CSV lies; see ``Archive.find``.
        steps: hours of a window.
        horizons: hours ahead, one head each.
        joined: give one stream ``series`` ``(sample, steps, 11)`` instead, for models such as IMV-LSTM that read
            variables side by side.
        calendar: add a stream ``calendar``: sine and cosine of the hour and of the month.
    Raises:
        FileProblem, MissingDependency: see ``Archive.find``. BadValues: a file of another layout. BadSetting,
            EmptyData: see ``windows``.
    Source: X. Liang et al. (2015), "Assessing Beijing's PM2.5 pollution: severity, weather impact, APEC and winter
        heating", Proceedings of the Royal Society A 471; streams and heads are ours.
    """
    streams = {**STREAMS, "calendar": CALENDAR} if calendar else STREAMS
    if joined:
        streams = {"series": tuple(v for group in streams.values() for v in group)}
    data = windows(
        beijing_pm25_series(folder), {f"pm25_t+{h}": ("pm25", h) for h in horizons}, steps=steps, streams=streams
    )
    groups = {"wind": _WIND}
    return replace(
        data, streams=tuple(replace(s, groups=groups) if set(_WIND) <= set(s.features) else s for s in data.streams)
    )


def beijing_pm25_series(folder: str | os.PathLike[str] | None = None) -> Series:
    """Hourly rows from 2 January 2010, 0 h, to the end of 2014: 43800 rows without a gap, 15 variables.

    The first 24 rows of the file have no PM2.5 and nothing before them to fill it with; they are left out. ``measured``
    marks the 2043 later values that were filled in.

    Raises:
        FileProblem, MissingDependency: see ``Archive.find``. BadValues: a file of another layout, or an unknown wind
            direction.
    """
    path = ARCHIVE.find(folder)[FILE]
    frame = pd.read_csv(path, encoding="ascii")
    if list(frame.columns) != _COLUMNS:
        raise BadValues(f"'{path}' has the columns {', '.join(frame.columns)}; expected {', '.join(_COLUMNS)}.")
    unknown = set(frame["cbwd"]) - set(DIRECTIONS)
    if unknown:
        raise BadValues(f"column 'cbwd' of '{path}' holds {sorted(map(str, unknown))}; expected {DIRECTIONS}.")
    has_value = frame["pm2.5"].notna().to_numpy()
    if not has_value.any():
        raise BadValues(f"column 'pm2.5' of '{path}' holds no value at all.")
    kept = frame.assign(**{"pm2.5": frame["pm2.5"].ffill()}).iloc[int(np.argmax(has_value)) :]
    parts, units = _variables(kept)
    measured = np.ones((len(kept), len(parts)), dtype=bool)
    measured[:, list(parts).index("pm25")] = has_value[-len(kept) :]
    return Series(
        name="beijing_pm25",
        time=pd.to_datetime(kept[["year", "month", "day", "hour"]]).to_numpy(),
        step=np.timedelta64(1, "h"),
        values=np.stack(list(parts.values()), axis=1),
        variables=tuple(parts),
        units=tuple(units.get(name, "") for name in parts),
        measured=measured,
        source=CITATION,
    )


def _variables(frame: pd.DataFrame) -> tuple[dict[str, Array], dict[str, str]]:
    """Every variable's column, and the units of those that have one."""
    names = [name for group in (*STREAMS.values(), CALENDAR) for name in group]
    hour = 2.0 * np.pi * frame["hour"].to_numpy() / 24.0
    month = 2.0 * np.pi * (frame["month"].to_numpy() - 1) / 12.0
    columns = {name: frame[column].to_numpy(dtype=np.float64) for column, (name, _) in _NUMBERS.items()}
    columns |= {f"wind={d}": (frame["cbwd"] == d).to_numpy(dtype=np.float64) for d in DIRECTIONS}
    columns |= dict(zip(CALENDAR, (np.sin(hour), np.cos(hour), np.sin(month), np.cos(month)), strict=True))
    return {name: columns[name] for name in names}, dict(_NUMBERS.values())
