"""Maps against those of models with random weights: by hand, SciPy, and a Keras network whose weights are shuffled."""

import numpy as np
import pytest
from scipy import stats

import xai_mimo as xm
from xai_mimo.core.errors import BadSetting, EmptyData, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.explanation import features_of
from xai_mimo.core.model import Randomisable, require
from xai_mimo.metrics.randomisation import parameter_randomisation


@pytest.mark.all_frameworks
def test_it_is_the_rank_correlation(rng):
    maps, others = rng.standard_normal((2, 4, 7)), [rng.standard_normal((2, 4, 7)) for _ in range(3)]
    for ranks, read in (("magnitude", np.abs), ("signed", np.asarray)):
        found = parameter_randomisation(lambda model: others[model], maps, [0, 1, 2], ranks=ranks)
        assert found.shape == (3, 2, 4)
        slow = [
            [
                [stats.spearmanr(read(a), read(b))[0] for a, b in zip(*pair, strict=True)]
                for pair in zip(maps, o, strict=True)
            ]
            for o in others
        ]
        np.testing.assert_allclose(found, slow)


@pytest.mark.all_frameworks
def test_a_map_that_ignores_the_model_scores_one(rng):
    maps = rng.standard_normal((1, 3, 5))
    np.testing.assert_allclose(parameter_randomisation(lambda model: 2 * maps, maps, ["any"]), 1)
    np.testing.assert_allclose(parameter_randomisation(lambda model: -maps, maps, ["any"]), 1)
    np.testing.assert_allclose(parameter_randomisation(lambda model: -maps, maps, ["any"], ranks="signed"), -1)
    assert np.isnan(parameter_randomisation(lambda model: np.zeros_like(maps), maps, ["any"])).all()


@pytest.mark.all_frameworks
def test_what_does_not_fit_is_refused():
    maps = np.ones((1, 3, 5))
    with pytest.raises(BadSetting, match="ranks 'sign' is not one of magnitude, signed"):
        parameter_randomisation(lambda model: maps, maps, ["any"], ranks="sign")
    with pytest.raises(EmptyData, match="no model with random weights"):
        parameter_randomisation(lambda model: maps, maps, [])
    with pytest.raises(ShapeMismatch, match=r"maps \(target, sample, player\); got \(3, 5\)"):
        parameter_randomisation(lambda model: maps, maps[0], ["any"])
    with pytest.raises(ShapeMismatch, match=r"random model have shape \(1, 2, 5\), those of the model \(1, 3, 5\)"):
        parameter_randomisation(lambda model: maps[:, :2], maps, ["any"])


@pytest.fixture(scope="module")
def network():
    import keras

    u = keras.Input((6,), name="u")
    code = keras.layers.BatchNormalization(name="norm")(keras.layers.Dense(8, activation="tanh", name="low")(u))
    net = keras.Model(u, {"y": keras.layers.Dense(1, name="y")(code)})
    rng = np.random.default_rng(4)
    for weight in net.trainable_weights:
        weight.assign(rng.standard_normal(weight.shape))
    net.get_layer("norm").trainable = False
    return net


def test_a_network_with_shuffled_weights(network):
    model = xm.adapt(network, heads={"y": "binary"})
    assert isinstance(model, Randomisable)
    assert model.randomisation == "shuffled"
    before = [np.asarray(w) for w in network.get_weights()]
    some = model.randomised(np.random.default_rng(0), ["y"])
    for name, changed in (("low", False), ("y", True)):
        ours, theirs = (np.asarray(m.get_layer(name).get_weights()[0]) for m in (network, some.model))
        np.testing.assert_allclose(np.sort(ours, axis=None), np.sort(theirs, axis=None))
        assert np.array_equal(ours, theirs) != changed
    every = model.randomised(np.random.default_rng(0))
    norm, shuffled_norm = (m.get_layer("norm") for m in (network, every.model))
    np.testing.assert_array_equal(norm.moving_variance, shuffled_norm.moving_variance)
    assert not np.array_equal(norm.gamma, shuffled_norm.gamma)
    assert every.heads == model.heads
    assert not norm.trainable
    for old, new in zip(before, network.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    with pytest.raises(UnknownName, match=r"no layer is called 'lo'.*'low'"):
        model.randomised(np.random.default_rng(0), ["lo"])


def test_layers_of_a_frozen_nested_model_are_found():
    import keras

    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="deep")], name="inner")
    u = keras.Input((4,), name="u")
    net = keras.Model(u, keras.layers.Dense(2, name="top")(inner(u)))
    inner.trainable = False
    random = xm.adapt(net).randomised(np.random.default_rng(0), ["deep"]).model
    kept = [np.array_equal(a, b) for a, b in zip(net.get_weights(), random.get_weights(), strict=True)]
    assert kept == [False, True, True, True]  # a bias of zeros stays what it is


def test_gradients_depend_on_the_weights(network):
    model = xm.adapt(network)
    x = np.random.default_rng(1).standard_normal((8, 6)).astype("float32")

    def explain(random):
        return features_of(xm.explain(random, x, "gradient")).values

    models = [model.randomised(np.random.default_rng(seed)) for seed in range(2)]
    found = parameter_randomisation(explain, explain(model), models)
    assert found.shape == (2, 1, 8)
    assert np.abs(found.mean()) < 0.6


def test_a_subclassed_model_cannot_be_copied():
    import keras

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(1)

        def call(self, u):
            return self.layer(u)

    net = Own()
    net(np.zeros((1, 3)))
    adapted = xm.adapt(net, streams={"u": (3,)})
    with pytest.raises(NotSupported, match=r"parameter_randomisation needs .* model 'own.*' cannot be copied"):
        require(adapted, Randomisable, for_="parameter_randomisation")
