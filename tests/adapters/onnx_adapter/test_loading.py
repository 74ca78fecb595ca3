"""Files in ONNX through the one door: checked when they are loaded, read by the adapter."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.saved_models import onnx_file, reference, rows
from xai_mimo.core.errors import FileProblem

pytestmark = [pytest.mark.all_frameworks, needs("onnx", "onnxruntime")]


def test_a_file_says_the_same(tmp_path):
    path = onnx_file(tmp_path)
    model = xm.adapt(xm.load_model(str(path)))
    np.testing.assert_allclose(model.predict(rows())["risk"], reference(rows()), atol=1e-6)
    assert model.fingerprint() == xm.adapt(path).fingerprint()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_that_was_cut_short_is_refused(share, tmp_path):
    path = onnx_file(tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        FileProblem, match=r"net\.onnx' cannot be read as a model in ONNX; it is damaged, cut short or some"
    ):
        xm.load_model(path)


@pytest.mark.parametrize("name", ["../secret", "/etc/hostname", "a/../../secret"])
def test_weights_outside_the_folder_are_not_read(name, tmp_path):
    import onnx

    model = onnx.load(onnx_file(tmp_path))
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", name
    (tmp_path / "evil").mkdir()
    path = tmp_path / "evil" / "net.onnx"
    path.write_bytes(model.SerializeToString())
    (tmp_path / "secret").write_bytes(bytes(32))
    with pytest.raises(FileProblem, match=rf"wants to read '{name}', which lies outside its folder"):
        xm.load_model(path)
