"""The same network in every framework: the same answers, gradients, Integrated Gradients and Shapley values."""

import warnings

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.one_network import (
    HEADS,
    NETWORKS,
    SHAPES,
    TARGETS,
    integrated,
    jacobian,
    keras_network,
    reference,
    rows,
)
from xai_mimo.core.errors import NotSupported, UnusedStreamWarning
from xai_mimo.core.model import Differentiable
from xai_mimo.core.targets import select
from xai_mimo.explainers import IntegratedGradients, Shapley

INPUTS = rows(8)


def versions():
    yield pytest.param("keras", id="keras")
    for name, (package, _, _) in NETWORKS.items():
        yield pytest.param(name, id=name, marks=[pytest.mark.all_frameworks, needs(package)])


@pytest.fixture(params=versions(), scope="module")
def network(request):
    """Its framework's name, the network as users have it, and whether it has gradients."""
    if request.param == "keras":
        return "keras", keras_network(), True
    _, build, is_differentiable = NETWORKS[request.param]
    return request.param, build(), is_differentiable


@pytest.fixture(scope="module")
def adapted(network):
    return xm.adapt(network[1], like=INPUTS)


def explained(model, method, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedStreamWarning)
        return xm.explain(model, INPUTS, method, targets=TARGETS, progress=False, **settings)


def relative(values, expected):
    return np.abs(values - expected).max() / np.abs(expected).max()


def test_streams_and_heads_are_read_without_a_declaration(adapted):
    assert {s.name: s.shape for s in adapted.streams} == SHAPES
    assert {h.name: h.shape for h in adapted.heads} == {head: (units,) for head, (_, units) in HEADS.items()}


def test_kinds_are_seen_where_there_is_a_graph(network, adapted):
    kinds = {h.name: (h.kind, h.kind_from) for h in adapted.heads}
    if network[0] == "numpy":  # nothing can be seen, and so nothing is guessed
        assert kinds == dict.fromkeys(HEADS, ("regression", ""))
        return
    assert kinds == {
        "hours": ("regression", ""),
        "risk": ("binary", "final sigmoid"),
        "mode": ("multiclass", "final softmax"),
        "tags": ("multilabel", "final sigmoid"),
    }


def test_predictions(adapted):
    outputs, expected = adapted.predict(INPUTS), reference(**INPUTS)
    for head in HEADS:
        np.testing.assert_allclose(outputs[head], expected[head], atol=1e-5)


def test_gradients(network, adapted):
    if not network[2]:
        assert not isinstance(adapted, Differentiable)
        with pytest.raises(NotSupported, match="needs gradients"):
            explained(network[1], "gradient")
        return
    _, found = adapted.gradients(INPUTS, select(TARGETS, adapted.heads, adapted.predict(INPUTS), {}))
    expected = jacobian(INPUTS)
    for stream in ("table", "series", "image"):
        for target in range(len(TARGETS)):
            assert relative(found[stream][target], expected[stream][target]) < 1e-4, (stream, TARGETS[target])
    assert not found["spare"].any()


def test_integrated_gradients(network):
    if not network[2]:
        with pytest.raises(NotSupported, match="needs gradients"):
            explained(network[1], IntegratedGradients())
        return
    result, expected = explained(network[1], IntegratedGradients(steps=32)), integrated(INPUTS)
    for stream in ("table", "series", "image"):
        assert relative(result[stream].values, expected[stream]) < 1e-4, stream
    assert not result["spare"].values.any()


def test_shapley_values_of_one_seed(network):
    method = Shapley(budget=64, players="variables")
    result, expected = explained(network[1], method, seed=3), explained(reference, method, seed=3)
    for stream in SHAPES:
        np.testing.assert_allclose(result[stream].values, expected[stream].values, atol=1e-6)
