"""Players by name: which values each stands for, by hand; and everything that can be none, refused by name."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting, BadValues, DuplicateName, ShapeMismatch, UnknownName
from xai_mimo.core.named_players import check_named, read_players
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks

TABLE = Stream("table", (4,), features=("rpm", "Mon", "Tue", "temp"), groups={"day": ("Mon", "Tue")})
SERIES = Stream("series", (5, 2), features=("heat", "load"))
IMAGE = Stream("image", (2, 3, 1))
AGE = Stream("age", ())
STREAMS = (TABLE, SERIES, IMAGE, AGE)
SHAPES = {s.name: s.shape for s in STREAMS}
ALL_BUT_TABLE = {"series": "all", "image": "all", "age": "all"}


def read(players, rows=1):
    check_named(players)
    return read_players(players, STREAMS, SHAPES, np.arange(rows))


def test_groups_span_streams_by_feature_place_window_and_mask():
    mask = np.array([[True, False, False], [False, False, True]])
    owners = read(
        {
            "engine": {"table": ["rpm", 3], "age": "all"},
            "first": {"series": {"time": [0, 2]}},
            "noon": {"series": {"time": 3, "feature": ["load"]}, "image": mask},
            "others": "rest",
        }
    )
    assert owners.names == ("engine", "first", "noon", "others")
    np.testing.assert_array_equal(owners.of["table"], [0, 3, 3, 0])
    np.testing.assert_array_equal(owners.of["series"], [[1, 1], [1, 1], [3, 3], [3, 2], [3, 3]])
    np.testing.assert_array_equal(owners.of["image"][..., 0], [[2, 3, 3], [3, 3, 2]])
    assert int(owners.of["age"]) == 0
    assert owners.by_row == frozenset()


def test_what_no_group_has_is_a_player_each_and_the_columns_of_a_category_are_one():
    owners = read({"both": {"table": "rpm", "image": "all"}})
    assert owners.names[:3] == ("both", "table.day", "table.temp")
    np.testing.assert_array_equal(owners.of["table"], [0, 1, 1, 2])
    assert owners.names[3:] == (*(f"series.{t}.{f}" for t in range(5) for f in ("heat", "load")), "age")
    np.testing.assert_array_equal(owners.of["series"], 3 + np.arange(10).reshape(5, 2))


def test_a_group_of_columns_is_named_like_a_feature_and_a_level_may_be_a_player():
    owners = read({"when": {"table": "day", "series": {"time": [[0, 1], [3, None]]}}, "others": "rest"})
    np.testing.assert_array_equal(owners.of["table"], [1, 0, 0, 1])
    np.testing.assert_array_equal(owners.of["series"][:, 0], [0, 1, 1, 0, 0])
    owners = read({"Monday": {"table": "Mon"}, "all else": ALL_BUT_TABLE})
    assert owners.names == ("Monday", "all else", "table.rpm", "table.day", "table.temp")


def test_labels_make_a_player_of_each_label_for_all_rows_or_for_each():
    labels = np.array([[7, 7, 2], [2, 2, 2]])
    owners = read({"image": labels, "others": "rest"})
    assert owners.names == ("image.2", "image.7", "others")
    np.testing.assert_array_equal(owners.of["image"][..., 0], [[1, 1, 0], [0, 0, 0]])
    owners = read({"image": [labels.tolist(), np.zeros((2, 3), dtype=int).tolist()], "others": "rest"}, rows=2)
    assert owners.names == ("image.0", "image.2", "image.7", "others")
    np.testing.assert_array_equal(owners.of["image"][1], 0)
    assert owners.by_row == {"image"}


def test_sums_are_those_of_a_loop_over_values(rng):
    labels = rng.integers(0, 3, (4, 2, 3))
    players = {"image": labels, "hot": {"series": {"feature": "heat"}, "table": ["temp"]}, "others": "rest"}
    values = {s.name: rng.standard_normal((2, 4, *s.shape)) for s in STREAMS}
    masker = Masker.named({n: v[0] for n, v in values.items()}, players, STREAMS, np.arange(4))
    sums = masker.sums(values)
    assert masker.names == ("image.0", "image.1", "image.2", "hot", "others")
    for head in range(2):
        for row in range(4):
            for label in range(3):
                by_hand = sum(
                    values["image"][head, row, i, j, 0]
                    for i in range(2)
                    for j in range(3)
                    if labels[row, i, j] == label
                )
                np.testing.assert_allclose(sums[head, row, label], by_hand, atol=1e-12)
    hot = values["series"][..., 0].sum(axis=-1) + values["table"][..., 3]
    np.testing.assert_allclose(sums[..., 3], hot, atol=1e-12)
    np.testing.assert_allclose(masker.sums(masker.split(sums)), sums, atol=1e-12)
    assert masker.streams_of_players[3:] == (("table", "series"), ("table", "series", "age"))


@pytest.mark.parametrize(
    ("players", "error", "text"),
    [
        ({}, BadSetting, r"players=\{\} names no player"),
        ({" ": {"table": "rpm"}}, BadSetting, "a player is named by a word; got ' '"),
        ({"engine": {}}, BadSetting, "player 'engine' is empty; say what it stands for"),
        ({"engine": ["rpm"]}, BadSetting, r"player 'engine' stands for \['rpm'\]; expected \{stream: values\}"),
        ({"engine": "table"}, BadSetting, "player 'engine' stands for 'table'; expected"),
        ({"a": "rest", "b": "rest"}, BadSetting, "two players are the 'rest'"),
        ({"e": {"tabel": ["rpm"]}}, UnknownName, "no input stream of player 'e' is called 'tabel'.*mean 'table'"),
        ({"e": {"table": ["rmp"]}}, UnknownName, r"no feature of stream 'table' \(player 'e'.*called 'rmp'.*'rpm'"),
        ({"e": {"table": [4]}}, BadSetting, "player 'e', stream 'table': 4 is no place along an axis of 4"),
        (
            {"e": {"table": [True]}},
            ShapeMismatch,
            r"booleans of player 'e', stream 'table' have the shape \(1,\); expected \(4,\)",
        ),
        ({"e": {"table": []}}, BadSetting, r"player 'e' stands for nothing of stream 'table': got \[\]"),
        ({"e": {"table": ["rpm"]}, "f": {"table": [0]}}, DuplicateName, "'rpm' of stream 'table' is in two .*'e' and"),
        ({"e": {"series": {"hour": [0, 2]}}}, UnknownName, "no axis of stream 'series' .*'e'.* is called 'hour'"),
        ({"e": {"series": {"time": [2, 2]}}}, BadSetting, r"axis 'time': the window \[2, 2\] has no places or"),
        ({"e": {"series": {"time": [0, 6]}}}, BadSetting, r"the window \[0, 6\] has no places or leaves the axis"),
        ({"e": {"series": {"time": [0, 1, 2]}}}, BadSetting, r"got \[0, 1, 2\]; expected a place \(3\), a window"),
        ({"e": {"series": {"time": "noon"}}}, BadSetting, "places have numbers, not names; got 'noon'"),
        ({"e": {"series": {"time": 5}}}, BadSetting, "5 is no place along an axis of 5; they are 0 to 4"),
        (
            {"e": {"image": np.ones((3, 2), dtype=bool)}},
            ShapeMismatch,
            r"'image' have the shape \(3, 2\); expected \(2, 3\)",
        ),
        ({"e": {"age": ["rpm"]}}, BadSetting, "the stream has one value in a row; write 'all'"),
        ({"picture": np.zeros((2, 3), int)}, UnknownName, "no input stream with labels for players is called 'pict"),
        ({"image": np.zeros((3, 3), int)}, ShapeMismatch, r"labels of stream 'image' have the shape \(3, 3\)"),
        ({"image": np.full((2, 3), -1)}, BadValues, "labels of stream 'image' are whole numbers of at least 0"),
        ({"image": np.zeros((2, 2, 3), int)}, ShapeMismatch, "labels of stream 'image' are of 2 rows, and row 2"),
        (
            {"image": np.zeros((2, 3), int), "e": {"image": "all"}},
            DuplicateName,
            "stream 'image' is in two players, 'e' and 'the labels'",
        ),
        ({"table.rpm": ALL_BUT_TABLE}, DuplicateName, "two players are called 'table.rpm'"),
        ({"e": {**ALL_BUT_TABLE, "table": "all"}, "o": "rest"}, BadSetting, "player 'o' stands for nothing: the other"),
    ],
)
def test_what_can_be_no_player_is_refused_by_name(players, error, text):
    with pytest.raises(error, match=text):
        read(players, rows=3)
