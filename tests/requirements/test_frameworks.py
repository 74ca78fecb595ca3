"""Keras 3 on every backend, PyTorch, JAX, TensorFlow: layers need no rules of ours, and modes and precisions are met."""

import keras
import numpy as np
import pytest
import torch

import xai_mimo as xm
from tests.helpers import networks_by_hand as by_hand
from tests.helpers import one_network
from tests.helpers.frameworks import needs
from xai_mimo.core.errors import UnknownName
from xai_mimo.explainers import IntegratedGradients, Shapley

once = pytest.mark.all_frameworks
pytestmark = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")
RNG = np.random.default_rng(9)
SERIES = RNG.normal(size=(3, 5, 4)).astype("float32")


def slopes(model, x, name, size=1e-2):
    """Gradients by central differences of the predictions, for the first unit of each head: ``(head, row, *shape)``."""
    base = x[name]
    steps = size * np.eye(base[0].size, dtype=base.dtype).reshape(-1, 1, *base.shape[1:])
    moved = np.concatenate([base + steps, base - steps]).reshape(-1, *base.shape[1:])
    copies = len(moved) // len(base)
    outputs = model.predict({n: np.tile(v, (copies,) + (1,) * (v.ndim - 1)) for n, v in x.items()} | {name: moved})
    firsts = np.stack([outputs[head.name].reshape(len(moved), -1)[:, 0] for head in model.heads])
    up, down = firsts.reshape(len(model.heads), 2, -1, len(base)).swapaxes(0, 1)
    return ((up - down) / (2 * size)).swapaxes(1, 2).reshape(-1, *base.shape)


def follows_the_answers(model, x, name, atol=2e-3):
    """The gradient is the slope of the answers, and Integrated Gradients sum to their change."""
    model = xm.adapt(model, like=x)
    targets = [(head.name, 0) for head in model.heads]
    found = xm.explain(model, x, "gradient", targets=targets)
    expected = slopes(model, x, name)
    assert np.abs(expected).max() > 0.05
    np.testing.assert_allclose(found[name], expected, atol=atol)
    summed = xm.explain(model, x, IntegratedGradients(steps=16), targets=targets)
    total = sum(summed[n].values.reshape(len(targets), len(x[name]), -1).sum(axis=-1) for n in x)
    change = summed["prediction"] - summed["baseline_prediction"]
    assert np.abs(change).max() > 0.05
    np.testing.assert_allclose(total, change, atol=atol)


# B1 ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", [IntegratedGradients(steps=2), "captum.IntegratedGradients", "shap.kernel", Shapley(2**9)], ids=str
)
def test_keras_3_with_several_inputs_and_heads(method):
    """Support TensorFlow 2.16 and Keras 3; explainers are broken on TF 2. (shap/shap#3672, #885, #548, #1055)"""
    x = by_hand.rows()
    found = xm.explain(by_hand.keras_model(), x, method, background=by_hand.ZEROS)
    by_hand.assert_maps(found, by_hand.attributions(x), atol=1e-4)


@once
@needs("flax")
def test_jax_and_its_libraries():
    """Support for Flax and JAX. (shap/shap#2141)"""
    x = one_network.rows(2)
    found = xm.explain(one_network.flax_network(), x, "gradient", targets=one_network.TARGETS[:2])
    for name, values in one_network.jacobian(x).items():
        np.testing.assert_allclose(found[name], values[:2], atol=1e-5, err_msg=name)


@once
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
@pytest.mark.parametrize("method", ["occlusion", "shapley", "shap.kernel"])
def test_outputs_of_one_column(shape, method):
    """Outputs of shape ``(N, 1)`` break on NumPy 2.4, which takes no array for a number. (emdgroup/baybe#751)"""
    weights = np.array([1.0, -2.0, 4.0])
    model = xm.adapt(lambda x: (x @ weights).reshape(len(x), *shape), streams={"x": 3}, heads={"y": shape})
    x = RNG.normal(size=(2, 3))
    found = xm.explain(model, {"x": x}, method, background={"x": np.zeros((1, 3))})
    np.testing.assert_allclose(found["x"][0], x * weights, atol=1e-6)


# B2 ---------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def recurrent():
    """An LSTM, products of batches and slices with strides, GELU, LayerNorm and Identity, in one Keras model."""
    keras.utils.set_random_seed(2)
    layers = keras.layers
    series, table = keras.Input((5, 4), name="series"), keras.Input((3,), name="table")
    states = layers.LSTM(4, return_sequences=True, name="lstm")(series)
    pairs = keras.ops.matmul(states, keras.ops.transpose(series, (0, 2, 1)))  # of two tensors with rows
    some = layers.Flatten()(pairs[:, 1::2, ::2])  # PyTorch has no steps backwards
    hidden = layers.Dense(6)(layers.Concatenate()([some, table]))
    hidden = layers.Identity()(layers.LayerNormalization()(keras.activations.gelu(hidden)))
    return keras.Model(
        [series, table], {"y": layers.Dense(1, name="y")(hidden), "z": layers.Dense(2, name="z")(hidden)}
    )


