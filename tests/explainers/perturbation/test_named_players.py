"""Players by name in every method that takes players: enumeration written slowly, closed form, shap, the schema."""

from itertools import combinations
from math import factorial

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import BadSetting, SchemaError, UnknownName
from xai_mimo.core.explanation import features_of, join
from xai_mimo.core.saved import load, save
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers import IntegratedGradients, Occlusion, Shapley

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

STREAMS = [
    Stream("table", (3,), "float64", features=("rpm", "torque", "temp")),
    Stream("series", (4, 2), "float64"),
    Stream("image", (2, 3, 1), "float64"),
    Stream("age", (), "float64"),
]
PLAYERS = {
    "engine": {"table": ["rpm", "torque"], "age": "all"},
    "weather": {"table": ["temp"], "image": "all"},
    "first half": {"series": {"time": [0, 2]}},
    "second half": "rest",
}
MEMBERS = {  # the same by hand: marks of the values that each player has
    "engine": {"table": [1, 1, 0], "age": 1},
    "weather": {"table": [0, 0, 1], "image": np.ones((2, 3, 1))},
    "first half": {"series": np.repeat([[1], [1], [0], [0]], 2, axis=1)},
    "second half": {"series": np.repeat([[0], [0], [1], [1]], 2, axis=1)},
}


def read(table, series, image, age):
    mixed = table[:, 0] * age + np.tanh(series.sum(axis=(1, 2))) * table[:, 2]
    return {"y": mixed + image.mean(axis=(1, 2, 3)) * series[:, 3, 1], "z": np.exp(0.3 * table[:, 1]) * age}


@pytest.fixture
def model():
    return xm.adapt(read, streams=STREAMS, heads=[Head("y", ()), Head("z", ())])


def rows(count, seed=0):
    rng = np.random.default_rng(seed)
    return {s.name: rng.standard_normal((count, *s.shape)) for s in STREAMS}


def slow_shapley(head, x, background, members):
    """The definition over the named players, one row at a time."""
    names = list(members)

    def worth(n, known):
        mixed = {name: b.copy() for name, b in background.items()}
        for player in known:
            for stream, marks in members[player].items():
                marks = np.broadcast_to(np.asarray(marks, dtype=bool), x[stream].shape[1:])
                mixed[stream] = np.where(marks, x[stream][n], mixed[stream])
        return read(**mixed)[head].mean()

    values = np.zeros((len(x["age"]), len(names)))
    for n in range(len(values)):
        for i, player in enumerate(names):
            others = [name for name in names if name != player]
            for size in range(len(names)):
                weight = factorial(size) * factorial(len(others) - size) / factorial(len(names))
                for known in combinations(others, size):
                    values[n, i] += weight * (worth(n, (*known, player)) - worth(n, known))
    return values


def test_shapley_values_of_players_that_span_streams_equal_the_slow_definition(model):
    x, background = rows(3), rows(4, seed=1)
    found = xm.explain(model, x, Shapley(players=PLAYERS), background=background)
    assert list(found["players_player"].values) == list(PLAYERS)
    for h, head in enumerate(("y", "z")):
        np.testing.assert_allclose(found["players"][h], slow_shapley(head, x, background, MEMBERS), atol=1e-12)
    np.testing.assert_array_equal(found["evaluations"], 2**4)
    np.testing.assert_array_equal(found["players_standard_error"], 0)


def test_what_a_player_is_given_stands_once_as_a_number_and_is_shared_evenly_in_its_streams(model):
    x = rows(3)
    found = xm.explain(model, x, Shapley(players=PLAYERS), background=rows(4, seed=1))
    for player, members in MEMBERS.items():
        size = sum(np.broadcast_to(m, x[s].shape[1:]).sum() for s, m in members.items())
        value = found["players"].sel(players_player=player).values
        for stream, marks in members.items():
            own = found[stream].values[..., np.broadcast_to(np.asarray(marks, bool), x[stream].shape[1:])]
            np.testing.assert_allclose(own.reshape(2, 3, -1), (value / size)[..., None] * np.ones(own[0, 0].size))
    assert found["series"].attrs["divided"] == "evenly among the values of each player"
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)
    change = found["prediction"] - found["baseline_prediction"]
    np.testing.assert_allclose(found["players"].sum("players_player"), change, atol=1e-12)
    with pytest.raises(SchemaError, match=r"player 'engine' has values of table and age, so .* belongs to none"):
        xm.stream_shares(found)


