"""Files are written whole or not at all, and a path that cannot be used is named."""

import pytest

from xai_mimo.core.errors import FileProblem
from xai_mimo.record.files import make_folder, write_bytes, write_text

pytestmark = pytest.mark.all_frameworks


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "new" / "folder" / "report.html"
    assert write_text("first", path) == path
    write_text("second ✔\n", path)
    assert path.read_bytes() == "second ✔\n".encode()
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(FileProblem, match=r"cannot make the folder .*taken: .*Choose another place"):
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
