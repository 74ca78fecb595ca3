"""Maps that were there before a comparison are scored as they are, or refused with the reason."""

import json
from typing import Any

import numpy as np
import pytest
import xarray as xr

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import imported
from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.explained import explain_all
from xai_mimo.comparison.request import read_request
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, BadValues, MetricFailed, NotSupported, SchemaError, UnknownName
from xai_mimo.core.explanation import join, stream_names
from xai_mimo.metrics.scene import CANNOT_AGAIN

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

FAST = Settings(resamples=100, steps=4, controls=1)
QUICK = ["gini", "spearman", "symmetric_gain"]


class Other(toys.Toy):
    """The same model after another step of training."""

    def fingerprint(self) -> str:
        return "1" * 16


@pytest.fixture
def ready(model: Any, data: Any) -> xr.Dataset:
    return xm.explain(model, data, "input_x_gradient", seed=5)


def values(result: Any, metric: str, role: str = "value") -> dict[tuple[Any, ...], Any]:
    rows = [r for r in result.record.scores if (r.metric, r.role) == (metric, role)]
    return {(r.method, r.other, r.head, r.k): r.estimate for r in rows}


def test_a_ready_map_is_scored_as_the_same_map_made_in_the_comparison(model: Any, data: Any, ready: Any) -> None:
    both = compare(model, data, {"made": "input_x_gradient", "ready": ready}, settings=FAST)
    for metric in ("gini", "deletion_area", "insertion_area", "symmetric_gain", "signed_gain", "effect_overlap"):
        found = values(both, metric)
        for (method, *rest), estimate in found.items():
            if method == "ready":
                assert estimate == pytest.approx(found["made", *rest], nan_ok=True), metric
    assert {v for v in values(both, "spearman").values() if v is not None} == {1.0}
    made, own = (both.verdicts.query("method == @label") for label in ("made", "ready"))
    assert made["verdict"].tolist() == own["verdict"].tolist()
    assert set(made["verdict"]) != {"undecided"}
    np.testing.assert_array_equal(
        both.explanations["thermal"].sel(explainer="ready"), both.explanations["thermal"].sel(explainer="made")
    )


def test_what_is_alone_needs_no_method_to_run(model: Any, data: Any, ready: Any) -> None:
    for methods in (ready, [ready], {"input_x_gradient": ready}):
        result = compare(model, data, methods, metrics=["gini", "symmetric_gain"], settings=FAST)
        assert [m.label for m in result.record.methods] == ["input_x_gradient"]
    assert set(result.verdicts["head"]) == {"risk", "life", "dead"}


def test_the_record_says_where_a_ready_map_comes_from(model: Any, data: Any, ready: Any) -> None:
    methods = ["gradient", ready, ready.assign_attrs(made_with="pencil 2", settings="{}", seed="none")]
    result = compare(model, data, methods, metrics=QUICK, settings=FAST, seed=3)
    gradient, mine, other = result.record.methods
    assert [m.label for m in result.record.methods] == ["gradient", "input_x_gradient", "input_x_gradient 2"]
    assert result.explanations["explainer"].values.tolist() == [m.label for m in result.record.methods]
    assert result.record.title == "Comparison of gradient, input_x_gradient, input_x_gradient 2"
    assert gradient.ready is None
    assert gradient.seconds is not None
    assert "ready" not in result.to_dict()["methods"][0]
    assert (mine.name, mine.seed, mine.seconds) == ("input_x_gradient", 5, None)
    assert mine.settings == json.loads(ready.attrs["settings"])
    assert mine.ready == f"ready map, made by explain of xai-mimo {xm.__version__}"
    assert (other.ready, other.seed, other.settings) == ("ready map, made with pencil 2", None, {})
    assert other.reference == ready.attrs["reference"]
    assert ready.attrs["reference"] in result.record.references
    again = xm.comparison.result.Comparison(result.explanations, type(result.record)(**vars(result.record)))
    assert again.to_dict() == result.to_dict()


def test_what_needs_the_method_again_has_no_number_and_says_why(model: Any, data: Any, ready: Any) -> None:
    metrics = ["spearman", "max_sensitivity", "local_lipschitz"]
    result = compare(model, data, {"made": "gradient", "ready": ready}, metrics=metrics, settings=FAST)
    for metric in metrics[1:]:
        rows = [r for r in result.record.scores if r.metric == metric]
        assert {r.note for r in rows if r.method == "ready"} == {CANNOT_AGAIN}
        assert {r.estimate for r in rows if r.method == "ready"} == {None}
        assert all(r.estimate is not None for r in rows if r.method == "made" and r.head != "dead")
        assert len([r for r in rows if r.method == "ready"]) == 3
    ceilings = [r for r in result.record.scores if r.role == "ceiling"]
    assert {r.estimate for r in ceilings} == {None}
    assert all("ready was not run twice" in r.note for r in ceilings)
    assert not [d for d in result.record.differences if d.metric == "max_sensitivity"]


