"""Players by hand: which values each stands for, what unknown ones become, and how what they get is laid out."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.players import Masker, check_players, own_axes, replace
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks

SERIES, TABLE = Stream("s", (3, 2)), Stream("t", (2,))


@pytest.fixture
def rows():
    return {"s": np.arange(12.0).reshape(2, 3, 2), "t": np.array([[20.0, 21.0], [22.0, 23.0]])}


@pytest.fixture
def background():
    return {"s": -np.arange(1.0, 13.0).reshape(2, 3, 2), "t": np.array([[-20.0, -21.0], [-22.0, -23.0]])}


@pytest.mark.parametrize(
    ("players", "sizes", "axes"),
    [("features", [6, 2], (3, 2)), ("variables", [2, 2], (2,)), ("streams", [1, 1], ())],
)
def test_players_are_counted_through_the_streams(players, sizes, axes, rows):
    masker = Masker.of(rows, players)
    assert masker.sizes == sizes
    assert masker.count == sum(sizes)
    assert own_axes((3, 2), players) == axes
    values = np.arange(2.0 * 5 * masker.count).reshape(2, 5, masker.count)
    split = masker.split(values)
    assert split["s"].shape == (2, 5, *axes)
    np.testing.assert_array_equal(np.concatenate([v.reshape(2, 5, -1) for v in split.values()], axis=2), values)


def test_unknown_variables_take_their_whole_series_from_a_row_of_their_own(rows, background):
    known = np.array([[True, False, False, True], [False, False, True, True]])
    mixed = Masker.of(rows, "variables").against_own(rows, background, known)
    np.testing.assert_array_equal(mixed["s"][0], [[0, -2], [2, -4], [4, -6]])
    np.testing.assert_array_equal(mixed["s"][1], background["s"][1])
    np.testing.assert_array_equal(mixed["t"], [[-20, 21], [22, 23]])


def test_each_coalition_meets_every_background_row(rows, background):
    known = np.array([[True, False], [False, True]])
    mixed = Masker.of(rows, "streams").against_each(rows, background, known)
    np.testing.assert_array_equal(mixed["s"], [rows["s"][0], rows["s"][0], *background["s"]])
    np.testing.assert_array_equal(mixed["t"], [*background["t"], rows["t"][1], rows["t"][1]])


def test_a_patch_is_known_as_a_whole_and_shares_what_it_gets(rows, background):
    masker = Masker.of_patches(rows, (SERIES, TABLE), {"s": 2})
    assert masker.sizes == [2, 2]  # steps 0 and 1, then step 2; the table's values stand alone
    known = np.array([[True, False, True, True]] * 2)
    mixed = masker.against_own(rows, background, known)
    np.testing.assert_array_equal(mixed["s"][:, :2], rows["s"][:, :2])
    np.testing.assert_array_equal(mixed["s"][:, 2], background["s"][:, 2])
    split = masker.split(np.array([[[8.0, 6.0, 1.0, 2.0]]]))
    np.testing.assert_array_equal(split["s"][0, 0], [[2, 2], [2, 2], [3, 3]])
    np.testing.assert_array_equal(split["t"][0, 0], [1, 2])


def test_streams_without_marks_stay_as_they_are(rows, background):
    mixed = replace(rows, {"s": background["s"][:1]}, {"s": np.array([[[True], [False], [True]]] * 2)})
    np.testing.assert_array_equal(mixed["s"][1], [[6, 7], [-3, -4], [10, 11]])
    assert mixed["t"] is rows["t"]


@pytest.mark.parametrize("players", [["heat", "age"], [], ("heat",)])
def test_a_list_of_names_is_told_how_players_are_named(players):
    with pytest.raises(
        BadSetting, match=r"yours by name, what each stands for: players=\{'engine': \{'table': .*got [\[(]"
    ):
        check_players(players)
