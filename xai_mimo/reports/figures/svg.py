"""A figure as SVG inside a page: small, of one piece with it, and never in conflict with its neighbours."""

import re
import xml.etree.ElementTree as ET

from matplotlib.figure import Figure

from xai_mimo.reports.figures.canvas import saved
from xai_mimo.reports.figures.palette import INK, LINE, MUTED

_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_ONLY_ELSEWHERE = ("metadata", "style")
_THEMED = {INK: "currentColor", MUTED: "var(--muted)", LINE: "var(--grid)"}
_FONTS = re.compile(r"font(?:-family)?:\s*([^;]*)'DejaVu Sans'[^;]*")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")


def inline_svg(figure: Figure, *, key: str, description: str) -> str:
    """SVG to put into HTML.

    Ids are prefixed with ``key`` (and dropped where nothing refers to them), colours of text and lines follow the
    page's theme, text stays text in the page's font, and neither dates nor addresses are left in.

    Args:
        figure: what to draw.
        key: letters, digits and "-"; different for every figure of a page.
        description: what a reader who cannot see it is told.
    """
    root = ET.fromstring(saved(figure, "svg", salt=key))
    _prune(root)
    used = _references(root)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _rename(element, key, used)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": description})
    return ET.tostring(root, encoding="unicode")


def _prune(root: ET.Element) -> None:
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in _ONLY_ELSEWHERE:
                parent.remove(child)
        if parent.text and not parent.text.strip():
            parent.text = None
        parent.tail = None


def _references(root: ET.Element) -> set[str]:
    used = set()
    for element in root.iter():
        if _HREF in element.attrib:
            used.add(element.attrib[_HREF].removeprefix("#"))
        for value in element.attrib.values():
            used.update(_REFERENCE.findall(value))
    return used


def _rename(element: ET.Element, key: str, used: set[str]) -> None:
    given = dict(element.attrib)
    element.attrib.clear()
    for name, value in given.items():
        if name == "id":
            if value in used:
                element.set("id", f"{key}-{value}")
        elif name == _HREF:
            is_inside = value.startswith("data:")  # the pixels of a heat map
            element.set("href", value if is_inside else f"#{key}-{value.removeprefix('#')}")
        elif name == "style":
            element.set("style", _themed(value, key))
        else:
            element.set(name, _REFERENCE.sub(rf"url(#{key}-\1)", value))


def _themed(style: str, key: str) -> str:
    for colour, theirs in _THEMED.items():
        style = style.replace(colour, theirs)
    return _REFERENCE.sub(rf"url(#{key}-\1)", style)
