"""Captum's relevance propagation: its rules by hand, Captum itself as oracle, what is refused."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.testing import check_method

captum_attr, torch = imported("captum.attr"), imported("torch")
rules = imported("captum.attr._utils.lrp_rules")

from captum.attr._utils.custom_modules import Addition_Module  # noqa: E402 - behind the skip
from torch import nn  # noqa: E402
from xai_mimo_adapters.captum_methods.lrp import CaptumLRP  # noqa: E402

from tests.helpers import hookable_nets as nets  # noqa: E402
from tests.helpers import torch_nets  # noqa: E402

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def relus(rng):
    rows = {"left": rng.standard_normal((5, 3)), "right": rng.standard_normal((5, 4))}
    return torch_nets.seeded(nets.Relus).double(), rows


@pytest.fixture
def x(rng):
    return rng.standard_normal((5, 3))


def explained(model, rows, method=None, **options):
    return xm.explain(model, rows, method or CaptumLRP(), check=False, **options)


def weights_of(layer):
    return layer.weight.detach().numpy(), layer.bias.detach().numpy()


def handed_back(x, weight, bias, relevance, epsilon=1e-9):
    """R_i = sum over j of x_i w_ij R_j / (z_j + epsilon sign z_j), written slowly."""
    back = np.zeros_like(x)
    for n in range(len(x)):
        for j in range(len(weight)):
            z = sum(x[n, i] * weight[j, i] for i in range(x.shape[1])) + bias[j]
            for i in range(x.shape[1]):
                back[n, i] += x[n, i] * weight[j, i] * relevance[n, j] / (z + (epsilon if z >= 0 else -epsilon))
    return back


@pytest.mark.parametrize("method", [CaptumLRP(), CaptumLRP("gamma")], ids=lambda method: method.rule)
def test_it_keeps_the_contract_of_methods(method, relus):
    model, rows = relus
    check_method(method, xm.adapt(model, like=rows), rows, uses_background=False)


@pytest.mark.parametrize(
    ("method", "changed"),
    [
        (CaptumLRP(), lambda w: w),
        (CaptumLRP(epsilon=0.5), lambda w: w),
        (CaptumLRP("gamma", gamma=0.4), lambda w: w + 0.4 * np.maximum(w, 0)),
        (CaptumLRP("alpha1_beta0", epsilon=1e-3), lambda w: np.maximum(w, 0)),
    ],
    ids=["epsilon", "large epsilon", "gamma", "alpha1_beta0"],
)
def test_the_rules_by_hand(method, changed, relus):
    model, rows = relus
    (into, bias), (out, bias_out) = weights_of(model.alone), weights_of(model.hours)
    hidden = np.maximum(rows["left"] @ into.T + bias, 0)
    for unit in (0, 1):
        value = hidden @ out[unit] + bias_out[unit]
        # Captum hands back 1 and multiplies by the value at the end, so that epsilon is one of shares.
        shares = handed_back(hidden, changed(out[unit : unit + 1]), bias_out[[unit]], np.ones((5, 1)), method.epsilon)
        by_hand = value[:, None] * handed_back(rows["left"], changed(into), bias, shares, method.epsilon)
        found = explained(model, rows, method, targets=[("hours", unit)])
        np.testing.assert_allclose(found.left.values[0], by_hand, rtol=1e-7, atol=1e-12)
        np.testing.assert_allclose(found.absorbed.values[0], value - by_hand.sum(axis=1), rtol=1e-7, atol=1e-12)
        assert not found.right.values.any()


@pytest.mark.parametrize("rule", ["epsilon", "gamma", "alpha1_beta0"])
def test_every_unit_is_captums_own_on_a_network_joined_by_hand(rule, relus):
    model, rows = relus
    ours = explained(model, rows, CaptumLRP(rule), targets=[("choice", "all"), ("hours", "all")])
    kinds = {"epsilon": rules.EpsilonRule, "gamma": rules.GammaRule, "alpha1_beta0": rules.Alpha1_Beta0_Rule}
    joined = nets.SideBySide(model).eval()
    for unit in range(5):
        for module in joined.modules():
            if isinstance(module, nn.Linear):
                module.rule = kinds[rule]()
        theirs = captum_attr.LRP(joined).attribute(tuple(torch.tensor(x).requires_grad_() for x in rows.values()), unit)
        for stream, values in zip(rows, theirs, strict=True):
            np.testing.assert_allclose(ours[stream].values[unit], values.detach().numpy(), rtol=1e-7, atol=1e-12)


def without_biases(model):
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith("bias"):
                weight.zero_()
    return model


def test_without_biases_relevance_is_kept_through_convolutions_and_pools(rng):
    model = without_biases(torch_nets.seeded(nets.Pictures).double())
    rows = {"picture": rng.standard_normal((3, 2, 6, 6)), "table": rng.standard_normal((3, 2))}
    found = explained(model, rows, targets=[("kind", "all"), "size"])
    assert np.abs(found.absorbed).max() < 1e-6 * np.abs(found.prediction).max()
    assert found.picture.values.any()


def test_a_tensor_that_a_layer_reads_and_another_hands_on_keeps_both_ways(x):
    """f = out [x, relu(into x)]: Captum alone multiplies what comes by the second way by x once more."""

    class Dense(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.act, self.out = nn.Linear(3, 4), nn.ReLU(), nn.Linear(7, 2)

        def forward(self, x):
            return self.out(torch.cat([x, self.act(self.into(x))], dim=1))

    model = torch_nets.seeded(Dense).double()
    found = explained(model, x, targets=[("output", 1)])
    (into, bias), (out, bias_out) = weights_of(model.into), weights_of(model.out)
    read = np.concatenate([x, np.maximum(x @ into.T + bias, 0)], axis=1)
    shares = handed_back(read, out[1:], bias_out[1:], np.ones((5, 1)))
    by_hand = (read @ out[1] + bias_out[1])[:, None] * (shares[:, :3] + handed_back(x, into, bias, shares[:, 3:]))
    np.testing.assert_allclose(found.x.values[0], by_hand, rtol=1e-6, atol=1e-12)


def test_a_sum_that_is_captums_module_and_modules_that_only_move_values(x):
    parts = {
        "add": Addition_Module(),
        "flat": nn.Flatten(),
        "same": nn.Identity(),
        "drop": nn.Dropout(),
        "a": nn.Tanh(),
    }
    model = without_biases(
        nets.between(lambda self, h: self.same(self.drop(self.flat(self.add(self.a(h), h)))), **parts).double()
    )
    found = explained(model, x, targets=[("output", "all")])
    assert np.abs(found.absorbed).max() < 1e-6 * np.abs(found.prediction).max()


def test_a_relu_that_is_a_function_changes_nothing_of_the_epsilon_rule(x):
    module = nets.between(lambda self, h: self.act(h), act=nn.ReLU()).double()
    function = nets.between(lambda self, h: torch.relu(h)).double()
    np.testing.assert_array_equal(explained(module, x).x.values, explained(function, x).x.values)
    with pytest.raises(NotSupported, match="'relu' is computed in the model's own forward"):
        explained(function, x, CaptumLRP("gamma"))


def test_a_rule_of_the_users_own_holds_for_all_targets_and_is_kept(relus):
    model, rows = relus
    plain = explained(model, rows, CaptumLRP("gamma", gamma=0.4), targets=[("hours", "all")])
    own = {layer: rules.GammaRule(0.4) for layer in (model.alone, model.hours)}
    for layer, rule in own.items():
        layer.rule = rule
    model.mix.rule = "no rule at all"
    found = explained(model, rows, targets=[("hours", "all")])
    np.testing.assert_allclose(found.left.values, plain.left.values, rtol=1e-7)
    assert {layer: layer.rule for layer in own} == own
    assert model.mix.rule == "no rule at all"
    assert set(vars(own[model.hours])) == {"gamma", "set_bias_to_zero"}


@pytest.mark.parametrize("rule", ["epsilon", "gamma"])
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_is_left_on_the_model(rule, fails, relus, monkeypatch):
    model, rows = relus
    model.train()
    before, attributes = torch_nets.state(model), [set(vars(m)) for m in model.modules()]
    places = [p.data_ptr() for p in model.parameters()]
    if fails:
        monkeypatch.setattr(torch.autograd, "grad", _broken)
        with pytest.raises(RuntimeError, match="broken on purpose"):
            explained(model, rows, CaptumLRP(rule))
    else:
        explained(model, rows, CaptumLRP(rule))
    after = torch_nets.state(model)
    for what, value in before.items():
        np.testing.assert_equal(after[what], value, err_msg=what)
    assert [set(vars(m)) for m in model.modules()] == attributes
    assert [p.data_ptr() for p in model.parameters()] == places


def _broken(*_, **__):
    raise RuntimeError("broken on purpose")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_comes_near_to_float64(dtype, relus):
    model, rows = relus
    coarse = torch_nets.seeded(nets.Relus).to(getattr(torch, dtype))
    near = {name: x.astype(np.float16).astype(np.float32) for name, x in rows.items()}
    with torch.no_grad():
        for mine, other in zip(model.parameters(), coarse.parameters(), strict=True):
            mine.copy_(other)
    ours = explained(coarse, near, targets=["hours"])
    exact = explained(model, {name: x.astype(np.float64) for name, x in near.items()}, targets=["hours"])
    assert np.isfinite(ours.left.values).all()
    tolerance = 2e-2 if dtype == "float16" else 1.5e-1
    np.testing.assert_allclose(ours.left.values, exact.left.values, atol=tolerance * float(abs(exact.left).max()))


def test_a_softmax_and_a_sigmoid_have_no_rule_and_what_they_read_has(x):
    model = torch_nets.seeded(nets.Probabilities).double()
    with pytest.raises(
        NotSupported,
        match=r"captum\.LRP has no rule for 'soft' \(Softmax\), which lies on the way to head 'kind'.*Linear, Conv1d.*"
        r"ReLU, Dropout, Tanh.*on='logit'.*module\.rule = EpsilonRule.*'captum\.DeepLift'",
    ):
        explained(model, x, targets=[("kind", 0)])
    with pytest.raises(NotSupported, match=r"head 'risk' 'sigmoid' is computed in the model's own forward.*on='logit'"):
        explained(model, x, targets=["risk"])
    found = explained(without_biases(model), x, on="logit", targets=[("kind", "all"), "risk"])
    assert np.abs(found.absorbed).max() < 1e-6 * np.abs(found.prediction).max()


@pytest.mark.parametrize(
    ("middle", "parts", "says"),
    [
        (lambda self, h: h + h.flip(1), {}, r"'add' is computed in the model's own forward.*Addition_Module"),
        (lambda self, h: h * 2, {}, "'mul' is computed in the model's own forward, where relevance would be passed as"),
        (lambda self, h: h.mean(dim=1, keepdim=True).expand(-1, 4), {}, "'mean' is computed .*AdaptiveAvgPool1d"),
        (lambda self, h: self.m(h), {"m": nn.GELU()}, r"no rule for 'm' \(GELU\), which lies on the way to head 'outp"),
        (lambda self, h: self.m(self.m(h)), {"m": nn.Linear(4, 4)}, r"'m' \(Linear\) is called 2 times in one pass"),
        (lambda self, h: self.m(h)[0], {"m": nn.LSTM(4, 4)}, r"no rule for 'm' \(LSTM\)"),
    ],
    ids=["sum", "factor", "mean", "module", "twice", "recurrent"],
)
def test_what_has_no_rule(middle, parts, says, x):
    with pytest.raises(NotSupported, match=says):
        explained(nets.between(middle, **parts).double(), x)


@pytest.mark.parametrize(
    ("settings", "says"), [({"rule": "z"}, "rule 'z' is not one"), ({"epsilon": 0}, "epsilon must")]
)
def test_settings_are_checked(settings, says):
    with pytest.raises(BadSetting, match=says):
        CaptumLRP(**settings)
