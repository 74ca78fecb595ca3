"""Models with our layers leave Keras, and train on two devices, with the same numbers."""

import warnings

import keras
import numpy as np
import pytest

from tests.helpers.every_layer import CASES, answers, made
from tests.helpers.frameworks import needs

BACKEND = keras.backend.backend()
every = pytest.mark.parametrize("case", CASES, ids=str)


def outputs_by_size(found, expected):
    """Exported outputs have names of their own and an order of their own: each beside its nearest of the same shape."""
    left = list(found)
    for values in expected:
        fits = [i for i, other in enumerate(left) if other.shape == values.shape]
        nearest = min(fits, key=lambda i: np.abs(left[i] - values).max())
        yield left.pop(nearest), values


@every
@needs("onnx", "onnxruntime", "onnxscript")
@pytest.mark.skipif(BACKEND != "torch", reason="Keras exports to ONNX by packages of others on JAX and TensorFlow")
def test_onnx_gives_the_same_numbers_for_any_number_of_rows(case, tmp_path):
    import onnxruntime

    if case.name == "an equipped encoder":
        pytest.skip("Keras's LayerNormalization has no export for any number of rows")
    model = made(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyTorch's tracing
        model.export(tmp_path / "model.onnx", format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for rows in (1, 5):
        x = case.inputs(rows, seed=rows)
        fed = dict(zip([i.name for i in session.get_inputs()], keras.tree.flatten(x), strict=True))
        for found, expected in outputs_by_size(session.run(None, fed), answers(model, x)):
            np.testing.assert_allclose(found, expected, atol=1e-5)
