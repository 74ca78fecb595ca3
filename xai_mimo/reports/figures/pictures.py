"""Which pictures of positions a report holds, with titles and captions: of streams, of layers and of single rows."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from xai_mimo.core.positions import is_image
from xai_mimo.record.maps import Example, MapRow, StreamMap
from xai_mimo.record.row import Nested
from xai_mimo.record.rows import Record
from xai_mimo.record.select import of_head, unique
from xai_mimo.reports.figures.examples import example_map, kinds_of_streams
from xai_mimo.reports.figures.layers import hidden_panels, layer_map
from xai_mimo.reports.figures.streams import ROWS_SHOWN, stream_map, streams_with_positions
from xai_mimo.reports.numbers import number, readable, whole
from xai_mimo.reports.signs import colours_of_signs


class Picture(NamedTuple):
    """A figure with what stands above and below it; ``name`` tells it from its neighbours."""

    name: str
    title: str
    caption: str
    figure: Figure


def of_streams(record: Record, head: str) -> Iterator[Picture]:
    """Magnitude, and direction where a method has a sign, of each stream with positions."""
    over = f"mean over {whole(record.data.explained_rows)} rows"
    for stream in streams_with_positions(record, head):
        row = next(r for r in of_head(record.stream_maps, head) if r.stream == stream and r.mean is not None)
        position = "pixel" if is_image(row.axes) else "position"
        more = _shown_rows(row) + (f" {row.note.capitalize()}." if row.note else "")
        magnitude = stream_map(record, head, stream)
        if magnitude is not None:
            yield Picture(
                f"{stream}-magnitude",
                f"Where in {stream}",
                f"Magnitude at each {position}, {over}, in percent of the magnitude of the method's whole map. Equal "
                f"colours are equal shares.{more}",
                magnitude,
            )
        signed = stream_map(record, head, stream, signed=True)
        if signed is not None:
            yield Picture(
                f"{stream}-signed",
                f"Direction in {stream}",
                f"Signed methods only, {over}, on the same measure: {colours_of_signs(record)}. What pulls some "
                f"predictions up and others down cancels here.{more}",
                signed,
            )


def notes_of_streams(record: Record, head: str) -> list[str]:
    """Why streams have no picture."""
    rows = [r for r in of_head(record.stream_maps, head) if r.mean is None]
    return list(dict.fromkeys(f"Map of {r.stream} {r.note}" for r in rows))


def of_layers(record: Record) -> list[tuple[str, list[Picture], list[str]]]:
    """Every layer with the pictures of its maps and notes on those that have none."""
    layers = []
    for layer in unique(r.layer for r in record.maps):
        mine = [row for row in record.maps if row.layer == layer]
        shown = {row.name: _of_map(record, row) for row in mine}
        notes = [f"{readable(row.name)}: {row.note or 'zero everywhere'}" for row in mine if shown[row.name] is None]
        layers.append((layer, [picture for picture in shown.values() if picture is not None], notes))
    return layers


def of_example(record: Record, row: Example) -> Iterator[Picture]:
    """The images and series of one row."""
    for stream, kind in kinds_of_streams(record, row).items():
        figure = example_map(record, row, stream)
        if figure is not None:
            below = (
                " Grey: the input. Faint colour: next to nothing is attributed; colours end at the 99.5 % quantile."
                if kind == "image"
                else ""
            )
            yield Picture(
                stream,
                stream,
                "Attribution in percent of the magnitude of the method's map of this row; "
                f"{colours_of_signs(record)}; violet has no sign.{below}{_outlined(row, stream)}",
                figure,
            )


def _outlined(row: Example, stream: str) -> str:
    if not np.any(row.region.get(stream, 0)):
        return ""
    return " The white line with a dark edge surrounds what the truth marks in this row."


def _of_map(record: Record, row: MapRow) -> Picture | None:
    figure = layer_map(record, row)
    if figure is None:
        return None
    parts = [f"{' × '.join(row.axes)}, mean over {whole(row.rows)} rows."]
    if _smallest(row.mean) < 0:
        parts.append("Values of opposite sign cancel in the mean.")
    hidden = hidden_panels(record, row)
    if hidden:
        parts.append(f"{hidden} more panels are in the record.")
    deviation = _deviation(record, row.layer)
    if deviation and len(row.axes) > 1:
        parts.append(f"Deviation from identity by layer: {deviation}; near 0 a map may be read in the input's words.")
    if row.note:
        parts.append(f"{row.note}.")
    return Picture(row.name, readable(row.name).capitalize(), " ".join(parts), figure)


def _deviation(record: Record, layer: str) -> str:
    """How far each layer of an identity-initialised network is from the identity: no map of it is read without."""
    means = [r.mean for r in record.maps if (r.layer, r.name, r.axes) == (layer, "deviation", ("layer",))]
    return ", ".join(map(number, means[0])) if means and means[0] is not None else ""


def _smallest(values: Nested) -> float:
    return min(map(_smallest, values)) if isinstance(values, tuple) else float(values)


def _shown_rows(row: StreamMap) -> str:
    axes = row.axes
    count = len(row.coords.get(axes[-1], ()))
    is_cut = not is_image(axes) and count > ROWS_SHOWN
    return f" The {ROWS_SHOWN} of {count} features that matter most to some method." if is_cut else ""
