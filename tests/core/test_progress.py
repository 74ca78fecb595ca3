"""Progress: what is told of steps, parts and rows, and the one bar that shows it."""

import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.progress import bar, counted, part, silent, steps

pytestmark = pytest.mark.all_frameworks


@pytest.fixture
def drawn(monkeypatch):
    """Every move of a bar on a terminal: ``(description, share)``."""
    import rich.console
    import rich.progress

    moves = []

    class Bar:
        def __init__(self, *columns, console, transient, disable):
            assert columns
            assert console.stderr
            assert transient
            assert not disable

        def __enter__(self):
            return self

        def __exit__(self, *error):
            return None

        def add_task(self, name, total):
            moves.append((name, 0.0))
            assert total == 1.0
            return 0

        def update(self, task, description, completed):
            moves.append((description, completed))

    monkeypatch.setattr(rich.progress, "Progress", Bar)
    monkeypatch.setattr(rich.console.Console, "is_terminal", True)
    return moves


@pytest.fixture
def moves():
    """A list, and a progress that is told into it."""
    told = []
    return told, lambda text, share: told.append((text, share))


def test_a_step_moves_by_its_parts_and_is_done_when_it_is_left(moves):
    told, progress = moves
    step = steps(progress, "compare", 2)
    with step("one", 4) as advance:
        advance(1)
        advance(2)
    with step("two", 1) as advance:
        advance(5)  # more than there was
    assert told == [
        ("compare: one", 0.0),
        ("compare: one", 0.125),
        ("compare: one", 0.375),
        ("compare: one", 0.5),
        ("compare: two", 0.5),
        ("compare: two", 1.0),
        ("compare: two", 1.0),
    ]


def test_parts_share_the_whole_evenly(moves):
    told, progress = moves
    part(progress, "network, seed 1", 1, 4)("training", 0.5)
    assert told == [("network, seed 1: training", 0.375)]


def test_rows_are_counted(moves):
    told, progress = moves
    advance = counted(progress, "gradient", 8)
    advance(2)
    advance(6)
    assert told == [("gradient", 0.25), ("gradient", 1.0)]


def test_the_bar_shows_what_is_told(drawn):
    with bar(True, "starting") as progress:
        progress("training", 0.5)
    assert drawn == [("starting", 0.0), ("training", 0.5)]


def test_without_a_bar_nothing_is_drawn(drawn, capfd):
    with bar(False, "compare") as progress:
        progress("one", 1.0)
    silent("one", 1.0)
    silent(3.0)
    assert drawn == []
    with bar(True, "compare") as progress, pytest.raises(BadSetting, match="no good"):
        raise BadSetting("no good")
    assert capfd.readouterr().out == ""


def test_a_log_file_is_not_filled_with_bars(capfd):
    with bar(True, "compare") as progress:
        progress("one", 1.0)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert "compare" not in captured.err


def test_explain_counts_rows_on_the_bar(drawn):
    model = toys.mlp()
    xm.explain(model, toys.rows(model, 8), "gradient", rows_per_block=4, progress=True)
    assert drawn == [("gradient", 0.0), ("gradient", 0.5), ("gradient", 1.0)]


def test_a_comparison_tells_every_step_and_fills_the_bar(drawn):
    model = toys.mlp()
    methods = ["gradient", "integrated_gradients"]
    settings = Settings(resamples=100, steps=2, controls=1)
    xm.compare(model, toys.rows(model), methods, settings=settings, progress=True)
    first, *moves = drawn
    assert first == ("compare", 0.0)
    names = list(dict.fromkeys(name for name, _ in moves))
    families = ["agreement", "faithfulness", "ground truth", "complexity", "completeness"]
    assert names == [f"compare: {n}" for n in (*methods, *families)]
    shares = [share for _, share in moves]
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


def test_a_step_that_fails_lets_its_error_through():
    with pytest.raises(BadSetting, match="no good"), steps(silent, "compare", 1)("one", 1):
        raise BadSetting("no good")


def test_names_in_a_bar_are_neither_markup_nor_control_codes(monkeypatch, capsys):
    import rich.console

    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(rich.console.Console, "is_terminal", True)
    with bar(True, "[/start]") as progress:
        progress("explaining [red]a[/b] \x1b[31m\x07\nrest", 1.0)
    text = capsys.readouterr().err
    assert r"explaining [red]a[/b] \x1b[31m\x07 rest" in text
    assert "\x07" not in text
    assert "\x1b[31m" not in text
