"""Captum's FeatureAblation, Occlusion and FeaturePermutation: values by hand, Captum itself, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from xai_mimo_adapters.captum_methods import CaptumFeatureAblation, CaptumFeaturePermutation, CaptumOcclusion

import xai_mimo as xm
from tests.helpers.captum_models import Bilinear, TorchModel, as_tensors, columns_of, explain, natively_seeded, rows_for
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName, UnusedStreamWarning
from xai_mimo.core.streams import Head, Stream

captum_attr, torch = imported("captum.attr"), imported("torch")
pytestmark = pytest.mark.all_frameworks


class Categories:
    """price = 10 by the word + 3 by the id + x: streams of words, of whole numbers and a single number a row."""

    streams = (Stream("word", (2,), "object"), Stream("id", (1, 2), "int64"), Stream("x", (), "float32"))
    heads = (Head("price"), Head("pair", (2,)))

    def __init__(self):
        self.seen_words, self.largest_batch = set(), 0

    def fingerprint(self):
        return "categories"

    def predict(self, inputs):
        assert inputs["id"].dtype == np.int64
        assert inputs["word"].dtype == object
        assert inputs["x"].dtype == np.float32
        self.seen_words |= set(inputs["word"].ravel())
        self.largest_batch = max(self.largest_batch, len(inputs["x"]))
        lengths = np.array([[len(w) for w in row] for row in inputs["word"]], dtype=float)
        price = 10 * lengths[:, 0] + 3 * inputs["id"][:, 0, 1] + inputs["x"]
        return {"price": price[:, None], "pair": np.stack([lengths[:, 1] * inputs["x"], inputs["x"]], axis=1)}


def categories(words, ids, x):
    return {
        "word": np.array(words, dtype=object).reshape(-1, 2),
        "id": np.array(ids, dtype=np.int64).reshape(-1, 1, 2),
        "x": np.array(x, dtype=np.float32),
    }


ROWS = categories([["abc", "de"], ["a", "fghi"]], [[7, 2**24 + 1], [8, 9]], [1.5, -2.0])
OTHER = categories([["zz", "y"]], [[0, 5]], [0.5])


def test_words_and_whole_numbers_are_replaced_whole():
    model = Categories()
    found = explain(CaptumFeatureAblation(baseline="background"), model, ROWS, OTHER)
    np.testing.assert_allclose(found.values["word"][0], [[10, 0], [-10, 0]])
    np.testing.assert_allclose(found.values["id"][0, :, 0, 0], 0)
    np.testing.assert_array_equal(found.values["id"][0, :, 0, 1], [3 * (2**24 + 1 - 5), 3 * (9 - 5)])
    np.testing.assert_allclose(found.values["x"], [[1, -2.5], [1.5 * 2 - 0.5 * 2, (-2 - 0.5) * 4], [1, -2.5]])
    assert model.seen_words == {"abc", "de", "a", "fghi", "zz", "y"}


@pytest.mark.parametrize("method", [CaptumOcclusion(baseline="background"), CaptumFeaturePermutation()], ids=repr)
def test_with_single_values_and_one_other_row_occlusion_and_permutation_are_ablation(method):
    expected = explain(CaptumFeatureAblation(baseline="background"), Categories(), ROWS, OTHER)
    if method.name == "captum.Occlusion":
        method = CaptumOcclusion({"word": 1}, baseline="background")
    found = explain(method, Categories(), ROWS, OTHER)
    for name, values in expected.values.items():
        np.testing.assert_allclose(found.values[name], values, rtol=1e-6)


def test_ablation_of_a_bilinear_model_is_that_found_by_hand(rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 6), rows_for(model, rng, 3)
    found = explain(CaptumFeatureAblation(baseline="background"), model, inputs, background)
    a, b = inputs["a"], inputs["b"][:, 0]
    a_mean, b_mean = background["a"].mean(axis=0), background["b"][:, 0].mean(axis=0)
    np.testing.assert_allclose(found.values["a"][0, :, 0], (a[:, 0] - a_mean[0]) * b[:, 0], atol=1e-12)
    np.testing.assert_allclose(
        found.values["a"][0, :, 1], a[:, 1] ** 2 - (background["a"][:, 1] ** 2).mean(), atol=1e-12
    )
    np.testing.assert_allclose(found.values["b"][0, :, 0, 0], a[:, 0] * (b[:, 0] - b_mean[0]), atol=1e-12)
    np.testing.assert_array_equal(found.values["b"][0, :, 0, 1], 0)
    np.testing.assert_array_equal(found.values["unused"], 0)
    assert found.baseline_prediction is None


def test_groups_over_streams_are_ablated_together_and_share_their_loss(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 4)
    players = {"product": {"a": [0], "b": "all"}, "others": "rest"}
    found = explain(CaptumFeatureAblation(players=players), model, inputs, inputs)
    product = inputs["a"][:, 0] * inputs["b"][:, 0, 0]
    np.testing.assert_allclose(found.players.values[0, :, 0], product, atol=1e-12)
    np.testing.assert_allclose(found.values["a"][0, :, 0], product / 3, atol=1e-12)
    np.testing.assert_allclose(found.values["b"][0, :, 0, 1], product / 3, atol=1e-12)


def test_players_that_differ_from_row_to_row_are_those_of_each_row(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 2)
    labels = np.array([[0, 1], [0, 0]])
    found = explain(CaptumFeatureAblation(players={"a": labels}), model, inputs, inputs)
    a, b = inputs["a"], inputs["b"][:, 0, 0]
    np.testing.assert_allclose(found.values["a"][0, 0], [a[0, 0] * b[0], a[0, 1] ** 2], atol=1e-12)
    both = a[1, 0] * b[1] + a[1, 1] ** 2
    np.testing.assert_allclose(found.values["a"][0, 1], [both / 2, both / 2], atol=1e-12)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (CaptumFeatureAblation(), "FeatureAblation", {}),
        (
            CaptumFeatureAblation(players="streams"),
            "FeatureAblation",
            {"feature_mask": (torch.zeros(1, 3, dtype=int), torch.ones(1, 2, 1, dtype=int))},
        ),
        (
            CaptumOcclusion({"a": 2, "b": (2, 1)}),
            "Occlusion",
            {"sliding_window_shapes": ((2,), (2, 1)), "strides": ((1,), (1, 1))},
        ),
        (
            CaptumOcclusion({"a": 2, "b": (1, 1)}, strides={"a": 2}),
            "Occlusion",
            {"sliding_window_shapes": ((2,), (1, 1)), "strides": ((2,), (1, 1))},
        ),
    ],
    ids=repr,
)
def test_the_numbers_are_those_of_captum_on_the_torch_module_itself(ours, theirs, options, rng):
    model = TorchModel("float32")
    inputs, start = rows_for(model, rng, 5), rows_for(model, rng, 1)
    ours = replace(ours, baseline={name: x[0] for name, x in start.items()})
    options = {**options, "baselines": as_tensors(start)}
    found = explain(ours, model, inputs, start)
    for t, column in enumerate(columns_of(model, inputs)):
        native = getattr(captum_attr, theirs)(model.module).attribute(as_tensors(inputs), target=column, **options)
        for name, value in zip(inputs, native, strict=True):
            mine = found.values[name][t]
            if theirs == "FeatureAblation" and options.get("feature_mask"):
                value = value.reshape(5, -1)[:, 0]  # Captum gives the loss of the stream to each of its values
            np.testing.assert_allclose(mine, value.numpy(), atol=1e-5)


def test_a_shuffle_among_rows_is_captums_own(rng):
    """Captum draws orders stream by stream, so that it is asked here about the streams side by side."""
    model = TorchModel("float32")
    inputs = rows_for(model, rng, 5)
    found = explain(CaptumFeaturePermutation(samples=1, among="rows"), model, inputs, inputs)
    columns = torch.cat([x.flatten(1) for x in as_tensors(inputs)], dim=1)
    for t, target in enumerate(columns_of(model, inputs)):
        with natively_seeded():
            native = captum_attr.FeaturePermutation(
                lambda x: model.module(x[:, :3], x[:, 3:].reshape(-1, 2, 1))
            ).attribute(columns, target=target, perturbations_per_eval=5)
        np.testing.assert_allclose(found.values["a"][t], native[:, :3].numpy(), atol=1e-5)
        np.testing.assert_allclose(found.values["b"][t, :, :, 0], native[:, 3:].numpy(), atol=1e-5)


def test_windows_cover_all_channels_and_overlapping_ones_are_averaged():
    class Weighted:
        streams, heads = (Stream("x", (3, 2), axes=("time", "channel")),), (Head("y"),)

        def fingerprint(self):
            return "weighted"

        def predict(self, inputs):
            return {"y": (inputs["x"].sum(axis=2) @ [1.0, 10.0, 100.0])[:, None]}

    ones = {"x": np.ones((1, 3, 2), "float32")}
    found = explain(CaptumOcclusion(2), Weighted(), ones, ones)
    np.testing.assert_allclose(found.values["x"][0, 0], np.repeat([[22], [(22 + 220) / 2], [220]], 2, axis=1))
    apart = explain(CaptumOcclusion(2, strides=2), Weighted(), ones, ones)
    np.testing.assert_allclose(apart.values["x"][0, 0, :, 0], [22, 22, 200])  # the last one is cut off


def test_permutation_draws_from_the_background_and_tells_how_sure_it_is(rng):
    """a1 ** 2 of a row less the mean of those of two background rows, whichever the draws give."""
    model = Bilinear()
    inputs = rows_for(model, rng, 3)
    background = {name: np.repeat(x[:1], 2, axis=0) * 0 for name, x in inputs.items()}
    background["a"][1, 1] = 2.0
    found = explain(CaptumFeaturePermutation(samples=400), model, inputs, background)
    error = found.standard_error["a"][0, :, 1]
    np.testing.assert_allclose(found.values["a"][0, :, 1], inputs["a"][:, 1] ** 2 - 2, atol=5 * 0.1)
    np.testing.assert_allclose(error, 2 / np.sqrt(400), rtol=0.05)
    np.testing.assert_array_equal(found.draws, 400)
    np.testing.assert_array_equal(found.values["unused"], 0)
    one = explain(CaptumFeaturePermutation(samples=1), model, inputs, background)
    assert one.standard_error is None
    assert one.draws is None


def test_permutation_of_a_single_row_is_not_skipped(rng):
    """Captum gives zeros for a batch of one row, with no more than a line in its log."""
    model = Bilinear()
    inputs = rows_for(model, rng, 1)
    zeros = {name: x * 0 for name, x in inputs.items()}
    found = explain(CaptumFeaturePermutation(), model, inputs, zeros)
    np.testing.assert_allclose(found.values["a"][0, 0, 1], inputs["a"][0, 1] ** 2, atol=1e-12)


def test_a_shuffle_among_rows_is_refused_where_it_would_depend_on_blocks(rng):
    model, method = Bilinear(), CaptumFeaturePermutation(among="rows")
    inputs = rows_for(model, rng, 4)
    with pytest.raises(NotSupported, match=r"among the rows explained, and there is 1\. .* take among='background'"):
        explain(method, model, {n: x[:1] for n, x in inputs.items()}, inputs)
    with pytest.raises(NotSupported, match=r"another one begins at row 2: .*explain\(\.\.\., rows_per_block=\.\.\.\)"):
        xm.explain(model, inputs, method, rows_per_block=2, progress=False, targets=["risk"])
    with pytest.warns(UnusedStreamWarning):
        assert xm.explain(model, inputs, method, progress=False, targets=["risk"]).sizes["sample"] == 4


@pytest.mark.parametrize(
    "method", [CaptumFeatureAblation(), CaptumOcclusion(), CaptumFeaturePermutation(samples=2)], ids=repr
)
def test_less_memory_means_smaller_batches_and_the_same_numbers(method):
    free, tight = Categories(), Categories()
    rows = {name: np.repeat(x, 10, axis=0) for name, x in ROWS.items()}
    if method.name != "captum.FeaturePermutation":
        method = type(method)(baseline="background")
    expected = explain(method, free, rows, OTHER)
    found = explain(method, tight, rows, OTHER, max_memory=2000)
    assert free.largest_batch > 50
    # The prediction itself is one call; a model bounds its own memory there.
    assert tight.largest_batch <= 20
    for name, values in expected.values.items():
        np.testing.assert_allclose(found.values[name], values, rtol=1e-6)


def test_settings_are_checked(rng):
    inputs = rows_for(Bilinear(), rng, 1)
    with pytest.raises(BadSetting, match="players 'pixels' is not one of features"):
        CaptumFeatureAblation(players="pixels")
    with pytest.raises(BadSetting, match=r"windows are whole numbers of at least 1, .* got 0"):
        CaptumOcclusion(0)
    with pytest.raises(BadSetting, match=r"strides are whole numbers of at least 1, .* got 'two'"):
        CaptumOcclusion(strides="two")
    with pytest.raises(UnknownName, match="no input stream is called 'c'"):
        explain(CaptumOcclusion({"c": 2}), Bilinear(), inputs, inputs)
    with pytest.raises(BadSetting, match=r"the window \(3,\) of stream 'a' is larger than a row of it, \(2,\)"):
        explain(CaptumOcclusion({"a": 3}), Bilinear(), inputs, inputs)
    with pytest.raises(BadSetting, match=r"the strides \(2,\) of stream 'a' are larger than its window \(1,\)"):
        explain(CaptumOcclusion(strides={"a": 2}), Bilinear(), inputs, inputs)
    with pytest.raises(BadSetting, match=r"\(1, 1, 1\) of stream 'b' wants 1 sizes"):
        explain(CaptumOcclusion({"b": (1, 1, 1)}), Bilinear(), inputs, inputs)
    with pytest.raises(BadSetting, match="among 'columns' is not one of background, rows"):
        CaptumFeaturePermutation(among="columns")
    with pytest.raises(BadSetting, match="samples must be a whole number"):
        CaptumFeaturePermutation(samples=0)
