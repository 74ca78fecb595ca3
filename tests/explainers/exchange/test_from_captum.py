"""Attributions of Captum become an explanation of ours, or are refused; and they stand beside ours in a comparison."""

import doctest
import importlib.metadata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, BadValues, IncompleteWarning, ShapeMismatch, UnknownName
from xai_mimo.explainers.exchange.from_captum import from_captum

torch = imported("torch")
captum = imported("captum.attr")
pytestmark = pytest.mark.all_frameworks
ROWS = 40
METRICS = ["spearman", "symmetric_gain", "signed_gain", "deletion_area", "insertion_area", "effect_overlap"]
FAST = Settings(resamples=100, steps=4, controls=1)


class Net(torch.nn.Module):  # type: ignore[misc, name-defined]
    """Two streams of one width, so that nothing but the numbers tells their order; two heads."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.u, self.v = torch.nn.Linear(3, 4), torch.nn.Linear(3, 4)
        self.level, self.mode = torch.nn.Linear(4, 1), torch.nn.Linear(4, 3)

    def forward(self, u: Any, v: Any) -> Any:
        hidden = torch.tanh(self.u(u) + self.v(v))
        return {"level": self.level(hidden), "mode": self.mode(hidden)}


@pytest.fixture(scope="module")
def net() -> Any:
    return Net().double().eval()


@pytest.fixture(scope="module")
def x() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {"u": rng.normal(size=(ROWS, 3)), "v": rng.normal(size=(ROWS, 3))}


@pytest.fixture(scope="module")
def model(net: Any, x: Any) -> Any:
    return xm.adapt(net, like=x)


def captum_ig(net: Any, x: Any, head: str, unit: int) -> tuple[Any, ...]:
    explainer = captum.IntegratedGradients(lambda u, v: net(u, v)[head][:, unit])
    found: tuple[Any, ...] = explainer.attribute(tuple(torch.from_numpy(a) for a in x.values()), n_steps=60)
    return found


@pytest.fixture(scope="module")
def found(net: Any, x: Any) -> dict[Any, Any]:
    return {target: captum_ig(net, x, *target) for target in (("level", 0), ("mode", 0), ("mode", 2))}


def test_captums_own_map_agrees_with_ours_and_a_shuffled_one_is_shown_as_wrong(model: Any, x: Any, found: Any) -> None:
    targets = list(found)
    right = xm.from_captum(found, model, x, name="captum.IntegratedGradients", baselines="zero")
    turn = np.random.default_rng(1).permutation(ROWS)
    with pytest.warns(IncompleteWarning, match="'shuffled' do not add up"):
        wrong = xm.from_captum(
            {t: tuple(a[turn] for a in each) for t, each in found.items()}, model, x, name="shuffled", baselines="zero"
        )
    ours = xm.explainers.IntegratedGradients(tolerance=1e-6)
    methods = {"right": right, "wrong": wrong, "ours": ours}
    result = xm.compare(model, x, methods, metrics=METRICS, targets=targets, settings=FAST)
    for name in ("u", "v"):
        np.testing.assert_allclose(*(result.explanations[name].sel(explainer=e) for e in ("right", "ours")), atol=1e-5)
    scores = result.scores.query("role == 'value'").set_index(["metric", "method", "other"])
    scores = scores["estimate"].sort_index()
    assert (scores["spearman", "right", "ours"] > 0.999).all()
    assert (scores["spearman", "wrong", "ours"] < 0.7).all()
    words = result.verdicts.set_index("method")["verdict"]
    assert set(words["right"]) == {"supported"}
    assert "supported" not in set(words["wrong"])
    gaps = result.gaps.set_index("method")["quantile_0.5"]
    assert gaps["right"].max() < 1e-5
    assert gaps["wrong"].min() > 0.1


def test_tensors_become_the_variables_of_their_streams(model: Any, x: Any, found: Any) -> None:
    made = xm.from_captum(found, model, x, name="captum.IG", baselines="zero")
    assert made["head"].values.tolist() == ["level", "mode:0", "mode:2"]
    for t, each in enumerate(found.values()):
        for name, tensor in zip("uv", each, strict=True):
            np.testing.assert_array_equal(made[name][t], tensor)
    outputs = model.predict(x)
    np.testing.assert_array_equal(made["prediction"][0], outputs["level"][:, 0])
    np.testing.assert_array_equal(made["prediction"][2], outputs["mode"][:, 2])
    assert made.attrs["made_with"] == f"captum {importlib.metadata.version('captum')}; settings unknown"
    assert made.attrs["method"] == "captum.IG"
    assert made.attrs["fingerprint"] == model.fingerprint()
    shown = xm.to_shap(made, "mode:2", data=x)
    np.testing.assert_array_equal(shown.values[:, 3:], found["mode", 2][1])
    one = xm.from_captum(found["mode", 2], model, x, target=("mode", 2))
    named = xm.from_captum(dict(zip("vu", found["mode", 2][::-1], strict=True)), model, x, target="mode:2")
    for name in "uv":
        np.testing.assert_array_equal(one[name], made[name].isel(head=[2]))
        np.testing.assert_array_equal(named[name], one[name])
    assert "baseline_prediction" not in one


def test_tensors_that_still_hang_on_their_graph_are_read(model: Any, x: Any, found: Any) -> None:
    hanging = tuple(t.clone().requires_grad_() * 2 for t in found["level", 0])
    made = xm.from_captum(hanging, model, x, target="level")
    np.testing.assert_array_equal(made["u"][0], 2 * found["level", 0][0])


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.IncompleteWarning")
def test_baselines_of_every_form(model: Any, x: Any, found: Any) -> None:
    rng = np.random.default_rng(2)
    level = {("level", 0): found["level", 0]}
    each = {name: rng.normal(size=(ROWS, 3)) for name in "uv"}
    several = {name: a[:5] for name, a in each.items()}
    outputs = model.predict(each)["level"][:, 0]
    for baselines, expected in (
        (each, outputs),
        (several, np.full(ROWS, outputs[:5].mean())),
        ([a[0] for a in each.values()], np.full(ROWS, outputs[0])),
    ):
        made = xm.from_captum(level, model, x, baselines=baselines)
        np.testing.assert_allclose(made["baseline_prediction"][0], expected, rtol=1e-12)


def test_what_does_not_fit_is_refused(model: Any, x: Any, found: Any) -> None:
    u, v = found["level", 0]
    with pytest.raises(
        BadSetting, match=r"of one scalar each: level, mode:0, mode:1, mode:2\. Say which .*target='lev"
    ):
        xm.from_captum((u, v), model, x)
    with pytest.raises(BadSetting, match=r"of one scalar each, and 'mode' are 3: mode:0, mode:1, mode:2"):
        xm.from_captum({"mode": (u, v)}, model, x)
    with pytest.raises(UnknownName, match=r"no head is called 'levle'.*Did you mean 'level'"):
        xm.from_captum({"levle": (u, v)}, model, x)
    with pytest.raises(ShapeMismatch, match=r"return_convergence_delta=True: \(attributions, delta\)\. Give the first"):
        xm.from_captum(((u, v), torch.zeros(40)), model, x, target="level")
    with pytest.raises(ShapeMismatch, match="expected 2 values, one per input stream"):
        xm.from_captum((u,), model, x, target="level")
    with pytest.raises(ShapeMismatch, match=r"expected a mapping or a list with one array per input stream"):
        xm.from_captum(u, model, x, target="level")
    with pytest.raises(ShapeMismatch, match=r"target 'level' for stream 'v' have shape \(7, 3\); expected \(40, 3\)"):
        xm.from_captum((u, v[:7]), model, x, target="level")
    broken = v.clone()
    broken[3, 1] = float("nan")
    with pytest.raises(BadValues, match=r"1 values .* for\s+target 'level' in row 3 of stream 'v' at \(1,\)"):
        xm.from_captum((u, broken), model, x, target="level")


@settings(max_examples=20, deadline=None)
@given(shapes=st.lists(st.lists(st.integers(1, 3), max_size=3).map(tuple), min_size=1, max_size=3), data=st.data())
def test_streams_in_another_order_are_refused_where_shapes_tell(shapes: Any, data: Any) -> None:
    streams = {f"s{i}": xm.Stream(f"s{i}", shape) for i, shape in enumerate(shapes)}
    model = xm.adapt(
        lambda *each: {"y": sum(a.reshape(len(a), -1).sum(1) for a in each)}, streams=streams, heads={"y": 1}
    )
    x = [np.ones((2, *shape), "f4") for shape in shapes]
    maps = [np.full((2, *shape), float(i)) for i, shape in enumerate(shapes)]
    made = xm.from_captum(tuple(maps) if len(maps) > 1 else maps[0], model, x)
    for i, name in enumerate(streams):
        np.testing.assert_array_equal(made[name][0], maps[i])
    order = data.draw(st.permutations(range(len(shapes))))
    if [shapes[i] for i in order] != shapes:
        with pytest.raises(ShapeMismatch, match=r"It has the shape of stream 's\d': the order is s0, s1"):
            xm.from_captum(tuple(maps[i] for i in order), model, x)


def test_a_map_at_a_layer(net: Any, x: Any, model: Any) -> None:
    at = next(name for name in model.layers() if name.endswith("level"))
    hidden = torch.tanh(net.u(torch.from_numpy(x["u"])) + net.v(torch.from_numpy(x["v"]))).detach()
    attributions = hidden * net.level.weight.detach()[0]
    made = xm.from_captum(attributions, model, x, target="level", at=at, baselines="zero")
    assert made.attrs["space"] == f"at:{at}"
    np.testing.assert_allclose(made["completeness_gap"], 0, atol=1e-9)
    (stream,) = (s.name for s in model.tail(at).streams)
    np.testing.assert_array_equal(made[stream][0], attributions)
    result = xm.compare(model, x, {"mine": made, "g": "input_x_gradient"}, targets=["level"], metrics=["gini"])
    assert result.record.space.name == f"at:{at}"
    np.testing.assert_allclose(*(result.explanations[stream].sel(explainer=e) for e in ("mine", "g")), atol=1e-6)


def test_the_example_runs() -> None:
    (example,) = doctest.DocTestFinder().find(from_captum, "from_captum")
    assert doctest.DocTestRunner().run(example) == doctest.TestResults(failed=0, attempted=8)
