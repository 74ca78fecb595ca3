"""Captum's ShapleyValues, ShapleyValueSampling, KernelShap and Lime: values by hand, Captum itself, what is refused."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from xai_mimo_adapters.captum_methods import (
    CaptumKernelShap,
    CaptumLime,
    CaptumShapleyValues,
    CaptumShapleyValueSampling,
)

from tests.helpers.captum_models import Bilinear, TorchModel, as_tensors, columns_of, explain, natively_seeded, rows_for
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotFinite, NotSupported
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import Shapley

captum_attr, torch = imported("captum.attr"), imported("torch")
pytestmark = pytest.mark.all_frameworks
ALL = [CaptumShapleyValues(), CaptumShapleyValueSampling(), CaptumKernelShap(), CaptumLime()]
COMPLETE = ALL[:3]


class Linear:
    """y = 3 a + b W, with streams of words and of whole numbers beside; counts what it is asked."""

    streams = (Stream("a", (), "float64"), Stream("b", (2,), "int64"), Stream("word", (1,), "object"))
    heads = (Head("y"), Head("large"))

    def __init__(self):
        self.asked = 0

    def fingerprint(self):
        return "linear"

    def predict(self, inputs):
        self.asked += len(inputs["a"])
        y = 3 * inputs["a"] + inputs["b"] @ [5.0, -2.0] + np.array([len(w) for w in inputs["word"][:, 0]])
        return {"y": y[:, None], "large": (1e6 + y)[:, None]}


ROWS = {
    "a": np.array([1.0, -2.0]),
    "b": np.array([[3, 4], [2**24 + 1, 0]]),
    "word": np.array([["abc"], ["a"]], dtype=object),
}
OTHER = {"a": np.array([0.5]), "b": np.array([[1, 1]]), "word": np.array([["wxyz"]], dtype=object)}


def by_hand():
    """``(row, value)`` of each stream: the weight times the distance."""
    return {
        "a": 3 * (ROWS["a"] - 0.5),
        "b": (ROWS["b"] - 1) * np.array([5.0, -2.0]),
        "word": np.array([[-1.0], [-3.0]]),
    }


@pytest.mark.parametrize("method", COMPLETE, ids=repr)
def test_values_of_a_linear_model_are_weights_times_distances(method):
    found = explain(replace(method, baseline="background"), Linear(), ROWS, OTHER)
    for name, expected in by_hand().items():
        for target in (0, 1):
            np.testing.assert_allclose(found.values[name][target], expected, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found.baseline_prediction[0], 3 * 0.5 + 5 - 2 + 4)


def test_lime_without_a_penalty_finds_the_same_weights():
    method = CaptumLime(surrogate="linear", distance="players", baseline="background")
    rows = {name: x[:1] for name, x in ROWS.items()}
    found = explain(method, Linear(), rows, OTHER)
    for name, expected in by_hand().items():
        np.testing.assert_allclose(found.values[name][0], expected[:1], rtol=1e-5)
    np.testing.assert_allclose(found.diagnostics["surrogate_r2"], 1)
    assert found.baseline_prediction is None


@pytest.mark.parametrize("method", COMPLETE, ids=repr)
def test_a_product_is_divided_evenly_and_sums_are_complete(method, rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 3)
    inputs["unused"][:] = 1.0
    if isinstance(method, CaptumShapleyValueSampling):
        method = replace(method, samples=600)
    if isinstance(method, CaptumKernelShap):
        method = replace(method, samples=600)
    found = explain(method, model, inputs, inputs)
    a, b = inputs["a"], inputs["b"][:, 0]
    chance = 1e-6 if isinstance(method, CaptumShapleyValues) else 0.1 * np.abs(a[:, 0] * b[:, 0]).max()
    np.testing.assert_allclose(found.values["a"][0, :, 0], a[:, 0] * b[:, 0] / 2, atol=chance)
    np.testing.assert_allclose(found.values["b"][0, :, 0, 0], a[:, 0] * b[:, 0] / 2, atol=chance)
    np.testing.assert_allclose(found.values["a"][0, :, 1], a[:, 1] ** 2, atol=chance)
    total = sum(v.reshape(2, 3, -1).sum(axis=-1) for v in found.values.values())
    np.testing.assert_allclose(total, found.prediction - found.baseline_prediction, atol=1e-5)
    if not isinstance(method, CaptumKernelShap):
        np.testing.assert_array_equal(found.values["unused"], 0)


def test_exact_values_are_those_of_shapley_also_before_a_background_and_for_groups(rng):
    model = TorchModel("float64")
    inputs, background = rows_for(model, rng, 3), rows_for(model, rng, 4)
    for players in ("features", "streams", {"left": {"a": [0], "b": "all"}, "others": "rest"}):
        ours = explain(CaptumShapleyValues(players, baseline="background"), model, inputs, background)
        exact = explain(Shapley(players=players), model, inputs, background)
        for name, values in exact.values.items():
            np.testing.assert_allclose(ours.values[name], values, atol=1e-6)
        np.testing.assert_allclose(ours.baseline_prediction, exact.baseline_prediction)


@pytest.mark.parametrize(
    ("ours", "theirs", "options"),
    [
        (CaptumShapleyValues(), "ShapleyValues", {}),
        (CaptumShapleyValueSampling(samples=7), "ShapleyValueSampling", {"n_samples": 7}),
    ],
    ids=repr,
)
def test_the_numbers_are_those_of_captum_on_the_torch_module_itself(ours, theirs, options, rng):
    model = TorchModel("float32")
    inputs, start = rows_for(model, rng, 4), rows_for(model, rng, 1)
    found = explain(replace(ours, baseline={name: x[0] for name, x in start.items()}), model, inputs, start)
    for t, column in enumerate(columns_of(model, inputs)):
        with natively_seeded():
            native = getattr(captum_attr, theirs)(model.module).attribute(
                as_tensors(inputs), as_tensors(start), target=column, **options
            )
        for name, value in zip(inputs, native, strict=True):
            np.testing.assert_allclose(found.values[name][t], value.numpy(), atol=1e-5)


def native_lime(module, **settings):
    from captum._utils.models.linear_model import SkLearnLinearRegression, SkLearnRidge
    from captum.attr._core.lime import get_exp_kernel_similarity_function

    surrogates = {"ridge": SkLearnRidge(alpha=0.3), "linear": SkLearnLinearRegression(), "lasso": None}
    mode, width = settings.get("distance", "cosine"), settings.get("kernel_width", 1.0)
    kernel = get_exp_kernel_similarity_function(mode, width)
    return captum_attr.Lime(module, surrogates[settings.get("surrogate", "lasso")], kernel)


@pytest.mark.parametrize(
    ("ours", "native"),
    [
        (CaptumKernelShap(samples=40), captum_attr.KernelShap),
        (CaptumLime(samples=40), native_lime),
        (
            CaptumLime(samples=40, surrogate="ridge", alpha=0.3, distance="euclidean", kernel_width=2.0),
            lambda module: native_lime(module, surrogate="ridge", distance="euclidean", kernel_width=2.0),
        ),
        (
            CaptumLime(samples=40, surrogate="linear", kernel_width=0.3),
            lambda module: native_lime(module, surrogate="linear", kernel_width=0.3),
        ),
    ],
    ids=["KernelShap", "Lime", "Lime-ridge-euclidean", "Lime-linear-narrow"],
)
def test_surrogates_are_those_of_captum_row_by_row(ours, native, rng):
    model = TorchModel("float32")
    inputs, start = rows_for(model, rng, 3), rows_for(model, rng, 1)
    found = explain(replace(ours, baseline={name: x[0] for name, x in start.items()}), model, inputs, start)
    for row in range(3):
        one = tuple(x[row : row + 1] for x in as_tensors(inputs))
        for t, column in enumerate(columns_of(model, inputs)):
            with natively_seeded(row):
                theirs = native(model.module).attribute(
                    one, as_tensors(start), target=column[row : row + 1], n_samples=40, perturbations_per_eval=8
                )
            for name, value in zip(inputs, theirs, strict=True):
                np.testing.assert_allclose(found.values[name][t, row], value[0].numpy(), atol=1e-5)


def test_a_coalition_is_asked_of_the_model_once_for_all_heads():
    rows = {name: x[:1] for name, x in ROWS.items()}
    for method, most in ((CaptumShapleyValues(), 16 + 3), (CaptumKernelShap(samples=500), 16 + 3)):
        model = Linear()
        explain(replace(method, baseline="background"), model, rows, OTHER)
        assert model.asked <= most + 1


def test_all_heads_meet_the_same_draws():
    for method in (CaptumShapleyValueSampling(samples=2), CaptumKernelShap(samples=25)):
        found = explain(replace(method, baseline="background"), Linear(), ROWS, OTHER)
        for values in found.values.values():
            np.testing.assert_allclose(values[1], values[0], rtol=1e-4, atol=1e-3)


def test_lime_shrinks_by_a_penalty_in_the_unit_of_the_head_and_refuses_to_leave_nothing():
    class Small(Linear):
        heads = (Head("y"), Head("tiny"))

        def predict(self, inputs):
            y = super().predict(inputs)["y"]
            return {"y": y, "tiny": 1e-4 * y}

    rows = {name: x[:1] for name, x in ROWS.items()}
    with pytest.raises(BadSetting, match=r"Lime\(alpha=0\.01\) leaves nothing of target 'tiny': .* surrogate='linear'"):
        explain(CaptumLime(distance="players", baseline="background"), Small(), rows, OTHER)
    method = CaptumLime(distance="players", baseline="background", alpha=1e-6)
    found = explain(method, Small(), rows, OTHER)
    np.testing.assert_allclose(found.values["a"][1] / found.values["a"][0], 1e-4, rtol=0.05)
    shrunk = explain(replace(method, alpha=1.0), Linear(), rows, OTHER)
    assert 0 < shrunk.values["b"][0, 0, 0] < 10 - 1
    assert (shrunk.diagnostics["surrogate_r2"] < 0.98).all()


def test_a_constant_head_is_no_reason_to_refuse_and_gets_zeros():
    class Constant(Linear):
        def predict(self, inputs):
            return {"y": super().predict(inputs)["y"], "large": np.full((len(inputs["a"]), 1), 7.0)}

    rows = {name: x[:1] for name, x in ROWS.items()}
    found = explain(CaptumLime(distance="players", baseline="background"), Constant(), rows, OTHER)
    for values in found.values.values():
        np.testing.assert_array_equal(values[1], 0)
    np.testing.assert_array_equal(found.diagnostics["surrogate_r2"][1], 1)


def test_words_have_no_distance_but_players_have():
    with pytest.raises(
        NotSupported, match=r"distance='cosine'\) measures .* stream 'word' holds words\. Take distance="
    ):
        explain(CaptumLime(baseline="background"), Linear(), ROWS, OTHER)


def test_coalitions_that_do_not_determine_the_players_are_refused(rng):
    model = TorchModel("float32")
    inputs = rows_for(model, rng, 2)
    for method in (CaptumKernelShap(samples=5), CaptumLime(samples=5, surrogate="linear")):
        with pytest.raises(BadSetting, match=rf"the 5 coalitions that {method.name} drew \(\d different ones\) do not"):
            explain(method, model, inputs, inputs)


def test_a_single_player_has_the_whole_difference(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 3)
    for method in COMPLETE:
        found = explain(replace(method, players={"all": "rest"}), model, inputs, inputs)
        change = found.prediction - found.baseline_prediction
        np.testing.assert_allclose(found.players.values[:, :, 0], change, atol=1e-6)


def test_more_players_than_orders_can_be_walked_are_refused_with_the_alternative(rng):
    class Wide(Bilinear):
        def __init__(self):
            super().__init__()
            self.streams = (*self.streams[:2], Stream("unused", (4,), "float64"))

    inputs = rows_for(Wide(), rng, 2)
    with pytest.raises(
        NotSupported, match=r"at most 7! of them, and there are 8 players\. Use 'shapley', which is exact"
    ):
        explain(CaptumShapleyValues(), Wide(), inputs, inputs)
    assert explain(CaptumShapleyValues(players="streams"), Wide(), inputs, inputs).values["a"].shape == (2, 2)


@pytest.mark.parametrize("method", ALL, ids=repr)
def test_both_global_generators_are_left_alone_also_on_error(method, rng):
    model = TorchModel("float32")
    inputs = rows_for(model, rng, 2)
    torchs, numpys = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explain(method, model, inputs, inputs)
    calls = []

    def broken(rows):
        calls.append(1)
        if len(calls) > 3:
            raise ZeroDivisionError
        return TorchModel.predict(model, rows)

    model.predict = broken
    with pytest.raises(ZeroDivisionError):
        explain(method, model, inputs, inputs, max_memory=200)
    assert torch.equal(torchs, torch.get_rng_state())
    np.testing.assert_array_equal(numpys, np.random.get_state(legacy=False)["state"]["key"])  # noqa: NPY002


@pytest.mark.parametrize("method", [CaptumShapleyValues(), CaptumKernelShap(samples=30), CaptumLime()], ids=repr)
def test_less_memory_gives_the_same_numbers(method, rng):
    model = TorchModel("float32")
    inputs = rows_for(model, rng, 3)
    expected = explain(method, model, inputs, inputs)
    found = explain(method, model, inputs, inputs, max_memory=2000)
    for name, values in expected.values.items():
        np.testing.assert_allclose(found.values[name], values, atol=1e-5)


def test_a_model_that_answers_nan_where_players_are_missing_is_refused():
    class Logarithm(Linear):
        heads = (Head("y"),)

        def predict(self, inputs):
            with np.errstate(divide="ignore"):
                return {"y": np.log(np.abs(inputs["a"]))[:, None]}

    rows = {name: x[:1] for name, x in ROWS.items()}
    nothing = {**OTHER, "a": np.array([0.0])}
    for method in (*COMPLETE, CaptumLime(distance="players")):
        with pytest.raises(NotFinite, match=r"answers NaN or infinity for head 'y'"):
            explain(replace(method, baseline="background"), Logarithm(), rows, nothing)


def test_settings_are_checked():
    with pytest.raises(BadSetting, match="samples must be a whole number"):
        CaptumKernelShap(samples=0)
    with pytest.raises(BadSetting, match="samples must be a whole number"):
        CaptumShapleyValueSampling(samples=0.5)
    with pytest.raises(BadSetting, match="surrogate 'tree' is not one of lasso, ridge, linear"):
        CaptumLime(surrogate="tree")
    with pytest.raises(BadSetting, match="alpha must be a number above 0; got 0"):
        CaptumLime(alpha=0)
    with pytest.raises(BadSetting, match="distance 'manhattan' is not one of cosine, euclidean, players"):
        CaptumLime(distance="manhattan")
    with pytest.raises(BadSetting, match="kernel_width must be a number above 0"):
        CaptumLime(kernel_width=0)
    for kind in (CaptumShapleyValues, CaptumShapleyValueSampling, CaptumKernelShap, CaptumLime):
        with pytest.raises(BadSetting, match="players 'pixels' is not one of"):
            kind(players="pixels")


def test_all_rows_share_their_orders_whatever_memory_holds():
    rng = np.random.default_rng(4)
    model = Bilinear()
    inputs, background = rows_for(model, rng, 6), rows_for(model, rng, 2)
    several = CaptumShapleyValueSampling(samples=2)
    found = [explain(several, model, inputs, background, max_memory=memory).values for memory in (2**29, 1)]
    for name in inputs:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-5, atol=1e-6)
