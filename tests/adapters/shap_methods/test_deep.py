"""shap's DeepLIFT through hooks: the rule written slowly, shap alone, the gap, what is refused and put back."""

import numpy as np
import pytest
from xai_mimo_adapters.shap_methods import ShapDeep

import xai_mimo as xm
from tests.helpers.frameworks import imported
from tests.helpers.games import explain
from xai_mimo.core.errors import IncompleteWarning, NotSupported
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head
from xai_mimo.core.targets import Selector, select
from xai_mimo.testing import check_method

shap, torch = imported("shap"), imported("torch")
nn = torch.nn
pytestmark = pytest.mark.all_frameworks


class TwoStreams(nn.Module):
    """Two streams, two heads: y of two units behind a ReLU and a Tanh, z of one that reads b alone."""

    def __init__(self, act=None):
        super().__init__()
        torch.manual_seed(3)
        self.of_a, self.of_b = nn.Linear(2, 5), nn.Linear(3, 5)
        self.relu, self.tanh = act or nn.ReLU(), nn.Tanh()
        self.out, self.z = nn.Linear(5, 2), nn.Linear(3, 1)

    def forward(self, a, b):
        return {"y": self.out(self.tanh(self.relu(self.of_a(a) + self.of_b(b)))), "z": self.z(b)}


def rows(rng, count):
    return {
        "a": rng.standard_normal((count, 2)).astype("float32"),
        "b": rng.standard_normal((count, 3)).astype("float32"),
    }


def adapted(network, like):
    return xm.adapt(network.eval(), like=like)


def rescaled(network, x, before, unit):
    """Rescale, slowly: a nonlinearity passes the ratio of what it changes to what changes it."""
    weights = {n: p.detach().double().numpy() for n, p in network.named_parameters()}

    def hidden(row):
        return (
            weights["of_a.weight"] @ row["a"]
            + weights["of_b.weight"] @ row["b"]
            + weights["of_a.bias"]
            + weights["of_b.bias"]
        )

    z, z_ = hidden(x), hidden(before)
    r, r_ = np.maximum(z, 0), np.maximum(z_, 0)
    relu = np.where(np.abs(z - z_) > 1e-6, (r - r_) / (z - z_), z > 0)
    tanh = np.where(
        np.abs(r - r_) > 1e-6, (np.tanh(r) - np.tanh(r_)) / np.where(r == r_, 1, r - r_), 1 - np.tanh(r) ** 2
    )
    back = weights["out.weight"][unit] * tanh * relu
    return {n: back @ weights[f"of_{n}.weight"] * (x[n] - before[n]) for n in ("a", "b")}


def test_values_of_two_streams_and_two_heads_are_those_of_the_rule_written_slowly(rng):
    network, x, background = TwoStreams(), rows(rng, 4), rows(rng, 3)
    model = adapted(network, x)
    selectors = select([("y", "all"), "z"], model.heads, model.predict(x))
    found = explain(ShapDeep(), model, x, background, selectors=selectors)
    for unit in (0, 1):
        for i in range(4):
            row = {n: v[i].astype("float64") for n, v in x.items()}
            slow = [rescaled(network, row, {n: v[j] for n, v in background.items()}, unit) for j in range(3)]
            for name in x:
                np.testing.assert_allclose(
                    found.values[name][unit, i], np.mean([s[name] for s in slow], axis=0), atol=1e-5
                )
    z = network.z.weight.detach().numpy()[0] * (x["b"] - background["b"].mean(axis=0))
    np.testing.assert_allclose(found.values["b"][2], z, atol=1e-6)
    np.testing.assert_array_equal(found.values["a"][2], 0)


def test_each_row_is_explained_for_its_own_unit_and_little_memory_changes_nothing(rng):
    x, background = rows(rng, 6), rows(rng, 5)
    model = adapted(TwoStreams(), x)
    own = [Selector("y", "y", np.array([0, 1, 1, 0, 1, 0]))]
    each = [Selector(f"y{u}", "y", np.full(6, u)) for u in (0, 1)]
    mixed = explain(ShapDeep(), model, x, background, selectors=own, max_memory=64 * 20 * 2).values
    both = explain(ShapDeep(), model, x, background, selectors=each).values
    for name in x:
        np.testing.assert_allclose(mixed[name][0], both[name][own[0].units, np.arange(6)], atol=1e-6)


def test_the_numbers_are_those_of_shap_alone(rng):
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)).eval()
    x, background = (rng.standard_normal((n, 3)).astype("float32") for n in (4, 6))
    theirs = shap.DeepExplainer(network, torch.from_numpy(background)).shap_values(torch.from_numpy(x))
    model = xm.adapt(network, streams={"x": (3,)}, heads={"y": (2,)})
    selectors = select([("y", "all")], model.heads, model.predict({"x": x}))
    ours = explain(ShapDeep(), model, {"x": x}, {"x": background}, selectors=selectors).values["x"]
    np.testing.assert_allclose(np.moveaxis(ours, 0, -1), theirs, atol=1e-6)