def test_random_weights_are_not_drawn_for_ready_maps_alone(model: Any, data: Any, ready: Any) -> None:
    class Randomisable(toys.Toy):
        randomisation = "drawn anew"

        def randomised(self, rng: Any) -> Any:
            raise AssertionError("drawn")

    whole = Randomisable(model.streams, model.heads, model.forward, jacobian=model.jacobian)
    result = compare(whole, data, ready, metrics=["parameter_randomisation"], settings=FAST)
    assert {(r.estimate, r.note) for r in result.record.scores} == {(None, CANNOT_AGAIN)}
    with pytest.raises(MetricFailed, match="drawn"):
        compare(whole, data, [ready, "gradient"], metrics=["parameter_randomisation"], settings=FAST)


def test_a_metric_that_does_not_know_ready_maps_is_told(model: Any, data: Any, ready: Any) -> None:
    arguments: dict[str, Any] = dict.fromkeys(
        ("metrics", "labels", "task", "truth", "vocabulary", "targets", "background", "at", "space", "players", "rows")
    )
    request = read_request(
        model, data, {"mine": ready}, **arguments, on="output", seed=0, settings=FAST, title="", command=""
    )
    from xai_mimo.core.progress import steps

    explained = explain_all(request, steps(None, "", request.steps))
    assert explained.scene.ready == ("mine",)
    with pytest.raises(NotSupported, match=r"'mine' is a ready map: the method that made it cannot be run again here"):
        explained.scene.explain_again("mine")


def test_a_map_from_a_file_or_a_store_is_the_same(model: Any, data: Any, ready: Any, tmp_path: Any) -> None:
    imported("zarr")
    file = xm.load(xm.save(ready, tmp_path / "ready.nc"))
    store = xm.explain(model, data, "input_x_gradient", store=tmp_path / "ready.zarr", seed=5)
    result = compare(model, data, {"file": file, "store": store, "memory": ready}, metrics=QUICK, settings=FAST)
    for label in ("file", "store"):
        for name in stream_names(ready):
            np.testing.assert_array_equal(result.explanations[name].sel(explainer=label), ready[name])
    assert {m.seed for m in result.record.methods} == {5}


def test_rows_are_found_by_their_numbers(model: Any, data: Any, ready: Any) -> None:
    turned = ready.isel(sample=np.random.default_rng(0).permutation(40))
    result = compare(model, data, {"mine": turned, "made": "input_x_gradient"}, rows=12, seed=1, metrics=QUICK)
    numbers = result.explanations["sample"].values
    assert len(numbers) == 12
    for label in ("mine", "made"):
        np.testing.assert_array_equal(result.explanations["wear"].sel(explainer=label), ready["wear"][:, numbers])
    picked = {name: x[numbers] for name, x in data.items()}
    few = xm.explain(model, picked, "input_x_gradient")
    again = compare(model, data, {"mine": few, "joined": result.explanations.sel(explainer="made")}, rows=12, seed=1)
    for label in ("mine", "joined"):
        np.testing.assert_array_equal(again.explanations["wear"].sel(explainer=label), ready["wear"][:, numbers])


def test_other_rows_are_refused(model: Any, data: Any, ready: Any) -> None:
    turned = {name: x[::-1].copy() for name, x in data.items()}
    with pytest.raises(BadValues, match=r"ready map 'mine' cannot be compared: the rows of the comparison are not tho"):
        compare(model, turned, {"mine": ready}, settings=FAST)
    with pytest.raises(BadValues, match=r"it lacks 30 of the 40 rows of the comparison, row 10 the first"):
        compare(model, data, {"mine": ready.isel(sample=slice(10))}, settings=FAST)


def test_the_map_of_another_model_is_refused(model: Any, data: Any, ready: Any) -> None:
    trained = Other(model.streams, model.heads, model.forward, jacobian=model.jacobian)
    with pytest.raises(NotSupported, match=r"another model \(fingerprint 000000000000.*this model's is 111111111111"):
        compare(trained, data, {"mine": ready}, settings=FAST)
    del (nameless := ready.copy()).attrs["fingerprint"]
    with pytest.raises(NotSupported, match="does not say of which model it was made"):
        compare(model, data, {"mine": nameless}, settings=FAST)


