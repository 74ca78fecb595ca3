"""The equations of an MHEX head: by hand, against slow loops, and as properties."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.mhex_by_hand import IMAGE, TOKENS, built, maps_of, slowly, weights_of
from xai_mimo.layers import MHEX, MHEXHead

MASK = np.array([[True, True, True, False, True, False], [True] * 6])


def test_one_channel_one_class_by_hand():
    """u = (3, -1), gap(u) = 1, g = sigmoid(2), f = (3, 0), W_equiv = 2 * 5 = 10, M = (30, 0), logit = 15."""
    layer = MHEXHead(1)
    layer.build([(None, 2, 1)] * 2)
    layer.set_weights([np.array([[2.0]]), np.array([[5.0]])])
    inputs = [np.array([[[1.0], [-3.0]]], "float32"), np.array([[[2.0], [2.0]]], "float32")]
    output, maps, _ = maps_of(layer, inputs)
    gate = 1 / (1 + np.exp(-2))
    np.testing.assert_allclose(maps["gate"], [[gate]], rtol=1e-6)
    np.testing.assert_allclose(output[0, :, 0], [gate + 2, -3 * gate + 2], rtol=1e-6)
    np.testing.assert_allclose(maps["class_map"][0, :, 0], [30, 0], rtol=1e-6)
    np.testing.assert_allclose(maps["logits"], [[15]], rtol=1e-6)
    np.testing.assert_array_equal(maps["features"][0, :, 0], [3, 0])
    np.testing.assert_allclose(maps["gated_features"], output)


@pytest.mark.parametrize("shape", [IMAGE, TOKENS], ids=["image", "tokens"])
def test_head_equals_the_slow_loops(shape):
    layer, inputs = built(shape, heads={"kind": 3, "load": 2}, use_bias=True)
    w = weights_of(layer)
    slow = slowly(inputs, w["gate_kernel"], w["class_kernel"], w["class_bias"])
    output, maps, _ = maps_of(layer, inputs)
    np.testing.assert_allclose(output, slow["output"], atol=1e-5)
    for name in ("gate", "logits", "class_map"):
        np.testing.assert_allclose(maps[name], slow[name], atol=2e-5)


def test_masked_positions_count_in_no_mean_and_have_maps_of_exactly_zero():
    layer, inputs = built(TOKENS)
    w = weights_of(layer)
    slow = slowly(inputs, w["gate_kernel"], w["class_kernel"], mask=MASK)
    output, maps, labels = maps_of(_Masked(layer), inputs)
    np.testing.assert_allclose(output, slow["output"], atol=1e-5)
    for name in ("gate", "logits", "class_map"):
        np.testing.assert_allclose(maps[name], slow[name], atol=2e-5)
    for name in ("class_map", "features", "gated_features"):
        np.testing.assert_array_equal(maps[name][~MASK], 0)
    np.testing.assert_array_equal(maps["mask"], MASK)
    assert labels["mask"].axes == ("token",)


class _Masked:
    """Calls a head with a mask."""

    built, name = True, "masked"

    def __init__(self, layer):
        self.layer = layer

    def __call__(self, inputs, training=False):
        return self.layer(inputs, mask=MASK)


def test_padding_changes_nothing_at_real_positions():
    layer, inputs = built(TOKENS)
    other = [np.where(MASK[..., None], values, 7.0).astype("float32") for values in inputs]
    ours, theirs = maps_of(_Masked(layer), inputs), maps_of(_Masked(layer), other)
    np.testing.assert_array_equal(ours[0][MASK], theirs[0][MASK])
    for name, values in ours[1].items():
        np.testing.assert_array_equal(values, theirs[1][name])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.sampled_from([0.0, 1e-3, 1.0, 30.0]))
def test_class_map_is_complete_and_the_gate_between_zero_and_one(seed, scale):
    layer, inputs = built(seed=seed)
    inputs = [values * np.float32(scale) for values in inputs]
    output, maps, _ = maps_of(layer, inputs)
    size = max(1.0, scale)
    np.testing.assert_allclose(maps["class_map"].mean(axis=(1, 2)), maps["logits"], atol=4e-6 * size)
    matrix = weights_of(layer)["gate_kernel"] @ weights_of(layer)["class_kernel"]
    np.testing.assert_allclose(maps["features"].mean(axis=(1, 2)) @ matrix, maps["logits"], atol=2e-5 * size)
    assert maps["gate"].shape == (2, 5)
    assert (maps["gate"] >= 0).all()
    assert (maps["gate"] <= 1).all()
    gated = inputs[0] * maps["gate"][:, None, None, :]
    np.testing.assert_allclose(output - inputs[1], gated, atol=1e-5 * size)


def test_equivalent_matrix_is_the_product_of_both_kernels():
    layer, _ = built()
    w = weights_of(layer)
    matrix = keras.ops.convert_to_numpy(layer.equivalent_matrix())
    assert matrix.shape == (5, 5)
    np.testing.assert_allclose(matrix, w["gate_kernel"] @ w["class_kernel"], rtol=1e-5, atol=1e-6)


def test_without_gate_kernel_the_gate_is_one_half_and_every_logit_zero():
    layer, inputs = built()
    layer.gate_kernel.assign(np.zeros((5, 5)))
    output, maps, _ = maps_of(layer, inputs)
    np.testing.assert_array_equal(maps["gate"], 0.5)
    np.testing.assert_array_equal(maps["logits"], 0)
    np.testing.assert_allclose(output, 0.5 * inputs[0] + inputs[1], rtol=1e-6)


def test_an_empty_branch_passes_the_shortcut_on():
    layer, inputs = built()
    output, _, _ = maps_of(layer, [np.zeros_like(inputs[0]), inputs[1]])
    np.testing.assert_array_equal(output, inputs[1])


@pytest.mark.parametrize("shape", [IMAGE, TOKENS], ids=["image", "tokens"])
def test_permuting_positions_permutes_output_and_map(shape, rng):
    layer, inputs = built(shape)
    places = int(np.prod(shape[1:-1]))
    order = rng.permutation(places)

    def permuted(values):
        return values.reshape(len(values), places, -1)[:, order].reshape(*values.shape)

    output, maps, _ = maps_of(layer, inputs)
    moved, moved_maps, _ = maps_of(layer, [permuted(values) for values in inputs])
    np.testing.assert_allclose(moved, permuted(output), atol=1e-5)
    np.testing.assert_allclose(moved_maps["class_map"], permuted(maps["class_map"]), atol=1e-5)
    np.testing.assert_allclose(moved_maps["logits"], maps["logits"], atol=1e-5)


@pytest.mark.parametrize(("use_bias", "extra"), [(False, 0), (True, 5)])
def test_parameters_are_those_of_two_kernels(use_bias, extra):
    layer, _ = built(heads={"a": 2, "b": 3}, use_bias=use_bias)
    assert layer.count_params() == 5**2 + 5 * 5 + extra


def test_heads_have_columns_of_their_own_and_share_the_gate():
    layer, inputs = built(heads={"kind": 3, "load": 2})
    _, maps, labels = maps_of(layer, inputs)
    alone = MHEXHead(2)
    alone.build([IMAGE] * 2)
    w = weights_of(layer)
    alone.set_weights([w["gate_kernel"], w["class_kernel"][:, 3:]])
    _, own, _ = maps_of(alone, inputs)
    np.testing.assert_allclose(own["class_map"], maps["class_map"][..., 3:], atol=1e-5)
    np.testing.assert_array_equal(own["gate"], maps["gate"])
    assert labels["logits"].coords == {
        "target.head": ("kind", "kind", "kind", "load", "load"),
        "target.unit": ("0", "1", "2", "0", "1"),
    }


def test_initial_kernels_have_the_fans_of_their_head():
    layer = MHEXHead(heads=[2, 200])
    layer.build([(None, 4, 50)] * 2)
    kernel = weights_of(layer)["class_kernel"]
    for part, limit in ((kernel[:, :2], np.sqrt(6 / 52)), (kernel[:, 2:], np.sqrt(6 / 250))):
        assert 0.9 * limit < np.abs(part).max() <= limit


def test_the_design_calls_it_mhex():
    assert MHEX is MHEXHead
    assert MHEXHead.reference == "sun2025multihead"


def test_large_maps_are_sown_on_request_only():
    layer, inputs = built()
    _, maps, _ = maps_of(layer, inputs, names=None)
    assert set(maps) == {"logits", "gate", "class_map"}
    _, maps, _ = maps_of(layer, inputs, names=("features",))
    assert set(maps) == {"features"}


def test_output_is_the_same_whether_or_not_the_logits_are_returned():
    layer, inputs = built()
    other = MHEXHead.from_config({**layer.get_config(), "return_logits": True})
    other.build([IMAGE] * 2)
    other.set_weights(layer.get_weights())
    output, maps, _ = maps_of(layer, inputs)
    (again, logits), _, _ = maps_of(other, inputs)
    np.testing.assert_array_equal(again, output)
    np.testing.assert_allclose(logits, maps["logits"], rtol=1e-6)
    unread = keras.ops.convert_to_numpy(layer([keras.ops.convert_to_tensor(values) for values in inputs]))
    np.testing.assert_array_equal(unread, output)
