"""The equations and invariants of the identity-initialised MLP."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.identity_by_hand import HEADS, built, maps_of, run_row, trained, weights_of
from xai_mimo.layers import IdentityMLP, read_layers
from xai_mimo.layers.identity_mlp import states as identity_states
from xai_mimo.testing.backends import weight_gradients


@pytest.fixture
def x(rng):
    return rng.uniform(-1, 1, size=(5, 3)).astype("float32")


@pytest.fixture
def task(rng):
    """Three classes told apart by the signs of two of four inputs, one of which is -1 throughout."""
    x = rng.uniform(-1, 1, size=(96, 4)).astype("float32")
    x[:, 3] = -1.0
    y = np.where(x[:, 0] > 0, 2, (x[:, 1] > 0).astype(int))
    return x, y


@pytest.mark.parametrize("class_activation", ["hidden_same", "linear"])
def test_untrained_network_is_exactly_the_identity_with_zero_scores(x, class_activation):
    x[0] = (-1.0, 1.0, 0.0)
    outputs, maps, _ = maps_of(IdentityMLP(4, 7, class_activation=class_activation), x)
    np.testing.assert_array_equal(outputs, np.zeros((5, 4)))
    for name in ("change", "increment", "score", "contribution", "direct_contribution", "clip_residual", "deviation"):
        assert not maps[name].any(), name
    # One rounding: on some processors TensorFlow's softmax of equal scores is the float below a quarter.
    np.testing.assert_array_max_ulp(maps["class_likelihood"], np.full((5, 7, 4), 0.25, "float32"), maxulp=1)
    np.testing.assert_array_equal(maps["diagonal"], np.ones((5, 7)))
    np.testing.assert_array_equal(maps["off_diagonal"], np.zeros((5, 7)))


@pytest.mark.parametrize("activation", ["hard_tanh", "tanh", "leaky_relu"])
@pytest.mark.parametrize("class_activation", ["hidden_same", "linear"])
def test_states_equal_the_slow_equations(x, activation, class_activation):
    alpha = -0.8
    layer, weights, biases = built(x, activation=activation, class_activation=class_activation, alpha=alpha)
    outputs, maps, _ = maps_of(layer, x)
    for row, values in enumerate(x.astype("float64")):
        hidden, _ = run_row(weights, biases, values, 5, activation, class_activation == "linear")
        f, s = [h[:3] for h in hidden], [h[3:] for h in hidden]
        np.testing.assert_allclose(maps["change"][row], [f[i] - alpha**i * values for i in range(1, 5)], atol=2e-6)
        np.testing.assert_allclose(maps["increment"][row], [f[i] - f[i - 1] for i in range(1, 5)], atol=2e-6)
        np.testing.assert_allclose(maps["score"][row], s[1:], atol=2e-6)
        np.testing.assert_allclose(np.concatenate([outputs["kind"][row], outputs["load"][row]]), s[-1], atol=2e-6)


@pytest.mark.parametrize("alpha", [1.0, 0.9])
@pytest.mark.parametrize("class_activation", ["hidden_same", "linear"])
def test_direct_contributions_equal_the_slow_sum(x, class_activation, alpha):
    layer, weights, biases = built(x, class_activation=class_activation, alpha=alpha)
    _, maps, _ = maps_of(layer, x)
    for row, values in enumerate(x.astype("float64")):
        hidden, sums = run_row(weights, biases, values, 5, linear_scores=class_activation == "linear")
        for u in range(5):
            parts, bias, residual = np.zeros(8), 0.0, 0.0
            for i in range(4):
                later = alpha ** (3 - i)
                for j in range(8):
                    parts[j] += later * (weights[i][3 + u, j] - alpha * (j == 3 + u)) * hidden[i][j]
                bias += later * biases[i][3 + u]
                residual += later * (hidden[i + 1][3 + u] - sums[i][3 + u])
            np.testing.assert_allclose(maps["direct_contribution"][row, u], parts[:3], atol=5e-6)
            np.testing.assert_allclose(maps["score_contribution"][row, u], parts[3:], atol=5e-6)
            np.testing.assert_allclose(maps["direct_bias"][row, u], bias, atol=5e-6)
            np.testing.assert_allclose(maps["direct_clip_residual"][row, u], residual, atol=5e-6)


@pytest.mark.parametrize("class_activation", ["hidden_same", "linear"])
def test_contributions_pass_a_score_on_to_the_features_that_wrote_it(x, class_activation):
    """The recursion, slowly: every score is kept as features' parts + bias + residual from layer to layer."""
    layer, weights, biases = built(x, class_activation=class_activation)
    _, maps, _ = maps_of(layer, x)
    for row, values in enumerate(x.astype("float64")):
        hidden, sums = run_row(weights, biases, values, 5, linear_scores=class_activation == "linear")
        parts, bias, residual = np.zeros((5, 3)), np.zeros(5), np.zeros(5)
        for i, (w, b) in enumerate(zip(weights, biases, strict=True)):
            parts = w[3:, 3:] @ parts + w[3:, :3] * hidden[i][:3]
            bias = w[3:, 3:] @ bias + b[3:]
            residual = w[3:, 3:] @ residual + hidden[i + 1][3:] - sums[i][3:]
        np.testing.assert_allclose(maps["contribution"][row], parts, atol=5e-6)
        np.testing.assert_allclose(maps["bias"][row], bias, atol=5e-6)
        np.testing.assert_allclose(maps["clip_residual"][row], residual, atol=5e-6)


