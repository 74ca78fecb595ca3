"""Interactions: by hand, by the definitions written slowly, by shapiq alone; sums, refusals, what the door does."""

import json
from itertools import combinations

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported, needs
from tests.helpers.one_network import NETWORKS, keras_network, reference, rows
from tests.helpers.slow_indices import SLOW
from tests.helpers.toys import mlp
from tests.helpers.toys import rows as toy_rows
from xai_mimo.core.errors import BadSetting, ShapeMismatch, UnknownName, UnusedStreamWarning
from xai_mimo.core.interactions import INDICES
from xai_mimo.core.streams import Stream

shapiq = imported("shapiq")
once = pytest.mark.all_frameworks
EFFICIENT = [name for name, index in INDICES.items() if index.is_efficient]
EVERY = pytest.mark.parametrize("index", INDICES)
ORDERS = pytest.mark.parametrize("order", [2, 3])


def three(a, b, c):
    """Heads with interactions that can be written down: of two, of none, of three."""
    a, b, c = (np.asarray(v, dtype=np.float64)[:, 0] for v in (a, b, c))
    return {"pair": a * b + c, "none": 2 * a - b + 3 * c + 1, "triple": a * b * c}


@pytest.fixture(scope="module")
def model():
    return xm.adapt(three, streams={"a": 1, "b": 1, "c": 1}, heads={"pair": 1, "none": 1, "triple": 1})


X = {"a": [[2.0]], "b": [[3.0]], "c": [[5.0]]}
NOTHING = {name: [[0.0]] for name in X}


def cell(found, head, *players):
    name = "interaction" if len(players) == 2 else "interaction_3"
    dims = dict(zip(("player", "other_player", "third_player"), players, strict=False))
    return float(found[name].sel(head=head, **dims)[0])


@once
@pytest.mark.parametrize("index", ["k-SII", "STII", "FSII"])
def test_a_product_of_two_streams_is_their_interaction_alone(model, index):
    found = xm.interactions(model, X, index=index, background=NOTHING)
    matrix = found["interaction"].sel(head="pair")[0].values
    np.testing.assert_allclose(matrix, [[0, 6, 0], [6, 0, 0], [0, 0, 5]], atol=1e-6)


@once
def test_shapley_values_and_their_interaction_share_a_product(model):
    """SII of ab: each is given a half of 6 by itself too, so what it holds sums to more than the change."""
    found = xm.interactions(model, X, index="SII", background=NOTHING)
    np.testing.assert_allclose(
        found["interaction"].sel(head="pair")[0].values, [[3, 6, 0], [6, 3, 0], [0, 0, 5]], atol=1e-12
    )


@once
@EVERY
@ORDERS
def test_an_additive_model_has_no_interactions(model, index, order):
    found = xm.interactions(model, X, index=index, order=order, background=NOTHING)
    np.testing.assert_allclose(
        found["interaction"].sel(head="none")[0].values, np.diag([4.0, -3.0, 15.0]), rtol=0, atol=1e-6
    )
    if order == 3:
        np.testing.assert_allclose(found["interaction_3"].sel(head="none").values, 0, atol=1e-6)


@once
@pytest.mark.parametrize("index", ["k-SII", "STII", "FSII", "FBII"])
def test_a_product_of_three_is_a_triple(model, index):
    found = xm.interactions(model, X, index=index, order=3, background=NOTHING)
    triple = found["interaction_3"].sel(head="triple")[0].values
    expected = np.zeros((3, 3, 3))
    for i, j, k in [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]:
        expected[i, j, k] = 30
    np.testing.assert_allclose(triple, expected, atol=1e-5)
    np.testing.assert_allclose(found["interaction"].sel(head="triple").values, 0, atol=1e-5)


