"""shap's expected gradients through the bridge: by hand, shap alone, standard errors, one evaluation, refusals."""

import sys

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import ShapGradient

from tests.helpers import toys
from tests.helpers.frameworks import imported
from tests.helpers.games import explain
from xai_mimo.core.errors import BadSetting, MissingDependency, NotSupported
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head, Stream

shap, torch = imported("shap"), imported("torch")
pytestmark = pytest.mark.all_frameworks


class Network:
    """Two streams and two heads: y = a0 b, z = 3 a1, with gradients by hand; it counts what it is asked."""

    streams = (Stream("a", (2,), "float64"), Stream("b", (1, 1), "float64"))
    heads = (Head("y"), Head("z"))

    def __init__(self):
        self.passes = 0

    def fingerprint(self):
        return "network"

    def predict(self, inputs):
        a, b = inputs["a"], inputs["b"][:, 0]
        return {"y": a[:, :1] * b, "z": 3 * a[:, 1:]}

    def gradients(self, inputs, selectors, streams=None):
        self.passes += 1
        a, b = inputs["a"], inputs["b"]
        assert a.dtype == b.dtype == "float64"
        of_a = {"y": np.stack([b[:, 0, 0], 0 * a[:, 0]], axis=1), "z": np.stack([0 * a[:, 0], 3 + 0 * a[:, 0]], axis=1)}
        of_b = {"y": a[:, :1, None], "z": np.zeros_like(b)}
        slopes = {"a": np.stack([of_a[s.head] for s in selectors]), "b": np.stack([of_b[s.head] for s in selectors])}
        return self.predict(inputs), slopes


def rows(rng, count, shift=0.0):
    return {"a": rng.standard_normal((count, 2)) + shift, "b": rng.standard_normal((count, 1, 1))}


def test_values_are_draws_of_what_can_be_written_down(rng):
    """Before one row x', a0 has (a0 - a0') times the mean of b on the line; z is 3 a1, the same at every point."""
    x, background = rows(rng, 3), rows(rng, 1)
    found = explain(ShapGradient(samples=1500), Network(), x, background)
    a, b, a_, b_ = x["a"], x["b"][:, 0, 0], background["a"][0], background["b"][0, 0, 0]
    expected = (a[:, 0] - a_[0]) * (b + b_) / 2
    assert (np.abs(found.values["a"][0, :, 0] - expected) < 5 * found.standard_error["a"][0, :, 0] + 1e-9).all()
    np.testing.assert_allclose(found.values["a"][1, :, 1], 3 * (a[:, 1] - a_[1]), rtol=1e-6)
    np.testing.assert_array_equal(found.values["b"][1], 0)
    np.testing.assert_array_equal(found.values["a"][1, :, 0], 0)


def test_the_standard_error_is_that_of_the_draws(rng):
    """z = 3 a1 before background rows: draws are 3 (a1 - a1'), whose scatter is known; shap's figure is another."""
    x, background = rows(rng, 1), rows(rng, 40)
    found = explain(ShapGradient(samples=1500), Network(), x, background)
    deviation = 3 * background["a"][:, 1].std()
    np.testing.assert_allclose(found.standard_error["a"][1, 0, 1], deviation / np.sqrt(1500), rtol=0.08)
    assert (found.draws == 1500).all()
    means = [
        explain(ShapGradient(samples=30), Network(), x, background, seed=s).values["a"][0, 0, 0] for s in range(40)
    ]
    told = explain(ShapGradient(samples=30), Network(), x, background).standard_error["a"][0, 0, 0]
    assert 0.6 < np.std(means) / told < 1.6


class Alone(torch.nn.Module):
    """The head y as shap takes it: one stream, one output."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(3, 1)

    def forward(self, x):
        return torch.tanh(self.layer(x))


def test_the_numbers_are_those_of_shap_alone(rng):
    import xai_mimo as xm

    network = Alone().eval()
    x, background = (rng.standard_normal((n, 3)).astype("float32") for n in (2, 5))
    model = xm.adapt(network, streams={"x": (3,)}, heads={"y": (1,)})
    ours = explain(ShapGradient(samples=50), model, {"x": x}, {"x": background}, seed=3)
    seeds = np.random.default_rng(3).integers(2**32, size=2)
    alone = shap.GradientExplainer(network, torch.from_numpy(background))
    for row, seed in enumerate(seeds):
        theirs = alone.shap_values(torch.from_numpy(x[row : row + 1]), nsamples=50, rseed=int(seed))
        np.testing.assert_allclose(ours.values["x"][0, row], theirs[0, :, 0], rtol=2e-5, atol=1e-7)


def test_both_heads_come_from_the_same_passes(rng):
    model = Network()
    explain(ShapGradient(samples=30), model, rows(rng, 4), rows(rng, 3))
    assert model.passes == 4
    model = Network()
    explain(ShapGradient(samples=30), model, rows(rng, 4), rows(rng, 3), max_memory=1000)  # too little to remember
    assert model.passes > 8


def test_little_memory_changes_nothing(rng):
    x, background = rows(rng, 2), rows(rng, 3)
    much, little = (
        explain(ShapGradient(samples=20), Network(), x, background, max_memory=m).values for m in (2**29, 600)
    )
    for name in x:
        np.testing.assert_allclose(much[name], little[name], rtol=1e-6, atol=1e-9)


def test_a_large_offset_costs_no_digits(rng):
    x = {"a": np.array([[0.0, 300.0002]]), "b": np.zeros((1, 1, 1))}
    background = {"a": np.array([[0.0, 300.0001]]), "b": np.zeros((1, 1, 1))}
    found = explain(ShapGradient(samples=10), Network(), x, background)
    np.testing.assert_allclose(found.values["a"][1, 0, 1], 3e-4, rtol=1e-5)


@pytest.mark.parametrize("fails", [False, True])
def test_global_random_states_are_left_as_they_were(fails, rng, monkeypatch):
    if fails:
        monkeypatch.setattr(Network, "gradients", lambda *args, **kwargs: 1 / 0)
    x, before = rows(rng, 2), (np.random.get_state()[1], torch.get_rng_state())  # noqa: NPY002
    try:
        explain(ShapGradient(samples=5), Network(), x, x)
        assert not fails
    except ZeroDivisionError:
        assert fails
    np.testing.assert_array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert torch.equal(before[1], torch.get_rng_state())


def test_the_seed_decides(rng):
    x, background = rows(rng, 2), rows(rng, 3)
    one, same, other = (
        explain(ShapGradient(samples=8), Network(), x, background, seed=s).values["a"] for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert np.abs(one - other).max() > 1e-4


def test_models_and_settings_without_sense_are_refused(rng, monkeypatch):
    with pytest.raises(BadSetting, match="samples must be at least 2, of which a standard error can be told; got 1"):
        ShapGradient(samples=1)
    plain = toys.mlp()
    x = toys.rows(plain)

    class Predicts:
        streams, heads, predict, fingerprint = plain.streams, plain.heads, plain.predict, plain.fingerprint

    with pytest.raises(NotSupported, match=r"shap\.gradient needs gradients, and .* has none\. Use 'shapley'"):
        explain(ShapGradient(), Predicts(), x, x)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependency, match=r"need torch, on models of every framework: pip install"):
        explain(ShapGradient(), plain, x, x)


def test_it_is_found_by_name():
    assert method("shap.gradient") == ShapGradient()
