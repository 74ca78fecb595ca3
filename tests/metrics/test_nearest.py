"""Rows nearest in what is known: by hand, by a slow re-implementation, and in the curves."""

import numpy as np
import pytest
from scipy import stats

from xai_mimo.core.players import Masker
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.dependence import dependences
from xai_mimo.metrics.faithfulness import deletion_area, insertion_area
from xai_mimo.metrics.nearest import nearest_rows
from xai_mimo.metrics.removal import removal_curves

pytestmark = pytest.mark.all_frameworks


def selectors(rows, heads=("y",)):
    return [Selector(head, head, np.zeros(rows, dtype=np.int64)) for head in heads]


def slow_distance(x, b, known, spreads, players, dependences):
    """Of one row to one background row: the weighted mean over known players of the mean over their values."""
    of_players, weights = [], []
    for player in known:
        squares = []
        for stream, place in players[player]:
            if x[stream].dtype.kind == "f":
                s = spreads[stream][place]
                squares.append(((x[stream][place] - b[stream][place]) / s) ** 2 if s > 0 else 0.0)
            else:
                squares.append(2.0 * (x[stream][place] != b[stream][place]))
        of_players.append(np.mean(squares))
        weights.append(0.02 + sum(dependences[player, j] ** 2 for j in range(len(players)) if j not in known))
    return np.average(of_players, weights=weights)


@pytest.mark.parametrize("players", ["features", "variables", "streams"])
def test_they_are_those_of_the_slow_formula(players, rng):
    def rows(count):
        series = rng.standard_normal((count, 3, 2)) * [1, 100] + [0, 7]
        table = np.stack([series[:, 2, 0] + 0.1 * rng.standard_normal(count), np.full(count, 5.0)], axis=1)
        return {"series": series, "ids": rng.integers(0, 3, (count, 2)), "table": table}

    inputs, background = rows(4), rows(20)
    spreads = {name: x.std(axis=0) for name, x in background.items()}
    masker = Masker.of(inputs, players)
    owners, start = {}, 0
    for name, division in masker.divisions.items():
        each = np.broadcast_to(division.player_of, division.shape)
        for place in np.ndindex(*division.shape):
            owners.setdefault(start + each[place], []).append((name, place))
        start += division.size
    depend = dependences(background, masker)
    assert depend.any()
    known = rng.random((30, masker.count)) < 0.5
    known[~known.any(axis=1), 0] = True
    of_row = nearest_rows(inputs, background, masker, 3, rng)
    for row in range(4):
        chosen = of_row(row)(known)
        for i, of_coalition in enumerate(known):
            x = {name: v[row] for name, v in inputs.items()}
            together = list(np.flatnonzero(of_coalition))
            far = [
                slow_distance(x, {s: v[b] for s, v in background.items()}, together, spreads, owners, depend)
                for b in range(20)
            ]
            np.testing.assert_allclose(np.sort([far[b] for b in chosen[i]]), np.sort(far)[:3], atol=1e-9)


def without_the_first_of(count, others, rng):
    """Rows of a, a copy of it and others, and of each row the nearest where a is unknown: ours, and over all alike."""
    a, rest = rng.standard_normal((count, 1)), rng.standard_normal((count, others))
    rows = {"s": np.concatenate([a, a, rest], axis=1)}
    known = np.ones((1, others + 2), dtype=bool)
    known[0, 0] = False
    of_row = nearest_rows(rows, rows, Masker.of(rows, "features"), 1, rng)
    far = (((rows["s"][:, None, 1:] - rows["s"][None, :, 1:]) / rows["s"][:, 1:].std(axis=0)) ** 2).mean(axis=2)
    np.fill_diagonal(far, np.inf)
    return a[:, 0], np.array([of_row(row)(known)[0, 0] for row in range(count)]), far.argmin(axis=1)


def test_a_feature_that_tells_what_is_unknown_weighs_most(rng):
    """a is unknown and b its copy: the row that is nearest in b is taken, whatever the other ten say."""
    a, nearest, of_all_alike = without_the_first_of(50, 10, rng)
    assert np.abs(a - a[nearest]).mean() < 0.4 * np.abs(a - a[of_all_alike]).mean()


