"""The one door of saved models: what is refused before anything of a file is run, and in which words."""

import pickle
import zipfile

import joblib
import pytest

import xai_mimo as xm
from tests.helpers.evil import Evil, evil_pickle
from xai_mimo.core.errors import BadSetting, FileProblem, NotSupported, NotTrusted, UnknownName, XaiMimoError
from xai_mimo.core.plugins import plugins

pytestmark = pytest.mark.all_frameworks

ENDS = sorted(name for name in plugins("xai_mimo.loaders") if "." not in name)


@pytest.fixture
def mark(tmp_path):
    return tmp_path / "it-ran"


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_under_any_name_is_not_read(end, protocol, mark, tmp_path):
    path = tmp_path / f"model.{end}"
    path.write_bytes(evil_pickle(mark, protocol))
    with pytest.raises(FileProblem, match=f"model.{end}'"):
        xm.load_model(path)
    assert not mark.exists()


@pytest.mark.parametrize("end", sorted({*ENDS} - {"pkl", "pickle", "joblib", "pt", "pth"}))
def test_a_pickle_is_read_under_its_own_name_alone_even_where_it_is_trusted(end, mark, tmp_path):
    path = tmp_path / f"model.{end}"
    path.write_bytes(evil_pickle(mark))
    with pytest.raises(FileProblem):
        xm.load_model(path, trust=True)
    assert not mark.exists()


@pytest.mark.parametrize("end", ENDS)
def test_a_pickle_in_an_archive_is_not_read(end, mark, tmp_path):
    path = tmp_path / f"model.{end}"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("data.pkl", "m/data.pkl", "m/constants.pkl", "schema.json", "config.json", "model.weights.h5"):
            archive.writestr(name, evil_pickle(mark))
    with pytest.raises(XaiMimoError):
        xm.load_model(path)
    assert not mark.exists()


def test_pickles_are_read_where_they_are_trusted(mark, tmp_path):
    (tmp_path / "evil.pkl").write_bytes(evil_pickle(mark))
    with pytest.raises(NotTrusted) as refused:
        xm.load_model(tmp_path / "evil.pkl")
    text = str(refused.value)
    assert "is a pickle, and reading it runs whatever its author put into it, with all that you may do" in text
    assert f"xai_mimo.load_model('{tmp_path / 'evil.pkl'}', trust=True), or --trust on the command line" in text
    assert "skops.io.dump(model, 'model.skops')" in text
    assert isinstance(refused.value, PermissionError)
    assert not mark.exists()
    xm.load_model(tmp_path / "evil.pkl", trust=True)
    assert mark.exists()
    mark.unlink()
    joblib.dump(Evil(mark), tmp_path / "evil.joblib", compress=3)
    with pytest.raises(NotTrusted, match="is a pickle"):
        xm.load_model(tmp_path / "evil.joblib")
    assert not mark.exists()
    xm.load_model(tmp_path / "evil.joblib", trust=True)
    assert mark.exists()


def test_trust_is_said_by_true_alone(mark, tmp_path):
    (tmp_path / "evil.pkl").write_bytes(evil_pickle(mark))
    for trust in (1, "yes", "False", [0], None):
        with pytest.raises(BadSetting, match=r"trust must be True or False; got"):
            xm.load_model(tmp_path / "evil.pkl", trust=trust)
    assert not mark.exists()


def test_a_trusted_pickle_that_cannot_be_read_says_why(tmp_path):
    (tmp_path / "cut.pkl").write_bytes(pickle.dumps([1, 2, 3])[:-4])
    with pytest.raises(FileProblem, match=r"cut\.pkl' cannot be unpickled: .*\. If it is a model, write it again\.$"):
        xm.load_model(tmp_path / "cut.pkl", trust=True)
    (tmp_path / "lacking.joblib").write_bytes(b"cnowhere_at_all\nThing\n.")
    with pytest.raises(
        FileProblem, match=r"No module named 'nowhere_at_all'\. If it is a model, install what it needs"
    ):
        xm.load_model(tmp_path / "lacking.joblib", trust=True)


@pytest.mark.parametrize("end", ENDS)
def test_an_empty_file_is_refused(end, tmp_path):
    (tmp_path / f"model.{end}").write_bytes(b"")
    with pytest.raises(FileProblem, match=f"model.{end}'"):
        xm.load_model(tmp_path / f"model.{end}")


