"""Formats of reports: ours by their names, others' by entry point, and what is said where there is none."""

from importlib.metadata import EntryPoint

import pytest
import xarray as xr

from tests.helpers.pictured_record import pictured_record, without_figures
from xai_mimo.comparison.result import Comparison
from xai_mimo.core.errors import BadSetting, FileProblem, NotSupported, PluginWarning, UnknownName
from xai_mimo.record.check import check
from xai_mimo.record.json_file import to_json
from xai_mimo.reports import formats, latex
from xai_mimo.reports.page import page

pytestmark = pytest.mark.all_frameworks


@pytest.fixture(scope="module")
def record():
    return check(without_figures(pictured_record()) | {"examples": []})


def test_every_format_of_ours_is_written_by_its_name(record, tmp_path):
    result = Comparison(xr.Dataset(), record)
    expected = {"html": page.render(record), "latex": latex.render(record), "json": to_json(record)}
    for name, text in expected.items():
        path = result.report(tmp_path / formats.file_name(name), name)
        assert path.read_text(encoding="utf-8") == text
    assert {p.name for p in tmp_path.iterdir()} == {"report.html", "report.tex", "report.json"}


def test_a_format_that_is_not_named_follows_the_end_of_the_path(record, tmp_path):
    result = Comparison(xr.Dataset(), record)
    expected = {
        "a.json": to_json(record),
        "a.tex": latex.render(record),
        "a.HTML": page.render(record),
        "a": page.render(record),
        "a.txt": page.render(record),
    }
    for name, text in expected.items():
        assert result.report(tmp_path / name).read_text(encoding="utf-8") == text


@pytest.mark.parametrize(("format", "name", "other"), [("html", "a.json", "json"), ("json", "a.tex", "latex")])
def test_a_format_that_contradicts_the_path_is_refused(record, tmp_path, format, name, other):
    with pytest.raises(
        BadSetting, match=f"format '{format}' does not fit .* of format '{other}'. Let .* in '.{format}'"
    ):
        Comparison(xr.Dataset(), record).report(tmp_path / name, format)
    assert list(tmp_path.iterdir()) == []


def write_titles(record, path):
    """A format of somebody else."""
    path.write_text(record.title)
    return path


def test_a_format_of_somebody_else_gets_the_record(record, tmp_path, monkeypatch):
    entries = {"titles": EntryPoint("titles", "tests.reports.test_formats:write_titles", "xai_mimo.reports")}
    monkeypatch.setattr(formats, "plugins", lambda group: entries)
    monkeypatch.setattr(formats, "load_plugin", lambda entry: write_titles)
    path = Comparison(xr.Dataset(), record).report(tmp_path / formats.file_name("titles"), format="titles")
    assert path.name == "report.titles"
    assert path.read_text() == record.title


def test_an_unknown_format_is_refused_with_those_that_there_are(record, tmp_path):
    with pytest.raises(UnknownName, match=r"report format .*'htlm'.*html.*Did you mean 'html'"):
        formats.write(record, tmp_path / "r", "htlm")


def test_a_format_that_cannot_be_loaded_says_so(record, tmp_path, monkeypatch):
    entries = {"broken": EntryPoint("broken", "no_such_package:write", "xai_mimo.reports")}
    monkeypatch.setattr(formats, "plugins", lambda group: entries)
    with (
        pytest.warns(PluginWarning, match="'broken'.*cannot be loaded"),
        pytest.raises(NotSupported, match="report format 'broken' is installed but cannot be loaded"),
    ):
        formats.write(record, tmp_path / "r", "broken")


def test_a_report_into_a_folder_that_is_not_there_is_refused(record, tmp_path):
    with pytest.raises(FileProblem, match="there is no folder"):
        Comparison(xr.Dataset(), record).report(tmp_path / "no" / "r.html")
    assert list(tmp_path.iterdir()) == []
