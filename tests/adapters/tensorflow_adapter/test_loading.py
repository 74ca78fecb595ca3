"""Folders of TensorFlow's SavedModel: read as they are, but for operations that reach out of the model."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from tests.helpers.saved_models import reference, rows, tensorflow_folder
from xai_mimo.core.errors import FileProblem, NotTrusted

tf = imported("tensorflow")
pytestmark = pytest.mark.all_frameworks


def answer(model):
    return xm.adapt(model, like={"table": rows()}).predict(rows())["risk"]


def test_a_folder_says_the_same(tmp_path):
    path = tensorflow_folder(tmp_path)
    np.testing.assert_allclose(answer(xm.load_model(path)), reference(rows()), atol=1e-6)
    np.testing.assert_allclose(answer(xm.load_model(str(path))), reference(rows()), atol=1e-6)


class Writes(tf.Module):
    def __init__(self, mark):
        super().__init__()
        self.mark = tf.constant(str(mark))

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="table")])
    def __call__(self, table):
        tf.io.write_file(self.mark, "it ran")
        return {"risk": table[:, :2]}


class Saves(tf.Module):
    """Writes through the operation by which each SavedModel keeps its own variables."""

    def __init__(self, mark):
        super().__init__()
        self.mark = tf.constant(str(mark))

    @tf.function
    def write(self, table):
        tf.raw_ops.SaveV2(prefix=self.mark, tensor_names=["x"], shape_and_slices=[""], tensors=[table])
        return table[:, :2]

    @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="table")])
    def __call__(self, table):
        return {"risk": self.write(table)}


@pytest.mark.parametrize(("kind", "operation"), [(Writes, "WriteFile"), (Saves, "SaveV2")])
def test_operations_that_write_files_are_refused_unless_they_are_trusted(kind, operation, tmp_path):
    mark = tmp_path / "it-ran"
    net = kind(mark)
    tf.saved_model.save(net, str(tmp_path / "evil"), signatures=net.__call__.get_concrete_function())
    for written in tmp_path.glob("it-ran*"):
        written.unlink()
    with pytest.raises(
        NotTrusted, match=rf"holds operations that read or write files or call Python: {operation}\. They"
    ):
        xm.load_model(tmp_path / "evil")
    assert not list(tmp_path.glob("it-ran*"))
    assert xm.load_model(tmp_path / "evil", trust=True) is not None


def test_a_folder_that_is_damaged_is_refused(tmp_path):
    path = tensorflow_folder(tmp_path)
    whole = (path / "saved_model.pb").read_bytes()
    (path / "saved_model.pb").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(
        FileProblem, match=r"saved' is not a SavedModel: its saved_model\.pb is damaged or was cut short"
    ):
        xm.load_model(path)
    (path / "saved_model.pb").write_bytes(whole)
    for file in (path / "variables").iterdir():
        file.unlink()
    with pytest.raises(FileProblem, match=r"saved' cannot be loaded as a SavedModel: "):
        xm.load_model(path)
