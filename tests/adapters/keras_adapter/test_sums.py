"""Regions of images out, summed inside Keras: the same numbers as unit by unit, from one pass backwards."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.keras_weights import with_weights
from xai_mimo.core.reread import reread
from xai_mimo.core.sums import Summing, Sums, split_sums, with_sums
from xai_mimo.core.targets import Selector, Target
from xai_mimo.testing import check_adapter

REGION = np.zeros((4, 4), bool)
REGION[1:3, 2:] = True

long_where_compiled = (lambda test: test) if keras.config.backend() == "torch" else pytest.mark.slow
"""What takes longer to compile than it teaches."""


@pytest.fixture(scope="module")
def adapted():
    x = keras.Input((4, 4, 1), name="image")
    code = keras.layers.Conv2D(2, 3, padding="same", activation="tanh", name="code")(x)
    mask = keras.layers.Conv2D(2, 1, activation="softmax", name="mask")(code)
    return xm.adapt(with_weights(keras.Model(x, {"mask": mask})))


@pytest.fixture(scope="module")
def sums(adapted):
    return split_sums([Target("mask", 1, region=REGION)], adapted.heads)[1]


@pytest.fixture(scope="module")
def rows():
    return {"image": np.random.default_rng(6).normal(size=(3, 4, 4, 1)).astype(np.float32)}


def test_values_and_gradients_are_those_of_unit_by_unit(adapted, sums, rows):
    assert isinstance(adapted, Summing)
    ours, slow = with_sums(adapted, sums), reread(adapted, Sums(sums))
    assert [head.name for head in ours.heads] == ["mask", "mask:region"]
    selectors = [Selector("r", "mask:region", np.zeros(3, np.int64)), Selector("u", "mask", np.full(3, 5))]
    (y, g), (expected_y, expected_g) = ours.gradients(rows, selectors), slow.gradients(rows, selectors)
    mean = adapted.predict(rows)["mask"][:, REGION, 1].mean(axis=1)
    np.testing.assert_allclose(y["mask:region"][:, 0], mean, rtol=1e-5)
    np.testing.assert_allclose(expected_y["mask:region"], y["mask:region"], rtol=1e-5)
    np.testing.assert_allclose(g["image"], expected_g["image"], rtol=1e-4, atol=1e-7)


def test_on_the_logit_it_is_the_mean_of_logits_and_behind_a_layer_too(adapted, rows):
    target = Target("mask", 1, region=REGION, name="spot")
    explanation = xm.explain(adapted, rows, targets=[target], on="logit", at="mask")
    logits = adapted.before_link(["mask"])[0].predict(rows)["mask"]
    np.testing.assert_allclose(
        explanation["prediction"].values[0], logits[:, REGION, 1].mean(axis=1), rtol=1e-5, atol=1e-6
    )
    assert np.abs(explanation["completeness_gap"]).max() < 1e-3


@long_where_compiled
def test_copies_have_the_sums_and_fingerprints_tell_them(adapted, sums, rng):
    ours = with_sums(adapted, sums)
    assert [head.name for head in ours.randomised(rng).heads] == ["mask", "mask:region"]
    assert ours.fingerprint() != adapted.fingerprint()


@long_where_compiled
def test_it_keeps_the_contract(adapted, sums, rows):
    check_adapter(with_sums(adapted, sums), rows, layers=["mask"])
