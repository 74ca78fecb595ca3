"""Draw docs/house.svg: the rooms on their floors, as the import contracts and the imports themselves have them.

    python docs/draw_house.py [FILE]

Floors come from the contract "floors" in pyproject.toml, a room's job from the first line of its docstring, what it
imports from the imports. ``core`` and ``sowing`` are not named as imports: every room may use them.
"""

import ast
import sys
import textwrap
import tomllib
from pathlib import Path

import grimp
import matplotlib
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).resolve().parents[1]
GROUND = ("core", "sowing")
WIDTH, LINE, GAP = 12.0, 0.19, 0.15
ADAPTERS = "One package or file a framework; know core and sowing only, found by entry point, imported by nobody"
INK, PAPER, EDGE, ARROW = "#1f2933", "#f3f6fa", "#7b8794", "#3e6ea8"


def floors() -> list[list[str]]:
    """The rooms of each floor, from the top."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contract = next(c for c in settings["tool"]["importlinter"]["contracts"] if c["name"] == "floors")
    return [[room.strip() for room in floor.split("|")] for floor in contract["layers"]]


def job(package: Path) -> str:
    """The first line of a package's or a module's docstring."""
    file = package / "__init__.py" if package.is_dir() else package.with_suffix(".py")
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0].rstrip(".").replace("``", "")


def wings(package: Path) -> str:
    """The packages inside a room."""
    return " · ".join(sorted(p.parent.name for p in package.glob("*/__init__.py")))


def imports() -> set[tuple[str, str]]:
    """Which room imports which, without the ground floor."""
    graph = grimp.build_graph("xai_mimo")
    pairs = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            if module.count(".") and imported.count("."):
                pairs.add((module.split(".")[1], imported.split(".")[1]))
    return {(one, other) for one, other in pairs if one != other and other not in GROUND}


def draw() -> Figure:
    """The house: a band a floor; a room says its job, what is inside, and which rooms it imports."""
    pairs = imports()
    bands = [[_room(room, pairs, len(rooms)) for room in rooms] for rooms in floors()]
    bands.append([[("adapters/xai_mimo_adapters", INK), *_lines(ADAPTERS, 90, INK), *_lines(_adapters(), 90, ARROW)]])
    heights = [0.35 + LINE * max(len(lines) for lines in band) for band in bands]
    figure = Figure(figsize=(WIDTH, sum(heights) + GAP * len(heights)))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    top = 0.0
    for band, height in zip(bands, heights, strict=True):
        each = (WIDTH - 0.9 - GAP * (len(band) - 1)) / len(band)
        for i, lines in enumerate(band):
            _box(axes, 0.7 + i * (each + GAP), top, each, height, lines, dashed=band is bands[-1])
        top -= height + GAP
    foot = top + heights[-1] + 2 * GAP
    axes.add_patch(FancyArrowPatch((0.4, 0), (0.4, foot), arrowstyle="-|>", mutation_scale=16, color=ARROW, lw=2))
    axes.text(0.2, foot / 2, "imports point down", rotation=90, ha="center", va="center", color=ARROW, size=10)
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(top, GAP)
    return figure


def _room(room: str, pairs: set[tuple[str, str]], rooms: int) -> list[tuple[str, str]]:
    """What stands in the box of a room, line by line, with its colour."""
    package = ROOT / "xai_mimo" / room
    letters = 120 // rooms
    below = ", ".join(sorted(other for one, other in pairs if one == room))
    text = job(package).split(":")[0] if rooms > 2 else job(package)
    inside = _lines(wings(package), letters, ARROW) if package.is_dir() else []
    return [(room, INK), *_lines(text, letters, INK), *inside, *_lines(below and f"imports {below}", letters, EDGE)]


def _lines(text: str, letters: int, colour: str) -> list[tuple[str, str]]:
    return [(line, colour) for line in textwrap.wrap(text, letters)]


def _adapters() -> str:
    folder = ROOT / "adapters" / "xai_mimo_adapters"
    names = [
        p.stem if p.suffix else p.name for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()
    ]
    return " · ".join(sorted(n for n in names if not n.startswith("_")))


def _box(
    axes: matplotlib.axes.Axes,
    left: float,
    top: float,
    width: float,
    height: float,
    lines: list[tuple[str, str]],
    *,
    dashed: bool,
) -> None:
    shape = FancyBboxPatch(
        (left, top - height),
        width,
        height,
        boxstyle="round,pad=0,rounding_size=0.08",
        facecolor=PAPER,
        edgecolor=EDGE,
        linestyle="--" if dashed else "-",
    )
    axes.add_patch(shape)
    for i, (line, colour) in enumerate(lines):
        size, weight = (11, "bold") if i == 0 else (8.5, "normal")
        y = top - 0.2 - LINE * i - (0.04 if i else 0)
        axes.text(left + width / 2, y, line, ha="center", va="center", size=size, weight=weight, color=colour)


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "house.svg"
    matplotlib.rcParams["svg.fonttype"] = "none"
    matplotlib.rcParams["svg.hashsalt"] = "house"  # the same drawing gives the same file
    draw().savefig(target, metadata={"Date": None})
    print(f"wrote {target}")
