"""A comparison over players by name: all methods speak of the same ones, and scores replace their values together."""

import warnings

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName, UnusedStreamWarning
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Stream
from xai_mimo.core.targets import select
from xai_mimo.explainers import IntegratedGradients, Occlusion, Shapley
from xai_mimo.metrics.dependence import dependences
from xai_mimo.metrics.nearest import nearest_rows
from xai_mimo.metrics.removal import removal_curves
from xai_mimo.record.json_file import from_json

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),  # head z reads a part of u alone
]

PLAYERS = {"pair": {"u": [0, 2], "v": [1]}, "single": {"u": [1]}, "others": "rest"}
QUICK = xm.Settings(resamples=100, steps=2, controls=1)


@pytest.fixture(scope="module")
def result():
    model = toys.linear()
    zero = {"u": np.zeros((1, 3)), "v": np.zeros((1, 2))}
    methods = {"ig": IntegratedGradients(), "shapley": Shapley(players=PLAYERS), "occlusion": Occlusion()}
    truth = {"y": {"u": ["1"], "v": ["0"]}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedStreamWarning)
        return xm.compare(model, toys.rows(model, 20), methods, background=zero, truth=truth, settings=QUICK)


def test_every_method_speaks_of_the_players_that_one_was_given(result):
    x = toys.rows(toys.linear(), 20)
    by_hand = np.stack([x["u"][:, [0, 2]] @ [1, 3] + 4 * x["v"][:, 1], -2 * x["u"][:, 1], 0.5 * x["v"][:, 0]], axis=-1)
    for label in ("ig", "shapley", "occlusion"):
        found = result.explanations.sel(explainer=label)["players"].sel(head="y")
        np.testing.assert_allclose(found, by_hand, rtol=1e-6)
    settings = {row.label: row.settings for row in result.record.methods}
    assert settings["occlusion"]["players"] == settings["shapley"]["players"]
    assert "players" not in settings["ig"]


def test_the_record_names_the_players_and_how_the_truth_was_read(result, tmp_path):
    record = result.record
    assert record.space.name == "players"
    assert "summed over 3 players, and the values of one are replaced together: pair (u, v)" in record.space.text
    assert record.space.streams[0].features == ("pair", "single", "others")
    assert record.space.streams[0].sources == ("u", "v")
    assert {row.feature for row in record.features} == {"pair", "single", "others"}
    assert record.true_features["y"] == {"players": ("single", "others")}
    assert record.examples[0].inputs == {}
    assert list(record.examples[0].values["shapley"]) == ["players"]
    result.to_json(tmp_path / "record.json")
    assert from_json(tmp_path / "record.json").space == record.space
    result.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "All maps are summed over 3 players" in page
    assert "single" in page


def test_a_player_that_is_true_in_part_counts_and_the_note_says_so():
    model = toys.linear()
    known = {"y": {"u": ["0"]}}
    found = xm.compare(model, toys.rows(model, 8), [Occlusion()], players=PLAYERS, truth=known, settings=QUICK)
    assert found.record.true_features["y"] == {"players": ("pair",)}
    notes = {s.note for s in found.record.scores if s.family == "ground_truth" and s.head == "y"}
    assert any("of pair some values are true, and the whole player counts" in note for note in notes)


def test_removal_replaces_the_values_of_a_player_together():
    model = toys.linear({"y": [[1, -2, 3, 0.5, 4]]})
    x = toys.rows(model, 5)
    masker = Masker.of(x, PLAYERS, model.streams)
    maps = {"mine": np.broadcast_to([3.0, 1.0, 2.0], (1, 5, 3))}
    zero = {name: np.zeros_like(v[:1]) for name, v in x.items()}
    selectors = select(None, model.heads, model.predict(x))
    curves, _ = removal_curves(
        model.predict,
        x,
        maps,
        selectors,
        zero,
        players=PLAYERS,
        streams=model.streams,
        steps=3,
        controls=1,
        rng=np.random.default_rng(0),
    )
    terms = masker.sums({"u": x["u"] * [1, -2, 3], "v": x["v"] * [0.5, 4]})
    np.testing.assert_allclose(curves["mine"].deletion[0, :, 1], terms[:, 0], atol=1e-12)
    np.testing.assert_allclose(curves["mine"].deletion[0, :, 2], terms[:, 0] + terms[:, 2], atol=1e-12)


