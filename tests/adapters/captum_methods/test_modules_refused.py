"""Where Captum's hooks would be silently wrong, the model is refused by name, with what else to do."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, IncompleteWarning, NotSupported

captum_attr, torch = imported("captum.attr"), imported("torch")

from torch import nn  # noqa: E402 - behind the skip

from tests.helpers import hookable_nets as nets  # noqa: E402
from tests.helpers import torch_nets  # noqa: E402

once = pytest.mark.all_frameworks
HOOKING = ["captum.DeepLift", "captum.DeepLiftShap", "captum.GuidedBackprop", "captum.Deconvolution"]
every_method = pytest.mark.parametrize("method", HOOKING)


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def x(rng):
    return rng.standard_normal((6, 3)).astype(np.float32)


def refused(model, x, method, says, **options):
    with pytest.raises(NotSupported, match=says):
        xm.explain(model, x, method, check=False, **options)


@once
@every_method
@pytest.mark.parametrize(
    ("middle", "operation"),
    [
        (lambda self, h: torch.relu(h), "relu"),
        (lambda self, h: nn.functional.relu(h), "relu"),
        (lambda self, h: nn.functional.relu_(h), "relu"),
        (lambda self, h: h.clamp(min=0), "clamp"),
        (lambda self, h: nn.functional.threshold(h, 0, 0), "threshold"),
        (lambda self, h: torch.maximum(h, torch.zeros(())), "maximum"),
        (lambda self, h: torch.where(h > 0, h, 0.0), "where"),
        (lambda self, h: h.masked_fill(h < 0, 0.0), "maskedfill"),
        (lambda self, h: h * (h > 0), "mul"),
    ],
    ids=["relu", "F.relu", "relu_", "clamp", "threshold", "maximum", "where", "masked_fill", "mask"],
)
def test_a_relu_that_is_a_function(method, middle, operation, x):
    model = nets.between(lambda self, h: self.act(middle(self, h)), act=nn.ReLU())
    refused(
        model,
        x,
        method,
        rf"^{method} .* On the way to head 'output' '{operation}' is computed in the model's own forward, which would "
        r"get its plain gradient.*'integrated_gradients'",
    )


@once
@every_method
def test_a_threshold_that_the_first_rows_of_sorted_data_do_not_cross(method, x):
    model = nets.between(lambda self, h: self.act(torch.where(h > 0, h, 0.0)), act=nn.ReLU())
    alike = np.repeat(x[:1], 9, axis=0)
    refused(model, np.concatenate([alike, x]), method, "'where' is computed", background=x[:1])


@once
@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.GELU(), r"'gelu' is computed in 'm' \(GELU\)"),
        (nn.SiLU(), r"'silu' is computed in 'm' \(SiLU\)"),
        (nn.LayerNorm(4), r"'nativelayernorm' is computed in 'm' \(LayerNorm\)"),
        (nn.Softmax(dim=-1), r"'softmax' is computed in 'm' \(Softmax\).*If it is the last step.*on='logit'"),
        (nn.ReLU6(), r"'hardtanh' is computed in 'm' \(ReLU6\)"),
        (nn.Sequential(nn.Linear(4, 4), nn.Hardswish()), r"'hardswish' is computed in 'm.1' \(Hardswish\)"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_module_without_a_rule(module, says, x):
    model = nets.between(lambda self, h: self.m(h), m=module)
    for method in HOOKING[:2]:
        refused(model, x, method, r"has rules for certain modules alone \(ReLU, ELU, .*MaxPool1d.*\)\..*" + says)


@once
@pytest.mark.parametrize(
    ("middle", "operation"),
    [
        (lambda self, h: h * h.roll(1, 1), "mul"),
        (lambda self, h: h / (1 + h.abs()), "abs"),
        (lambda self, h: 1 / (9 + h), "reciprocal"),
        (lambda self, h: h / (9 + h.roll(1, 1)), "div"),
        (lambda self, h: h @ (h.T @ h), "mm"),
        (lambda self, h: h * (h > 0), "mul"),
        (lambda self, h: h.sort(dim=1).values, "sort"),
        (lambda self, h: nn.functional.instance_norm(h[:, None])[:, 0], "nativebatchnorm"),
    ],
    ids=["product", "abs", "reciprocal", "quotient", "matrix", "gate", "sort", "instance_norm"],
)
def test_what_is_not_linear(middle, operation, x):
    refused(nets.between(middle), x, "captum.DeepLift", f"'{operation}' is computed in the model's own forward")


@once
def test_what_is_linear_is_none_of_it(x):
    """And the sums are complete, so nothing of it was passed in another way."""

    def middle(self, h):
        h = self.norm(h * self.scale + torch.tensor([1.0, 2.0, 3.0, 4.0])).reshape(-1, 2, 2).permute(0, 2, 1)
        h = torch.einsum("nij,jk->nik", h, torch.ones(2, 2)) - h.flip(1) / 2
        h = self.conv(nn.functional.pad(h, (1, 1))).mean(dim=2, keepdim=True).expand(-1, -1, 2)
        h = torch.where(torch.tensor([True, False]), h, 2 * h)
        return self.act(torch.cat([h[:, :1], h[:, 1:].cumsum(dim=2)], dim=1).flatten(1))

    parts = torch_nets.seeded(lambda: nn.ModuleDict({"norm": nn.BatchNorm1d(4), "conv": nn.Conv1d(2, 2, 3)}))
    parts["act"] = nn.Tanh()
    model = nets.between(middle, scale=nn.Parameter(torch.arange(4.0)), **parts)
    found = xm.explain(model, x, "captum.DeepLift", check=False)
    from xai_mimo.core.completeness import relative_gap

    assert float(relative_gap(found).max()) < 1e-4


@once
def test_recurrent_layers_and_attention(rng):
    steps = rng.standard_normal((4, 5, 3)).astype(np.float32)
    refused(torch_nets.seeded(torch_nets.Sequence), steps, "captum.DeepLift", r"computed in 'lstm' \(LSTM\)")
    refused(
        torch_nets.seeded(torch_nets.Sequence), steps, "captum.GuidedBackprop", "none lies on the way to 'output_0'"
    )
    refused(
        torch_nets.seeded(torch_nets.Encoder), steps, "captum.DeepLift", r"computed in 'encoder.layers.0.self_attn'"
    )


@once
@pytest.mark.parametrize("method", ["captum.DeepLift", "captum.DeepLiftShap", "captum.Deconvolution"])
def test_a_module_that_is_called_twice(method, x):
    model = nets.between(lambda self, h: self.act(self.mix(self.act(h))), act=nn.ReLU(), mix=nn.Linear(4, 4))
    refused(model, x, method, r"'act' \(ReLU\) is called 2 times in one pass: one call would be explained with the num")


@once
def test_guided_backprop_through_a_module_that_is_called_twice_is_right(rng):
    model = nets.between(lambda self, h: self.act(self.mix(self.act(h))), act=nn.ReLU(), mix=nn.Linear(4, 4)).double()
    x = rng.standard_normal((40, 3))
    found = xm.explain(model, x, "captum.GuidedBackprop", targets=[("output", 1)], check=False)
    (into, first), (mix, second), (out, _) = (
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in (model.into, model.mix, model.out)
    )
    h = x @ into.T + first
    g = np.maximum(out[1], 0) * (np.maximum(h, 0) @ mix.T + second > 0)
    by_hand = (np.maximum(g @ mix, 0) * (h > 0)) @ into
    assert by_hand.any()
    np.testing.assert_allclose(found.x.values[0], by_hand, rtol=1e-6, atol=1e-12)


@once
@pytest.mark.parametrize("method", ["captum.GuidedBackprop", "captum.Deconvolution"])
def test_a_model_without_relus_would_be_a_plain_gradient(method, x):
    model = nets.between(lambda self, h: self.act(h), act=nn.Tanh())
    refused(
        model, x, method, "none lies on the way to 'output': the result would be a plain gradient under another name"
    )


@once
@every_method
def test_a_model_that_goes_on_with_what_a_module_wrote_into(method, x):
    def middle(self, h):
        self.act(h)
        return h

    model = nets.between(middle, act=nn.ReLU(inplace=True))
    refused(model, x, method, r"it goes on with a tensor that a module wrote into \(inplace=True\).*h = self\.act\(h\)")


@once
def test_a_module_with_backward_hooks_of_its_own_which_captum_passes_by(x):
    model = nets.between(lambda self, h: self.act(h), act=nn.ReLU())
    handle = model.act.register_full_backward_hook(lambda *_: None)
    refused(
        model, x, "captum.DeepLift", r"'act' \(ReLU\).*backward hooks of its own, and Captum passes such modules by"
    )
    handle.remove()
    xm.explain(model, x, "captum.DeepLift", check=False)


@once
@every_method
def test_a_module_that_is_called_by_keyword(method, x):
    model = nets.between(lambda self, h: self.act(input=h), act=nn.ReLU())
    refused(model, x, method, r"called with one tensor by place, and 'act' \(ReLU\) is called with something else")


@once
@pytest.mark.parametrize("pool", [nn.MaxPool1d(3, 1), nn.MaxPool1d(2, 2, dilation=2)], ids=["overlap", "dilation"])
def test_max_pooling_over_windows_that_overlap(pool, rng):
    signal = rng.standard_normal((5, 2, 9)).astype(np.float32)
    model = torch_nets.seeded(lambda: nn.Sequential(nn.Conv1d(2, 3, 3), pool, nn.AdaptiveAvgPool1d(1), nn.Flatten()))
    refused(
        model, signal, "captum.DeepLift", r"whose windows do not overlap, and those of '1' do \(kernel_size \(\d,\)"
    )


@once
def test_a_gradient_that_is_held_back_leaves_a_gap_and_a_warning(x):
    model = nets.between(lambda self, h: self.act(h) + h.detach().exp(), act=nn.ReLU())
    with pytest.warns(IncompleteWarning, match=r"captum\.DeepLift: attributions do not sum .* \d+ %.*held back"):
        found = xm.explain(model, x, "captum.DeepLift", check=False)
    assert {"prediction", "baseline_prediction"} <= set(found)


@once
@every_method
def test_streams_of_integers(method, rng):
    rows = {"ids": rng.integers(0, 11, (4, 5)), "table": rng.standard_normal((4, 2)).astype(np.float32)}
    refused(torch_nets.seeded(torch_nets.Tokens), rows, method, r"input stream 'ids' holds integers .*at='mix'")


@once
def test_a_head_of_integers(x):
    class Classes(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.act = nn.Linear(3, 4), nn.ReLU()

        def forward(self, x):
            return self.act(self.into(x)).argmax(dim=1)

    refused(Classes(), x, "captum.DeepLift", "head 'output' gives int64, which has no gradient", targets=["output"])


@once
@every_method
def test_functions_and_compiled_models_have_no_modules_to_hook(method, x):
    model = nets.between(lambda self, h: self.act(h), act=nn.ReLU())
    for other in (lambda x: model(x), torch.compile(model, backend="eager")):
        refused(
            other,
            x,
            method,
            rf"^{method} needs a model of PyTorch modules that can be hooked, and .* is none\. Hooks would never fire on "
            r"it, and what came back would be a plain gradient under another name\. Use 'integrated_gradients'",
        )


@every_method
def test_a_keras_model_calls_functions_on_every_backend(method, x):
    import keras

    layers = [keras.Input((3,), name="x"), keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)]
    refused(keras.Sequential(layers), x, method, r"is none\. Hooks would never fire on it")


@once
def test_keras_layers_inside_a_torch_module_are_seen_to_be_functions(x):
    import keras

    if keras.backend.backend() != "torch":
        pytest.skip("Keras layers are torch modules on the backend torch alone")
    inner = keras.layers.Dense(4, activation="relu")
    inner.build((None, 4))
    model = nets.between(lambda self, h: self.act(self.inner(h)), inner=inner, act=nn.ReLU())
    for method in HOOKING:
        refused(model, x, method, r"'relu' is computed in 'inner' \(Dense\), which would get its plain gradient")


@once
def test_a_baseline_that_is_none(x):
    model = nets.between(lambda self, h: self.act(h), act=nn.ReLU())
    from xai_mimo_adapters.captum_methods.modules import CaptumDeepLift

    with pytest.raises(BadSetting, match="baseline 'nothing' is not one of zero, mean, background"):
        xm.explain(model, x, CaptumDeepLift(baseline="nothing"), check=False)