@once
def test_of_order_two_a_product_of_three_is_divided_by_hand(model):
    """abc = 30: STII gives each pair a third; k-SII each pair a half and each single minus a sixth of it."""
    taylor = xm.interactions(model, X, index="STII", background=NOTHING)
    np.testing.assert_allclose(
        taylor["interaction"].sel(head="triple")[0].values, [[0, 10, 10], [10, 0, 10], [10, 10, 0]], atol=1e-12
    )
    shapley = xm.interactions(model, X, background=NOTHING)
    np.testing.assert_allclose(
        shapley["interaction"].sel(head="triple")[0].values, [[-5, 15, 15], [15, -5, 15], [15, 15, -5]], atol=1e-12
    )


class Games:
    """A network of two streams with five features, and each row's game."""

    def __init__(self):
        self.model = mlp(streams={"u": 3, "v": 2}, heads={"y": 1, "z": 3})
        self.x, self.background = toy_rows(self.model, 2), toy_rows(self.model, 4, seed=7)
        self.flat = [np.concatenate([r["u"], r["v"]], axis=1) for r in (self.x, self.background)]

    def worth(self, row, head, unit):
        def worth(known):
            mixed, places = self.flat[1].copy(), sorted(known)
            mixed[:, places] = self.flat[0][row, places]
            return self.model.forward(mixed)[head][:, unit].mean()

        return worth


@pytest.fixture(scope="module")
def games():
    return Games()


def check_against(found, slow, target, row):
    for together, value in slow.items():
        places = sorted(together)
        name = "interaction_3" if len(places) == 3 else "interaction"
        places = places * 2 if len(places) == 1 else places
        np.testing.assert_allclose(found[name].values[(target, row, *places)], value, rtol=1e-5, atol=1e-7)


@once
@EVERY
@ORDERS
def test_every_index_is_its_definition_written_slowly(games, index, order):
    found = xm.interactions(
        games.model,
        games.x,
        index=index,
        order=order,
        players="features",
        background=games.background,
        targets=["y", ("z", 2)],
    )
    assert found.attrs["approximator"] == "exact"
    for target, (head, unit) in enumerate([("y", 0), ("z", 2)]):
        for row in range(2):
            check_against(found, SLOW[index](games.worth(row, head, unit), 5, order), target, row)


@once
@EVERY
def test_shapiq_alone_gives_the_same(games, index):
    found = xm.interactions(
        games.model, games.x, index=index, order=3, players="features", background=games.background, targets=["y"]
    )
    worth = games.worth(1, "y", 0)

    def game(coalitions):
        return np.array([worth(np.flatnonzero(known).tolist()) for known in coalitions])

    alone = shapiq.ExactComputer(game, n_players=5)(index, 3)
    for size in (1, 2, 3):
        for members in combinations(range(5), size):
            check_against(found, {frozenset(members): alone[members]}, 0, 1)


@once
@EVERY
@ORDERS
def test_what_sums_to_the_change_says_so(games, index, order):
    found = xm.interactions(
        games.model, games.x, index=index, order=order, players="features", background=games.background
    )
    pairs = found["interaction"].values
    total = np.trace(pairs, axis1=2, axis2=3) + np.triu(pairs, 1).sum(axis=(2, 3))
    if order == 3:
        total = total + found["interaction_3"].values.sum(axis=(2, 3, 4)) / 6
    change = (found["prediction"] - found["baseline_prediction"]).values
    if index in EFFICIENT:
        np.testing.assert_allclose(total, change, atol=1e-6)
        np.testing.assert_allclose(found["completeness_gap"].values, total - change, atol=1e-12)
    else:
        assert "completeness_gap" not in found
        assert np.abs(total - change).max() > 1e-3


@once
@ORDERS
@pytest.mark.parametrize("index", ["k-SII", "STII"])
def test_divided_evenly_among_players_they_are_shapley_values(games, index, order):
    """As the attribute ``diagonal`` of k-SII says."""
    settings = {"background": games.background}
    found = xm.interactions(games.model, games.x, index=index, order=order, players="features", **settings)
    shapley = xm.explain(games.model, games.x, "shapley", **settings)
    pairs = found["interaction"].values
    mains = np.diagonal(pairs, axis1=2, axis2=3)
    even = mains + (pairs.sum(axis=3) - mains) / 2
    if order == 3:
        even = even + found["interaction_3"].values.sum(axis=(3, 4)) / 6
    values = np.concatenate([shapley["u"].values, shapley["v"].values], axis=2)
    np.testing.assert_allclose(even, values, atol=1e-9)


