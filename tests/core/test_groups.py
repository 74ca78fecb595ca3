"""Groups of features: declared once, one player, one value, and the same after a file."""

import dataclasses
import json

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.declare import annotate_streams
from xai_mimo.core.errors import BadSetting, DuplicateName, FileProblem, UnknownName
from xai_mimo.core.explanation import streams_of
from xai_mimo.core.players import Masker
from xai_mimo.core.streams import Stream

pytestmark = pytest.mark.all_frameworks

HIRE = Stream(
    "hire", (5,), "float64", features=("Mon", "heat", "Tue", "Wed", "wind"), groups={"day": ["Mon", "Tue", "Wed"]}
)


def test_variables_stand_in_the_order_of_their_first_features():
    assert HIRE.variables == ("day", "heat", "wind")
    assert HIRE.variable_of == (0, 1, 0, 0, 2)
    plain = Stream("a", (2,))
    assert (plain.variables, plain.variable_of) == (plain.features, (0, 1))


def test_a_stream_with_groups_is_a_value_like_any_other():
    same = Stream("hire", (5,), "float64", features=HIRE.features, groups={"day": ("Mon", "Tue", "Wed")})
    assert same == HIRE
    assert hash(HIRE) == hash(same)
    assert dataclasses.replace(HIRE, name="other").groups == HIRE.groups
    assert dataclasses.replace(HIRE, groups={}) != HIRE


def test_streams_without_groups_are_described_as_before_there_were_any():
    assert list(Stream("a", (2,)).plain()) == ["name", "shape", "dtype", "axes", "features", "unit"]
    assert Stream(**json.loads(json.dumps(HIRE.plain()))) == HIRE


@pytest.mark.parametrize(
    ("groups", "error", "text"),
    [
        ({"day": ["Mon", "Tuesday"]}, UnknownName, "no feature of stream 'a' is called 'Tuesday'.*Did you mean 'Tue'"),
        ({"day": ["Mon"], "week": ["Mon", "Tue"]}, DuplicateName, "grouped feature of stream 'a's are called 'Mon'"),
        ({"day": []}, BadSetting, "group 'day' of input stream 'a' is empty"),
        ({"heat": ["Mon", "Tue"]}, DuplicateName, "group 'heat' of input stream 'a' has the name of a feature"),
        ({"day": "Mon"}, BadSetting, r"a mapping \{group: \[feature, \.\.\.\]\}"),
        ([("day", ["Mon"])], BadSetting, r"a mapping \{group: \[feature, \.\.\.\]\}"),
    ],
)
def test_groups_are_checked_at_the_door(groups, error, text):
    with pytest.raises(error, match=text):
        Stream("a", (3,), features=("Mon", "Tue", "heat"), groups=groups)


@pytest.mark.parametrize("shape", [(), (4, None)])
def test_streams_without_features_have_nothing_to_group(shape):
    with pytest.raises(BadSetting, match="no last axis of known length"):
        Stream("a", shape, groups={"day": ["Mon"]})


def test_groups_are_laid_over_what_was_read_off_a_model():
    (merged,) = annotate_streams((Stream("input_1", (5,)),), {"hire": HIRE})
    assert merged.groups == HIRE.groups
    assert (merged.name, merged.dtype) == ("hire", "float32")


@pytest.mark.parametrize(
    ("players", "sizes", "map_shape", "mixed_by_hand"),
    [
        ("features", [6, 2], (2, 3), [[0, -1, 2, -1], [-1, -1, -1, -1]]),
        ("variables", [3, 2], (3,), [[0, -1, 2, -1], [4, -1, 6, -1]]),
        ("streams", [1, 1], (), [[0, 1, 2, 3], [4, 5, 6, 7]]),
    ],
)
def test_a_group_is_one_player_at_each_step_or_over_all(players, sizes, map_shape, mixed_by_hand):
    series = Stream("s", (2, 4), features=("Mon", "heat", "Tue", "wind"), groups={"day": ("Mon", "Tue")})
    rows = {"s": np.arange(8.0).reshape(1, 2, 4), "t": np.ones((1, 2))}
    masker = Masker.of(rows, players, [series, Stream("t", (2,))])
    assert masker.sizes == sizes
    assert masker.split(np.zeros((1, 1, masker.count)))["s"].shape == (1, 1, *map_shape)
    known = np.zeros((1, masker.count), dtype=bool)
    known[0, 0] = True
    mixed = masker.against_own(rows, {n: -np.ones_like(x) for n, x in rows.items()}, known)["s"][0]
    np.testing.assert_array_equal(mixed, mixed_by_hand)


def test_beside_patches_a_group_is_one_player():
    picture, table = Stream("p", (4, 4, 1)), dataclasses.replace(HIRE, name="t")
    rows = {"p": np.ones((1, 4, 4, 1)), "t": np.ones((1, 5))}
    masker = Masker.of_patches(rows, (picture, table), 2)
    assert masker.sizes == [4, 3]
    split = masker.split(np.arange(7.0)[None, None])
    assert split["p"].shape == (1, 1, 4, 4, 1)
    np.testing.assert_array_equal(split["t"], [[[4, 5, 6]]])


WEIGHTS = np.array([3.0, -1.0, 7.0])
DAYS = ("Mon", "Tue", "Wed")
HEADS = {"hires": 1}


def _recorded(seen):
    def hires(hire):
        seen.append(hire)
        return {"hires": hire[:, [0, 2, 3]] @ WEIGHTS + 2 * hire[:, 1]}

    return xm.adapt(hires, streams={"hire": HIRE}, heads={"hires": 1})