def test_sampled_values_meet_the_exact_ones_within_their_standard_errors(model):
    players = {"engine": PLAYERS["engine"]} | {f"t{i}": {"series": {"time": i}} for i in range(4)} | {"others": "rest"}
    x, background = rows(30), rows(3, seed=1)
    exact = xm.explain(model, x, Shapley(players=players), background=background)["players"]
    found = xm.explain(model, x, Shapley(players=players, budget=40), background=background)
    np.testing.assert_array_equal(found["draws"], 4)
    assert float(found["players_standard_error"].max()) > 0
    inside = np.abs(found["players"] - exact) <= 3.2 * found["players_standard_error"] + 1e-9  # t(3), 95 %
    assert float(inside.mean()) > 0.9
    np.testing.assert_allclose(found["players"].sum("players_player"), exact.sum("players_player"), atol=1e-12)


def test_occlusion_of_a_player_takes_all_its_values_away_at_once(model):
    x = rows(3)
    found = xm.explain(model, x, Occlusion(players=PLAYERS))
    for player, members in MEMBERS.items():
        gone = {s: np.where(np.asarray(members.get(s, 0), bool), 0.0, v) for s, v in x.items()}
        for h, head in enumerate(("y", "z")):
            lost = read(**x)[head] - read(**gone)[head]
            np.testing.assert_allclose(found["players"].sel(players_player=player)[h], lost, atol=1e-12)
    np.testing.assert_array_equal(found["evaluations"], 4)


def test_superpixels_of_each_row_are_those_of_the_row(model):
    x, background = rows(4), rows(2, seed=1)
    labels = np.random.default_rng(3).integers(0, 2, (4, 2, 3))
    players = {"image": labels, "all else": "rest"}
    found = xm.explain(model, x, Shapley(players=players), background=background, rows_per_block=3)
    assert list(found["players_player"].values) == ["image.0", "image.1", "all else"]
    for n in range(4):
        one = {"image": labels[n], "all else": "rest"}
        own = xm.explain(model, {s: v[n : n + 1] for s, v in x.items()}, Shapley(players=one), background=background)
        for name in own["players_player"].values:
            mine = found["players"].sel(players_player=name)[:, n]
            np.testing.assert_allclose(own["players"].sel(players_player=name)[:, 0], mine, atol=1e-12)
        np.testing.assert_allclose(found["image"][:, n], own["image"][:, 0], atol=1e-12)


def test_players_of_one_value_each_are_the_features():
    model = toys.mlp()
    x, background = toys.rows(model, 3), toys.rows(model, 4, seed=7)
    plain = xm.explain(model, x, Shapley(), background=background)
    named = xm.explain(model, x, Shapley(players={"first": {"u": [0]}}), background=background)
    for stream in ("u", "v"):
        np.testing.assert_allclose(named[stream], plain[stream], atol=1e-12)
    assert list(named["players_player"].values) == ["first", "u.1", "u.2", "v.0", "v.1"]


def test_levels_are_the_columns_of_a_category_by_themselves():
    streams = [Stream("hire", (3,), "float64", features=("Mon", "Tue", "heat"), groups={"day": ["Mon", "Tue"]})]
    model = xm.adapt(lambda hire: hire @ [1.0, 2.0, 4.0], streams=streams, heads={"bikes": 1})
    x = {"hire": np.array([[1.0, 0, 3]])}
    together = xm.explain(model, x, Shapley(), background={"hire": np.array([[0.0, 1, 0]])})
    np.testing.assert_allclose(together["hire"][0, 0], [-1, 12])
    for method in (Shapley(players="levels"), Occlusion(players="levels", baseline={"hire": np.array([0.0, 1, 0])})):
        apart = xm.explain(model, x, method, background={"hire": np.array([[0.0, 1, 0]])})
        assert list(apart["hire_feature"].values) == ["Mon", "Tue", "heat"]
        np.testing.assert_allclose(apart["hire"][0, 0], [1, -2, 12])


def test_the_sums_of_a_gradient_method_equal_shapley_values_of_a_linear_model_and_can_be_joined():
    model = toys.linear()
    x = toys.rows(model, 4)
    zero = {"u": np.zeros((1, 3)), "v": np.zeros((1, 2))}
    players = {"pair": {"u": [0, 2], "v": [1]}, "others": "rest"}
    along = xm.by_players(xm.explain(model, x, IntegratedGradients()), players)
    by_value = xm.by_players(xm.explain(model, x, Shapley(players=players), background=zero), players)
    assert along.attrs["space"] == by_value.attrs["space"] == "players"
    by_hand = x["u"][:, [0, 2]] @ [1, 3] + 4 * x["v"][:, 1]
    np.testing.assert_allclose(along["players"][0, :, 0], by_hand, rtol=1e-6)
    np.testing.assert_allclose(by_value["players"][0, :, 0], by_hand, rtol=1e-12)
    joined = join({"ig": along, "shapley": by_value})
    flat = features_of(joined)
    assert list(flat["feature"].values) == ["players.pair", "players.others"]
    frame = xm.to_dataframe(joined)
    assert set(frame["feature"]) == {"pair", "others"}
    np.testing.assert_allclose(xm.by_players(along)["players"], along["players"])


