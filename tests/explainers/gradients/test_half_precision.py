"""Models in half precision: no evaluations for what rounding hides, and its name in warnings and errors."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import NotConvergedWarning, NotFinite
from xai_mimo.core.precision import precision_of

keras = imported("keras")


def network(policy, last="same", weights=None):
    keras.utils.set_random_seed(0)
    start = None if weights is None else keras.initializers.Constant(weights)
    x = keras.Input((6,), name="x", dtype="float32")
    kernel = {} if start is None else {"kernel_initializer": start}
    hidden = keras.layers.Dense(16, activation="relu", dtype=policy, **kernel)(x)
    return keras.Model(x, keras.layers.Dense(1, name="y", dtype=policy if last == "same" else last, **kernel)(hidden))


@pytest.mark.parametrize(
    ("policy", "last", "dtype", "off"),
    [("mixed_float16", "same", "float16", 0.01), ("mixed_bfloat16", "float32", "bfloat16", 0.05)],
)
def test_half_precision_is_named_and_not_asked_for_what_it_cannot_give(rng, policy, last, dtype, off):
    rows = rng.normal(size=(10, 6)).astype(np.float32)
    with pytest.warns(NotConvergedWarning, match=rf"which computes in half precision \({dtype}\), so only the float32"):
        found = xm.explain(network(policy, last), rows, "integrated_gradients")
    exact = xm.explain(network("float32"), rows, "integrated_gradients")
    assert found.attrs["precision"] == dtype
    assert int(found["evaluations"].max()) < 100
    assert not found["converged"].values[found["rounding_limited"].values].any()
    assert bool((found["converged"] | found["rounding_limited"]).all())
    assert float(abs(found["x"] - exact["x"]).sum()) < off * float(abs(exact["x"]).sum())


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient", "expected_gradients"])
def test_gradients_that_overflow_in_half_precision_are_said_to(method):
    rows = np.array([[1e-3] * 6, [2e-3] * 6], dtype=np.float32)
    with pytest.raises(
        NotFinite, match=r"gradient of head 'y' .* is infinite at .*half precision \(float16\).*float32 p"
    ):
        xm.explain(network("float16", weights=200.0), rows, method)


def test_an_adapted_model_tells_the_coarsest_dtype_of_its_layers():
    assert precision_of(xm.adapt(network("float32"))) == "float32"
    assert precision_of(xm.adapt(network("mixed_float16", "float32"))) == "float16"
    assert precision_of(object()) == ""