def test_the_row_itself_is_left_out_once(rng):
    background = {"a": np.array([[0.0], [1.0], [1.0], [5.0]])}
    of_row = nearest_rows({"a": np.array([[1.0], [0.4]])}, background, Masker.of(background, "features"), 2, rng)
    known = np.ones((1, 1), dtype=bool)
    assert set(of_row(0)(known)[0]) == {2, 0}  # of two rows like it, one stays
    assert set(of_row(1)(known)[0]) & {0} == {0}


def test_one_row_is_taken_although_it_is_the_explained_one(rng):
    rows = {"a": np.ones((1, 2))}
    choose = nearest_rows(rows, rows, Masker.of(rows, "features"), 5, rng)(0)
    np.testing.assert_array_equal(choose(np.array([[True, False], [False, True]])), [[0], [0]])


def test_rows_that_are_equally_near_are_taken_at_random():
    background = {"a": np.repeat([[0.0], [1.0]], 50, axis=0)}
    inputs = {"a": np.zeros((200, 1))}
    of_row = nearest_rows(inputs, background, Masker.of(inputs, "features"), 5, np.random.default_rng(0))
    chosen = np.concatenate([of_row(row)(np.ones((1, 1), dtype=bool))[0] for row in range(200)])
    taken = np.bincount(chosen, minlength=100)
    assert (taken[50:] == 0).all()
    assert (taken[1:50] > 5).all()  # the first is taken for the row itself


def copies(count, rng):
    """Two features, the second a copy of the first, of four values each."""
    a = rng.integers(0, 4, count).astype(np.float64)
    return {"s": np.stack([a, a], axis=1)}


def first(rows):
    return {"y": rows["s"][:, :1]}


def test_a_copy_tells_what_was_removed(rng):
    """y = a, b a copy of a: b says what a was, so a alone can go, and b can go alone anyway."""
    background = copies(100, rng)
    inputs = {"s": np.repeat([[0.0], [1.0], [3.0]], 2, axis=1)}
    maps = {"on a": np.tile([1.0, 0.0], (1, 3, 1)), "on b": np.tile([0.0, 1.0], (1, 3, 1))}
    mean = {"s": background["s"].mean(axis=0, keepdims=True)}
    moved = (inputs["s"][:, 0] - mean["s"][0, 0])[None]
    marginal, _ = removal_curves(first, inputs, maps, selectors(3), mean, rng=rng)
    np.testing.assert_allclose(marginal["on b"].deletion[..., 1], 0)
    np.testing.assert_allclose(marginal["on a"].deletion[..., 1], moved)
    conditional, _ = removal_curves(first, inputs, maps, selectors(3), background, nearest=5, rng=rng)
    for curves in conditional.values():
        np.testing.assert_allclose(curves.deletion[..., 1], 0)  # one of two is gone: the other tells it
        np.testing.assert_allclose(curves.insertion[..., 1], 0)  # one of two is known: it tells the other
        np.testing.assert_allclose(curves.deletion[..., 2], moved)  # nothing is known: the mean of the background
        np.testing.assert_allclose(curves.insertion[..., 0], moved)
    np.testing.assert_allclose(deletion_area(conditional["on a"]), deletion_area(conditional["on b"]))
    assert (deletion_area(marginal["on a"]) > deletion_area(marginal["on b"])).all()


