"""The same weights on TensorFlow, JAX and PyTorch: predictions, gradients and maps, each in a process of its own."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.helpers.frameworks import needs

pytestmark = [pytest.mark.all_frameworks, needs("jax", "tensorflow", "torch")]

_MAKE = """
import sys, keras, numpy as np
from tests.helpers.frameworks import needs
from xai_mimo.layers import MAIL
keras.utils.set_random_seed(4)
a, b = keras.Input((6,), name="a"), keras.Input((4,), name="b")
encoded = keras.layers.Dense(5, activation="tanh", name="encoder")(a)
mixed = MAIL({"risk": 4, "kind": 3}, scoring="dense", rescale=True, name="mail")([encoded, b])
heads = [keras.layers.Dense(1, activation="sigmoid", name="risk")(mixed["risk"]),
         keras.layers.Dense(3, activation="softmax", name="kind")(mixed["kind"])]
model = keras.Model([a, b], heads)
rng = np.random.default_rng(5)
model.set_weights([rng.normal(scale=0.5, size=w.shape) for w in model.get_weights()])
model.save(sys.argv[1])
"""

_READ = """
import sys, keras, numpy as np, xai_mimo as xm
from xai_mimo.core.targets import select
import xai_mimo.layers.mail.layer
adapter = xm.adapt(keras.models.load_model(sys.argv[1], safe_mode=True))
rng = np.random.default_rng(6)
x = {"a": rng.normal(size=(50, 6)), "b": rng.normal(size=(50, 4))}
predicted = adapter.predict(x)
_, gradients = adapter.gradients(x, select(None, adapter.heads, predicted))
inner = adapter.activations(x, "mail")
_, behind = adapter.tail("mail").gradients(inner, select(None, adapter.heads, predicted))
maps = {k.replace("/", ":"): m.values for k, m in adapter.intercept(x).items()}
labels = {f"{k.replace('/', ':')}|{axis}": np.array(v) for k, m in adapter.intercept(x).items() for axis, v in m.coords.items()}
np.savez(sys.argv[2], **{f"p|{k}": v for k, v in predicted.items()}, **{f"g|{k}": v for k, v in gradients.items()},
         **{f"t|{k}": v for k, v in behind.items()}, **maps, **labels, fingerprint=np.array(adapter.fingerprint()))
"""


def start(backend, code, *args):
    env = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, "-c", code, *map(str, args)]
    return subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("backends")
    finish(start("jax", _MAKE, folder / "model.keras"))
    backends = ("jax", "tensorflow", "torch")
    for process in [start(b, _READ, folder / "model.keras", folder / f"{b}.npz") for b in backends]:
        finish(process)
    return {b: dict(np.load(folder / f"{b}.npz")) for b in backends}


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_every_number_is_the_same_as_on_jax(results, backend):
    assert set(results[backend]) == set(results["jax"])
    compared = [name for name, values in results["jax"].items() if values.dtype.kind == "f"]
    assert {"p|risk", "g|a", "t|a_encoded", "mail:attention", "mail:contribution"} <= set(compared)
    for name in compared:
        np.testing.assert_allclose(results[backend][name], results["jax"][name], atol=1e-5, err_msg=name)
        assert np.abs(results["jax"][name]).max() > 1e-4


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_every_label_and_the_fingerprint_are_the_same_as_on_jax(results, backend):
    for name, values in results["jax"].items():
        if values.dtype.kind == "U":
            np.testing.assert_array_equal(results[backend][name], values)


def test_maps_carry_the_names_of_the_graph(results):
    found = results["jax"]
    assert list(found["mail:attention|head"]) == ["risk", "kind"]
    assert list(found["mail:attention|feature.stream"]) == ["a_encoded"] * 5 + ["b"] * 4
    assert list(found["mail:attention|feature"]) == [f"a_encoded.{i}" for i in range(5)] + [f"b.{i}" for i in range(4)]
    assert list(found["mail:contribution|target.head"]) == ["risk"] * 4 + ["kind"] * 3
