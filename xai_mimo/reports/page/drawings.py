"""Figures as the page shows them: SVG with a title above and a caption below."""

from collections.abc import Iterable
from dataclasses import dataclass

from xai_mimo.record.rows import Record
from xai_mimo.reports.figures.catalogue import FIGURES
from xai_mimo.reports.figures.pictures import Picture
from xai_mimo.reports.figures.svg import inline_svg


@dataclass(frozen=True)
class Drawing:
    """A figure inside the page.

    Attributes:
        title: above it.
        caption: below it.
        svg: markup, safe to put in as it is.
    """

    title: str
    caption: str
    svg: str


def draw_figures(record: Record, head: str, names: Iterable[str], key: str) -> tuple[Drawing, ...]:
    """Figures of the catalogue about one target, without those that the record holds no number for.

    Args:
        record: the comparison record. head: name of the target.
        names: of figures, in order.
        key: tells the drawings from others of the page.
    """
    drawings = []
    for name in names:
        entry = FIGURES[name]
        figure = entry.draw(record, head, with_legend=entry.has_own_legend)
        if figure is None:
            continue
        description = f"Figure: {entry.description}, head {head}. The numbers are in the tables of this section."
        svg = inline_svg(figure, key=f"{key}-{name.replace('_', '-')}", description=description)
        drawings.append(Drawing(entry.title, entry.caption(record, head), svg))
    return tuple(drawings)


def draw_pictures(pictures: Iterable[Picture], about: str, key: str) -> tuple[Drawing, ...]:
    """Pictures with positions; ``about`` says of what they are, ``key`` tells the drawings from others of the page."""
    return tuple(
        Drawing(
            p.title,
            p.caption,
            inline_svg(p.figure, key=f"{key}-{i}", description=f"Figure: {p.title}, {about}. {p.caption}"),
        )
        for i, p in enumerate(pictures, start=1)
    )
