"""Captum on models of ours: values by hand, Captum's own numbers on the torch module, what is refused."""

import subprocess
import sys

import numpy as np
import pytest
from xai_mimo_adapters.captum_methods import CaptumIntegratedGradients

from tests.helpers.captum_models import Bilinear, TorchModel, explain, rows_for
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, MissingDependency, NotSupported
from xai_mimo.core.method import Context
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector, select

captum_attr, torch = imported("captum.attr"), imported("torch")
once = pytest.mark.all_frameworks
RULES = ["gausslegendre", "riemann_left", "riemann_right", "riemann_middle", "riemann_trapezoid"]


@once
def test_values_of_a_bilinear_model_are_those_found_by_hand(rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 20), rows_for(model, rng, 4)
    found = explain(CaptumIntegratedGradients(), model, inputs, background)
    a, b = inputs["a"], inputs["b"][:, 0]
    np.testing.assert_allclose(found.values["a"][0], np.stack([a[:, 0] * b[:, 0] / 2, a[:, 1] ** 2], 1), atol=1e-6)
    np.testing.assert_allclose(found.values["b"][0, :, 0, 0], a[:, 0] * b[:, 0] / 2, atol=1e-6)
    np.testing.assert_array_equal(found.values["b"][0, :, 0, 1], 0)
    np.testing.assert_array_equal(found.values["unused"], 0)


@once
def test_each_row_is_explained_for_its_own_predicted_class(rng):
    model = Bilinear()
    inputs = rows_for(model, rng, 20)
    kind = select(None, model.heads, model.predict(inputs))[1].units
    assert len(set(kind)) > 1
    found = explain(CaptumIntegratedGradients(steps=8), model, inputs, inputs)
    a, b = inputs["a"], inputs["b"][:, 0]
    np.testing.assert_allclose(found.values["a"][1, :, 0], np.where(kind == 0, a[:, 0] ** 2, 0), atol=1e-6)
    np.testing.assert_allclose(found.values["b"][1, :, 0, 1], np.where(kind == 1, 2 * b[:, 1], 0), atol=1e-6)


@once
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_numbers_are_those_of_captum_on_the_torch_module_itself(rule, dtype, rng):
    model = TorchModel(dtype)
    inputs, start = rows_for(model, rng, 6), rows_for(model, rng, 1)
    baseline = {name: x[0] for name, x in start.items()}
    found = explain(CaptumIntegratedGradients(steps=12, rule=rule, baseline=baseline), model, inputs, start)
    right = model.predict(inputs)["right"].argmax(axis=1)
    columns = [np.zeros(6, int), np.ones(6, int), 2 + right]
    tensors = tuple(torch.from_numpy(x) for x in inputs.values())
    zeros = tuple(torch.from_numpy(x) for x in start.values())
    for t, column in enumerate(columns):
        theirs = captum_attr.IntegratedGradients(model.module).attribute(
            tensors, zeros, target=torch.from_numpy(column), n_steps=12, method=rule
        )
        for name, value in zip(inputs, theirs, strict=True):
            np.testing.assert_allclose(found.values[name][t], value.numpy(), atol=1e-6)


@once
def test_float64_models_are_followed_in_float64(rng):
    model = TorchModel("float64")
    inputs = rows_for(model, rng, 6)
    found = explain(CaptumIntegratedGradients(steps=64), model, inputs, inputs)
    total = sum(v.reshape(3, 6, -1).sum(axis=-1) for v in found.values.values())
    gap = total - (found.prediction - found.baseline_prediction)
    assert 0 < np.abs(gap).max() < 3e-7  # Captum's float32 weights; the model itself would allow 1e-15


@once
def test_several_baselines_are_averaged(rng):
    model = Bilinear()
    inputs, background = rows_for(model, rng, 5), rows_for(model, rng, 3)
    together = explain(CaptumIntegratedGradients(baseline="background"), model, inputs, background)
    singles = [
        explain(CaptumIntegratedGradients(baseline={n: x[i] for n, x in background.items()}), model, inputs, background)
        for i in range(3)
    ]
    for name in inputs:
        mean = np.mean([one.values[name] for one in singles], axis=0)
        np.testing.assert_allclose(together.values[name], mean, atol=1e-12)
    mean = np.mean([one.baseline_prediction for one in singles], axis=0)
    np.testing.assert_allclose(together.baseline_prediction, mean)


@once
def test_less_memory_means_smaller_batches_and_the_same_numbers(rng):
    inputs = rows_for(Bilinear(), rng, 10)
    free, tight = Bilinear(), Bilinear()
    expected = explain(CaptumIntegratedGradients(), free, inputs, inputs)
    found = explain(CaptumIntegratedGradients(), tight, inputs, inputs, max_memory=4 * 5 * 8 * 6)
    assert free.largest_batch == 500
    assert tight.largest_batch <= 6
    for name in inputs:
        np.testing.assert_allclose(found.values[name], expected.values[name], atol=1e-6)


