"""SML2010: sensors of a house in Valencia every 15 minutes, from a local folder or its official source."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from xai_mimo.core.errors import BadValues
from xai_mimo.datasets.archive import Archive
from xai_mimo.datasets.data import Data
from xai_mimo.datasets.series import Series, windows

ARCHIVE = Archive(
    name="sml2010",
    number=274,
    url="https://archive.ics.uci.edu/static/public/274/sml2010.zip",
    sha256={
        "NEW-DATA-1.T15.txt": "bd5a4c4f1f6a0652258179c9963fb5c90885eedee4a981617898c18d6b5c4541",
        "NEW-DATA-2.T15.txt": "1c008643381903a51557a0599cbd7706ae71b07f2d449d165b17f13b6e12a97e",
    },
)
CITATION = (
    "F. Zamora-Martinez, P. Romeu, P. Botella-Rocamora and J. Pardo (2014), SML2010, UCI ML Repository, data set 274 "
    "(CC BY 4.0)"
)
STREAMS = {
    "dining": ("dining_temp", "dining_co2", "dining_humidity", "dining_light"),
    "room": ("room_temp", "room_co2", "room_humidity", "room_light"),
    "weather": ("forecast_temp", "rain", "wind", "outdoor_temp", "outdoor_humidity"),
    "sun": ("dusk", "sun_west", "sun_east", "sun_south", "irradiance"),
    "dead": ("enthalpic_1", "enthalpic_2", "enthalpic_turbo"),
}
# Name in the file -> ours, unit; in the order of the file's fields 3 to 24.
_FIELDS = {
    "Temperature_Comedor_Sensor": ("dining_temp", "degC"),
    "Temperature_Habitacion_Sensor": ("room_temp", "degC"),
    "Weather_Temperature": ("forecast_temp", "degC"),
    "CO2_Comedor_Sensor": ("dining_co2", "ppm"),
    "CO2_Habitacion_Sensor": ("room_co2", "ppm"),
    "Humedad_Comedor_Sensor": ("dining_humidity", "%"),
    "Humedad_Habitacion_Sensor": ("room_humidity", "%"),
    "Lighting_Comedor_Sensor": ("dining_light", "lx"),
    "Lighting_Habitacion_Sensor": ("room_light", "lx"),
    "Precipitacion": ("rain", ""),
    "Meteo_Exterior_Crepusculo": ("dusk", ""),
    "Meteo_Exterior_Viento": ("wind", "m/s"),
    "Meteo_Exterior_Sol_Oest": ("sun_west", "lx"),
    "Meteo_Exterior_Sol_Est": ("sun_east", "lx"),
    "Meteo_Exterior_Sol_Sud": ("sun_south", "lx"),
    "Meteo_Exterior_Piranometro": ("irradiance", "W/m2"),
    "Exterior_Entalpic_1": ("enthalpic_1", ""),
    "Exterior_Entalpic_2": ("enthalpic_2", ""),
    "Exterior_Entalpic_turbo": ("enthalpic_turbo", ""),
    "Temperature_Exterior_Sensor": ("outdoor_temp", "degC"),
    "Humedad_Exterior_Sensor": ("outdoor_humidity", "%"),
    "Day_Of_Week": ("day_of_week", ""),
}
_HEADER = ("Date", "Time", *_FIELDS)


def sml2010(
    folder: str | os.PathLike[str] | None = None,
    *,
    steps: int = 10,
    horizons: Sequence[int] = (1,),
    joined: bool = False,
) -> Data:
    """Windows of a smart house's sensors; the heads are the temperatures of two rooms, so many quarter hours ahead.

    Streams, each ``(sample, steps, feature)``: ``dining`` and ``room`` (temperature, CO2, humidity, lighting),
    ``weather`` (forecast temperature, rain, wind, outdoor temperature and humidity), ``sun`` (dusk, three facades,
    irradiance) and ``dead``: three motors that were never switched on and read 0 in every row, a negative control.
    Heads ``dining_temp_t+<h>`` and ``room_temp_t+<h>``, degC.

    No window crosses the week between the two files nor the two quarter hours that are missing in the second. The day
    of the week is read but is in no stream; see ``sml2010_series``.

    Args:
        folder: where the two text files lie; see ``Archive.find``.
        steps: rows of a window.
        horizons: quarter hours ahead; one head per room and horizon.
        joined: give one stream ``series`` ``(sample, steps, 21)`` instead, for models such as IMV-LSTM that read
            variables side by side.
    Raises:
        FileProblem, MissingDependency: see ``Archive.find``. BadValues: a file of another layout. BadSetting,
            EmptyData: see ``windows``.
    Source: F. Zamora-Martinez, P. Romeu, P. Botella-Rocamora and J. Pardo (2014), "On-line learning of indoor
        temperature forecasting models towards energy efficiency", Energy and Buildings 83; streams and heads are ours.
    """
    heads = {f"{variable}_t+{h}": (variable, h) for h in horizons for variable in ("dining_temp", "room_temp")}
    streams = {"series": tuple(v for group in STREAMS.values() for v in group)} if joined else STREAMS
    return windows(sml2010_series(folder), heads, steps=steps, streams=streams)


def sml2010_series(folder: str | os.PathLike[str] | None = None) -> Series:
    """The 4137 rows of both files, 22 variables, in two stretches a week apart.

    13 March 2012, 11:45 to 11 April, 06:30, and 18 April, 00:00 to 2 May, 07:30, UTC; means over a quarter hour. In the
    second stretch two rows are missing.

    The files' header begins with ``# 1:Date``: read as names parted by blanks it has one entry more than the data, and
    every name ends up two fields away from its column. Here the ``#`` is dropped and the names are compared with those
    expected.

    Raises:
        FileProblem, MissingDependency: see ``Archive.find``. BadValues: a file of another layout.
    """
    frame = pd.concat([_read(path) for path in ARCHIVE.find(folder).values()], ignore_index=True)
    values = frame[list(_FIELDS)].to_numpy(dtype=np.float64)
    return Series(
        name="sml2010",
        time=pd.to_datetime(frame["Date"] + " " + frame["Time"], format="%d/%m/%Y %H:%M").to_numpy(),
        step=np.timedelta64(15, "m"),
        values=values,
        variables=tuple(name for name, _ in _FIELDS.values()),
        units=tuple(unit for _, unit in _FIELDS.values()),
        measured=np.ones(values.shape, dtype=bool),
        source=CITATION,
    )


def _read(path: Path) -> pd.DataFrame:
    with path.open(encoding="ascii") as file:
        header = file.readline()
    names = tuple(entry.split(":", 1)[-1] for entry in header.lstrip("#").split())
    if names != _HEADER:
        raise BadValues(
            f"the first line of '{path}' names {len(names)} fields, {', '.join(names)[:80]} ...; expected "
            f"'# 1:Date 2:Time 3:{_HEADER[2]} ...' with {len(_HEADER)} fields."
        )
    frame = pd.read_csv(path, sep=r"\s+", skiprows=1, header=None, encoding="ascii")
    if frame.shape[1] != len(_HEADER):
        raise BadValues(f"the rows of '{path}' have {frame.shape[1]} fields; its header names {len(_HEADER)}.")
    return frame.set_axis(list(_HEADER), axis=1)