def test_predictions_that_are_not_the_models_are_refused(model: Any, data: Any, ready: Any) -> None:
    wrong = ready.copy(deep=True)
    wrong["prediction"][1, 7] += 0.5
    with pytest.raises(BadValues, match=r"it says that target 'life' is .* in row 7, and the model\s+answers"):
        compare(model, data, {"mine": wrong}, settings=FAST)
    near = ready.assign(prediction=ready["prediction"] * (1 + 1e-6))
    compare(model, data, {"mine": near}, metrics=["gini"], settings=FAST)


def test_targets_are_found_by_what_they_explain(data: Any) -> None:
    model = toys.mlp(streams={"thermal": 3, "wear": 2}, heads={"y": 1, "z": 3})
    ready = xm.explain(model, data, "gradient", targets=[("z", 2), ("z", 0), ("y", 0), ("z", 1)])
    targets: Any = [("y", 0), ("z", "predicted"), ("z", 0)]
    result = compare(model, data, {"mine": ready, "made": "gradient"}, targets=targets, metrics=QUICK, settings=FAST)
    assert result.explanations["head"].values.tolist() == ["y", "z:predicted", "z:0"]
    units = result.explanations["unit"].sel(head="z:predicted").values
    assert set(units) == {0, 1, 2}
    for name in stream_names(ready):
        np.testing.assert_array_equal(*(result.explanations[name].sel(explainer=label) for label in ("mine", "made")))
    with pytest.raises(UnknownName, match=r"it has nothing for target 'y' \(head 'y', unit 0 in\s+row 0\)"):
        compare(model, data, {"mine": ready.isel(head=[0, 1])}, settings=FAST)
    with pytest.raises(UnknownName, match=r"it explains: z:2, z:0\. Name the targets that it has"):
        compare(model, data, {"mine": ready.isel(head=[0, 1])}, targets=[("z", "predicted")], settings=FAST)
    old = ready.isel(head=[2])
    del old.attrs["targets"]
    compare(model, data, {"mine": old.assign_coords(head=["y"])}, targets=["y"], metrics=["gini"], settings=FAST)


def test_maps_on_the_logit_go_with_comparisons_on_the_logit(rng: np.random.Generator) -> None:
    def risk(u: Any) -> dict[str, Any]:
        return {"risk": 1 / (1 + np.exp(-u.sum(1))), "load": u[:, 0], "wear": 1 / (1 + np.exp(-u[:, 1]))}

    model = xm.adapt(risk, streams={"u": 3}, heads={"risk": "binary", "load": 1, "wear": "binary"})
    x = rng.normal(size=(15, 3))
    ready = xm.explain(model, x, "shapley", on="logit", targets=["risk"])
    result = compare(model, x, {"mine": ready}, on="logit", targets=["risk"], metrics=["gini"], settings=FAST)
    assert result.record.settings["on"] == "logit"
    others = xm.explain(model, x, "shapley", on="logit")
    compare(model, x, {"mine": others, "s": "shapley"}, on="logit", targets=["risk"], metrics=["gini"], settings=FAST)
    with pytest.raises(NotSupported, match=r"made on='logit', and the comparison is on='output'.*in another unit"):
        compare(model, x, {"mine": ready}, targets=["risk"], settings=FAST)
    guessed = ready.assign_attrs(explained_value=json.dumps({"risk": "a guess"}))
    with pytest.raises(NotSupported, match=r"of head 'risk' it explains a guess, and the comparison log-odds"):
        compare(model, x, {"mine": guessed}, on="logit", targets=["risk"], settings=FAST)


@pytest.mark.parametrize(
    ("space", "players"),
    [("variables", None), ("streams", None), (None, {"hot": {"thermal": ["air"]}, "rest": "rest"})],
)
def test_a_map_of_single_values_is_summed_as_the_others_are(
    model: Any, data: Any, ready: Any, space: Any, players: Any
) -> None:
    first = compare(
        model,
        data,
        {"mine": ready, "made": "input_x_gradient"},
        space=space,
        players=players,
        metrics=["gini"],
        settings=FAST,
    )
    names = stream_names(first.explanations)
    for name in names:
        np.testing.assert_array_equal(*(first.explanations[name].sel(explainer=label) for label in ("mine", "made")))
    # What lives in that space already is taken as it is.
    summed = first.explanations.sel(explainer="mine")
    again = compare(model, data, {"mine": summed}, space=space, players=players, metrics=["gini"], settings=FAST)
    for name in names:
        np.testing.assert_array_equal(again.explanations[name][0], summed[name])
    if space != "variables":  # variables of tables are their features, and have the same space
        with pytest.raises(
            NotSupported, match=r"across spaces\. Its values are sums already|players with names \(hot, rest\)"
        ):
            compare(model, data, {"mine": summed}, settings=FAST)