def test_nearness_and_dependence_count_by_player_across_streams(rng):
    streams = (Stream("u", (2,), "float64"), Stream("v", (1,), "float64"))
    u = rng.standard_normal((40, 2))
    rows = {"u": u, "v": 2 * u[:, :1]}
    together = Masker.of(rows, {"same": {"u": [0], "v": [0]}, "other": "rest"}, streams)
    assert dependences(rows, together).max() < 0.5
    apart = Masker.of(rows, {"one": {"u": [0]}, "two": {"v": [0]}, "other": "rest"}, streams)
    assert dependences(rows, apart)[0, 1] == pytest.approx(1)
    choose = nearest_rows(rows, rows, together, 1, rng)(0)
    scaled = (u - u[0]) / u.std(axis=0)
    by_hand = 1 + int(np.argmin(scaled[1:, 0] ** 2))
    assert choose(np.array([[True, False]]))[0, 0] == by_hand


def test_the_methods_that_nobody_named_are_chosen_for_the_players():
    streams = [Stream("image", (28, 28, 1), "float64")]
    model = xm.adapt(lambda image: image.mean(axis=(1, 2, 3)), streams=streams, heads={"y": 1})
    x = {"image": np.random.default_rng(0).standard_normal((6, 28, 28, 1))}
    labels = np.arange(28)[:, None] // 7 * 2 + np.arange(28) // 14
    found = xm.compare(model, x, players={"image": labels}, metrics=["gini"], settings=QUICK)
    assert found.record.settings["methods"].startswith("shapley")
    assert found.explanations["players"].sizes["players_player"] == 8
    assert found.record.methods[0].settings["players"]["image"][27] == (6,) * 14 + (7,) * 14


@pytest.mark.parametrize(
    ("methods", "options", "error", "text"),
    [
        (["occlusion"], {"players": "streams"}, BadSetting, "players of a comparison have names.*got 'streams'"),
        (["occlusion"], {"players": PLAYERS, "space": "streams"}, BadSetting, "players=.* and space='streams' contra"),
        (["occlusion"], {"players": PLAYERS, "space": "variables"}, BadSetting, "and space='variables' contradict"),
        ([Shapley(players="streams")], {"players": PLAYERS}, BadSetting, "'shapley' was given players='streams'"),
        (
            [Shapley(players={"a": {"u": "all"}, "b": "rest"})],
            {"players": PLAYERS},
            BadSetting,
            "method 'shapley' was given the players a, b, and others are compared .pair, single, others.",
        ),
        (["occlusion"], {"players": {"a": {"w": "all"}}}, UnknownName, "no input stream of player 'a' is called 'w'"),
        (
            ["occlusion"],
            {"players": {"u": np.zeros((4, 3), int)}},
            NotSupported,
            "are the same in each row, and these labels differ from row to row",
        ),
    ],
)
def test_players_that_do_not_agree_are_refused(methods, options, error, text):
    model = toys.linear()
    with pytest.raises(error, match=text):
        xm.compare(model, toys.rows(model, 4), methods, settings=QUICK, **options)


def test_regions_are_of_single_values_and_say_nothing_of_players():
    streams = [Stream("image", (2, 2, 1), "float64")]
    model = xm.adapt(lambda image: image[:, 0].sum(axis=(1, 2)), streams=streams, heads={"y": 1})
    x = {"image": np.random.default_rng(0).standard_normal((8, 2, 2, 1))}
    top = np.broadcast_to(np.array([[True, True], [False, False]]), (8, 2, 2))
    players = {"image": np.array([[0, 0], [1, 1]])}
    found = xm.compare(model, x, ["occlusion"], players=players, truth={"y": {"image": top}}, settings=QUICK)
    of_regions = [s for s in found.record.scores if s.metric in ("mass_in_region", "pointing_game")]
    assert of_regions
    assert all(s.estimate is None and s.note for s in of_regions)
