"""Names that look like markup or hold control codes, wherever the command line shows them."""

import sys
import warnings

import pytest
import typer

from tests.helpers.records import make_record
from xai_mimo.cli import doctor, show
from xai_mimo.cli.backend import quiet_warnings
from xai_mimo.cli.guard import guarded
from xai_mimo.core import errors
from xai_mimo.core.errors import BadSetting, PluginWarning
from xai_mimo.record.check import check

pytestmark = pytest.mark.all_frameworks
HOSTILE = [
    "[/x]",
    "[red]",
    "[bold]b[/bold]",
    "[link=file:///x]y[/link]",
    ":smile:",
    "\\[a]",
    "\x1b[31mred",
    "a\x07b\x9bc",
]
SHOWN = [*HOSTILE[:-2], r"\x1b[31mred", r"a\x07b\x9bc"]


@pytest.mark.parametrize(("name", "shown"), zip(HOSTILE, SHOWN, strict=True))
@pytest.mark.parametrize("colours", ["1", ""])
def test_a_table_shows_names_as_they_are(name, shown, colours, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", colours)
    monkeypatch.setenv("COLUMNS", "200")
    show.table(name, [name, "network"], [["1", name]])
    text = capsys.readouterr().out
    assert text.count(shown) == 3
    assert "\x1b[31m" not in text
    assert not {"\x07", "\x9b"} & set(text)


def test_verdicts_have_a_line_for_each_use(capsys):
    record = make_record(1, methods=1, head_names=("\x1b[31m[red]",))
    record["verdicts"][0] |= {"verdict": "doubtful", "order": "supported", "shares": "misleading"}
    show.verdicts(check(record))
    text = capsys.readouterr().out
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert [line[3] for line in lines] == ["order: supported", "shares: misleading", "sign: not judged"]
    assert lines[0][:3] == [r"\x1b[31m[red]", "attention", "doubtful"]
    assert text.splitlines()[-1].startswith("order: which inputs matter more than which; shares: ")
    assert "\x1b" not in text


def test_verdicts_of_older_records_have_one_word(capsys):
    show.verdicts(check(make_record(1, methods=1, uses=False)))
    text = capsys.readouterr().out
    assert "for each use" not in text
    assert "which inputs matter more" not in text


def test_a_file_is_named_on_one_line(capsys, tmp_path):
    show.written(tmp_path / "a\nerror: \x1b[2J.html")
    assert capsys.readouterr().out == f"report: {tmp_path}/a error: \\x1b[2J.html\n"


@pytest.mark.parametrize("debug", [False, True])
def test_an_error_shows_names_without_control_codes(debug, capsys):
    @guarded
    def broken(*, debug):
        raise BadSetting("no head is called '[/x]\x1b[31m\nred'.")

    with pytest.raises(typer.Exit):
        broken(debug=debug)
    text = capsys.readouterr().err
    assert text.splitlines()[-1] == r"error: no head is called '[/x]\x1b[31m red'."
    assert "\x1b" not in text
    assert (len(text.splitlines()) > 1) == debug


def test_a_defect_shows_names_without_control_codes(capsys):
    @guarded
    def broken(*, debug):
        raise KeyError("\x1b[31m")

    class Named(Exception):
        def __str__(self):
            return "[/x]\x07"

    @guarded
    def worse(*, debug):
        raise Named

    for command in (broken, worse):
        with pytest.raises(typer.Exit):
            command(debug=False)
    assert not {"\x1b", "\x07"} & set(capsys.readouterr().err)


def test_a_warning_is_one_line_without_control_codes(capsys):
    with quiet_warnings(sys.stderr):
        warnings.warn("stream '\x1b[2J[/x]\nb' is not read.", PluginWarning)
    assert capsys.readouterr().err == "warning: stream '\\x1b[2J[/x] b' is not read.\n"


def test_every_warning_of_ours_is_shown_once_and_no_other(capsys):
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Warning)]
    assert PluginWarning in kinds
    assert len(kinds) > 4
    with quiet_warnings(sys.stderr):
        for kind in (*kinds, *kinds, UserWarning, DeprecationWarning, RuntimeWarning):
            warnings.warn(f"of {kind.__name__}", kind)
    assert capsys.readouterr().err.splitlines() == [f"warning: of {kind.__name__}" for kind in kinds]


def test_the_doctor_shows_names_of_plugins_as_they_are(monkeypatch, capsys):
    class Broken:
        name, value, group = "[/x]\x1b[31m", "nowhere:Thing[red]", "xai_mimo.methods"

        def load(self):
            raise ModuleNotFoundError("No module named '[/y]\x07'")

    monkeypatch.setattr(doctor, "plugins", lambda group: {Broken.name: Broken()} if group == Broken.group else {})
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("FORCE_COLOR", "")
    show.table("Plugins", ["group", "name", "where", "state"], doctor.plugin_states())
    text = " ".join(capsys.readouterr().out.split())
    assert r"[/x]\x1b[31m" in text
    assert "nowhere:Thing[red]" in text
    assert not {"\x1b", "\x07"} & set(text)