@once
def test_half_precision_streams_are_walked_in_single_precision(rng):
    model = Bilinear("float16")
    inputs = rows_for(model, rng, 4)
    found = explain(CaptumIntegratedGradients(), model, inputs, inputs)
    a = inputs["a"].astype("float64")
    np.testing.assert_allclose(found.values["a"][0, :, 1], a[:, 1] ** 2, rtol=1e-5)


@once
def test_progress_reaches_the_number_of_rows(rng):
    model, done = Bilinear(), []
    inputs = rows_for(model, rng, 7)
    explain(CaptumIntegratedGradients(steps=2), model, inputs, inputs, advance=done.append, max_memory=600)
    assert sum(done) == pytest.approx(7)


@once
def test_torchs_generator_and_gradient_mode_are_left_alone(rng):
    model = TorchModel("float32")
    inputs = rows_for(model, rng, 2)
    before = torch.get_rng_state()
    with torch.no_grad():
        explain(CaptumIntegratedGradients(steps=3), model, inputs, inputs)
        assert not torch.is_grad_enabled()
    assert torch.is_grad_enabled()
    assert torch.equal(before, torch.get_rng_state())
    assert not any(p.requires_grad for p in model.module.parameters())


@once
def test_integer_streams_are_refused_with_a_way_out(rng):
    model = Bilinear()
    model.streams = (*model.streams[:2], Stream("unused", (1,), "int32"))
    with pytest.raises(
        NotSupported, match=r"input stream 'unused' holds integers \(int32\), which have none\. Use a method"
    ):
        explain(CaptumIntegratedGradients(), model, rows_for(model, rng, 2), {})


@once
def test_models_without_gradients_are_refused_with_a_way_out(rng):
    class Plain:
        streams, heads = (Stream("x", (1,)),), (Head("y"),)

        def fingerprint(self):
            return "plain"

        def predict(self, inputs):
            return {"y": inputs["x"]}

    with pytest.raises(NotSupported, match=r"needs gradients, and a model of type Plain has none\. Use 'shapley'"):
        explain(CaptumIntegratedGradients(), Plain(), {"x": np.ones((1, 1), "float32")}, {})


@once
def test_settings_are_checked():
    with pytest.raises(BadSetting, match="steps must be a whole number of at least 1; got 0"):
        CaptumIntegratedGradients(steps=0)
    with pytest.raises(BadSetting, match="rule 'simpson' is not one of gausslegendre, riemann_left"):
        CaptumIntegratedGradients(rule="simpson")


@once
def test_without_captum_the_error_says_what_to_install(rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum", None)
    monkeypatch.delitem(sys.modules, "captum.attr", raising=False)
    model = Bilinear()
    with pytest.raises(MissingDependency, match=r"the Captum bridge needs captum: pip install 'xai-mimo\[captum\]'"):
        explain(CaptumIntegratedGradients(), model, rows_for(model, rng, 1), {})


@once
def test_naming_the_method_loads_neither_captum_nor_torch():
    code = (
        "import sys; from xai_mimo.core.plugins import method; print(method('captum.IntegratedGradients')); "
        "sys.exit(any(m in sys.modules for m in ('captum', 'torch')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "CaptumIntegratedGradients(steps=50" in done.stdout
    assert method("captum.IntegratedGradients") == CaptumIntegratedGradients()


def test_a_keras_model_on_any_backend_equals_the_slow_integral(rng):
    import keras
    from xai_mimo_adapters.keras_adapter import KerasAdapter

    keras.utils.set_random_seed(3)
    a, b = keras.Input((2,), name="a"), keras.Input((1,), name="b")
    hidden = keras.layers.Dense(5, activation="tanh")(keras.layers.Concatenate()([a, b]))
    alone = keras.layers.Dense(1, name="alone")(keras.layers.Dense(3, activation="tanh")(a))
    network = keras.Model([a, b], {"both": keras.layers.Dense(3, name="both")(hidden), "alone": alone})
    model = KerasAdapter(network)
    inputs = {"a": rng.normal(size=(4, 2)).astype("float32"), "b": rng.normal(size=(4, 1)).astype("float32")}
    selectors = [Selector("both", "both", np.array([0, 2, 1, 2])), Selector("alone", "alone", np.zeros(4, np.int64))]
    found = CaptumIntegratedGradients(steps=20)(model, inputs, selectors, Context(rng, inputs))
    nodes, weights = np.polynomial.legendre.leggauss(20)
    slow = {name: np.zeros((2, *x.shape)) for name, x in inputs.items()}
    for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
        _, slopes = model.gradients({n: (node * x).astype("float32") for n, x in inputs.items()}, selectors)
        for name, x in inputs.items():
            slow[name] += weight * slopes[name] * x
    for name in inputs:
        np.testing.assert_allclose(found.values[name], slow[name], atol=1e-6)
    np.testing.assert_array_equal(found.values["b"][1], 0)
    total = sum(v.sum(axis=-1) for v in found.values.values())
    np.testing.assert_allclose(total, found.prediction - found.baseline_prediction, atol=1e-5)