def _rows(rng, count):
    day = np.eye(3)[rng.integers(0, 3, count)]
    heat, wind = rng.normal(size=(2, count, 1))
    return np.concatenate([day[:, :1], heat, day[:, 1:], wind], axis=1)


def test_shapley_values_of_a_category_are_those_of_its_level(rng):
    seen = []
    x, background = _rows(rng, 6), _rows(rng, 9)
    explanation = xm.explain(_recorded(seen), {"hire": x}, "shapley", background=background)
    values = explanation["hire"].sel(head="hires")
    assert list(values["hire_feature"].values) == ["day", "heat", "wind"]
    level = x[:, [0, 2, 3]] @ WEIGHTS - (background[:, [0, 2, 3]] @ WEIGHTS).mean()
    np.testing.assert_allclose(values.sel(hire_feature="day"), level, atol=1e-12)
    np.testing.assert_allclose(values.sel(hire_feature="heat"), 2 * (x[:, 1] - background[:, 1].mean()), atol=1e-12)
    np.testing.assert_allclose(values.sel(hire_feature="wind"), 0, atol=1e-12)
    np.testing.assert_allclose(explanation["completeness_gap"], 0, atol=1e-12)
    assert explanation["hire_standard_error"].shape == explanation["hire"].shape
    for rows in seen:  # no row is asked for that has no weekday, or two
        np.testing.assert_array_equal(rows[:, [0, 2, 3]].sum(axis=1), 1)
        assert set(np.unique(rows[:, [0, 2, 3]])) == {0, 1}


def test_sampled_shapley_values_know_a_category_as_one(rng):
    numbers = tuple(f"n{i}" for i in range(10))
    stream = Stream("hire", (13,), "float64", features=(*numbers, "Mon", "Tue", "Wed"), groups={"day": DAYS})
    seen = []

    def hires(hire):
        seen.append(hire)
        return {"hires": hire[:, 10:] @ WEIGHTS + hire[:, 0]}

    model = xm.adapt(hires, streams=[stream], heads={"hires": 1})
    x = np.concatenate([rng.normal(size=(9, 10)), np.eye(3)[rng.integers(0, 3, 9)]], axis=1)
    sampled = xm.explain(model, x[:3], xm.explainers.Shapley(budget=100), background=x[3:])["hire"].sel(head="hires")
    level = x[:, 10:] @ WEIGHTS
    np.testing.assert_allclose(sampled.sel(hire_feature="day"), level[:3] - level[3:].mean(), atol=1e-9)
    for rows in seen:
        np.testing.assert_array_equal(rows[:, 10:].sum(axis=1), 1)


def test_a_category_in_columns_gets_what_its_code_would_get(rng):
    effects = rng.normal(size=(3, 2))

    def of_codes(code, heat):
        return {"hires": effects[code[:, 0], (heat[:, 0] > 0).astype(int)] * heat[:, 0]}

    def of_columns(day, heat):
        return of_codes(day.argmax(axis=1)[:, None], heat)

    heat, code = xm.Stream("heat", (1,), "float64"), rng.integers(0, 3, (12, 1))
    values = rng.normal(size=(12, 1))
    coded = xm.adapt(of_codes, streams=[xm.Stream("code", (1,), "int64"), heat], heads={"hires": 1})
    day = xm.Stream("day", (3,), "float64", features=DAYS, groups={"day": DAYS})
    spread = xm.adapt(of_columns, streams=[day, heat], heads={"hires": 1})
    ours = xm.explain(spread, [np.eye(3)[code[:, 0]], values], "shapley")
    theirs = xm.explain(coded, [code, values], "shapley")
    np.testing.assert_allclose(ours["day"].values, theirs["code"].values, atol=1e-12)
    np.testing.assert_allclose(ours["heat"].values, theirs["heat"].values, atol=1e-12)


def test_occlusion_takes_a_category_away_as_a_whole(rng):
    x, background = _rows(rng, 4), _rows(rng, 5)
    method = xm.explainers.Occlusion(baseline="background")
    explanation = xm.explain(_recorded([]), {"hire": x}, method, background=background)
    level = x[:, [0, 2, 3]] @ WEIGHTS - (background[:, [0, 2, 3]] @ WEIGHTS).mean()
    np.testing.assert_allclose(explanation["hire"].sel(head="hires", hire_feature="day"), level, atol=1e-12)


def test_a_run_with_other_groups_may_not_go_on_with_a_store(rng, tmp_path):
    x = _rows(rng, 4)
    ungrouped = xm.adapt(
        lambda hire: {"hires": hire[:, 0]}, streams=[dataclasses.replace(HIRE, groups={})], heads=HEADS
    )
    grouped = xm.adapt(ungrouped.function, streams=[HIRE], heads=HEADS)
    for first, other in ((ungrouped, grouped), (grouped, ungrouped)):
        store = tmp_path / f"{first.streams[0].variables[0]}.zarr"
        kept = xm.explain(first, x, "shapley", store=store)
        assert kept.equals(xm.explain(first, x, "shapley", store=store))
        with pytest.raises(FileProblem, match="holds another run: its groups is"):
            xm.explain(other, x, "shapley", store=store)


def test_a_file_keeps_groups(rng, tmp_path):
    explanation = xm.explain(_recorded([]), {"hire": _rows(rng, 3)}, "shapley", background=_rows(rng, 3))
    again = xm.load(xm.save(explanation, tmp_path / "e.nc"))
    assert streams_of(again) == (HIRE,)
    assert list(again["hire_feature"].values) == ["day", "heat", "wind"]
