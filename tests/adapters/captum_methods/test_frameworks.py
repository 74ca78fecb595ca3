"""The same network in several frameworks: Captum's numbers through the bridge are those of Captum on the torch module.

Three streams of different rank and one that nothing reads; targets of a regression, a softmax and a sigmoid head.
"""

import warnings

import numpy as np
import pytest
from xai_mimo_adapters.captum_methods import (
    CaptumFeatureAblation,
    CaptumFeaturePermutation,
    CaptumGradientShap,
    CaptumInputXGradient,
    CaptumIntegratedGradients,
    CaptumKernelShap,
    CaptumLime,
    CaptumNoiseTunnel,
    CaptumOcclusion,
    CaptumSaliency,
    CaptumShapleyValues,
    CaptumShapleyValueSampling,
)

import xai_mimo as xm
from tests.helpers.captum_models import as_tensors, natively_seeded
from tests.helpers.frameworks import imported, needs
from tests.helpers.one_network import NETWORKS, keras_network, rows, torch_network
from xai_mimo.core.errors import NotSupported, UnusedStreamWarning
from xai_mimo.core.method import Context
from xai_mimo.core.model import Differentiable
from xai_mimo.core.targets import select

captum_attr, torch = imported("captum.attr"), imported("torch")
INPUTS, BACKGROUND = rows(3), rows(4, seed=9)
TARGETS = [("hours", 0), ("mode", 1), ("tags", 1)]


def masks():
    """One player for each stream, as Captum's feature masks."""
    return tuple(torch.full((1, *x.shape[1:]), i) for i, x in enumerate(as_tensors(INPUTS)))


def whole_streams(native):
    """What Captum gives each value of a stream, once."""
    return [value.reshape(len(value), -1)[:, 0] for value in native]


def baselines():
    return as_tensors(BACKGROUND)


GRADIENT = {
    "IntegratedGradients": (CaptumIntegratedGradients(steps=8), {"n_steps": 8, "method": "gausslegendre"}),
    "Saliency": (CaptumSaliency(), {}),
    "InputXGradient": (CaptumInputXGradient(), {}),
    "GradientShap": (CaptumGradientShap(samples=3), lambda: {"baselines": baselines(), "n_samples": 3}),
}
PERTURBATION = {
    "FeatureAblation": (CaptumFeatureAblation(), {}),
    "Occlusion": (
        CaptumOcclusion({"table": 2, "series": (2, 3), "image": (2, 2, 2)}, strides={"image": 2}),
        {
            "sliding_window_shapes": ((2,), (2, 3), (2, 2, 2), (1,)),
            "strides": ((1,), (1, 1), (2, 2, 1), (1,)),
        },
    ),
    "ShapleyValues": (CaptumShapleyValues(players="streams"), lambda: {"feature_mask": masks()}),
    "ShapleyValueSampling": (
        CaptumShapleyValueSampling(samples=3, players="streams"),
        lambda: {"n_samples": 3, "feature_mask": masks()},
    ),
}


def the_same_network():
    yield pytest.param("keras", id="keras")
    for name in ("torch", "jax", "tensorflow", "numpy"):
        yield pytest.param(name, id=name, marks=[pytest.mark.all_frameworks, needs(NETWORKS[name][0])])


@pytest.fixture(params=the_same_network(), scope="module")
def model(request):
    return xm.adapt(keras_network() if request.param == "keras" else NETWORKS[request.param][1](), like=INPUTS)


@pytest.fixture(scope="module")
def native():
    """``(class, options) -> {target: one array per stream}`` by Captum on the torch module, each made once."""
    network, made = torch_network(), {}

    def explained(name, options):
        if name not in made:
            made[name] = [_native(network, name, options, head, unit) for head, unit in TARGETS]
        return made[name]

    return explained


