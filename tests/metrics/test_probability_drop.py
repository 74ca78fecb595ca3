"""Drops of a class probability: by hand, the source's formula, a model solvable by hand, properties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xai_mimo.core.errors import BadSetting, BadValues, ShapeMismatch
from xai_mimo.core.streams import Head
from xai_mimo.metrics.probability_drop import (
    average_drop,
    classes_of,
    delete_top,
    deletion_accuracy,
    keep_marked,
    probabilities,
    scaled,
    signed_average_drop,
)

pytestmark = pytest.mark.all_frameworks


def test_drops_by_hand():
    before, after = np.array([0.8, 0.5, 0.0]), np.array([0.2, 0.75, 0.1])
    np.testing.assert_allclose(average_drop(before, after), [75, 0, np.nan])
    np.testing.assert_allclose(signed_average_drop(before, after), [75, -50, np.nan])


@settings(max_examples=50, deadline=None)
@given(
    before=st.lists(st.floats(0.01, 1), min_size=1, max_size=20),
    seed=st.integers(0, 1000),
)
def test_the_mean_is_the_sources_sum(before, seed):
    y = np.array(before)
    o = np.random.default_rng(seed).random(len(y))
    slow = sum(max(0, a - b) / a for a, b in zip(y, o, strict=True)) * 100 / len(y)
    np.testing.assert_allclose(average_drop(y, o).mean(), slow)
    assert (average_drop(y, o) >= signed_average_drop(y, o)).all()
    assert ((average_drop(y, o) >= 0) & (average_drop(y, o) <= 100)).all()
    np.testing.assert_array_equal(average_drop(y, y), 0)


def test_what_is_no_probability_is_refused():
    with pytest.raises(BadValues, match=r"must lie from 0 to 1. Apply softmax or sigmoid"):
        average_drop([1.5], [0.5])
    with pytest.raises(ShapeMismatch, match=r"got \(1,\), \(2,\)"):
        signed_average_drop([0.5], [0.5, 0.5])


def test_probabilities_are_read_off_the_head(rng):
    logits = rng.standard_normal((4, 3))
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    classes = Head("y", (3,), "multiclass")
    np.testing.assert_allclose(probabilities(logits, classes), shares)
    np.testing.assert_allclose(probabilities(shares, classes), shares)
    inside = np.full((2, 3), 0.9)  # from 0 to 1, but no shares: logits
    np.testing.assert_allclose(probabilities(inside, classes), 1 / 3)
    np.testing.assert_allclose(probabilities(shares, Head("y", (3,), "multiclass", unit="logit")).sum(axis=1), 1)
    one = Head("y", (1,), "binary")
    np.testing.assert_allclose(probabilities([[-2.0], [2.0]], one), 1 / (1 + np.exp([[2.0], [-2.0]])))
    np.testing.assert_allclose(probabilities([[0.2], [0.7]], one), [[0.2], [0.7]])
    np.testing.assert_allclose(
        probabilities([[0.2]], Head("y", (1,), "binary", unit="log-odds")), 1 / (1 + np.exp(-0.2))
    )
    with pytest.raises(BadSetting, match="head 'y' is of kind regression: it gives no probabilities that could drop"):
        probabilities([[0.2]], Head("y"))


def test_deletion_accuracy_by_hand():
    outputs = np.array([[0.2, 0.8], [0.9, 0.1], [0.3, 0.7]])
    np.testing.assert_array_equal(deletion_accuracy(outputs, [1, 1, 1]), [1, 0, 1])
    np.testing.assert_array_equal(classes_of(np.array([[0.2], [0.7]])), [0, 1])
    with pytest.raises(ShapeMismatch, match=r"got \(3, 2\), \(2,\)"):
        deletion_accuracy(outputs, [1, 1])


def test_maps_are_scaled_over_all_streams_of_a_row():
    found = scaled({"u": np.array([[0.0, 2.0], [1.0, 1.0]]), "v": np.array([[4.0], [3.0]])})
    np.testing.assert_allclose(found["u"], [[0, 0.5], [0, 0]], atol=1e-7)
    np.testing.assert_allclose(found["v"], [[1], [1]], atol=1e-7)
    np.testing.assert_array_equal(scaled({"u": np.zeros((1, 3))})["u"], 0)


def test_what_is_marked_is_kept():
    image, table = np.ones((1, 2, 2, 3), dtype=np.float32), np.ones((1, 2))
    weights = np.array([0.0, 0.5, 1.0, 0.0]).reshape(1, 2, 2, 1)
    kept = keep_marked({"image": image, "table": table}, {"image": weights})
    np.testing.assert_allclose(kept["image"], np.repeat(weights, 3, axis=3))
    assert kept["image"].dtype == np.float32
    assert kept["table"] is table


def test_the_top_positions_are_replaced(rng):
    series, tokens = np.arange(8.0).reshape(1, 4, 2), np.array([[7, 8, 9]])
    magnitudes = {"series": np.array([[[1.0], [5.0], [2.0], [0.0]]]), "tokens": np.array([[0.5, 4.0, 3.0]])}
    gone = delete_top(
        {"series": series, "tokens": tokens},
        magnitudes,
        {"series": np.full((1, 4, 2), -1.0), "tokens": np.zeros((1, 3), dtype=int)},
        3,
        rng,
    )
    np.testing.assert_array_equal(gone["series"][0], [[0, 1], [-1, -1], [4, 5], [6, 7]])
    np.testing.assert_array_equal(gone["tokens"][0], [7, 0, 0])
    assert gone["tokens"].dtype == tokens.dtype
    with pytest.raises(BadSetting, match="at least 1 position away; got k=0"):
        delete_top({}, magnitudes, {}, 0, rng)


def test_ties_go_at_random(rng):
    x = {"u": np.ones((2000, 4))}
    gone = delete_top(x, {"u": np.zeros((2000, 4))}, {"u": np.zeros((1, 4))}, 1, rng)["u"]
    np.testing.assert_array_equal(gone.sum(axis=1), 3)
    assert (abs(gone.mean(axis=0) - 0.75) < 0.05).all()


def test_a_model_solvable_by_hand(rng):
    """Class 1 if the sum of the first two positions is positive: keeping them keeps the class, deleting them loses it."""
    x = {"u": np.abs(rng.standard_normal((50, 6)))}

    def predict(inputs):
        return 1 / (1 + np.exp(-10 * inputs["u"][:, :2].sum(axis=1)))

    right, wrong = np.zeros((50, 6)), np.zeros((50, 6))
    right[:, :2], wrong[:, 2:] = 1, 1
    before = predict(x)
    np.testing.assert_allclose(average_drop(before, predict(keep_marked(x, scaled({"u": right})))), 0, atol=1e-4)
    lost = average_drop(before, predict(keep_marked(x, scaled({"u": wrong}))))
    np.testing.assert_allclose(lost, 100 * (before - 0.5) / before)
    for maps, accuracy in ((right, 0), (wrong, 1)):
        gone = delete_top(x, {"u": maps}, {"u": np.full((1, 6), -1.0)}, 2, rng)
        assert deletion_accuracy(predict(gone)[:, None], np.ones(50, dtype=int)).mean() == accuracy
