"""One rule for every path that is given: what is no path is refused in our words, and no folder is made by the way."""

import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadValues, FileProblem, XaiMimoError
from xai_mimo.core.paths import as_path
from xai_mimo.layers.saved import load_model, save_model
from xai_mimo.record.files import make_folder, writable_folder
from xai_mimo.studies.rows import load_rows

pytestmark = pytest.mark.all_frameworks

WRONG = {
    3: "expected the path of .*, as text or as a Path; got int",
    b"a.nc": "as text or as a Path; got bytes",
    ("a.nc",): "as text or as a Path; got tuple",
    "a\0.nc": r"'a\\x00\.nc' is no path: it holds the character NUL",
    "a\ud800.nc": r"'a\\ud800\.nc' is no path: it holds half of a surrogate pair",
    "x" * 300 + ".nc": r"is no path: File name too long",
}


@pytest.fixture(scope="module")
def explanation():
    model = toys.mlp()
    return xm.explain(model, toys.rows(model, 12), "gradient")


@pytest.fixture(scope="module")
def comparison():
    model = toys.mlp()
    settings = Settings(resamples=100, ceilings=False)
    return xm.compare(model, toys.rows(model, 12), ["gradient"], metrics=["effective_features"], settings=settings)


@pytest.fixture
def writers(explanation, comparison):
    return {
        "save": lambda path: xm.save(explanation, path),
        "to_json": comparison.to_json,
        "to_latex": comparison.to_latex,
        "report": comparison.report,
        "save_model": lambda path: save_model(None, path),
    }


@pytest.mark.parametrize("path", WRONG, ids=[ascii(path)[:20] for path in WRONG])
def test_what_is_no_path_is_refused_in_our_words(path, writers):
    readers = {"load": xm.load, "load_model": load_model, "load_rows": load_rows}
    folders = {"make_folder": make_folder, "writable_folder": writable_folder}
    for door in (*writers.values(), *readers.values(), *folders.values()):
        with pytest.raises(FileProblem, match=WRONG[path]):
            door(path)


def test_every_writer_refuses_a_folder_that_is_not_there_and_makes_none(writers, tmp_path):
    for name, write in writers.items():
        with pytest.raises(FileProblem, match=r"cannot write .*: there is no folder .*none\. Make it first, or name"):
            write(tmp_path / "none" / f"{name}.nc")
        with pytest.raises(FileProblem, match="there is no folder"):
            write(tmp_path / "none" / f"{name}.zarr")
    assert list(tmp_path.iterdir()) == []


def test_names_that_files_can_have_are_kept(tmp_path):
    for name in ("a b.nc", "é.nc", "模.nc", "undecodable\udcff.nc"):
        assert as_path(tmp_path / name) == tmp_path / name
        assert as_path(str(tmp_path / name)) == tmp_path / name


def test_what_is_no_explanation_says_what_it_is_and_how_to_read_it(comparison, explanation, tmp_path):
    import numpy as np

    comparison.to_json(tmp_path / "c.json")
    comparison.report(tmp_path / "r.html")
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    (tmp_path / "x.npz").rename(tmp_path / "m.keras")
    np.savez(tmp_path / "x.npz", a=np.ones(3))
    expected = {
        "c.json": r"is no explanation but a comparison: .*json_file\.from_json\('.*c\.json'\).*xai-mimo report .*c\.json`",
        "r.html": "is no explanation but a report.*to_json",
        "m.keras": r"is no explanation but a saved Keras model: load it with xai_mimo\.load_model\('.*m\.keras'\)",
        "x.npz": r"is no explanation but an archive of arrays: read it with numpy\.load\('.*x\.npz'\)",
        ".": "is no explanation but a folder",
    }
    for name, message in expected.items():
        with pytest.raises(FileProblem, match=message):
            xm.load(tmp_path / name)


def test_a_path_in_the_place_of_data_or_a_model_says_so(tmp_path):
    model = toys.mlp(streams={"u": 3})
    for data in ("rows.npz", tmp_path / "rows.csv"):
        with pytest.raises(BadValues, match=r"a path is no data: got '.*rows\.\w+'.*numpy\.load or pandas\.read_csv"):
            xm.explain(model, data)
        with pytest.raises(XaiMimoError, match="a path is no data"):
            xm.compare(model, data)
    with pytest.raises(XaiMimoError, match=r"a path is no model; load it first: xai_mimo\.load_model\('m\.keras'\)"):
        xm.explain("m.keras", "rows.npz")