@once
def test_predictions_and_the_matrix_are_what_they_are_called(games):
    found = xm.interactions(games.model, games.x, players="features", background=games.background)
    np.testing.assert_array_equal(found["interaction"].values, found["interaction"].values.swapaxes(2, 3))
    outputs = games.model.predict(games.x)
    np.testing.assert_allclose(found["prediction"].sel(head="y").values, outputs["y"].reshape(2))
    nothing = games.model.predict(games.background)["y"].mean()
    np.testing.assert_allclose(found["baseline_prediction"].sel(head="y").values, nothing)
    assert found["player"].values.tolist() == ["u.0", "u.1", "u.2", "v.0", "v.1"]
    assert json.loads(found.attrs["players"])["v.1"] == ["v"]
    assert found.attrs["schema"] == "xai_mimo.interactions/1"
    assert (found.attrs["index"], found.attrs["order"], found.attrs["reference"]) == ("k-SII", 2, "bordt2023shapley")
    assert "bordt2023shapley" in found.attrs["bibtex"]
    assert "shapiq" in json.loads(found.attrs["versions"])


def networks():
    yield pytest.param("keras", id="keras")
    for name in ("torch", "sklearn"):
        if name in NETWORKS:
            yield pytest.param(name, id=name, marks=[once, needs(NETWORKS[name][0])])


@pytest.mark.parametrize("framework", networks())
def test_streams_of_one_network_interact_alike_in_every_framework(framework):
    inputs, background = rows(3), rows(4, seed=9)
    network = keras_network() if framework == "keras" else NETWORKS[framework][1]()
    found = xm.interactions(network, inputs, background=background, targets=["hours", "risk", ("mode", 1)])
    by_hand = xm.adapt(
        reference,
        streams={name: values.shape[1:] for name, values in inputs.items()},
        heads={"hours": 1, "risk": 1, "mode": 3, "tags": 2},
    )
    expected = xm.interactions(by_hand, inputs, background=background, targets=["hours", "risk", ("mode", 1)])
    np.testing.assert_allclose(found["interaction"].values, expected["interaction"].values, atol=2e-6)
    assert found["interaction"].dims == ("head", "sample", "player", "other_player")
    assert found["player"].values.tolist() == ["table", "series", "image", "spare"]
    np.testing.assert_allclose(found["interaction"].sel(player="spare").values, 0, atol=1e-7)
    hours, risk = (
        found["interaction"].sel(head=h, player="table", other_player="image").values for h in ("hours", "risk")
    )
    assert np.abs(hours - risk).max() > 1e-2


@once
def test_players_without_names_are_called_by_stream_place_and_feature():
    def answer(series, table):
        return {"y": series.sum(axis=(1, 2)) * table[:, 0]}

    table = Stream("table", (3,), features=("Mon", "Tue", "heat"), groups={"weekday": ("Mon", "Tue")})
    series = Stream("series", (2, 2), features=("oil", "gap"))
    model = xm.adapt(answer, streams=[series, table], heads={"y": 1})
    x = {"series": np.ones((2, 2, 2)), "table": np.ones((2, 3))}
    found = xm.interactions(model, x, players="features", background={n: 0 * v for n, v in x.items()})
    of_series = ["series.0.oil", "series.0.gap", "series.1.oil", "series.1.gap"]
    assert found["player"].values.tolist() == [*of_series, "table.weekday", "table.heat"]