@pytest.mark.parametrize("activation", ["hard_tanh", "tanh", "leaky_relu"])
@pytest.mark.parametrize("class_activation", ["hidden_same", "linear"])
def test_both_decompositions_are_complete(x, activation, class_activation):
    layer, _, _ = built(x, activation=activation, class_activation=class_activation, alpha=0.9)
    _, maps, _ = maps_of(layer, x)
    scores = maps["score"][:, -1]
    whole = maps["contribution"].sum(-1) + maps["bias"] + maps["clip_residual"]
    direct = maps["direct_contribution"].sum(-1) + maps["score_contribution"].sum(-1)
    direct += maps["direct_bias"] + maps["direct_clip_residual"]
    np.testing.assert_allclose(whole, scores, atol=5e-6)
    np.testing.assert_allclose(direct, scores, atol=5e-6)
    linear = class_activation == "linear"
    assert linear is not maps["clip_residual"].any()
    assert linear is not maps["direct_clip_residual"].any()


def test_changes_are_sums_of_increments(x):
    layer, _, _ = built(x)
    _, maps, _ = maps_of(layer, x)
    np.testing.assert_allclose(maps["change"], maps["increment"].cumsum(axis=1), atol=1e-6)


def test_shapes_and_likelihoods_that_sum_to_one_for_each_head(x):
    layer, _, _ = built(x, heads={"kind": 3, "load": 2, "alarm": 1}, regression=["load"])
    outputs, maps, labels = maps_of(layer, x)
    assert {head: y.shape for head, y in outputs.items()} == {"kind": (5, 3), "load": (5, 2), "alarm": (5, 1)}
    assert maps["change"].shape == maps["increment"].shape == (5, 4, 3)
    assert maps["score"].shape == (5, 4, 6)
    assert maps["class_likelihood"].shape == (5, 4, 4)
    assert maps["contribution"].shape == maps["direct_contribution"].shape == (5, 6, 3)
    np.testing.assert_allclose(maps["class_likelihood"][..., :3].sum(-1), 1, atol=1e-6)
    np.testing.assert_allclose(maps["class_likelihood"][..., 3], 1 / (1 + np.exp(-maps["score"][..., 5])), atol=1e-6)
    assert labels["class_likelihood"].coords["class.head"] == ("kind", "kind", "kind", "alarm")
    assert labels["class_likelihood"].coords["class.unit"] == ("0", "1", "2", "0")