def test_values_of_players_are_not_taken_for_single_values(model: Any, data: Any) -> None:
    players = {"hot": {"thermal": ["air"], "wear": "all"}, "rest": "rest"}
    named = xm.explain(model, data, xm.explainers.Shapley(players=players))
    with pytest.raises(NotSupported, match=r"made by players with names \(hot, rest\).*players=\.\.\."):
        compare(model, data, {"mine": named}, settings=FAST)
    compare(model, data, {"mine": named}, players=players, metrics=["gini"], settings=FAST)
    whole = xm.explain(model, data, xm.explainers.Shapley(players="streams"))
    with pytest.raises(SchemaError, match=r"ready map 'mine' has 2 values a row, and the comparison is of 5 inputs"):
        compare(model, data, {"mine": whole}, settings=FAST)
    compare(model, data, {"mine": whole}, space="streams", metrics=["gini"], settings=FAST)


def test_a_map_at_a_layer_says_where_the_comparison_takes_place(rng: np.random.Generator) -> None:
    model = toys.attention()
    x = toys.rows(model, 12)
    layer = xm.explain(model, x, "input_x_gradient", at="mail")
    result = compare(model, x, {"mine": layer, "made": "input_x_gradient"}, metrics=["gini"], settings=FAST)
    assert result.record.space.name == layer.attrs["space"] != "inputs"
    for name in stream_names(layer):
        np.testing.assert_array_equal(*(result.explanations[name].sel(explainer=label) for label in ("mine", "made")))
    inputs = xm.explain(model, x, "input_x_gradient")
    with pytest.raises(NotSupported, match=r"lives in the space 'inputs', and the comparison in 'at:.*mail'"):
        compare(model, x, {"mine": inputs, "own": "interception"}, settings=FAST)
    other = layer.assign_attrs(space="at:encoder")
    with pytest.raises(BadSetting, match=r"lie at different layers \('mine' at .*; 'other' at encoder\)"):
        compare(model, x, {"mine": layer, "other": other}, settings=FAST)
    with pytest.raises(NotSupported, match=r"the space 'at:.*Give at='"):
        compare(model, x, {"mine": layer}, space="inputs", settings=FAST)
    raw = toys.attention(raw=True)
    own = xm.explain(raw, x, "interception", at="mail")
    compared = compare(raw, x, {"own": own, "ig": "integrated_gradients"}, metrics=["gini"], settings=FAST)
    assert compared.record.space.name == "inputs"


def test_what_is_no_one_explanation_is_refused(model: Any, data: Any, ready: Any) -> None:
    joined = join({"a": ready, "b": ready})
    with pytest.raises(BadSetting, match=r"'mine' holds the explanations of several methods; .*sel\(explainer='a'\)"):
        compare(model, data, {"mine": joined}, settings=FAST)
    with pytest.raises(SchemaError, match=r"the ready map 'mine' cannot be compared: this dataset's schema is None"):
        compare(model, data, {"mine": xr.Dataset()}, settings=FAST)
    with pytest.raises(SchemaError, match=r"the ready map 'number 2' cannot be compared"):
        compare(model, data, ["gradient", xr.Dataset()], settings=FAST)
    broken = ready.copy(deep=True)
    broken["wear"][0, 3, 1] = np.nan
    with pytest.raises(
        SchemaError, match=r"'mine' cannot be compared: .*NaN or infinite attributions for stream 'wear'"
    ):
        compare(model, data, {"mine": broken}, settings=FAST)


def test_what_other_packages_give_is_told_its_way_in(model: Any, data: Any) -> None:
    explanation = type("Explanation", (), {"__module__": "shap._explanation"})()
    tensor = type("Tensor", (), {"__module__": "torch"})()
    with pytest.raises(BadSetting, match=r"'mine' is a Explanation of shap; .*xai_mimo\.from_shap\(\.\.\., model, x"):
        compare(model, data, {"mine": explanation}, settings=FAST)
    with pytest.raises(BadSetting, match=r"'mine' is a Tensor of torch; .*xai_mimo\.from_captum"):
        compare(model, data, {"mine": tensor}, settings=FAST)


def test_the_page_says_which_maps_were_ready(model: Any, data: Any, ready: Any, tmp_path: Any) -> None:
    made = ready.assign_attrs(made_with="pencil 2; settings unknown", settings="{}", seed="none")
    result = compare(model, data, {"mine": made, "gradient": "gradient"}, metrics=QUICK, settings=FAST)
    page = result.report(tmp_path / "report.html").read_text()
    assert "ready map, made with pencil 2; settings unknown" in page
    assert "it was not run again" in page
    assert ">None<" not in page
