"""MAIL against its formulas written slowly, and the properties that follow from them."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from tests.helpers.mail_by_hand import mail as slow_mail
from tests.helpers.mail_by_hand import randomize
from xai_mimo.layers import MAIL
from xai_mimo.layers.heads import head_blocks
from xai_mimo.layers.interception import read_maps
from xai_mimo.layers.mail.normalizers import NORMALIZERS

SCORINGS = ("dense", "stream", "local", "additive", "static")


def build(rng, heads, widths=(3, 2), rows=4, **options):
    """A MAIL with random weights, its inputs, outputs, maps by short name, and weights by name."""
    layer = MAIL(heads, **options)
    inputs = [rng.normal(size=(rows, width)).astype("float32") for width in widths]
    layer([ops.convert_to_tensor(x) for x in inputs])
    weights = randomize(layer, rng)
    outputs, maps, _ = read_maps(layer, inputs)
    return layer, inputs, outputs, {key.rsplit("/", 1)[1]: value for key, value in maps.items()}, weights


@pytest.mark.parametrize("hierarchical", [False, True], ids=["flat", "hierarchical"])
@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "sigmoid"])
@pytest.mark.parametrize("scoring", SCORINGS)
def test_equals_the_formula_written_slowly(scoring, normalizer, hierarchical, rng):
    options = {"scoring": scoring, "normalizer": normalizer, "temperature": 0.7, "rescale": True}
    streams = "hierarchical" if hierarchical else "flat"
    _, inputs, outputs, maps, weights = build(rng, [2, 1, 2], hidden_units=3, streams=streams, **options)
    wanted, attention = slow_mail(
        np.concatenate(inputs, -1), weights, (3, 2), (2, 1, 2), hierarchical=hierarchical, **options
    )
    np.testing.assert_allclose(maps["attention"], attention, atol=2e-6)
    for ours, slow in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(ours, slow, rtol=2e-5, atol=1e-5)


def test_defaults_are_the_published_formula(rng):
    _, inputs, outputs, maps, weights = build(rng, [3, 1], widths=(4, 3))
    assert weights["hidden_kernel"].shape == (7, 2, 7)
    wanted, attention = slow_mail(np.concatenate(inputs, -1), weights, (4, 3), (3, 1), "dense")
    np.testing.assert_allclose(maps["attention"], attention, atol=1e-6)
    for ours, slow in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(ours, slow, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("scoring", SCORINGS)
def test_attention_sums_to_one_and_contribution_to_the_output_without_bias(scoring, rng):
    _, _, outputs, maps, weights = build(rng, {"a": 2, "b": 1}, scoring=scoring)
    np.testing.assert_allclose(maps["attention"].sum(-1), 1, atol=1e-5)
    together = np.concatenate([outputs["a"], outputs["b"]], -1)
    np.testing.assert_allclose(maps["contribution"].sum(-1), together - weights["output_bias"], atol=2e-5)


@pytest.mark.parametrize("normalizer", ["softmax", "sparsemax", "sigmoid"])
@pytest.mark.parametrize("streams", ["flat", "hierarchical"])
@pytest.mark.parametrize("scoring", ["local", "static"])
def test_uniform_attention_with_rescale_leaves_the_input_unchanged_at_the_start(scoring, streams, normalizer, rng):
    layer = MAIL([2, 1, 2], 3, scoring=scoring, rescale=True, streams=streams, normalizer=normalizer)
    inputs = [rng.normal(size=(4, 3)).astype("float32"), rng.normal(size=(4, 2)).astype("float32")]
    _, maps, _ = read_maps(layer, inputs)
    for context in np.moveaxis(maps[f"{layer.path}/context"], 1, 0):
        np.testing.assert_allclose(context, np.concatenate(inputs, -1), atol=1e-6)


@pytest.mark.parametrize(("scoring", "reach"), [("local", "feature"), ("stream", "stream"), ("static", "none")])
def test_scores_depend_on_nothing_outside_their_reach(scoring, reach, rng):
    layer, (u, v), *_ = build(rng, [1, 1], scoring=scoring, normalizer="sigmoid", rows=1)
    owner = np.array([0, 0, 0, 1, 1])
    base = attention_of(layer, [u, v])
    for k in range(5):
        x = np.concatenate([u, v], -1)
        x[0, k] += 1.0
        changed = np.abs(attention_of(layer, [x[:, :3], x[:, 3:]]) - base)[0].max(0) > 0
        allowed = {"feature": np.arange(5) == k, "stream": owner == owner[k], "none": np.zeros(5, bool)}[reach]
        np.testing.assert_array_equal(changed, allowed)


def attention_of(layer, inputs):
    return read_maps(layer, inputs)[1][f"{layer.path}/attention"]


def test_permuting_features_with_their_weights_permutes_the_map(rng):
    layer, (x,), outputs, maps, weights = build(rng, [2], widths=(5,))
    order = rng.permutation(5)
    moved = dict(weights)
    moved["hidden_kernel"] = weights["hidden_kernel"][order]
    moved["score_kernel"] = weights["score_kernel"][..., order]
    moved["score_bias"] = weights["score_bias"][..., order]
    moved["output_kernel"] = weights["output_kernel"][order]
    layer.set_weights([moved[w.name] for w in layer.weights])
    again, maps_again, _ = read_maps(layer, [x[:, order]])
    np.testing.assert_allclose(maps_again[f"{layer.path}/attention"], maps["attention"][..., order], atol=1e-6)
    np.testing.assert_allclose(again[0], outputs[0], atol=1e-5)


def test_a_head_keeps_its_map_when_another_head_is_added(rng):
    _, inputs, outputs, maps, weights = build(rng, [2, 1])
    wider = MAIL([2, 1, 3])
    wider([ops.convert_to_tensor(x) for x in inputs])
    grown = randomize(wider, rng)
    for name, value in weights.items():
        grown[name][tuple(slice(n) for n in value.shape)] = value
    wider.set_weights([grown[w.name] for w in wider.weights])
    again, maps_again, _ = read_maps(wider, inputs)
    np.testing.assert_allclose(maps_again[f"{wider.path}/attention"][:, :2], maps["attention"], atol=1e-6)
    np.testing.assert_allclose(again[0], outputs[0], atol=1e-5)


def test_blocks_of_heads_of_mixed_widths_give_each_head_its_own_numbers(rng, monkeypatch):
    monkeypatch.setattr("xai_mimo.layers.heads._VALUES_PER_ROW", 10)
    monkeypatch.setattr("xai_mimo.layers.heads._MOST_BLOCKS", 100)
    widths = [2, 1, 2, 1, 2, 3]
    assert head_blocks(widths, 5) == [(0, 2), (4,), (1, 3), (5,)]
    _, inputs, outputs, maps, weights = build(rng, widths, hidden_units=3)
    wanted, attention = slow_mail(np.concatenate(inputs, -1), weights, (3, 2), widths, "dense")
    np.testing.assert_allclose(maps["attention"], attention, atol=2e-6)
    together = np.concatenate(outputs, -1) - weights["output_bias"]
    np.testing.assert_allclose(maps["contribution"].sum(-1), together, atol=2e-5)
    for ours, slow in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(ours, slow, atol=2e-5, rtol=1e-5)


@given(
    widths=st.lists(st.integers(1, 4), min_size=1, max_size=40),
    features=st.integers(1, 5000),
)
@settings(max_examples=50, deadline=None)
def test_blocks_hold_every_head_once_and_equal_widths_only(widths, features):
    blocks = head_blocks(widths, features)
    assert sorted(j for block in blocks for j in block) == list(range(len(widths)))
    assert all(len({widths[j] for j in block}) == 1 for block in blocks)
    assert len(blocks) <= 16 * len(set(widths))


@given(
    # Few lengths, because JAX compiles each of them.
    values=st.sampled_from([1, 2, 7]).flatmap(lambda n: st.lists(st.integers(-6, 6), min_size=n, max_size=n)),
    temperature=st.sampled_from([0.3, 1.0, 4.0]),
)
@settings(max_examples=40, deadline=None)
def test_sparsemax_is_the_projection_onto_the_simplex(values, temperature):
    z = np.asarray(values, "float32") / temperature
    ours = ops.convert_to_numpy(NORMALIZERS["sparsemax"].weigh(ops.convert_to_tensor(z)[None]))[0]
    assert ours.min() >= 0
    np.testing.assert_allclose(ours.sum(), 1, atol=1e-5)
    # Optimality of a projection p: z - p is at most tau, and equal to it where p > 0.
    slack = z - ours
    tau = slack[ours > 1e-6].min()
    np.testing.assert_allclose(slack[ours > 1e-6], tau, atol=1e-5)
    assert (slack <= tau + 1e-5).all()


def test_initial_weights_have_the_fans_of_single_dense_layers():
    layer = MAIL([2, 2], hidden_units=30, kernel_initializer=keras.initializers.GlorotUniform(seed=3))
    layer.build([(None, 50)])
    kernel = ops.convert_to_numpy(layer._score_weights["hidden_kernel"])
    first = ops.convert_to_numpy(keras.initializers.GlorotUniform(seed=3)((50, 30)))
    np.testing.assert_array_equal(kernel[:, 0], first)
    assert np.abs(kernel[:, 0] - kernel[:, 1]).max() > 0.01


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("widths", [(1,), (4,), (1, 1)])
def test_one_stream_one_feature_one_unit_one_row(scoring, widths, rng):
    _, inputs, outputs, _, weights = build(rng, [1], widths=widths, rows=1, scoring=scoring)
    wanted, _ = slow_mail(np.concatenate(inputs, -1), weights, widths, (1,), scoring)
    np.testing.assert_allclose(outputs[0], wanted[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("rank", [3, 4, 5])
def test_higher_ranks_treat_each_step_by_itself(rank, rng):
    lead = (2, 3, 2, 2)[: rank - 1]
    layer = MAIL({"y": 2})
    x = rng.normal(size=(*lead, 4)).astype("float32")
    outputs, maps, labels = read_maps(layer, x)
    flat, flat_maps, _ = read_maps(layer, x.reshape(-1, 4))
    assert outputs["y"].shape == (*lead, 2)
    np.testing.assert_allclose(outputs["y"].reshape(-1, 2), flat["y"], atol=1e-6)
    words = {3: ("time",), 4: ("height", "width"), 5: ("axis_1", "axis_2", "axis_3")}[rank]
    key = f"{layer.path}/attention"
    assert labels[key].axes == (*words, "head", "feature")
    np.testing.assert_allclose(maps[key].reshape(-1, 1, 4), flat_maps[key], atol=1e-6)


def test_nan_is_not_hidden(rng):
    for normalizer in ("softmax", "sparsemax", "sigmoid"):
        layer, (u, v), *_ = build(rng, [1], normalizer=normalizer)
        u[1, 0] = np.nan
        outputs, _, _ = read_maps(layer, [u, v])
        assert np.isnan(outputs[0][1]).all()
        assert np.isfinite(outputs[0][[0, 2, 3]]).all()


def test_labels_name_heads_units_streams_and_features(rng):
    layer = MAIL({"risk": 1, "kind": 2}, feature_names={"log": ["hot", "cold"]}, streams="hierarchical")
    inputs = {"log": rng.normal(size=(2, 2)).astype("float32"), "age": rng.normal(size=(2, 1)).astype("float32")}
    _, _, labels = read_maps(layer, inputs)
    contribution = labels[f"{layer.path}/contribution"]
    assert contribution.axes == ("target", "feature")
    assert dict(contribution.coords) == {
        "target.head": ("risk", "kind", "kind"),
        "target.unit": ("0", "0", "1"),
        "feature": ("hot", "cold", "age.0"),
        "feature.stream": ("log", "log", "age"),
    }
    assert labels[f"{layer.path}/stream_attention"].axes == ("head", "stream")
    assert labels[f"{layer.path}/stream_attention"].coords["stream"] == ("log", "age")


def test_stream_order_of_a_dict_is_that_of_build_whatever_the_call_says(rng):
    layer = MAIL([1])
    a, b = rng.normal(size=(4, 2)).astype("float32"), rng.normal(size=(4, 3)).astype("float32")
    first, first_maps, labels = read_maps(layer, {"b": b, "a": a})
    second, second_maps, _ = read_maps(layer, {"a": a, "b": b})
    key = f"{layer.path}/attention"
    assert labels[key].coords["feature.stream"] == ("b", "b", "b", "a", "a")
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first_maps[key], second_maps[key])


def test_half_precision_normalizes_in_float32(rng):
    layer = MAIL([1], dtype="mixed_float16")
    x = rng.normal(size=(2, 3000)).astype("float16")
    outputs, maps, _ = read_maps(layer, [x])
    assert maps[f"{layer.path}/attention"].dtype == np.float32
    np.testing.assert_allclose(maps[f"{layer.path}/attention"].sum(-1), 1, atol=1e-5)
    assert outputs[0].dtype == np.float16
