"""Occlusion: closed forms, the slow definition, streams, Captum."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import needs
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.explainers import Occlusion

pytestmark = pytest.mark.all_frameworks


def slow_occlusion(model, x, background, head, unit):
    """The definition, one value at a time."""
    found = {name: np.zeros(v.shape) for name, v in x.items()}
    rows = count_rows(x)
    for name, v in x.items():
        for n in range(rows):
            row = {s: w[n : n + 1] for s, w in x.items()}
            for i in range(v.shape[1]):
                without = []
                for b in background[name][:, i]:
                    changed = {s: w.copy() for s, w in row.items()}
                    changed[name][0, i] = b
                    without.append(model.predict(changed)[head][0, unit])
                found[name][n, i] = model.predict(row)[head][0, unit] - np.mean(without)
    return found


def test_a_linear_model_gives_weight_times_input():
    model = toys.linear()
    x = toys.rows(model)
    found = xm.explain(model, x, "occlusion", targets=["y"])
    np.testing.assert_allclose(found["u"][0], x["u"] * [1, -2, 3], atol=1e-12)
    assert "completeness_gap" not in found


def test_each_factor_of_a_product_is_worth_all_of_it():
    model = toys.product()
    x = toys.rows(model)
    found = xm.explain(model, x, Occlusion())
    for stream in ("u", "v"):
        np.testing.assert_allclose(found[stream][0], x["u"] * x["v"], atol=1e-12)


@pytest.mark.parametrize("max_memory", [2**29, 40])
def test_it_equals_the_definition_written_slowly(max_memory):
    model = toys.mlp()
    x, background = toys.rows(model, 3), toys.rows(model, 4, seed=7)
    found = xm.explain(model, x, Occlusion(baseline="background"), background=background, max_memory=max_memory)
    for head, unit, name in (("y", 0, "y"), ("z", 2, "z:2")):
        slow = slow_occlusion(model, x, background, head, unit)
        for stream in ("u", "v"):
            np.testing.assert_allclose(found[stream].sel(head=name), slow[stream], atol=1e-12)


def test_a_stream_is_taken_away_as_a_whole():
    model = toys.product()
    x = toys.rows(model)
    found = xm.explain(model, x, Occlusion(players="streams"))
    assert found["u"].dims == ("head", "sample")
    np.testing.assert_allclose(found["u"][0], (x["u"] * x["v"]).sum(axis=1), atol=1e-12)


def test_all_heads_share_the_evaluations():
    model = toys.mlp()
    x = toys.rows(model, 5)
    model.rows_seen.clear()
    one = xm.explain(model, x, Occlusion(), targets=["y"])
    alone = sum(model.rows_seen)
    model.rows_seen.clear()
    xm.explain(model, x, Occlusion())
    assert sum(model.rows_seen) == alone
    np.testing.assert_array_equal(one["evaluations"], 5)


@needs("captum", "torch")
def test_it_equals_captum_feature_ablation():
    import torch
    from captum.attr import FeatureAblation

    model = toys.mlp("tanh", scale=2.0)
    x = toys.rows(model, 6)
    found = xm.explain(model, x, Occlusion(), targets=[("z", 1)])
    theirs = FeatureAblation(lambda v: torch.as_tensor(model.forward(v.numpy())["z"])).attribute(
        torch.as_tensor(np.concatenate([x["u"], x["v"]], axis=1)), target=1
    )
    np.testing.assert_allclose(np.concatenate([found["u"][0], found["v"][0]], axis=1), theirs.numpy(), atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_an_additive_model_is_complete(seed):
    model = toys.additive()
    x = toys.rows(model, 3, seed)
    found = xm.explain(model, x, Occlusion(), targets=["z"])
    total = sum(found[s].sum(f"{s}_feature") for s in ("u", "v"))
    np.testing.assert_allclose(total[0], found["prediction"][0], atol=1e-12)


def test_bad_settings_are_refused():
    with pytest.raises(
        BadSetting, match="players 'pixels' is not one of features, levels, variables, patches, words, streams"
    ):
        Occlusion(players="pixels")
    model = toys.linear()
    with pytest.raises(BadSetting, match="baseline 'black' is not one of"):
        xm.explain(model, toys.rows(model), Occlusion(baseline="black"))
