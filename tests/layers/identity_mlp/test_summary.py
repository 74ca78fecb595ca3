"""What an identity-initialised MLP says over many rows: roles of layers against slow counts, and how it prints."""

import keras
import numpy as np
import pytest

from tests.helpers.identity_by_hand import built, maps_of, randomize
from xai_mimo.layers import IdentityMLP, read_layers
from xai_mimo.layers.identity_mlp import states as identity_states

HEADS = {"kind": 3, "load": 2, "alarm": 1}


@pytest.fixture
def setting(rng):
    """A model of three heads, its inputs, its labels and its maps."""
    x = rng.uniform(-1, 1, size=(11, 3)).astype("float32")
    inputs = keras.Input((3,))
    layer = IdentityMLP(depth=4, heads=HEADS, regression=["load"], name="mlp")
    model = keras.Model(inputs, layer(inputs))
    randomize(layer)
    y = {"kind": rng.integers(3, size=11), "load": rng.normal(size=(11, 2)), "alarm": rng.integers(2, size=(11, 1))}
    return model, x, y, maps_of(layer, x)[1]


def test_roles_of_layers_equal_the_slow_counts_per_head(setting):
    model, x, y, maps = setting
    found = read_layers(model, x, y, batch_size=4)
    assert set(found.accuracy) == {"kind", "alarm"}
    assert set(found.error) == {"load"}
    for i in range(4):
        scores = maps["score"][:, i].astype("float64")
        hits = [int(np.argmax(s[:3]) == label) for s, label in zip(scores, y["kind"], strict=True)]
        assert found.accuracy["kind"][i] == sum(hits) / 11
        alarms = [int((s[5] > 0) == label[0]) for s, label in zip(scores, y["alarm"], strict=True)]
        assert found.accuracy["alarm"][i] == sum(alarms) / 11
        errors = [(s[3 + u] - label[u]) ** 2 for s, label in zip(scores, y["load"], strict=True) for u in (0, 1)]
        np.testing.assert_allclose(found.error["load"][i], np.sqrt(np.mean(errors)), rtol=1e-5)


def test_figures_of_the_weights_and_the_maps_asked_for_come_along(setting):
    model, x, _, maps = setting
    found = read_layers(model, x, maps=["change", "class_likelihood"], batch_size=4)
    for name in ("deviation", "diagonal", "off_diagonal"):
        np.testing.assert_allclose(getattr(found, name), maps[name][0], rtol=1e-6)
    np.testing.assert_allclose(found.step, np.abs(maps["increment"]).mean(axis=(0, 2)), rtol=1e-5)
    assert set(found.maps) == {"change", "class_likelihood"}
    assert found.maps["change"].dtype == np.float64
    np.testing.assert_allclose(found.maps["change"], maps["change"], atol=1e-6)
    assert found.labels["class_likelihood"].coords["class.head"] == ("kind", "kind", "kind", "alarm")
    assert not found.accuracy


def test_scores_that_the_activation_has_cut_alike_are_told_as_tied(setting):
    """Biases of 5 lift two scores of three above the cut: their classes cannot be told apart before the last layer."""
    model, x, y, _ = setting
    layer = model.get_layer("mlp")
    bias = keras.ops.convert_to_numpy(layer.bias).copy()
    bias[1:3, 3:5] = 5.0
    layer.bias.assign(bias)
    found = read_layers(model, x, y)
    assert set(found.tied) == {"kind"}
    np.testing.assert_array_equal(found.tied["kind"], [0, 1, 1, 0])
    np.testing.assert_array_equal(found.accuracy["kind"][1:3], (y["kind"] == 0).mean())


def test_steps_of_images_are_means_over_all_pixels(rng):
    x = rng.uniform(-1, 1, size=(3, 2, 2, 1)).astype("float32")
    layer, _, _ = built(x)
    expected = np.abs(maps_of(layer, x)[1]["increment"]).mean(axis=(0, 1, 2, 4))
    np.testing.assert_allclose(read_layers(layer, x).step, expected, rtol=1e-5)