def test_there_is_no_class_likelihood_without_classes(x):
    layer, _, _ = built(x, heads=[2], regression=["head_0"])
    assert "class_likelihood" not in maps_of(layer, x)[1]


def test_weight_figures_equal_those_of_numpy(x):
    layer, weights, _ = built(x, alpha=0.5)
    _, maps, _ = maps_of(layer, x)
    for i, w in enumerate(weights):
        expected = np.linalg.norm(w - 0.5 * np.eye(8)) / np.linalg.norm(0.5 * np.eye(8))
        np.testing.assert_allclose(maps["deviation"][:, i], expected, rtol=1e-5)
        np.testing.assert_allclose(maps["diagonal"][:, i], np.diag(w).mean(), rtol=1e-5)
        np.testing.assert_allclose(maps["off_diagonal"][:, i], np.abs(w[~np.eye(8, dtype=bool)]).mean(), rtol=1e-5)


@pytest.mark.parametrize("class_activation", ["hidden_same", "linear"])
def test_last_layer_never_changes_the_features(task, class_activation):
    x, y = task
    layer = IdentityMLP(3, 4, class_activation=class_activation)
    model = trained(x, y, layer)
    found = weights_of(layer)
    np.testing.assert_array_equal(found["kernel"][-1][:, :4], np.eye(7)[:, :4])
    np.testing.assert_array_equal(found["bias"][-1][:4], 0)
    assert not np.array_equal(found["kernel"][-1][:, 4:], np.eye(7)[:, 4:])
    _, maps, _ = maps_of(model, x)
    assert not maps["increment"][:, -1].any()
    assert maps["increment"][:, -2].any()


def test_accuracy_of_the_last_layer_is_that_of_the_model(task):
    x, y = task
    model = trained(x, y, IdentityMLP(3, 4))
    accuracy = read_layers(model, x, y).accuracy["head_0"]
    assert accuracy.shape == (4,)
    assert accuracy[-1] == (model.predict(x, verbose=0).argmax(1) == y).mean()
    assert accuracy[-1] > 0.8


def test_permuting_the_inputs_permutes_the_trained_weights(task):
    x, y = task
    order = [2, 0, 3, 1]
    whole = [*order, 4, 5, 6]
    first, second = IdentityMLP(3, 3), IdentityMLP(3, 3)
    trained(x, y, first, epochs=3)
    trained(x[:, order], y, second, epochs=3)
    ours, theirs = weights_of(first), weights_of(second)
    np.testing.assert_allclose(theirs["kernel"], ours["kernel"][:, whole][:, :, whole], atol=1e-5)
    np.testing.assert_allclose(theirs["bias"], ours["bias"][:, whole], atol=1e-5)
    assert np.abs(ours["kernel"] - np.eye(7)).max() > 0.05


def test_seed_of_initialisation_does_not_matter(task):
    x, y = task
    found = []
    for seed in (0, 1):
        keras.utils.set_random_seed(seed)
        layer = IdentityMLP(3, 3)
        trained(x, y, layer, epochs=2)
        found.append(weights_of(layer)["kernel"])
    np.testing.assert_array_equal(*found)


def test_reading_calls_no_gradient(x, monkeypatch):
    """The maps of a frozen layer through which no gradient passes are the same."""
    layer, _, _ = built(x)
    before = maps_of(layer, x)[1]
    layer.trainable = False
    blocked = identity_states.hard_tanh
    monkeypatch.setitem(identity_states.ACTIVATIONS, "hard_tanh", lambda z: ops.stop_gradient(blocked(z)))
    after = maps_of(layer, x)[1]
    assert set(before) == set(after)
    for name, values in before.items():
        np.testing.assert_array_equal(after[name], values)


