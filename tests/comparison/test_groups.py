"""Categories in a comparison: one player for all methods, whether they know of groups or not."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.method import Attribution
from xai_mimo.core.targets import take
from xai_mimo.record.check import from_dict

pytestmark = pytest.mark.all_frameworks

DAYS = ("day=Mon", "day=Tue", "day=Wed")
HIRE = xm.Stream("hire", (5,), "float64", features=(*DAYS, "heat", "wind"), groups={"day": DAYS})
EFFECTS = np.array([3.0, -1.0, 7.0, 2.0, 0.0])


@dataclass(frozen=True)
class Weights:
    """A map of every column that has no sign, as a layer's attention is one."""

    name: ClassVar[str] = "weights"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = np.broadcast_to([0.1, 0.1, 0.2, 0.3, 0.3], (len(selectors), *inputs["hire"].shape))
        return Attribution({"hire": values}, take(model.predict(inputs), selectors), signed=False)


@dataclass(frozen=True)
class Effects:
    """A map of every column: its effect where it is on, against the background's mean."""

    name: ClassVar[str] = "effects"
    reference: ClassVar[str] = ""

    def __call__(self, model, inputs, selectors, context):
        values = (inputs["hire"] - context.background["hire"].mean(axis=0)) * EFFECTS
        return Attribution({"hire": values[None]}, take(model.predict(inputs), selectors))


def rows(rng, count):
    return np.concatenate([np.eye(3)[rng.integers(0, 3, count)], rng.normal(size=(count, 2))], axis=1)


@pytest.fixture
def compared(rng):
    seen = []

    def hires(hire):
        seen.append(hire)
        return {"hires": hire @ EFFECTS}

    model = xm.adapt(hires, streams={"hire": HIRE}, heads={"hires": 1})
    x, background = rows(rng, 30), rows(rng, 40)
    result = xm.compare(
        model,
        {"hire": x},
        [xm.explainers.Shapley(background_rows=40), Effects(), Weights()],
        truth={"hires": {"hire": ["day=Tue", "heat"]}},
        background={"hire": background},
        settings=Settings(resamples=200),
    )
    return result, x, seen


def test_all_maps_lie_on_the_same_players(compared):
    result, _, _ = compared
    assert list(result.explanations["hire_feature"].values) == ["day", "heat", "wind"]
    own = result.explanations["hire"].sel(explainer="shapley").values
    np.testing.assert_allclose(result.explanations["hire"].sel(explainer="effects"), own, atol=1e-9)
    np.testing.assert_allclose(result.explanations["hire"].sel(explainer="weights").values[0, 0], [0.4, 0.3, 0.3])
    assert set(result.features["feature"]) == {"day", "heat", "wind"}
    assert "Columns of one category count as one (day)" in result.record.space.text


def test_the_model_is_only_asked_for_rows_that_can_be(compared):
    _, _, seen = compared
    for asked in seen:
        assert set(np.unique(asked[:, :3])) == {0.0, 1.0}
        np.testing.assert_array_equal(asked[:, :3].sum(axis=1), 1.0)


def test_a_column_in_the_truth_stands_for_its_category(compared):
    result, _, _ = compared
    assert result.record.truth == {"hires": {"hire": ("day", "heat")}}
    assert result.record.true_features == {"hires": {"hire": ("day", "heat")}}
    shares = result.scores.query("metric == 'share' and role == 'value'").set_index("method")["estimate"]
    assert shares["shapley"] == 1
    np.testing.assert_allclose(shares["weights"], 0.7)


def test_an_example_shows_the_level(compared):
    result, x, _ = compared
    for example in result.record.examples:
        level = DAYS[int(x[example.row, :3].argmax())].removeprefix("day=")
        assert example.levels == {"hire": {"day": level}}
        assert len(example.inputs["hire"]) == 3


def test_the_record_keeps_groups_and_older_ones_have_none(compared, tmp_path):
    result, _, _ = compared
    plain = result.to_dict()
    (of_model,) = plain["model"]["streams"]
    (of_space,) = plain["space"]["streams"]
    assert of_model["features"] == list(HIRE.features)
    assert of_space["features"] == ["day", "heat", "wind"]
    assert of_model["groups"] == of_space["groups"] == {"day": list(DAYS)}
    assert from_dict(plain) == result.record
    for row in (of_model, of_space, *plain["examples"]):
        row.pop("groups", None)
        row.pop("levels", None)
    older = from_dict(plain)
    assert older.model.streams[0].groups is None
    page = result.report(tmp_path / "r.html").read_text()
    assert '<th scope="row">day' in page
    assert '<td class="num">Tue</td>' in page or '<td class="num">Wed</td>' in page