@once
def test_rows_that_hold_different_masks_come_back_in_their_own_order():
    """a b c times a mask that no player has: rows are computed by mask, and their triples are 30 times it."""

    def masked(a, b, c, mask):
        return {"y": (a * b * c * mask)[:, 0]}

    model = xm.adapt(masked, streams=dict.fromkeys(["a", "b", "c", "mask"], 1), heads={"y": 1}, held=["mask"])
    x = {"a": [[2.0]] * 3, "b": [[3.0]] * 3, "c": [[5.0]] * 3, "mask": [[1.0], [2.0], [1.0]]}
    nothing = {name: [[0.0]] for name in x}
    found = xm.interactions(model, x, order=3, background=nothing, check=False)
    assert found["player"].values.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(found["interaction_3"].values[0, :, 0, 1, 2], [30, 60, 30])
    pairs = xm.interactions(model, x, index="STII", background=nothing, check=False)
    np.testing.assert_allclose(pairs["interaction"].values[0, :, 0, 1], [10, 20, 10])
    np.testing.assert_allclose(pairs["prediction"].values[0], [30, 60, 30])


@once
def test_named_players_may_span_streams(games):
    players = {"left": {"u": [0], "v": [1]}, "rest": "rest"}
    found = xm.interactions(games.model, games.x, players=players, background=games.background)
    assert found["player"].values.tolist() == ["left", "rest"]
    assert json.loads(found.attrs["players"]) == {"left": ["u", "v"], "rest": ["u", "v"]}
    worth = games.worth(0, "y", 0)
    left, rest = frozenset({0, 4}), frozenset({1, 2, 3})
    by_hand = worth(left | rest) - worth(left) - worth(rest) + worth(frozenset())
    np.testing.assert_allclose(found["interaction"].sel(head="y").values[0, 0, 1], by_hand, atol=1e-12)


@once
def test_each_coalition_is_asked_once_for_all_heads(games):
    games.model.rows_seen.clear()
    xm.interactions(games.model, games.x, players="features", background=games.background, check=False)
    # 32 coalitions x 4 background rows x 2 rows, each row itself once for its prediction and once for its units
    assert sum(games.model.rows_seen) == 32 * 4 * 2 + 2 * 2


@once
def test_blocks_and_little_memory_change_nothing(games):
    settings = {"players": "features", "background": games.background, "order": 3}
    found = xm.interactions(games.model, games.x, **settings)
    small = xm.interactions(games.model, games.x, **settings, rows_per_block=1, max_memory=5000)
    for name in ("interaction", "interaction_3", "prediction", "baseline_prediction"):
        np.testing.assert_allclose(small[name].values, found[name].values, atol=1e-12)
    assert small["sample"].values.tolist() == [0, 1]


@once
@ORDERS
def test_what_is_saved_is_loaded(games, order, tmp_path):
    found = xm.interactions(games.model, games.x, order=order, players="features", background=games.background)
    assert xm.load(xm.save(found, tmp_path / "together.nc")).identical(found)


@once
def test_where_the_model_is_cut_its_players_are_what_the_layer_reads():
    from tests.helpers.adapted_net import Net, NetAdapter

    model = NetAdapter(Net())
    model.net.training = False
    x = {"u": np.ones((2, 3)), "v": np.ones((2, 2))}
    found = xm.interactions(model, x, at=model.layers()[0], background={n: v * 0.5 for n, v in x.items()})
    assert found.attrs["space"] == f"at:{model.layers()[0]}"
    assert len(found["player"]) == len(model.tail(model.layers()[0]).streams)
    assert float(found["completeness_gap"].max()) < 1e-6


@once
def test_targets_and_labels_are_those_of_explain(games):
    found = xm.interactions(
        games.model, games.x, targets=[("z", "label")], labels={"z": [2, 0]}, background=games.background
    )
    both = xm.interactions(games.model, games.x, targets=[("z", 2), ("z", 0)], background=games.background)
    np.testing.assert_allclose(found["interaction"].values[0, 0], both["interaction"].values[0, 0])
    np.testing.assert_allclose(found["interaction"].values[0, 1], both["interaction"].values[1, 1])
    with pytest.raises(UnknownName, match="nobody"):
        xm.interactions(games.model, games.x, targets=["nobody"])


@once
def test_a_row_that_is_compared_with_itself_is_said_so(model):
    with pytest.warns(UnusedStreamWarning, match="compared the one row of x with itself"):
        found = xm.interactions(model, X)
    np.testing.assert_array_equal(found["interaction"].values, 0)


