"""Files are written whole or not at all, and a path that cannot be used is named."""

import pytest

from xai_mimo.core.errors import FileProblem
from xai_mimo.record.files import make_folder, writable_folder, write_bytes, write_text

pytestmark = pytest.mark.all_frameworks


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "report.html"
    assert write_text("first", path) == path
    write_text("second ✔\n", path)
    assert path.read_bytes() == "second ✔\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileProblem, match=r"there is no folder .*taken\. Make it first, or name another"):
        write_bytes(b"x", tmp_path / "taken" / "report.html")
    with pytest.raises(FileProblem, match="cannot make the folder"):
        make_folder(tmp_path / "taken")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(FileProblem, match=r"it is a folder\. Give the name of a file"):
        write_bytes(b"x", tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_no_rubbish(tmp_path, monkeypatch):
    path = tmp_path / "report.html"
    path.write_text("old")

    def no_room(self, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", no_room)
    with pytest.raises(FileProblem, match=r"cannot write .*No space left on device\. Choose a folder"):
        write_text("new", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_named_and_not_made(tmp_path):
    path = tmp_path / "no" / "such" / "report.html"
    with pytest.raises(FileProblem, match=r"cannot write .*report\.html: there is no folder .*such\. Make it first"):
        write_text("x", path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_for_results_is_made_and_tried(tmp_path):
    folder = writable_folder(tmp_path / "new" / "study")
    assert folder.is_dir()
    assert list(folder.iterdir()) == []
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileProblem, match=r"output folder .*taken' cannot be made: a file stands in its place"):
        writable_folder(tmp_path / "taken")