class Functional(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.out = nn.Linear(3, 8), nn.Linear(8, 1)

    def forward(self, x):
        return 40 * self.out(torch.relu(self.inner(x)))


def test_what_is_no_module_leaves_a_gap_that_is_stored_and_said(rng):
    x, background = (
        {"x": rng.standard_normal((5, 3)).astype("float32")},
        {"x": rng.standard_normal((4, 3)).astype("float32")},
    )
    model = adapted(Functional(), x)
    with pytest.warns(IncompleteWarning, match=r"miss the change of 'output' by up to .*Make it a module with a rule"):
        found = explain(ShapDeep(), model, x, background)
    gap = found.values["x"].sum(axis=-1) - (found.prediction - found.baseline_prediction)
    assert np.abs(gap).max() > 0.1
    network = Functional().eval()
    with pytest.raises(AssertionError, match="do not sum up"):  # as shap alone says of it
        shap.DeepExplainer(network, torch.from_numpy(background["x"])).shap_values(torch.from_numpy(x["x"]))


REFUSED = {
    "no rule": (
        nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)),
        r"no rule for '1' \(LayerNorm\).*Use 'shap\.gradient'",
    ),
    "softmax": (
        nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1)),
        r"'1' \(Softmax\) for a function of each unit alone.*on='logit'",
    ),
    "in place": (nn.Sequential(nn.Linear(3, 4), nn.ReLU(inplace=True)), r"'1' \(ReLU\), which works in place"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_modules_that_shap_would_mistake_are_refused(name, rng):
    network, words = REFUSED[name]
    x = {"x": rng.standard_normal((3, 3)).astype("float32")}
    with pytest.raises(NotSupported, match=words):
        explain(ShapDeep(), xm.adapt(network.eval(), streams={"x": (3,)}, heads={"y": (4,)}), x, x)


def test_a_module_that_is_called_twice_is_refused(rng):
    shared = nn.ReLU()
    network = nn.Sequential(nn.Linear(3, 4), shared, nn.Linear(4, 4), shared, nn.Linear(4, 1))
    x = {"x": rng.standard_normal((3, 3)).astype("float32")}
    with pytest.raises(NotSupported, match=r"'1' \(ReLU\) is called 2 times\. Give each call a module of its own"):
        explain(ShapDeep(), xm.adapt(network.eval(), streams={"x": (3,)}, heads={"y": (1,)}), x, x)


def test_nothing_is_left_on_the_modules_also_after_an_error(rng):
    network = TwoStreams()
    x, background = rows(rng, 2), rows(rng, 2)
    model = adapted(network, x)
    before = {name: set(vars(m)) for name, m in network.named_modules()}
    weights, fingerprint = [name for name, _ in network.named_parameters()], model.fingerprint()
    state = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    explain(ShapDeep(), model, x, background)

    def breaks(*_):
        raise RuntimeError("in the middle")

    handle = network.z.register_full_backward_hook(breaks)
    with pytest.raises(RuntimeError, match="in the middle"):
        explain(ShapDeep(), model, x, background)
    handle.remove()
    assert [name for name, _ in network.named_parameters()] == weights
    assert model.fingerprint() == fingerprint
    for name, module in network.named_modules():
        assert set(vars(module)) == before[name]
        assert not module._forward_hooks
        assert not module._backward_hooks
    assert torch.equal(state[0], torch.get_rng_state())
    np.testing.assert_array_equal(state[1], np.random.get_state()[1])  # noqa: NPY002


def test_it_keeps_the_contract_and_is_found_by_name(rng):
    x = rows(rng, 5)
    assert method("shap.deep") == ShapDeep()
    check_method(ShapDeep(), adapted(TwoStreams(), x), x, uses_background=True, tolerance=1e-5)


@pytest.mark.parametrize("on", ["output", "logit"])
def test_a_softmax_is_refused_and_the_method_that_is_named_instead_explains_its_logits(on, rng):
    torch.manual_seed(3)
    layers, x = (
        nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)),
        rng.standard_normal((4, 3)).astype("float32"),
    )
    model = xm.adapt(nn.Sequential(*layers, nn.Softmax(-1)), streams={"x": 3}, heads=[Head("p", (3,), "multiclass")])
    with pytest.raises(NotSupported, match=r"Take 'captum.DeepLift' with on='logit'"):
        xm.explain(model, x, "shap.deep", on=on, check=False)
    imported("captum")
    found = xm.explain(model, x, "captum.DeepLift", targets=[("p", 2)], on="logit", check=False)
    plain = xm.adapt(layers, streams={"x": 3}, heads={"p": 3})
    expected = xm.explain(plain, x, "captum.DeepLift", targets=[("p", 2)], check=False)
    np.testing.assert_allclose(found["x"], expected["x"], atol=1e-6)