def test_print_shows_the_deviation_in_a_line_per_layer(setting):
    model, x, y, _ = setting
    found = read_layers(model, x, y)
    lines = str(found).split("\n")
    head = "layer  deviation  diagonal  |off-diagonal|  |step|  accuracy kind  accuracy alarm  tied kind  error load"
    assert lines[0] == head
    assert len(lines) == 5
    first = [float(entry) for entry in lines[1].split()]
    expected = [1, found.deviation[0], found.diagonal[0], found.off_diagonal[0], found.step[0]]
    expected += [found.accuracy["kind"][0], found.accuracy["alarm"][0], found.tied["kind"][0], found.error["load"][0]]
    np.testing.assert_allclose(first, expected, atol=6e-4)


def test_decompositions_that_nobody_asks_for_are_computed_for_one_row_only(setting, monkeypatch):
    """That row tells what the layer's maps are; every other is read for the maps that are wanted."""
    model, x, _, maps = setting
    rows, slow = [], identity_states.decompose
    monkeypatch.setattr(
        identity_states, "decompose", lambda states, *w: rows.append(len(states.hidden[0])) or slow(states, *w)
    )
    read_layers(model, x, batch_size=4)
    assert rows == [1]
    found = read_layers(model, x, maps=["contribution", "bias"], batch_size=4)
    assert rows == [1, 1, 4, 4, 4]
    np.testing.assert_allclose(found.maps["contribution"], maps["contribution"], atol=1e-6)


def test_one_of_several_layers_is_named(rng):
    x = rng.uniform(-1, 1, size=(2, 3)).astype("float32")
    inputs = keras.Input((3,))
    outputs = [IdentityMLP(2, depth, name=f"mlp_{depth}")(inputs) for depth in (2, 3)]
    model = keras.Model(inputs, outputs, name="both")
    assert len(read_layers(model, x, layer="mlp_3").deviation) == 3
    with pytest.raises(ValueError, match=r"Expected model 'both' to hold one IdentityMLP\. .* Name one with `layer`"):
        read_layers(model, x)
    with pytest.raises(ValueError, match="to hold one IdentityMLP called 'mlp_4'"):
        read_layers(model, x, layer="mlp_4")


@pytest.mark.parametrize(
    ("labels", "text"),
    [
        (np.zeros(11), r"Expected labels per head, a mapping with keys out of \['kind', 'load', 'alarm'\]"),
        ({"sort": np.zeros(11)}, r"Received: \['sort'\]"),
        ({"kind": np.full(11, 3)}, "Expected 11 labels from 0 to 2 for head 'kind', one integer per row"),
        ({"kind": np.zeros(5)}, r"Expected 11 labels from 0 to 2 for head 'kind'.*Received: shape=\(5,\)"),
        ({"kind": np.full(11, np.nan)}, "Expected 11 labels from 0 to 2 for head 'kind'"),
        ({"alarm": np.full(11, 2)}, "Expected 11 labels from 0 to 1 for head 'alarm'"),
        ({"load": np.zeros(11)}, r"Expected finite labels of shape \(11, 2\) for head 'load'"),
        ({"load": np.full((11, 2), np.inf)}, "22 values that are not finite"),
    ],
)
def test_labels_are_checked(setting, labels, text):
    model, x, _, _ = setting
    with pytest.raises(ValueError, match=text):
        read_layers(model, x, labels)


def test_rows_and_names_of_maps_are_checked(setting):
    model, x, _, _ = setting
    with pytest.raises(ValueError, match="Expected at least one row"):
        read_layers(model, x[:0])
    with pytest.raises(ValueError, match=r"Expected names of maps out of \['bias', .*Received: maps=\['attention'\]"):
        read_layers(model, x, maps=["attention"])
