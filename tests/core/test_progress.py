"""Progress: what is told of steps, parts and rows, and the one bar that shows it."""

import os
import subprocess
import sys
import time

import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core import progress as room
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

        def start(self):
            moves.append(("started", None))

        def stop(self):
            moves.append(("stopped", None))

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


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(room, "_SHOWN_AFTER_S", 0.1)


@pytest.mark.usefixtures("terminal")
def test_by_default_a_bar_is_shown_of_long_work_on_a_terminal(drawn):
    with bar(None, "compare") as progress:
        progress("one", 0.25)
        assert drawn == [("compare", 0.0), ("one", 0.25)]
        time.sleep(0.5)
        assert drawn[2:] == [("started", None)]
    assert drawn[3:] == [("stopped", None)]


@pytest.mark.usefixtures("terminal")
def test_by_default_short_work_and_failures_leave_no_bar(drawn):
    with pytest.raises(BadSetting, match="no good"), bar(None, "compare"):
        raise BadSetting("no good")
    time.sleep(0.3)
    assert ("started", None) not in drawn


def test_by_default_nothing_is_drawn_into_a_pipe(drawn, monkeypatch):
    monkeypatch.setattr(room, "_SHOWN_AFTER_S", 0.0)
    for stream in (sys.stderr, None):
        monkeypatch.setattr(sys, "stderr", stream)
        with bar(None, "compare") as progress:
            progress("one", 1.0)
            time.sleep(0.1)
    assert drawn == []


SLOW = """
import time, numpy as np, xai_mimo as xm
def slow(a):
    time.sleep(0.4)
    return {{"y": a[:, :1]}}
model = xm.adapt(slow, streams={{"a": 4}}, heads={{"y": 1}})
{call}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminal")
@pytest.mark.parametrize(
    ("call", "name"),
    [
        ("xm.explain(model, np.ones((3, 4)) * np.arange(3)[:, None], 'occlusion')", "occlusion"),
        ("xm.compare(model, np.eye(4), ['occlusion'], metrics=['deletion_area'])", "compare: occlusion"),
    ],
)
def test_explain_and_compare_show_their_bar_on_a_terminal_alone(call, name):
    assert name in _on_a_terminal(SLOW.format(call=call))
    done = subprocess.run([sys.executable, "-c", SLOW.format(call=call)], capture_output=True, text=True, check=True)
    assert name not in done.stderr
    assert "\x1b" not in done.stderr


def _on_a_terminal(code):
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=theirs, stdout=subprocess.DEVNULL, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            read = os.read(ours, 4096)
        except OSError:  # the terminal's end
            break
        if not read:
            break
        shown += read
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()