def test_relu_is_refused_with_the_reason():
    for activation in ("relu", "relu6"):
        with pytest.raises(ValueError, match="start at zero, where ReLU passes no gradient"):
            IdentityMLP(3, activation=activation)
    for activation in ("softmax", "gelu", None, ops.tanh):
        with pytest.raises(ValueError, match="Expected `activation` to be one of 'hard_tanh', 'tanh', 'leaky_relu'"):
            IdentityMLP(3, activation=activation)


@pytest.mark.parametrize(("activation", "moves"), [("relu", False), ("leaky_relu", True), ("hard_tanh", True)])
def test_forced_relu_would_never_learn_to_write_class_scores(task, activation, moves, monkeypatch):
    monkeypatch.setitem(identity_states.ACTIVATIONS, "relu", ops.relu)
    x, y = task
    layer = IdentityMLP(3, 4, activation=activation)
    model = trained(x, y, layer)
    written = weights_of(layer)["kernel"][:-1, :, 4:] - np.eye(7)[:, 4:]
    assert written.any() == moves
    assert maps_of(model, x)[1]["score"][:, :-1].any() == moves


@pytest.mark.parametrize("activation", ["hard_tanh", "leaky_relu"])
def test_derivative_at_the_kinks_is_one_on_every_backend(activation):
    """A row at -1, 1 and 0: d loss / d bias of the first layer is the same as through a linear network."""
    x = np.array([[-1.0, 1.0, 0.0]] if activation == "hard_tanh" else [[0.0, 0.0, 1.0]], "float32")
    layer = IdentityMLP(1, 2, activation=activation)
    layer.build(x.shape)
    kernel = np.stack([np.eye(4)] * 2).astype("float32")
    kernel[1, :3, 3] = (2.0, 3.0, 5.0)
    layer.kernel.assign(kernel)
    names = [w.name for w in layer.trainable_weights]
    gradient = weight_gradients(layer, x)[names.index("bias")]
    output = float(x[0] @ [2.0, 3.0, 5.0])
    np.testing.assert_allclose(gradient[0], 2 * output * np.array([2.0, 3.0, 5.0, 1.0]), rtol=1e-6)


def test_hard_tanh_keeps_nan():
    values = ops.convert_to_tensor(np.array([-2.0, -1.0, 0.5, 1.0, 3.0, np.nan], "float32"))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(identity_states.hard_tanh(values)), [-1.0, -1.0, 0.5, 1.0, 1.0, np.nan]
    )


def test_heads_share_the_features_and_each_has_its_own_scores(x):
    """With no weight between scores, a head's scores are those of a network that holds this head alone."""
    layer, _, _ = built(x, heads=HEADS)
    kernel = weights_of(layer)["kernel"]
    kernel[:, 3:6, 6:] = kernel[:, 6:, 3:6] = 0.0
    kernel[:, 3:, :3] = 0.0
    layer.kernel.assign(kernel)
    alone = IdentityMLP(2, 4)
    alone.build(x.shape)
    own = [0, 1, 2, 6, 7]
    alone.kernel.assign(kernel[:, own][:, :, own])
    alone.bias.assign(weights_of(layer)["bias"][:, own])
    _, both, _ = maps_of(layer, x)
    _, single, _ = maps_of(alone, x)
    np.testing.assert_allclose(both["score"][..., 3:], single["score"], atol=1e-6)
    np.testing.assert_allclose(both["contribution"][:, 3:], single["contribution"], atol=1e-6)
    np.testing.assert_allclose(both["change"], single["change"], atol=1e-6)


def test_identity_penalty_is_the_squared_distance(x):
    layer, weights, _ = built(x, identity_penalty=0.3, alpha=0.5)
    layer(ops.convert_to_tensor(x))
    expected = 0.3 * np.square(weights - 0.5 * np.eye(8)).sum()
    np.testing.assert_allclose(ops.convert_to_numpy(layer.losses[0]), expected, rtol=1e-5)
    assert not built(x)[0].losses