def test_layers_need_no_rules(recurrent):
    """ "Gradient registry has no entry for": LSTM, BatchMatMul, StridedSlice. (shap/shap#1490, #1193, #1406, #1079)"""
    x = {"series": SERIES, "table": RNG.normal(size=(3, 3)).astype("float32")}
    follows_the_answers(recurrent, x, "series")


def _gelu_and_layer_norm_of_torch():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Linear(4, 6), torch.nn.GELU(), torch.nn.LayerNorm(6), torch.nn.Identity(), torch.nn.Linear(6, 2)
    )


def _gelu_and_layer_norm_of_jax():
    import jax
    from flax import nnx

    class Network(nnx.Module):
        def __init__(self, rngs):
            self.first, self.norm, self.last = (
                nnx.Linear(4, 6, rngs=rngs),
                nnx.LayerNorm(6, rngs=rngs),
                nnx.Linear(6, 2, rngs=rngs),
            )

        def __call__(self, x):
            return self.last(self.norm(jax.nn.gelu(self.first(x))))

    return Network(nnx.Rngs(0))


def _gelu_and_layer_norm_of_tensorflow():
    import tensorflow as tf

    weights = [tf.constant(RNG.normal(size=size).astype("float32")) for size in ((4, 6), (6, 2))]

    @tf.function
    def network(x):
        hidden = tf.nn.gelu(x @ weights[0])
        mean, variance = tf.nn.moments(hidden, axes=[-1], keepdims=True)
        return tf.identity((hidden - mean) * tf.math.rsqrt(variance + 1e-5)) @ weights[1]

    return network


@once
@pytest.mark.parametrize(
    "make", [_gelu_and_layer_norm_of_torch, _gelu_and_layer_norm_of_jax, _gelu_and_layer_norm_of_tensorflow]
)
def test_gelu_layer_norm_and_identity(make):
    """GELU, LayerNorm and Identity are not supported. (shap/shap#3438)"""
    with torch.random.fork_rng():
        network = make()
    model = xm.adapt(network, like=SERIES[:, 0])
    (stream,) = model.streams
    x = SERIES[:, 0] + 1.0
    found = xm.explain(model, x, "gradient", targets=[(model.heads[0].name, 0)])
    np.testing.assert_allclose(found[stream.name], slopes(model, {stream.name: x}, stream.name), atol=5e-3)


class Recurrent(torch.nn.Module):
    """Two layers of an LSTM with dropout between them, which differs in training mode."""

    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 3, num_layers=2, dropout=0.5, batch_first=True)
        self.head = torch.nn.Linear(3, 1)
        for weights in self.parameters():
            torch.nn.init.normal_(weights)

    def forward(self, series):
        return self.head(self.lstm(series)[0][:, -1])


@once
def test_a_recurrent_network_in_either_mode():
    """ "cudnn RNN backward can only be called in training mode": then dropout is on, or everything is switched by hand.
    (captum#328, #564, #1159)

    The numbers are those of inference whatever the mode, they are the slopes of the answers, and each module gets its
    own mode back.
    """
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = Recurrent()
    network.train()
    network.head.eval()
    trained = xm.explain(network, SERIES, "gradient")
    assert [module.training for module in network.modules()] == [True, True, False]
    same = xm.explain(network.eval(), SERIES, "gradient")
    np.testing.assert_array_equal(trained["series"], same["series"])
    follows_the_answers(network, {"series": SERIES}, "series")


@once
def test_no_double_precision_is_handed_over():
    """A device without float64. (captum#1240)"""
    seen = set()

    class Single(torch.nn.Module):
        def forward(self, x):
            seen.add(x.dtype)
            if x.dtype != torch.float32:
                raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
            return x**2

    x = np.array([[1.0, 2.0], [3.0, -1.0]])
    model = xm.adapt(Single(), streams={"x": 2}, heads={"y": 2})
    for method in ("integrated_gradients", "shapley", "captum.IntegratedGradients"):
        found = xm.explain(model, {"x": x}, method, targets=[("y", 1)], background={"x": np.zeros((2, 2))})
        np.testing.assert_allclose(found["x"][0], x**2 * [0, 1], atol=1e-3)
    assert seen == {torch.float32}


@once
def test_layers_that_no_table_knows_and_errors_that_name_layers():
    """Layers that a method's table of rules does not know, and messages that do not say which. (captum#577, #712, #792,
    #857)"""

    class Cube(torch.nn.Module):
        def forward(self, x):
            return torch.einsum("nf,nf,nf->nf", x, x, x)

    network = torch.nn.Sequential(Cube(), torch.nn.Hardswish(), torch.nn.Linear(2, 1, bias=False))
    torch.nn.init.ones_(network[2].weight)
    x = np.array([[2.0, 1.6], [1.5, 1.8]], dtype="float32")  # cubes beyond 3, where hardswish is the identity
    found = xm.explain(network, x, "gradient")
    np.testing.assert_allclose(found[next(iter(found.data_vars))][0], 3 * x**2, rtol=1e-5)
    with pytest.raises(UnknownName, match="no layer is called 'norm'; there are: 0, 1, 2"):
        xm.explain(network, x, "gradient", at="norm")
