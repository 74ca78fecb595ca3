"""Integrated Gradients: closed forms, completeness, the slow formula, Captum."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import needs
from xai_mimo.core.errors import BadSetting, NotConvergedWarning
from xai_mimo.explainers import IntegratedGradients
from xai_mimo.explainers.gradients import bisection

pytestmark = pytest.mark.all_frameworks


def slow_path_integral(model, x, head, unit, steps=4000):
    """The definition with the midpoint rule, row by row: (x - 0) * mean of gradients on the path."""
    from xai_mimo.core.targets import Selector

    rows = len(x["u"])
    total = {name: np.zeros_like(v) for name, v in x.items()}
    for k in range(steps):
        point = {name: v * (k + 0.5) / steps for name, v in x.items()}
        _, g = model.gradients(point, [Selector("t", head, np.full(rows, unit))])
        for name in total:
            total[name] += g[name][0] / steps
    return {name: total[name] * x[name] for name in x}


def test_a_linear_model_gives_weight_times_input():
    model = toys.linear()
    x = toys.rows(model)
    found = xm.explain(model, x, IntegratedGradients(), targets=["y"])
    np.testing.assert_allclose(found["u"][0], x["u"] * [1, -2, 3], rtol=1e-12)
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)


def test_a_product_is_shared_half_and_half():
    model = toys.product()
    x = toys.rows(model)
    found = xm.explain(model, x, IntegratedGradients())
    np.testing.assert_allclose(found["u"][0], x["u"] * x["v"] / 2, rtol=1e-12)
    np.testing.assert_allclose(found["v"][0], x["u"] * x["v"] / 2, rtol=1e-12)


def test_an_additive_model_gives_each_term_its_own_change():
    model = toys.additive()
    x = toys.rows(model)
    found = xm.explain(model, x, IntegratedGradients(tolerance=1e-8), targets=["y"])
    np.testing.assert_allclose(found["v"][0], np.sin(np.array([4, 5]) * x["v"]), atol=1e-6)


@pytest.mark.parametrize("make", [IntegratedGradients(tolerance=1e-7), IntegratedGradients(steps=200)], ids=str)
def test_it_equals_the_slow_formula(make):
    model = toys.mlp(scale=2.0)
    x = toys.rows(model, 4)
    found = xm.explain(model, x, make, targets=[("z", 1)])
    slow = slow_path_integral(model, x, "z", 1)
    for name in ("u", "v"):
        np.testing.assert_allclose(found[name][0], slow[name], atol=1e-6)


@pytest.mark.parametrize("activation", ["tanh", "relu"])
def test_the_tolerance_holds_and_beats_fixed_nodes_on_kinks(activation):
    model = toys.mlp(activation, hidden=16, scale=2.0)
    x = toys.rows(model, 100)
    found = xm.explain(model, x, IntegratedGradients(tolerance=1e-3))
    change = abs(found["prediction"] - found["baseline_prediction"])
    mass = sum(abs(found[s]).sum(f"{s}_feature") for s in ("u", "v"))
    assert bool(found["converged"].all())
    assert (abs(found["completeness_gap"]) <= 1.01e-3 * np.maximum(change, 0.11 * mass) + 1e-12).all()
    if activation == "relu":
        fixed = xm.explain(model, x, IntegratedGradients(steps=50))
        exact = xm.explain(model, x, IntegratedGradients(steps=2048))
        assert abs(found["u"] - exact["u"]).max() < 0.2 * abs(fixed["u"] - exact["u"]).max()


def test_evaluations_are_counted_as_the_model_sees_them():
    model = toys.mlp("relu", scale=2.0)
    x = toys.rows(model, 7)
    found = xm.explain(model, x, IntegratedGradients())
    asked = []
    counting = toys.Toy(
        model.streams, model.heads, model.forward, jacobian=lambda v: asked.append(len(v)) or model.jacobian(v)
    )
    xm.explain(counting, x, IntegratedGradients(), check=False)
    assert sum(asked) == int(found["evaluations"][0].sum())


def test_rows_that_cannot_reach_the_tolerance_are_flagged():
    model = toys.mlp("relu", hidden=32, scale=3.0)
    x = toys.rows(model, 20)
    with pytest.warns(NotConvergedWarning, match="did not reach its tolerance for some rows .*y: "):
        found = xm.explain(model, x, IntegratedGradients(tolerance=1e-6, max_evaluations=30))
    assert int(found["evaluations"].max()) <= 30
    assert not found["converged"].all()
    assert float(abs(found["completeness_gap"]).max()) > 0


def one_unit(offset, *, activation=lambda z: np.maximum(z, 0), slope=lambda z: z > 0, dtype="float64"):
    """``y = activation(u0 - u1 - offset)``."""
    return replace(
        toys.linear({"y": [[1, -1]]}, {"u": 2}, dtype=dtype),
        forward=lambda x: {"y": activation(x[:, :1] - x[:, 1:] - offset)},
        jacobian=lambda x: {"y": (slope(x[:, :1] - x[:, 1:] - offset) * np.array([1.0, -1.0]))[:, None]},
    )


@pytest.mark.parametrize("tolerance", [1e-2, 1e-3, 1e-5])
def test_errors_that_cancel_between_features_are_not_accepted(tolerance):
    # The unit switches on at t = kink; what features gain afterwards cancels to one part in a hundred.
    kink = np.random.default_rng(0).uniform(0.02, 0.98, 200)
    x = np.stack([np.ones(200), 1 - 0.01 * 0.5 / kink], axis=1)
    found = xm.explain(one_unit(0.005), {"u": x}, IntegratedGradients(tolerance=tolerance))
    exact = (1 - kink)[:, None] * x * [1, -1] * (x[:, :1] - x[:, 1:] > 0.005)
    error = abs(found["u"].values[0] - exact).sum(axis=1)
    is_on = x[:, 0] - x[:, 1] > 0.005
    assert is_on.sum() > 90
    assert (error <= tolerance * abs(exact).sum(axis=1) + 1e-12).all()
    assert bool(found["converged"].all())


def test_a_jump_has_no_path_integral_and_is_flagged_at_little_cost():
    step = one_unit(0.5, activation=lambda z: (z > 0) + z, slope=np.ones_like)
    with pytest.warns(NotConvergedWarning, match="y: 1 of 2.*Allow more evaluations or a larger tolerance"):
        found = xm.explain(step, {"u": np.array([[1.0, 0.2], [0.2, 0.1]])}, IntegratedGradients())
    np.testing.assert_array_equal(found["converged"][0], [False, True])
    assert not found["rounding_limited"].any()
    assert int(found["evaluations"].max()) < 80


def test_rows_limited_by_rounding_are_not_called_converged():
    model = one_unit(-1e4, dtype="float32")
    x = toys.rows(model, 30)
    with pytest.warns(NotConvergedWarning, match="rounding of the model's own outputs, so only a model of higher prec"):
        found = xm.explain(model, x, IntegratedGradients(tolerance=1e-5))
    change = abs(found["prediction"] - found["baseline_prediction"])
    mass = abs(found["u"]).sum("u_feature")
    is_within = abs(found["completeness_gap"]) <= 1e-5 * np.maximum(change, 0.1 * mass)
    np.testing.assert_array_equal(found["converged"], is_within)
    np.testing.assert_array_equal(found["rounding_limited"], ~is_within)
    assert int(found["evaluations"].max()) == 17, "halving pieces cannot close such a gap"


def test_the_tolerance_holds_for_the_mean_over_baselines():
    model = toys.mlp("relu", hidden=16, scale=2.0)
    x, background = toys.rows(model, 20), toys.rows(model, 6, seed=9)
    found = xm.explain(model, x, IntegratedGradients(baseline="background"), background=background)
    exact = xm.explain(model, x, IntegratedGradients(baseline="background", steps=1024), background=background)
    assert bool(found["converged"].all())
    mass = sum(abs(exact[s]).sum(f"{s}_feature") for s in ("u", "v"))
    off = sum(abs(found[s] - exact[s]).sum(f"{s}_feature") for s in ("u", "v"))
    assert (off <= 2e-3 * mass).all()


def test_a_background_as_baseline_is_the_mean_over_its_rows():
    model = toys.mlp()
    x = toys.rows(model, 5)
    background = toys.rows(model, 3, seed=9)
    together = xm.explain(model, x, IntegratedGradients(baseline="background", steps=20), background=background)
    single = []
    for i in range(3):
        row = {name: v[i] for name, v in background.items()}
        single.append(xm.explain(model, x, IntegratedGradients(baseline=row, steps=20)))
    for name in ("u", "v", "baseline_prediction"):
        np.testing.assert_allclose(together[name], np.mean([s[name] for s in single], axis=0), rtol=1e-10)


def test_the_mean_baseline_is_the_mean_of_the_background():
    model = toys.linear()
    x = toys.rows(model, 5)
    found = xm.explain(model, x, IntegratedGradients(baseline="mean"), targets=["y"])
    np.testing.assert_allclose(found["u"][0], (x["u"] - x["u"].mean(0)) * [1, -2, 3], atol=1e-12)


@pytest.mark.parametrize("method", [IntegratedGradients(), IntegratedGradients(steps=9)], ids=["bisect", "fixed"])
def test_the_numbers_do_not_depend_on_memory(method):
    model = toys.mlp("relu", scale=2.0)
    x = toys.rows(model, 9)
    wide, narrow = (xm.explain(model, x, method, max_memory=m) for m in (2**29, 1500))
    for name in ("u", "v", "evaluations"):
        np.testing.assert_allclose(wide[name], narrow[name], atol=1e-12)


def test_few_pieces_are_held_at_a_time(monkeypatch):
    model = toys.mlp("relu", hidden=32, scale=3.0)
    x, held = toys.rows(model, 40), []
    inner = bisection._at_middles
    monkeypatch.setattr(bisection, "_at_middles", lambda p, live, ledger: held.append(live) or inner(p, live, ledger))
    xm.explain(model, x, IntegratedGradients(), max_memory=2**16)
    most = 2**16 // (5 * 8 * (2 + 3 * 4)) // 2
    sizes = [len(live) for live in held if len(np.unique(live.path)) > 1]
    assert max(sizes) <= most


def test_a_row_does_not_depend_on_its_neighbours():
    model = toys.mlp("relu", scale=2.0)
    x = toys.rows(model, 9)
    every = xm.explain(model, x, IntegratedGradients())
    one = xm.explain(model, {name: v[4:5] for name, v in x.items()}, IntegratedGradients())
    np.testing.assert_allclose(one["u"][:, 0], every["u"][:, 4], atol=1e-12)


def test_a_row_at_the_baseline_gets_exact_zeros():
    model = toys.mlp()
    x = {name: np.concatenate([v, 0 * v[:1]]) for name, v in toys.rows(model, 3).items()}
    found = xm.explain(model, x, IntegratedGradients())
    np.testing.assert_array_equal(found["u"][:, -1], 0)
    assert bool(found["converged"].all())


@needs("captum", "torch")
@pytest.mark.parametrize("steps", [5, 50])
def test_fixed_nodes_equal_captum(steps):
    import torch
    from captum.attr import IntegratedGradients as Captum

    model = toys.mlp("tanh", {"u": 4, "v": 3}, {"y": 2}, scale=2.0)
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(7, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)).double()

    def forward(x):
        with torch.no_grad():
            return {"y": net(torch.as_tensor(x)).numpy()}

    def jacobian(x):
        points = torch.as_tensor(x).requires_grad_()
        out = net(points)
        grads = [torch.autograd.grad(out[:, k].sum(), points, retain_graph=True)[0].numpy() for k in range(2)]
        return {"y": np.stack(grads, axis=1)}

    ours = toys.Toy(model.streams, model.heads, forward, jacobian=jacobian)
    x = toys.rows(ours, 8)
    found = xm.explain(ours, x, IntegratedGradients(steps=steps))
    both = torch.as_tensor(np.concatenate([x["u"], x["v"]], axis=1))
    for unit in range(2):
        theirs = Captum(net).attribute(both, target=unit, n_steps=steps, method="gausslegendre").numpy()
        np.testing.assert_allclose(found["u"][unit], theirs[:, :4], atol=1e-6)
        np.testing.assert_allclose(found["v"][unit], theirs[:, 4:], atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), activation=st.sampled_from(["tanh", "relu", "linear"]), count=st.integers(1, 5))
def test_completeness_for_any_network(seed, activation, count):
    model = toys.mlp(activation, seed=seed)
    found = xm.explain(model, toys.rows(model, count, seed), IntegratedGradients(tolerance=1e-3))
    change = abs(found["prediction"] - found["baseline_prediction"])
    mass = sum(abs(found[s]).sum(f"{s}_feature") for s in ("u", "v"))
    assert (abs(found["completeness_gap"]) <= 1e-3 * np.maximum(change, 0.2 * mass) + 1e-12).all()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), factor=st.floats(0.1, 10))
def test_attributions_scale_with_the_target(seed, factor):
    model = toys.mlp(seed=seed)
    scaled = toys.Toy(
        model.streams,
        model.heads,
        lambda x: {h: factor * v for h, v in model.forward(x).items()},
        jacobian=lambda x: {h: factor * v for h, v in model.jacobian(x).items()},
    )
    x = toys.rows(model, 3, seed)
    one, other = (xm.explain(m, x, IntegratedGradients()) for m in (model, scaled))
    np.testing.assert_allclose(factor * one["u"], other["u"], rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_permuting_features_permutes_attributions(seed):
    model = toys.mlp(seed=seed)
    order = np.random.default_rng(seed).permutation(3)
    back = np.r_[np.argsort(order), 3, 4]
    forth = np.r_[order, 3, 4]
    permuted = toys.Toy(
        model.streams,
        model.heads,
        lambda x: model.forward(x[:, back]),
        jacobian=lambda x: {h: j[:, :, forth] for h, j in model.jacobian(x[:, back]).items()},
    )
    x = toys.rows(model, 3, seed)
    one = xm.explain(model, x, IntegratedGradients())
    other = xm.explain(permuted, {"u": x["u"][:, order], "v": x["v"]}, IntegratedGradients())
    np.testing.assert_allclose(one["u"].values[:, :, order], other["u"].values, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"tolerance": 0}, "tolerance must be a number above 0"),
        ({"tolerance": float("nan")}, "tolerance must be a number above 0"),
        ({"steps": 0}, "steps must be a whole number"),
        ({"max_evaluations": 0.5}, "max_evaluations must be a whole number"),
        ({"max_evaluations": 16}, "max_evaluations must be at least 17"),
        ({"baseline": "black"}, "baseline 'black' is not one of"),
    ],
)
def test_bad_settings_are_refused(options, text):
    with pytest.raises(BadSetting, match=text):
        IntegratedGradients(**options)