def test_what_is_not_there_or_no_model_is_refused(tmp_path):
    with pytest.raises(FileProblem, match=r"cannot read '.*none\.pt2': there is no such file\.$"):
        xm.load_model(tmp_path / "none.pt2")
    with pytest.raises(FileProblem, match=r"it is a folder without a saved model in it .* saved_model\.pb"):
        xm.load_model(tmp_path)
    with pytest.raises(FileProblem, match="expected the path of a saved model, as text or as a Path; got NoneType"):
        xm.load_model(None)
    with pytest.raises(FileProblem, match="holds the character NUL"):
        xm.load_model("a\0.keras")


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "m.keras"
    path.write_bytes(b"x")

    def refuse(self, *arguments, **more):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", refuse)
    with pytest.raises(FileProblem, match="Permission denied"):
        xm.load_model(path)


def test_an_option_that_a_loader_has_not_is_refused(tmp_path):
    (tmp_path / "m.onnx").write_bytes(b"x")
    with pytest.raises(BadSetting, match=r"load_model has no option 'compile' for '\.onnx' files; there are: trust\.$"):
        xm.load_model(tmp_path / "m.onnx", compile=False)


@pytest.mark.parametrize("end", ["keras", "pt2", "pt", "skops"])
def test_an_archive_that_would_fill_the_memory_is_not_unpacked(end, tmp_path):
    path = tmp_path / f"bomb.{end}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("m/data.pkl", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(FileProblem, match=rf"bomb\.{end}' would unpack to 300 MiB, \d+ times its size"):
        xm.load_model(path)


def test_an_archive_with_two_files_of_one_name_is_refused(tmp_path):
    path = tmp_path / "two.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("config.json", "[]")
    with pytest.raises(FileProblem, match="two files in the archive have one name"):
        xm.load_model(path)


def module(folder, text, name="my_models"):
    (folder / f"{name}.py").write_text(text)


@pytest.fixture
def importable(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_what_a_module_has_is_named(importable):
    module(importable, "class Box:\n    inner = 3\ndef risk(x):\n    return x\n", "named_models")
    assert xm.load_model("named_models:risk")(7) == 7
    assert xm.load_model("named_models:Box.inner") == 3
    with pytest.raises(UnknownName, match=r"module 'named_models' has no 'rsk'; name a model or a function in it"):
        xm.load_model("named_models:rsk")
    with pytest.raises(
        UnknownName, match=r"no module 'nowhere_models' can be imported, and there is no file 'nowhere_mo"
    ):
        xm.load_model("nowhere_models:risk")
    with pytest.raises(UnknownName, match=r"no module 'nowhere_models\.a' can be imported"):
        xm.load_model("nowhere_models.a:risk")


def test_a_module_that_cannot_be_imported_says_why(importable):
    module(importable, "1 / 0\n", "broken_models")
    with pytest.raises(FileProblem, match=r"module 'broken_models' cannot be imported: ZeroDivisionError: division by"):
        xm.load_model("broken_models:risk")
    module(importable, "raise SystemExit(3)\n", "ending_models")
    with pytest.raises(FileProblem, match=r"module 'ending_models' cannot be imported: SystemExit: 3"):
        xm.load_model("ending_models:risk")
    module(importable, "import nowhere_at_all\n", "lacking_models")
    with pytest.raises(
        FileProblem, match=r"'lacking_models' cannot be imported: ModuleNotFoundError: No module named 'no"
    ):
        xm.load_model("lacking_models:risk")


def test_a_file_wins_over_a_module_of_that_name(importable, monkeypatch):
    module(importable, "risk = 3\n", "filed_models")
    monkeypatch.chdir(importable)
    (importable / "filed_models:risk").write_bytes(b"x")
    with pytest.raises(NotSupported, match="no loader takes 'filed_models:risk'"):
        xm.load_model("filed_models:risk")


@pytest.mark.parametrize(
    "name", ["os.system('x'):y", "a b:c", ":x", "os:", "os:a()", "../os:x", "os;x:y", "__import__('os'):x"]
)
def test_what_is_no_name_is_taken_for_a_path(name):
    with pytest.raises(FileProblem, match="there is no such file"):
        xm.load_model(name)
