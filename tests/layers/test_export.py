"""Models with our layers leave Keras, and train on two devices, with the same numbers."""

import json
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest

from tests.helpers.every_layer import CASES, answers, made, two_steps
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


@every
@needs("tensorflow")
@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="needs torch_xla, which has no builds for this version of PyTorch")
def test_a_saved_model_of_tensorflow_gives_the_same_numbers(case, tmp_path):
    import tensorflow as tf

    model = made(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of jax2tf
        model.export(tmp_path / "model", verbose=False)
        served = tf.saved_model.load(tmp_path / "model").serve
    for rows in (1, 5):
        x = case.inputs(rows, seed=rows)
        found = [np.asarray(values) for values in tf.nest.flatten(served(x))]
        for ours, theirs in zip(answers(model, x), found, strict=True):
            np.testing.assert_allclose(theirs, ours, atol=1e-5)


DEVICES = {
    "jax": """
import os
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
import keras
keras.distribution.set_distribution(keras.distribution.DataParallel(devices=keras.distribution.list_devices("cpu")))
import contextlib
scope = contextlib.nullcontext
count = len(keras.distribution.list_devices("cpu"))
""",
    "tensorflow": """
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
scope, count = strategy.scope, strategy.num_replicas_in_sync
""",
}
"""How each backend is given two devices in a process of its own."""

FITS = """
import sys, json
import numpy as np
from tests.helpers.every_layer import CASES, two_steps
assert count == 2
losses = {}
for case in CASES:
    with scope():
        model = case.make()
        losses[case.name] = two_steps(case, model)
print(json.dumps(losses))
"""


@pytest.mark.slow
@pytest.mark.skipif(BACKEND == "torch", reason="Keras trains on several devices by torch.distributed alone")
def test_training_on_two_devices_gives_the_losses_of_one():
    script = DEVICES[BACKEND] + FITS
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    for case in CASES:
        assert np.isfinite(found[case.name]).all()
        # Batch norm and FLINT's entropy are statistics of a batch, which TensorFlow's replicas halve.
        if not case.name.startswith(("DeepSupervision", "FLINT")):
            np.testing.assert_allclose(found[case.name], two_steps(case, case.make()), rtol=1e-3, err_msg=case.name)
