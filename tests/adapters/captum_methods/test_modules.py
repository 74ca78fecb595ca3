"""Captum's methods that hook modules: by hand, against Captum on a network joined by hand, and what they leave."""

import gc

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.completeness import relative_gap
from xai_mimo.testing import check_method

captum_attr, torch = imported("captum.attr"), imported("torch")

from xai_mimo_adapters.captum_methods.modules import (  # noqa: E402 - behind the skip
    CaptumDeconvolution,
    CaptumDeepLift,
    CaptumDeepLiftShap,
    CaptumGuidedBackprop,
)

from tests.helpers import hookable_nets as nets  # noqa: E402
from tests.helpers import torch_nets  # noqa: E402

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]
ALL = [CaptumDeepLift(), CaptumDeepLiftShap(), CaptumGuidedBackprop(), CaptumDeconvolution()]
METHODS = pytest.mark.parametrize("method", ALL, ids=lambda method: method.name)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def relus(rng):
    return torch_nets.seeded(nets.Relus).double(), {
        "left": rng.standard_normal((5, 3)),
        "right": rng.standard_normal((5, 4)),
    }


def explained(model, rows, method, **options):
    return xm.explain(model, rows, method, check=False, **options)


def weights_of(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


@METHODS
def test_it_keeps_the_contract_of_methods(method, relus):
    model, rows = relus
    check_method(method, xm.adapt(model, like=rows), rows, uses_background=method.name == "captum.DeepLiftShap" or None)


def test_deeplift_is_the_rescale_rule_by_hand(relus):
    model, rows = relus
    baseline = {"left": np.full(3, 0.3), "right": np.full(4, -0.2)}
    ours = explained(model, rows, CaptumDeepLift(baseline=baseline), targets=[("choice", "all")])
    (into_l, bias_l), (into_r, bias_r), (mix, bias_m), (out, _) = (
        weights_of(layer) for layer in (model.left, model.right, model.mix, model.choice)
    )

    def passes(left, right):
        before = np.concatenate([left @ into_l.T + bias_l, right @ into_r.T + bias_r], axis=-1)
        return before, np.maximum(before, 0) @ mix.T + bias_m

    first, second = passes(rows["left"], rows["right"])
    first_b, second_b = passes(baseline["left"], baseline["right"])
    slope = [(np.maximum(a, 0) - np.maximum(b, 0)) / (a - b) for a, b in ((first, first_b), (second, second_b))]
    for unit in range(3):
        back = ((out[unit] * slope[1]) @ mix) * slope[0]
        np.testing.assert_allclose(
            ours.left.values[unit], (rows["left"] - baseline["left"]) * (back[:, :6] @ into_l), rtol=1e-9, atol=1e-12
        )
        np.testing.assert_allclose(
            ours.right.values[unit], (rows["right"] - baseline["right"]) * (back[:, 6:] @ into_r), rtol=1e-9, atol=1e-12
        )
    assert float(relative_gap(ours).max()) < 1e-12


def test_guided_gradients_by_hand(relus):
    model, rows = relus
    (into, bias), (out, _) = weights_of(model.alone), weights_of(model.hours)
    is_on = rows["left"] @ into.T + bias > 0
    assert 0 < is_on.mean() < 1
    for unit in (0, 1):
        positive = np.maximum(out[unit], 0)
        guided = explained(model, rows, CaptumGuidedBackprop(), targets=[("hours", unit)])
        np.testing.assert_allclose(guided.left.values[0], (positive * is_on) @ into, rtol=1e-9)
        back = explained(model, rows, CaptumDeconvolution(), targets=[("hours", unit)])
        np.testing.assert_allclose(back.left.values[0], np.tile(positive @ into, (5, 1)), rtol=1e-9)
        assert not guided.right.values.any()
    assert (out < 0).any()


@METHODS
def test_every_unit_of_every_head_is_captums_own_on_a_network_joined_by_hand(method, relus):
    model, rows = relus
    background = {name: x[::-1][:3] + 0.1 for name, x in rows.items()}
    ours = explained(model, rows, method, background=background, targets=[("choice", "all"), ("hours", "all")])
    attribute = getattr(captum_attr, method.name.removeprefix("captum."))(nets.SideBySide(model).eval()).attribute
    given = tuple(torch.from_numpy(x).requires_grad_() for x in rows.values())
    more = {"baselines": tuple(map(torch.from_numpy, background.values()))} if "Shap" in method.name else {}
    for unit in range(5):
        with pytest.warns(UserWarning, match="hooks"):
            found = attribute(given, target=unit, **more)
        for stream, theirs in zip(rows, found, strict=True):
            np.testing.assert_allclose(ours[stream].values[unit], theirs.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_what_stands_right_behind_another_hooked_module_keeps_its_rule(rng):
    """Captum alone loses the rule of a max pooling behind a ReLU: a gap of more than a tenth."""
    model = torch_nets.seeded(nets.Pictures).double().eval()
    rows = {"picture": rng.standard_normal((4, 2, 6, 6)), "table": rng.standard_normal((4, 2))}
    baseline = {"picture": rng.standard_normal((2, 6, 6)), "table": rng.standard_normal(2)}
    ours = explained(model, rows, CaptumDeepLift(baseline=baseline), targets=[("kind", "all"), "size"])
    assert float(relative_gap(ours).max()) < 1e-9
    given = tuple(torch.from_numpy(x).requires_grad_() for x in rows.values())
    with pytest.warns(UserWarning, match="hooks"):
        theirs = captum_attr.DeepLift(nets.SideBySide(model)).attribute(given, _tensors(baseline, 4), target=1)
    change = (ours.prediction - ours.baseline_prediction).values[1]
    gap = sum(x.detach().numpy().reshape(4, -1).sum(axis=1) for x in theirs) - change
    assert np.abs(gap).max() > 0.1 * np.abs(change).max()


def _tensors(baseline, rows):
    return tuple(torch.from_numpy(np.repeat(x[None], rows, axis=0)) for x in baseline.values())


def test_a_tensor_that_others_read_too_keeps_its_other_ways(rng):
    """f = out (relu(h) + h): Captum alone drops the way around the activation."""
    model, x = torch_nets.seeded(nets.Residual).double(), rng.standard_normal((4, 3))
    ours = explained(model, x, CaptumDeepLift(), targets=[("output", "all")])
    assert float(relative_gap(ours).max()) < 1e-12
    (into, bias), (out, _) = weights_of(model.into), weights_of(model.out)
    is_on = x @ into.T + bias > 0
    guided = explained(model, x, CaptumGuidedBackprop(), targets=[("output", 0)])
    by_hand = (np.maximum(out[0], 0) * is_on + out[0]) @ into
    np.testing.assert_allclose(guided.x.values[0], by_hand, rtol=1e-9)


@METHODS
def test_few_rows_at_a_time_and_a_unit_for_each_row_change_nothing(method, relus):
    model, rows = relus
    background = {name: x[::-1][:4] - 0.2 for name, x in rows.items()}
    at_once = explained(model, rows, method, background=background, targets=[("choice", "predicted")])
    little = explained(model, rows, method, background=background, targets=[("choice", "predicted")], max_memory=1)
    for stream in rows:
        np.testing.assert_allclose(little[stream].values, at_once[stream].values, rtol=1e-9, atol=1e-12)


@METHODS
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_on_the_model(method, fails, relus, monkeypatch):
    model, rows = relus
    model.train()
    model.own.input = "the user's own"  # Captum keeps what a module reads under this name
    handle = model.own.register_forward_hook(lambda *_: None)
    before, attributes = torch_nets.state(model), [dict(vars(m)) for m in model.modules()]
    if fails:
        monkeypatch.setattr(torch.autograd, "grad", _broken)
        with pytest.raises(RuntimeError, match="broken on purpose"):
            explained(model, rows, method)
    else:
        explained(model, rows, method)
    after = torch_nets.state(model)
    for what, value in before.items():
        np.testing.assert_equal(after[what], value, err_msg=what)
    for module, own in zip(model.modules(), attributes, strict=True):
        assert set(vars(module)) == set(own)
    assert model.own.input == "the user's own"
    handle.remove()


def _broken(*_, **__):
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize("method", [CaptumDeepLift(), CaptumGuidedBackprop()], ids=lambda method: method.name)
def test_repeated_calls_keep_no_tensors(method, relus):
    model, rows = relus

    def tensors():
        gc.collect()
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

    explained(model, rows, method)
    before = tensors()
    explained(model, rows, method)
    assert tensors() == before


@METHODS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_coarse_precision_comes_near_to_float64(method, dtype, relus):
    model, rows = relus
    coarse = torch_nets.seeded(nets.Relus).to(getattr(torch, dtype))
    with torch.no_grad():
        for mine, other in zip(model.parameters(), coarse.parameters(), strict=True):
            mine.copy_(other)
    near = {name: x.astype(np.float16).astype(np.float32) for name, x in rows.items()}
    wide = {name: x.astype(np.float64) for name, x in near.items()}
    ours = explained(coarse, near, method, background=near, targets=["hours"])
    exact = explained(model, wide, method, background=wide, targets=["hours"])
    tolerance = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 1e-5}[dtype]
    np.testing.assert_allclose(ours.left.values, exact.left.values, atol=tolerance * float(abs(exact.left).max()))


def test_a_row_that_is_its_own_baseline_is_given_zeros_in_half_precision(relus):
    """Captum's smallest change, 1e-10, is 0 in half precision, and 0 / 0 is no number."""
    _, rows = relus
    model = torch_nets.seeded(nets.Relus).half()
    near = {name: x.astype(np.float32) for name, x in rows.items()}
    baseline = {name: x[0] for name, x in near.items()}
    ours = explained(model, near, CaptumDeepLift(baseline=baseline), targets=["hours"])
    np.testing.assert_array_equal(ours.left.values[0, 0], 0)
    assert np.isfinite(ours.left.values).all()


def test_heads_of_probabilities_are_explained_on_their_logits(rng):
    model, x = torch_nets.seeded(nets.Probabilities).double(), rng.standard_normal((4, 3))
    ours = explained(model, x, CaptumDeepLift(), on="logit", targets=[("kind", "all"), "risk"])
    assert float(relative_gap(ours).max()) < 1e-9
    with torch.no_grad():
        h = model.act(model.into(torch.from_numpy(x)))
    np.testing.assert_allclose(ours.prediction.values[:3].T, model.kind(h).detach().numpy())
