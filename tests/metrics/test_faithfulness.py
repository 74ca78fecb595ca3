"""Faithfulness on models solvable by hand, a slow re-implementation, and the control."""

import numpy as np
import pytest

from tests.helpers import toys
from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.faithfulness import (
    comprehensiveness,
    deletion_area,
    insertion_area,
    sufficiency,
    violation,
)
from xai_mimo.metrics.removal import removal_curves

pytestmark = pytest.mark.all_frameworks

ROWS = 6
WEIGHTS = {"a": np.array([[4.0, 0.5], [-3.0, 0.0], [2.0, 1.0]]), "b": np.array([[1.0, -2.0], [0.5, 3.0]])}
"""Weights of two linear heads on streams of 3 and 2 features."""


linear = toys.linear(
    {head: [np.concatenate([w[:, unit] for w in WEIGHTS.values()])] for unit, head in enumerate(("one", "two"))},
    {stream: len(w) for stream, w in WEIGHTS.items()},
).predict


def selectors(rows=ROWS):
    return [Selector(name, name, np.zeros(rows, dtype=np.int64)) for name in ("one", "two")]


@pytest.fixture
def inputs(rng):
    return {"a": rng.standard_normal((ROWS, 3)), "b": rng.standard_normal((ROWS, 2))}


@pytest.fixture
def zeros():
    return {"a": np.zeros((1, 3)), "b": np.zeros((1, 2))}


def contributions(inputs):
    x = np.concatenate([inputs["a"], inputs["b"]], axis=1)
    w = np.concatenate([WEIGHTS["a"], WEIGHTS["b"]])
    return np.stack([x * w[:, 0], x * w[:, 1]])


def test_curves_of_a_linear_model_are_sums_of_contributions(inputs, zeros, rng):
    maps = contributions(inputs)
    curves, _ = removal_curves(linear, inputs, {"exact": maps}, selectors(), zeros, rng=rng)
    c = curves["exact"]
    np.testing.assert_array_equal(c.counts, [0, 1, 2, 3, 4, 5])
    order = np.argsort(-np.abs(maps), axis=-1)
    ordered = np.take_along_axis(maps, order, axis=-1)
    removed = np.concatenate([np.zeros((2, ROWS, 1)), ordered.cumsum(axis=-1)], axis=-1)
    np.testing.assert_allclose(c.deletion, removed, atol=1e-12)
    np.testing.assert_allclose(c.insertion, maps.sum(axis=-1)[..., None] - removed, atol=1e-12)
    np.testing.assert_allclose(deletion_area(c), np.trapezoid(abs(removed), c.fractions, axis=-1))
    assert np.nansum(violation(c)) == 0


def test_a_map_with_equal_steps_gives_a_straight_deletion_line(zeros, rng):
    def count(inputs):
        return {"one": inputs["a"].sum(axis=1, keepdims=True) + inputs["b"].sum(axis=1, keepdims=True)}

    ones = {"a": np.ones((2, 3)), "b": np.ones((2, 2))}
    curves, random = removal_curves(count, ones, {"m": np.ones((1, 2, 5))}, selectors(2)[:1], zeros, rng=rng)
    for c in (curves["m"], *random):
        np.testing.assert_allclose(c.deletion[0], [[0, 1, 2, 3, 4, 5]] * 2)
        np.testing.assert_allclose(deletion_area(c), 2.5)
        np.testing.assert_allclose(insertion_area(c), 2.5)
        # 1, 5, 10, 20 % of 5 features are one feature, 50 % are three
        np.testing.assert_allclose(comprehensiveness(c), (4 * 1 + 3) / 5)
        np.testing.assert_allclose(sufficiency(c), (4 * 4 + 2) / 5)


def test_everything_is_zero_for_a_constant_model(inputs, zeros, rng):
    def constant(arrays):
        n = len(arrays["a"])
        return {"one": np.full((n, 1), 3.0), "two": np.full((n, 1), -1.0)}

    curves, random = removal_curves(constant, inputs, {"m": contributions(inputs)}, selectors(), zeros, rng=rng)
    for c in (curves["m"], *random):
        for metric in (deletion_area, insertion_area, comprehensiveness, sufficiency):
            np.testing.assert_array_equal(metric(c), 0.0)
        assert np.isnan(violation(c)).all()