@pytest.mark.parametrize("named", [["day"], ["day=Mon"], ["day", "day=Wed"]])
def test_the_truth_may_name_the_category_or_any_column(named, rng):
    from xai_mimo.comparison.truth import check_truth

    assert check_truth({"hires": {"hire": named}}, ["hires"], [HIRE]) == {"hires": {"hire": ("day",)}}


@pytest.mark.parametrize("space", ["variables", "streams"])
def test_series_of_categories_count_as_one_in_every_space(space, rng):
    series = xm.Stream("s", (4, 4), "float64", features=("Mon", "Tue", "heat", "wind"), groups={"day": ("Mon", "Tue")})
    other = xm.Stream("t", (1,), "float64")

    def f(s, t):
        return {"y": s[:, :, 0].sum(axis=1) + 2 * s[:, -1, 2] + t[:, 0]}

    model = xm.adapt(f, streams=[series, other], heads={"y": 1})
    x = {"s": rng.normal(size=(12, 4, 4)), "t": rng.normal(size=(12, 1))}
    players = xm.explainers.Shapley(players="variables" if space == "variables" else "features", budget=200)
    result = xm.compare(model, x, [players, "occlusion"], space=space, settings=Settings(resamples=200))
    if space == "variables":
        assert list(result.explanations["s_feature"].values) == ["day", "heat", "wind"]
    else:
        assert result.explanations["s"].dims == ("explainer", "head", "sample")


def test_regions_and_drops_of_series_are_scored_over_variables(rng):
    series = xm.Stream("s", (4, 4), "float64", features=("Mon", "Tue", "heat", "wind"), groups={"day": ("Mon", "Tue")})
    model = xm.adapt(
        lambda s: {"y": 1 / (1 + np.exp(-4 * s[:, 1, 0]))}, streams=[series], heads={"y": xm.Head("y", kind="binary")}
    )
    x = rng.normal(size=(12, 4, 4))
    region = np.zeros((12, 4, 4), dtype=bool)
    region[:, 1, 0] = True  # one column of the category
    result = xm.compare(model, x, ["occlusion"], truth={"y": {"s": region}}, settings=Settings(resamples=200))
    values = result.scores.query("role == 'value'").set_index("metric")["estimate"]
    assert values["mass_in_region"] == 1
    assert values["pointing_game"] == 1
    assert np.isfinite(values["average_drop"])
    np.testing.assert_allclose(result.record.regions["y"]["s"], 1 / 12)


def test_a_category_does_not_move_a_little(rng):
    seen = []

    def f(hire):
        seen.append(hire)
        return {"hires": hire @ EFFECTS}

    x = rows(rng, 12)
    xm.compare(
        xm.adapt(f, streams={"hire": HIRE}, heads={"hires": 1}),
        x,
        [Effects(), "occlusion"],
        metrics=["max_sensitivity"],
        settings=Settings(resamples=200, ceilings=False),
    )
    moved = [asked for asked in seen if len(asked) == 12 and not np.array_equal(asked[:, 3:], x[:, 3:])]
    assert moved
    for asked in moved:
        np.testing.assert_array_equal(asked[:, :3], x[:, :3])


@needs("keras")
@pytest.mark.parametrize("standardised", [False, True])
def test_gradients_and_attention_are_summed_over_a_category(standardised, rng):
    import keras

    from xai_mimo.layers import MAIL

    hire = keras.Input((5,), name="hire")
    read = keras.layers.Rescaling(2.0, 0.5, name="scaled")(hire) if standardised else hire
    net = keras.Model(hire, MAIL({"hires": 4}, name="mail")({"hire": read}))
    net = keras.Model(hire, {"hires": keras.layers.Dense(1, name="out")(net(hire)["hires"])})
    model = xm.adapt(net, streams={"hire": HIRE})
    assert model.streams[0].groups == {"day": DAYS}
    x = rows(rng, 12).astype("float32")
    methods = ["integrated_gradients", "interception", "shapley"]
    result = xm.compare(model, x, methods, background=x, settings=Settings(resamples=200))
    at = "mail" if standardised else None
    for label in methods[:2]:
        alone = next(iter(xm.explain(model, x, label, background=x, at=at).data_vars.values())).values
        of_groups = np.concatenate([alone[..., :3].sum(axis=-1, keepdims=True), alone[..., 3:]], axis=-1)
        (name,) = (s.name for s in result.record.space.streams)
        np.testing.assert_allclose(result.explanations[name].sel(explainer=label), of_groups, atol=1e-6)
    assert result.record.space.name == ("at:mail" if standardised else "inputs")
    assert result.record.space.streams[0].features == ("day", "heat", "wind")
