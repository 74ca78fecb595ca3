"""The sections of the page, in order: of the page itself, and of each head.

To add one: a template in ``templates/`` and an entry here, which names the figures it shows (of
``figures.catalogue``) and makes what else the template needs from the record.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from xai_mimo.record.rows import Record
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.pictures import Picture
from xai_mimo.reports.page.drawings import Drawing, draw_figures, draw_pictures
from xai_mimo.reports.page.head import HeadView, view_of_head
from xai_mimo.reports.page.overview import overview, task_table


@dataclass(frozen=True)
class HeadSection:
    """A part of every head's section.

    Attributes:
        title: above it.
        template: a file; it knows ``head`` (a ``HeadView``), ``section`` (this entry) and ``drawings``.
        is_shown: whether a head has anything to say here.
        figures: names in ``figures.catalogue``, in order.
        pictures: with positions, after the figures: of the record and the name of a target.
    """

    title: str
    template: str
    is_shown: Callable[[HeadView], bool] = lambda head: True
    figures: tuple[str, ...] = ()
    pictures: Callable[[Record, str], Iterable[Picture]] = lambda record, head: ()


HEAD_SECTIONS = (
    HeadSection("Verdicts and their evidence", "head_verdicts.html"),
    HeadSection(
        "What the maps say",
        "head_maps.html",
        figures=("feature_map", "stream_shares", "direction", "direction_of_growth"),
        pictures=pictures.of_streams,
    ),
    HeadSection(
        "Can they be believed?",
        "head_scores.html",
        figures=("deletion", "insertion", "agreement", "ground_truth", "completeness_gaps"),
    ),
    HeadSection("Examples of single rows", "head_examples.html", is_shown=lambda head: bool(head.examples)),
)


@dataclass(frozen=True)
class HeadPart:
    """A section of one head with its drawings."""

    section: HeadSection
    drawings: tuple[Drawing, ...]


@dataclass(frozen=True)
class HeadPage:
    """One head: what is said of it, and its parts in order."""

    view: HeadView
    parts: tuple[HeadPart, ...]


@dataclass(frozen=True)
class LayerView:
    """What a layer says of itself: pictures of its maps, and notes on maps that have none."""

    name: str
    drawings: tuple[Drawing, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Section:
    """A part of the page.

    Attributes:
        key: its anchor, and what the list of contents finds it by.
        title: in the list of contents.
        template: a file; it knows ``record`` and ``content``.
        content: what the template lays out; None leaves the section out.
    """

    key: str
    title: str
    template: str
    content: Callable[[Record], Any]


def head_pages(record: Record) -> tuple[HeadPage, ...]:
    """Every head with its parts."""
    pages = []
    for number in range(1, len(record.targets) + 1):
        head = view_of_head(record, number)
        parts = [
            HeadPart(
                section,
                draw_figures(record, head.name, section.figures, head.key)
                + draw_pictures(section.pictures(record, head.name), f"head {head.name}", f"{head.key}-s"),
            )
            for section in HEAD_SECTIONS
            if section.is_shown(head)
        ]
        pages.append(HeadPage(head, tuple(parts)))
    return tuple(pages)


def layer_views(record: Record) -> tuple[LayerView, ...] | None:
    """Every layer that says something of itself; None without any."""
    views = tuple(
        LayerView(layer, draw_pictures(shown, f"layer {layer}", f"l{i}"), tuple(notes))
        for i, (layer, shown, notes) in enumerate(pictures.of_layers(record), start=1)
    )
    return views or None


SECTIONS = (
    Section("summary", "Summary", "summary.html", overview),
    Section("task", "Task scores", "task.html", task_table),
    Section("heads", "Heads", "heads.html", head_pages),
    Section("layers", "Layers", "layers.html", layer_views),
    Section("methods", "Methods", "methods.html", lambda record: record.methods),
    Section("reproduce", "Make it again", "reproduce.html", lambda record: record.versions),
    Section("cite", "Cite", "cite.html", lambda record: record.references),
)