def slow_value(predict, inputs, replacement, head, row, keep):
    """v(S): the mean over replacement rows, one prediction at a time."""
    values = []
    for r in range(len(replacement["a"])):
        mixed, i = {}, 0
        for s, x in inputs.items():
            mixed[s] = x[row : row + 1].copy()
            for j in np.ndindex(x.shape[1:]):
                if i not in keep:
                    mixed[s][(0, *j)] = replacement[s][(r, *j)]
                i += 1
        values.append(predict(mixed)[head][0, 0])
    return np.mean(values)


def bent(inputs):
    y = linear(inputs)
    return {"one": np.tanh(y["one"]), "two": y["two"] ** 2}


def test_curves_equal_the_slow_formula_whatever_the_batch(inputs, rng):
    replacement = {"a": rng.standard_normal((3, 3)), "b": rng.standard_normal((3, 2))}
    maps = rng.standard_normal((2, ROWS, 5))
    found = [
        removal_curves(
            bent, inputs, {"m": maps}, selectors(), replacement, rng=np.random.default_rng(0), max_memory=memory
        )
        for memory in (1, 200, 2**26)
    ]
    full = bent(inputs)
    for curves, _ in found:
        for t, head in enumerate(("one", "two")):
            for row in range(ROWS):
                order = list(np.argsort(-abs(maps[t, row])))
                for p, q in enumerate(curves["m"].counts):
                    without = slow_value(bent, inputs, replacement, head, row, set(order[q:]))
                    only = slow_value(bent, inputs, replacement, head, row, set(order[:q]))
                    y = full[head][row, 0]
                    np.testing.assert_allclose(curves["m"].deletion[t, row, p], y - without, atol=1e-12)
                    np.testing.assert_allclose(curves["m"].insertion[t, row, p], y - only, atol=1e-12)


def test_whole_streams_can_be_the_players(inputs, zeros, rng):
    shares = np.array([[[0.9, 0.1]] * ROWS, [[0.2, 0.8]] * ROWS])
    curves, _ = removal_curves(linear, inputs, {"m": shares}, selectors(), zeros, players="streams", rng=rng)
    c = curves["m"]
    np.testing.assert_array_equal(c.counts, [0, 1, 2])
    np.testing.assert_allclose(c.deletion[0, :, 1], inputs["a"] @ WEIGHTS["a"][:, 0])
    np.testing.assert_allclose(c.deletion[1, :, 1], inputs["b"] @ WEIGHTS["b"][:, 1])