def test_explanations_by_players_are_saved_stored_and_joined(model, tmp_path):
    x, background = rows(5), rows(2, seed=1)
    found = xm.explain(model, x, Shapley(players=PLAYERS), background=background, rows_per_block=2)
    save(found, tmp_path / "found.nc")
    assert load(tmp_path / "found.nc").equals(found)
    stored = xm.explain(
        model, x, Shapley(players=PLAYERS), background=background, rows_per_block=2, store=tmp_path / "run.zarr"
    )
    np.testing.assert_array_equal(stored["players"], found["players"])
    other = xm.explain(model, x, Occlusion(players={"table": {"table": "all"}, "others": "rest"}))
    with pytest.raises(SchemaError, match=r"'b' explains other players .table, others. than the first method .engine"):
        join({"a": found, "b": other})
    both = join({"a": found, "b": xm.explain(model, x, Occlusion(players=PLAYERS))})
    np.testing.assert_array_equal(both["players"][0], found["players"])


def test_sums_that_would_say_something_else_are_refused(model):
    x = rows(2)
    found = xm.explain(model, x, Occlusion(players=PLAYERS))
    with pytest.raises(
        SchemaError, match=r"'occlusion' explained by the players engine, .* written otherwise than these"
    ):
        xm.by_players(found, {"table": {"table": "all"}, "others": "rest"})
    plain = xm.explain(model, x, "occlusion")
    with pytest.raises(SchemaError, match="'occlusion' was not given players; say which values to sum"):
        xm.by_players(plain)
    coarse = xm.explain(model, x, Occlusion(players="variables"))
    with pytest.raises(SchemaError, match="has one value for several values of stream 'series'"):
        xm.by_players(coarse, PLAYERS)
    with pytest.raises(UnknownName, match="no input stream of player 'engine' is called 'tabel'"):
        xm.by_players(plain, {"engine": {"tabel": "all"}})
    with pytest.raises(SchemaError, match="several methods are joined"):
        xm.by_players(join({"a": plain}), PLAYERS)


def test_sums_are_of_magnitudes_where_a_map_has_no_sign_and_of_what_was_measured_alone(model):
    x, halves = rows(4), {"table": [[0, 0, 1], [0, 1, 1], [0, 1, 0], [0, 0, 0]], "others": "rest"}
    found = xm.explain(model, x, "occlusion")
    later, labels = found.isel(sample=slice(1, None)), np.array(halves["table"])[1:]
    signed, unsigned = (xm.by_players(e, halves)["players"] for e in (later, later.assign_attrs(signed=0)))
    for sums, values in ((signed, later["table"]), (unsigned, abs(later["table"]))):
        for label in (0, 1):
            expected = (values.values * (labels == label)).sum(-1)
            np.testing.assert_allclose(sums.sel(players_player=f"table.{label}"), expected)
    silent = found.assign_attrs(unexplained='["table"]')
    with pytest.raises(SchemaError, match="'occlusion' says nothing of stream 'table', of which player 'engine' has"):
        xm.by_players(silent, PLAYERS)


def test_players_that_fit_no_stream_are_refused_when_the_model_is_seen_and_others_before(model):
    with pytest.raises(UnknownName, match=r"no feature of stream 'table' .player 'engine'.* is called 'rmp'"):
        xm.explain(model, rows(2), Shapley(players={"engine": {"table": ["rmp"]}}))
    with pytest.raises(BadSetting, match="player 'engine' is empty"):
        Occlusion(players={"engine": {}})
    with pytest.raises(BadSetting, match="belong together"):
        Shapley(players={"engine": {"table": "rpm"}}, patch=2)


def test_a_coalition_is_asked_for_once_for_all_heads_and_rows_share_a_call():
    model = toys.mlp()
    players = {"pair": {"u": [0], "v": "all"}, "others": "rest"}
    x, background = toys.rows(model, 6), toys.rows(model, 3, seed=7)
    model.rows_seen.clear()
    xm.explain(model, x, Shapley(players=players), background=background, check=False)
    coalitions = 6 * 2**2 * 3  # rows, coalitions of two players, background rows; whatever the number of targets
    asked_twice = 6 * 3  # nobody is known: the baseline prediction
    assert sum(model.rows_seen) == coalitions + asked_twice + 2 * 6
    assert len(model.rows_seen) == 4