@once
def test_progress_counts_rows(games):
    done = []
    xm.interactions(games.model, games.x, background=games.background, progress=done.append)
    assert sum(done) == 2


class TestRefusals:
    pytestmark = once

    def test_one_stream_says_the_way_out(self):
        model = mlp(streams={"table": 4}, heads={"y": 1})
        with pytest.raises(BadSetting) as refused:
            xm.interactions(model, toy_rows(model, 2))
        assert str(refused.value) == (
            "interactions of order 2 need at least 2 players, and there is 1 (players='streams'; the model has one "
            "stream, 'table'). Take smaller players: players='features', or groups of your own, "
            "players={'engine': {'table': ['rpm', 'torque']}, 'others': 'rest'}."
        )

    def test_an_order_larger_than_the_players(self, games):
        with pytest.raises(
            BadSetting, match=r"order 3 need at least 3 players, and there are 2 .*'u', 'v'.*, or order=2\."
        ):
            xm.interactions(games.model, games.x, order=3)

    @pytest.mark.parametrize("order", [1, 4, 0, 2.5, "2"])
    def test_other_orders(self, games, order):
        with pytest.raises(BadSetting, match="order"):
            xm.interactions(games.model, games.x, order=order)

    def test_an_index_that_there_is_not(self, games):
        with pytest.raises(BadSetting, match="index 'SV' is not one of k-SII, SII, STII, FSII, FBII"):
            xm.interactions(games.model, games.x, index="SV")

    def test_an_approximator_of_another_index(self, games):
        with pytest.raises(BadSetting, match="approximator of FSII 'KernelSHAPIQ' is not one of exact, RegressionFSII"):
            xm.interactions(games.model, games.x, index="FSII", approximator="KernelSHAPIQ")

    def test_exact_beyond_the_budget_names_the_budget(self, games):
        with pytest.raises(BadSetting, match=r"more than budget=31\. Raise it to 32"):
            xm.interactions(games.model, games.x, players="features", approximator="exact", budget=31)

    def test_exact_of_too_many_players(self):
        model = mlp(streams={"table": 20}, heads={"y": 1})
        with pytest.raises(BadSetting, match="20 players have 1048576 coalitions; k-SII is exact up to 12 players"):
            xm.interactions(model, toy_rows(model, 2), players="features", approximator="exact", budget=2**20)

    def test_a_budget_that_tells_nothing(self):
        model = mlp(streams={"table": 20}, heads={"y": 1})
        with pytest.raises(
            BadSetting,
            match="KernelSHAPIQ of order 2 between 20 players needs a budget of at least 632 coalitions for each row; got",
        ):
            xm.interactions(model, toy_rows(model, 2), players="features", budget=631)

    def test_a_regression_too_large_for_the_memory(self):
        model = mlp(streams={"table": 60}, heads={"y": 1})
        with pytest.raises(BadSetting, match="1830 interactions of order 2 between 60 players, estimated from 6000"):
            xm.interactions(model, toy_rows(model, 2), players="features", budget=6000, max_memory=2**20)

    def test_a_result_too_large_for_the_memory(self, games):
        with pytest.raises(
            BadSetting, match="between 5 players for 2 rows and 4 targets take 0 MB, more than max_memory"
        ):
            xm.interactions(games.model, games.x, players="features", max_memory=1000)

    def test_patches(self, games):
        with pytest.raises(BadSetting, match="no players='patches'; give label images"):
            xm.interactions(games.model, games.x, players="patches")

    def test_rows_of_another_shape(self, games):
        with pytest.raises(ShapeMismatch):
            xm.interactions(games.model, {"u": np.ones((2, 4)), "v": np.ones((2, 2))})

    def test_explain_of_what_tells_interactions(self, games):
        from xai_mimo_adapters.shapiq_methods import ShapiqInteractions

        from xai_mimo.core.errors import SchemaError

        with pytest.raises(SchemaError, match="tells what players do together, not what each does"):
            xm.explain(games.model, games.x, ShapiqInteractions())