def _native(network, name, options, head, unit):
    given = options() if callable(options) else options
    streams = tuple(x.requires_grad_() for x in as_tensors(INPUTS))
    with natively_seeded():
        # Captum stops at a stream that a head does not read; the bridge gives zeros.
        found = getattr(captum_attr, name)(lambda *x: network(*x)[head][:, unit] + 0 * x[3].sum(dim=1)).attribute(
            streams, **given
        )
    return [x.detach().numpy() for x in found]


def explained(method, model):
    selectors = select(TARGETS, model.heads, model.predict(INPUTS))
    return method(model, INPUTS, selectors, Context(np.random.default_rng(0), BACKGROUND))


@pytest.mark.parametrize("name", GRADIENT)
def test_gradient_methods(model, native, name):
    method, options = GRADIENT[name]
    if not isinstance(model, Differentiable):
        with pytest.raises(NotSupported, match=rf"^captum\.{name} needs gradients, and .* has none\. Use 'shapley'"):
            explained(method, model)
        return
    found = explained(method, model)
    for t, theirs in enumerate(native(name, options)):
        for stream, value in zip(INPUTS, theirs, strict=True):
            np.testing.assert_allclose(found.values[stream][t], value, atol=1e-5)
    assert not found.values["spare"].any()


@pytest.mark.parametrize("name", PERTURBATION)
def test_perturbation_methods(model, native, name):
    method, options = PERTURBATION[name]
    found = explained(method, model)
    for t, theirs in enumerate(native(name, options)):
        values = whole_streams(theirs) if "Shapley" in name else theirs
        for stream, value in zip(INPUTS, values, strict=True):
            np.testing.assert_allclose(found.values[stream][t], value, atol=1e-5)
    # A model may round a row otherwise in another batch.
    np.testing.assert_allclose(found.values["spare"], 0, atol=1e-6)


@pytest.mark.parametrize(
    "method",
    [
        CaptumNoiseTunnel("captum.InputXGradient", samples=3),
        CaptumFeaturePermutation(players="variables", samples=2),
        CaptumKernelShap(samples=30, players="streams"),
        CaptumLime(samples=30, players="streams", alpha=1e-4),
    ],
    ids=lambda method: method.name,
)
def test_methods_that_draw_meet_the_same_draws_in_every_framework(model, method):
    """Each is held against Captum itself in the file of its family."""
    if "Noise" in method.name and not isinstance(model, Differentiable):
        with pytest.raises(NotSupported, match=r"^captum\.NoiseTunnel needs gradients"):
            explained(method, model)
        return
    found, expected = explained(method, model), explained(method, xm.adapt(torch_network(), like=INPUTS))
    for stream, values in expected.values.items():
        np.testing.assert_allclose(found.values[stream], values, atol=1e-5)


@pytest.mark.all_frameworks
@needs("sklearn")
def test_a_forest_with_a_table_of_numbers_is_explained_by_every_perturbation_method(rng):
    from sklearn.ensemble import RandomForestRegressor

    x = rng.normal(size=(60, 4)).astype("float32")
    y = np.stack([x[:, 0] * 3, x[:, 1] - x[:, 2]], axis=1)
    forest = RandomForestRegressor(5, max_depth=4, random_state=0).fit(x, y)
    exact = xm.explain(forest, x[:3], "shapley", background=np.zeros((1, 4), "float32"), progress=False)
    stream = xm.adapt(forest, like=x[:3]).streams[0].name
    for method in (CaptumShapleyValues(), CaptumShapleyValueSampling(samples=400), CaptumKernelShap(samples=400)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedStreamWarning)
            found = xm.explain(forest, x[:3], method, progress=False)
        limit = 1e-5 if isinstance(method, CaptumShapleyValues) else 0.15
        np.testing.assert_allclose(found[stream].values, exact[stream].values, atol=limit)
    for method in (CaptumFeatureAblation(), CaptumOcclusion(), CaptumFeaturePermutation(), CaptumLime()):
        found = xm.explain(forest, x[:3], method, background=x, progress=False)
        assert np.abs(found[stream].values).max() > 0.5