def test_time_axes_are_replaced_value_by_value(rng):
    x = {"s": rng.standard_normal((2, 3, 2))}
    maps = x["s"].reshape(1, 2, 6)
    curves, _ = removal_curves(
        lambda i: {"one": i["s"].sum(axis=(1, 2))[:, None]},
        x,
        {"m": maps},
        selectors(2)[:1],
        {"s": np.zeros((1, 3, 2))},
        rng=rng,
    )
    largest = np.take_along_axis(maps, abs(maps).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    np.testing.assert_allclose(curves["m"].deletion[..., 1], largest)


def test_the_exact_map_beats_the_random_order_and_its_reverse_loses(inputs, zeros, rng):
    exact = np.abs(contributions({k: np.abs(v) for k, v in inputs.items()}))

    def positive(arrays):
        y = sum(np.abs(arrays[s]) @ np.abs(WEIGHTS[s]) for s in WEIGHTS)
        return {"one": y[:, :1], "two": y[:, 1:]}

    curves, random = removal_curves(
        positive, inputs, {"exact": exact, "reverse": 1 / (1e-9 + exact)}, selectors(), zeros, controls=20, rng=rng
    )
    control = np.mean([deletion_area(c) for c in random], axis=0)
    assert (deletion_area(curves["exact"]) >= control).all()
    assert (deletion_area(curves["reverse"]) <= control).all()
    assert (insertion_area(curves["exact"]) <= np.mean([insertion_area(c) for c in random], axis=0)).all()


def test_a_wrong_sign_is_a_violation_and_attention_is_read_as_positive(inputs, zeros, rng):
    maps = contributions(inputs)
    curves, _ = removal_curves(linear, inputs, {"wrong": -maps, "unsigned": abs(maps)}, selectors(), zeros, rng=rng)
    np.testing.assert_array_equal(violation(curves["wrong"]), 1.0)
    top = np.take_along_axis(maps, abs(maps).argmax(axis=-1)[..., None], axis=-1)[..., 0]
    np.testing.assert_array_equal(violation(curves["unsigned"]), top < 0)


def test_ties_are_ordered_at_random_by_the_seed(inputs, zeros):
    flat = {"m": np.ones((2, ROWS, 5))}
    one, again, other = (
        removal_curves(linear, inputs, flat, selectors(), zeros, rng=np.random.default_rng(s))[0]["m"].deletion
        for s in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_bad_maps_and_settings_are_refused(inputs, zeros, rng):
    with pytest.raises(ShapeMismatch, match=r"map of 'm' has shape \(2, 6, 4\); expected \(2, 6, 5\)"):
        removal_curves(linear, inputs, {"m": np.ones((2, ROWS, 4))}, selectors(), zeros, rng=rng)
    with pytest.raises(BadSetting, match="at least 1; got 0 and 3"):
        removal_curves(linear, inputs, {"m": contributions(inputs)}, selectors(), zeros, steps=0, rng=rng)


def test_whole_variables_are_replaced_at_all_steps_together(rng):
    """f = sum over steps of a series' weighted products of steps, so that a half-replaced series would show."""
    inputs = {"s": rng.standard_normal((ROWS, 2, 3)), "b": rng.standard_normal((ROWS, 1))}
    zeros = {"s": np.zeros((1, 2, 3)), "b": np.zeros((1, 1))}
    weights = np.array([5.0, -3.0, 1.0])

    def products(given):
        return {"one": (given["s"].prod(axis=1) * weights).sum(axis=1, keepdims=True) + given["b"]}

    exact = np.concatenate([inputs["s"].prod(axis=1) * weights, inputs["b"]], axis=1)
    curves, random = removal_curves(
        products, inputs, {"exact": exact[None]}, selectors()[:1], zeros, players="variables", rng=rng
    )
    ordered = np.take_along_axis(exact, np.argsort(-np.abs(exact), axis=1), axis=1).cumsum(axis=1)
    np.testing.assert_allclose(curves["exact"].deletion[0, :, 1:], ordered, atol=1e-12)
    assert random[0].players == 4
    with pytest.raises(ShapeMismatch, match=r"expected \(1, 6, 4\): one value per target, row and variable"):
        removal_curves(
            products, inputs, {"m": exact[None, :, :3]}, selectors()[:1], zeros, players="variables", rng=rng
        )


def test_the_ends_of_the_curves_are_asked_once_for_all_orders(inputs, rng):
    asked = []

    def counted(given):
        asked.append(len(given["a"]))
        return linear(given)

    replacement = {"a": rng.standard_normal((3, 3)), "b": rng.standard_normal((3, 2))}
    curves, random = removal_curves(
        counted, inputs, {"m": contributions(inputs)}, selectors(), replacement, controls=2, rng=rng
    )
    orders, points = 2 + 2, 6 - 2
    assert sum(asked) == 2 * orders * ROWS * points * 3 + ROWS + 3
    nothing_known = linear(replacement)
    for t, head in enumerate(("one", "two")):
        gone = linear(inputs)[head][:, 0] - nothing_known[head].mean()
        for c in (curves["m"], *random):
            np.testing.assert_array_equal(c.deletion[t, :, 0], 0.0)
            np.testing.assert_array_equal(c.insertion[t, :, -1], 0.0)
            np.testing.assert_allclose(c.deletion[t, :, -1], gone)
            np.testing.assert_allclose(c.insertion[t, :, 0], gone)