def test_curves_over_nearest_rows_equal_the_slow_formula_whatever_the_memory(rng):
    inputs, background = ({"a": rng.standard_normal((n, 3)), "b": rng.standard_normal((n, 2))} for n in (4, 9))

    def bent(rows):
        x = np.concatenate([rows["a"], rows["b"]], axis=1)
        return {"y": np.tanh(x @ [1.0, -2.0, 0.5, 1.5, 1.0])[:, None] + x[:, :1] * x[:, 4:]}

    maps = rng.standard_normal((1, 4, 5))
    depend = dependences(background, Masker.of(background, "features"))
    spread = np.concatenate([background["a"], background["b"]], axis=1).std(axis=0)
    full, of_background = (np.concatenate([r["a"], r["b"]], axis=1) for r in (inputs, background))

    def value(row, known):
        """v(S): the mean prediction with S of the row, and the rest of each of the 3 rows nearest in S."""
        if not known:
            return bent(background)["y"].mean()
        known = sorted(known)
        unknown = [i for i in range(5) if i not in known]
        weights = 0.02 + (depend[np.ix_(known, unknown)] ** 2).sum(axis=1)
        far = (((of_background - full[row]) / spread) ** 2)[:, known] @ weights
        mixed = of_background[np.argsort(far)[:3]].copy()
        mixed[:, known] = full[row, known]
        return bent({"a": mixed[:, :3], "b": mixed[:, 3:]})["y"].mean()

    for memory in (1, 500, 2**26):
        curves, _ = removal_curves(
            bent, inputs, {"m": maps}, selectors(4), background, nearest=3, rng=rng, max_memory=memory
        )
        for row in range(4):
            order = list(np.argsort(-abs(maps[0, row])))
            y = bent(inputs)["y"][row, 0]
            without = [y - value(row, order[q:]) for q in range(6)]
            only = [0.0 if q == 5 else y - value(row, order[:q]) for q in range(6)]
            np.testing.assert_allclose(curves["m"].deletion[0, row], [0.0, *without[1:]], atol=1e-12)
            np.testing.assert_allclose(curves["m"].insertion[0, row], only, atol=1e-12)


def test_one_feature_has_curves_too(rng):
    inputs, background = {"a": np.ones((2, 1))}, {"a": rng.standard_normal((5, 1))}
    curves, _ = removal_curves(
        lambda rows: {"y": rows["a"]}, inputs, {"m": np.ones((1, 2, 1))}, selectors(2), background, nearest=3, rng=rng
    )
    np.testing.assert_allclose(insertion_area(curves["m"]), abs(1 - background["a"].mean()) / 2)


def test_of_more_than_200_players_all_weigh_alike(rng):
    """As many players that depend on each other cost too much to weigh: the nearest in all of them is taken."""
    _, nearest, of_all_alike = without_the_first_of(20, 200, rng)
    np.testing.assert_array_equal(nearest, of_all_alike)


def test_players_weigh_by_the_square_of_what_they_tell(rng):
    """u is unknown, a tells much of it and b some: among rows that a and b call near, squares decide which are taken."""
    u = rng.standard_normal(80)
    rows = np.stack([u, u + 0.4 * rng.standard_normal(80), u + 1.5 * rng.standard_normal(80)], axis=1)
    background, inputs = {"s": rows[:60]}, {"s": rows[60:]}
    r = np.array([abs(stats.spearmanr(rows[:60, 0], rows[:60, j]).statistic) for j in (1, 2)])
    assert r[0] > 0.8 > 0.6 > r[1] > 0.3
    far = ((rows[60:, None, 1:] - rows[None, :60, 1:]) / rows[:60, 1:].std(axis=0)) ** 2
    expected, of_r = (np.sort(np.argsort(far @ (0.02 + w), axis=1)[:, :4], axis=1) for w in (r**2, r))
    assert (expected != of_r).any(axis=1).sum() > 5
    of_row = nearest_rows(inputs, background, Masker.of(inputs, "features"), 4, rng)
    known = np.array([[False, True, True]])
    np.testing.assert_array_equal([np.sort(of_row(row)(known)[0]) for row in range(20)], expected)


def test_one_row_less_than_the_background_has_is_taken_and_never_the_row_itself(rng):
    background = {"a": np.array([[0.0], [1.0], [2.0], [9.0]])}
    inputs = {"a": np.array([[1.0], [1.5]])}
    for k in (3, 4, 50):
        of_row = nearest_rows(inputs, background, Masker.of(inputs, "features"), k, rng)
        known = np.array([[True], [False]])
        of_itself, of_another = of_row(0)(known), of_row(1)(known)
        np.testing.assert_array_equal(np.sort(of_itself), [[0, 2, 3]] * 2)
        assert of_another.shape == (2, 3)
        assert set(of_another[0]) == {0, 1, 2}
