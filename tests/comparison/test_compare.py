"""``compare`` end to end on a model that can be solved by hand."""

import doctest
import json
import math

import numpy as np
import pytest
from scipy import stats

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import BadSetting, EmptyData, FileProblem, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.explanation import features_of, validate
from xai_mimo.core.streams import Head
from xai_mimo.explainers import IntegratedGradients
from xai_mimo.record.check import check

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning"),
]

METHODS = ("gradient", "input_x_gradient")
TRUTH = {"risk": {"thermal": ["air", "process"]}, "life": ["wear"], "dead": []}
FAST = Settings(resamples=200)


@pytest.fixture
def result(model, data):
    labels = {"risk": np.arange(40.0)}  # the row's number, to be found again beside examples
    learnt = {"model": "m", "head": "risk", "metric": "r2", "estimate": 0.9, "low": None, "high": None, "seeds": 1}
    task = [learnt | {"chance": 0.0}]
    return compare(model, data, METHODS, truth=TRUTH, labels=labels, task=task, settings=FAST, seed=3)


def pick(result, **wanted):
    rows = [r for r in result.record["scores"] if all(r[k] == v for k, v in wanted.items())]
    assert rows, f"no score with {wanted}"
    return rows


def test_the_record_follows_the_documented_layout(result):
    check(result.to_dict())
    assert result.to_dict() == json.loads(result.to_json())
    assert len(result.scores) == len(result.record["scores"])
    assert list(result.scores.columns) == (
        ["head", "family", "metric", "method", "other", "role", "k", "estimate", "low", "high", "rows", "note"]
    )


def test_the_example_of_the_documentation_runs():
    (example,) = doctest.DocTestFinder().find(compare, "compare")
    outcome = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example)
    assert outcome.attempted == 11
    assert outcome.failed == 0


def test_the_metrics_that_ran_are_a_table(result):
    table = result.metrics.set_index("name")
    assert set(table.index) == set(result.scores.metric)
    assert table.loc["insertion_area", "better"] == "smaller"


def test_every_number_is_finite_or_null_with_a_note(result):
    def walk(value):
        if isinstance(value, float):
            assert math.isfinite(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            walk(inner)

    walk(result.to_dict())
    for table in ("scores", "differences", "shares", "features"):
        for row in result.record[table]:
            if row["low"] is None:
                assert row["note"]


def test_explanations_are_one_valid_dataset(result, model, data):
    validate(result.explanations)
    ixg = result.explanations.sel(explainer="input_x_gradient")
    np.testing.assert_allclose(ixg["thermal"].sel(head="risk"), data["thermal"] * [4.0, -3.0, 2.0])


def test_agreement_has_floors_and_a_ceiling_beside_it_and_equals_scipy(result):
    a, b = (features_of(result.explanations.sel(explainer=m)).sel(head="risk").values for m in METHODS)
    slow = np.mean([stats.spearmanr(abs(u), abs(v)).statistic for u, v in zip(a, b, strict=True)])
    rows = {r["role"]: r for r in pick(result, head="risk", metric="spearman", method=METHODS[0], other=METHODS[1])}
    assert set(rows) == {"value", "floor_random", "floor_permuted", "ceiling"}
    assert rows["value"]["estimate"] == pytest.approx(slow)
    assert abs(rows["floor_random"]["estimate"]) < 0.25
    assert rows["ceiling"]["estimate"] == pytest.approx(1.0)
    assert "another seed" in rows["ceiling"]["note"]


def test_top_sizes_stay_below_the_number_of_features(result):
    assert {r["k"] for r in pick(result, metric="feature_agreement")} == {1, 3}


def test_faithfulness_of_the_exact_map_beats_the_random_control(result):
    gain = next(
        d
        for d in result.record["differences"]
        if (d["head"], d["metric"], d["method"], d["other"]) == ("risk", "deletion_area", "input_x_gradient", "random")
    )
    assert gain["low"] > 0
    assert gain["p"] <= gain["p_corrected"] < 0.05
    control = pick(result, head="risk", metric="deletion_area", role="control_random")[0]
    ours = pick(result, head="risk", metric="deletion_area", method="input_x_gradient")[0]
    assert ours["estimate"] - control["estimate"] == pytest.approx(gain["estimate"])


def test_truth_is_scored_per_head_with_chance_beside_it(result):
    (auroc,) = pick(result, head="risk", metric="auroc_mean_map", method="gradient", role="value")
    assert auroc["estimate"] == 1.0
    (share,) = pick(result, head="life", metric="share", method="gradient", role="value")
    assert share["estimate"] == 1.0
    (chance,) = pick(result, head="life", metric="share", method="gradient", role="floor_random")
    assert chance["estimate"] == pytest.approx(2 / 5)
    nothing = pick(result, head="dead", family="ground_truth", method="gradient")
    assert [r["estimate"] for r in nothing] == [None]
    assert "nothing is true for this head" in nothing[0]["note"]


def test_the_mean_map_is_tested_over_features(result):
    (value,) = pick(result, head="risk", metric="auroc_mean_map", method="gradient", role="value")
    assert (value["low"], value["high"]) == (None, None)
    assert "tested over features" in value["note"]
    rows = [d for d in result.record["differences"] if (d["head"], d["metric"]) == ("risk", "auroc_mean_map")]
    assert [(d["method"], d["other"], d["estimate"]) for d in rows] == [
        ("gradient", "chance", 0.5),
        ("input_x_gradient", "chance", 0.5),
    ]
    # Two of five features are true: of ten choices of two the highest and the lowest are as far from chance.
    assert [d["p"] for d in rows] == pytest.approx([0.2, 0.2])


def test_a_head_that_reads_nothing_is_undecided_and_never_nan(result):
    verdicts = {(v["head"], v["method"]): v for v in result.record["verdicts"]}
    assert verdicts["dead", "gradient"]["verdict"] == "undecided"
    assert "does not react" in verdicts["dead", "gradient"]["text"]
    assert verdicts["risk", "input_x_gradient"]["verdict"] == "supported"
    (row,) = pick(result, head="dead", metric="spearman", role="value")
    assert row["estimate"] is None
    assert "undefined in all 40 rows" in row["note"]
    assert {r["mean"] for r in result.record["shares"] if r["head"] == "dead"} == {None}


def test_shares_of_streams_that_a_head_does_not_read_are_zero(result):
    shares = {(r["method"], r["head"], r["stream"]): r["mean"] for r in result.record["shares"]}
    assert shares["gradient", "risk", "thermal"] == pytest.approx(1.0)
    assert shares["gradient", "risk", "wear"] == 0.0


def test_examples_show_the_highest_middle_and_lowest_prediction(result, model, data):
    predictions = model.predict(data)["risk"][:, 0]
    rows = [e for e in result.record["examples"] if e["head"] == "risk"]
    assert [e["row"] for e in rows] == [
        int(predictions.argmax()),
        int(predictions.argsort()[20]),
        int(predictions.argmin()),
    ]
    for e in rows:
        assert e["label"] == float(e["row"])
        np.testing.assert_allclose(e["inputs"]["thermal"], data["thermal"][e["row"]])
        np.testing.assert_allclose(e["values"]["gradient"]["thermal"], [4, -3, 2])


def test_an_example_names_the_class_that_was_explained_in_its_row(rng):
    x = rng.standard_normal((12, 2))
    classes = Head("kind", (2,), "multiclass", units=("cat", "dog"))
    model = xm.adapt(lambda s: {"kind": np.stack([s[:, 0], s[:, 1]], axis=1)}, streams={"s": 2}, heads=[classes])
    result = compare(model, x, ["occlusion"], settings=FAST)
    assert result.record.targets[0].unit == "predicted"
    for example in result.record.examples:
        assert example.unit == ("cat" if x[example.row, 0] > x[example.row, 1] else "dog")
        assert example.prediction == pytest.approx(x[example.row].max())
    assert set(result.examples["unit"]) == {e.unit for e in result.record.examples}


def test_the_same_seed_gives_the_same_record_and_another_does_not(model, data):
    def scores(seed):
        return compare(model, data, METHODS, settings=FAST, seed=seed).to_dict()["scores"]

    assert scores(1) == scores(1)
    assert scores(1) != scores(2)


def test_fewer_rows_are_drawn_by_the_seed_and_recorded(model, data):
    result = compare(model, data, ["gradient"], rows=12, settings=FAST)
    assert result.record["data"]["rows"] == 40
    assert result.record["data"]["explained_rows"] == 12
    samples = result.explanations["sample"].values
    assert len(samples) == 12
    np.testing.assert_allclose(
        result.explanations["prediction"].sel(explainer="gradient", head="risk"),
        model.predict({k: v[samples] for k, v in data.items()})["risk"][:, 0],
    )


def test_one_row_has_no_interval_and_no_verdict(model, data):
    one = {k: v[:1] for k, v in data.items()}
    result = compare(model, one, METHODS, truth=TRUTH, settings=FAST)
    check(result.to_dict())
    assert {r["low"] for r in result.record["scores"]} == {None}
    assert all(r["note"] for r in result.record["scores"])
    assert {v["verdict"] for v in result.record["verdicts"]} == {"undecided"}


def test_fewer_than_ten_rows_decide_nothing_and_ten_do(model, data):
    def verdict(rows):
        some = {name: x[:rows] for name, x in data.items()}
        result = compare(model, some, METHODS, targets=["risk"], background=data, settings=FAST)
        return result.record.verdicts[0]

    few = verdict(9)
    assert few.verdict == "undecided"
    assert few.text == "Nothing is said of head 'risk': only 9 rows were explained; verdicts ask for at least 10."
    assert verdict(10).verdict != "undecided"
    assert "only one row was explained;" in verdict(1).text


def test_stream_shares_can_be_compared_instead(model, data):
    result = compare(model, data, METHODS, space="streams", truth=TRUTH, settings=FAST)
    check(result.to_dict())
    assert result.record["space"]["name"] == "streams"
    assert result.explanations["thermal"].dims == ("explainer", "head", "sample")
    assert not any(m["signed"] for m in result.record["methods"])
    (row,) = pick(result, head="risk", metric="auroc_mean_map", method="gradient", role="value")
    assert row["estimate"] == 1.0
    assert result.record["features"] == []
    refused = pick(result, metric="sign_agreement", head="risk")
    assert all(r["estimate"] is None and "has no sign" in r["note"] for r in refused)


def test_a_single_method_has_no_agreement_but_everything_else(model, data):
    result = compare(model, data, ["gradient"], settings=Settings(resamples=200, ceilings=False))
    check(result.to_dict())
    assert {r["family"] for r in result.record["scores"]} == {"faithfulness", "complexity"}


def test_without_ceilings_the_record_says_so(model, data):
    result = compare(model, data, METHODS, settings=Settings(resamples=200, ceilings=False))
    (row,) = pick(result, head="risk", metric="kendall", role="ceiling")
    assert row["estimate"] is None
    assert row["note"] == "not measured: gradient was not run twice, and input_x_gradient was not run twice"


def test_methods_can_be_given_labels(model, data):
    result = compare(model, data, {"ours": "gradient", "theirs": "gradient"}, settings=FAST)
    assert list(result.explanations["explainer"].values) == ["ours", "theirs"]
    (row,) = pick(result, head="risk", metric="feature_agreement", k=1, role="value")
    assert row["estimate"] == 1.0


def test_heads_with_several_units_are_named_by_unit(model, data):
    class Wide:
        streams = None
        heads = (Head("both", (2,), units=("low", "high")),)

        def __init__(self, inner):
            self.inner, self.streams = inner, inner.streams

        def fingerprint(self):
            return "00"

        def predict(self, inputs):
            y = self.inner.predict(inputs)
            return {"both": np.concatenate([y["risk"], y["life"]], axis=1)}

        def gradients(self, inputs, selectors, streams=None):
            renamed = [s._replace(head=("risk", "life")[s.units[0]], units=s.units * 0) for s in selectors]
            return self.predict(inputs), self.inner.gradients(inputs, renamed)[1]

    result = compare(Wide(model), data, METHODS, truth={"both:high": ["wear"]}, settings=FAST)
    assert [t["unit"] for t in result.record["targets"]] == ["low", "high"]
    (row,) = pick(result, head="both:high", metric="share", method="gradient", role="value")
    assert row["estimate"] == 1.0
    assert not [r for r in result.record["scores"] if r["head"] == "both:low" and r["family"] == "ground_truth"]


def test_bad_arguments_are_refused(model, data):
    def run(**kwargs):
        return compare(model, data, ["gradient"], settings=FAST, **kwargs)

    with pytest.raises(UnknownName, match=r"no head is called 'rsk'.*Did you mean 'risk'"):
        run(truth={"rsk": {}})
    with pytest.raises(UnknownName, match=r"no input stream is called 'ware'.*Did you mean 'wear'"):
        run(truth={"risk": ["ware"]})
    with pytest.raises(UnknownName, match=r"no feature of stream 'wear' is called 'tol'.*Did you mean 'tool'"):
        run(truth={"risk": {"wear": ["tol"]}})
    with pytest.raises(BadSetting, match=r"expected {stream: .feature, ....} or .stream, ...."):
        run(truth={"risk": "wear"})
    with pytest.raises(UnknownName, match=r"no head is called 'lief'"):
        run(labels={"lief": np.zeros(40)})
    with pytest.raises(ShapeMismatch, match="labels of head 'risk' want one value per row, 40 as in the inputs"):
        run(labels={"risk": np.zeros(3)})
    with pytest.raises(BadSetting, match="rows must be a whole number of at least 1; got 0"):
        run(rows=0)
    with pytest.raises(BadSetting, match="space 'stream' is not one of"):
        run(space="stream")
    with pytest.raises(NotSupported, match="Leave 'interception' out of the methods"):
        compare(model, data, ["gradient", "interception"], settings=FAST)
    with pytest.raises(UnknownName, match=r"no method is called 'gradent'.*Did you mean 'gradient'"):
        compare(model, data, ["gradent"])
    with pytest.raises(EmptyData, match=r"no method"):
        compare(model, data, [])
    with pytest.raises(BadSetting, match="replacement 'zero' is not one of"):
        Settings(replacement="zero")


def test_a_file_that_cannot_be_written_says_so(result, tmp_path):
    path = tmp_path / "c.json"
    result.to_json(path)
    assert json.loads(path.read_text()) == result.to_dict()
    with pytest.raises(FileProblem, match="cannot write"):
        result.to_json(tmp_path)


def test_reports_are_written_from_the_record(result, tmp_path):
    page = result.report(tmp_path / "r.html").read_text()
    assert "risk" in page
    assert "supported" in page
    assert result.to_latex(tmp_path / "tables").exists()


def test_missing_labels_are_null_and_a_list_of_labels_follows_the_heads(model, data):
    labels = [np.where(np.arange(40) == 0, 1.5, np.nan), np.arange(40), np.zeros(40)]
    result = compare(model, data, ["gradient"], labels=labels, settings=Settings(resamples=200, ceilings=False))
    check(result.to_dict())
    shown = {e["row"]: e["label"] for e in result.record["examples"] if e["head"] == "risk"}
    assert None in shown.values()
    assert shown == {row: 1.5 if row == 0 else None for row in shown}
    assert all(e["label"] == e["row"] for e in result.record["examples"] if e["head"] == "life")


def test_a_head_known_to_depend_on_nothing_is_undecided_even_if_the_model_reacts(model, data):
    result = compare(model, data, METHODS, truth={"risk": []}, settings=FAST)
    row = next(v for v in result.record["verdicts"] if v["head"] == "risk")
    assert row["verdict"] == "undecided"
    assert "noise that the model has learned" in row["text"]


def test_gaps_of_the_record_follow_their_formula():
    machine = toys.mlp("relu", streams={"u": 4, "v": 3}, heads={"y": 1, "z": 2}, scale=3.0)
    x = toys.rows(machine, 60)
    method = IntegratedGradients(steps=2)
    result = compare(machine, x, [method], settings=Settings(resamples=200, ceilings=False), seed=3)
    maps = xm.explain(machine, x, method)
    rows = {row["head"]: row for row in result.record["gaps"]}
    assert list(rows) == ["y", "z:0", "z:1"]
    for head, row in rows.items():
        one = maps.sel(head=head)
        a = np.concatenate([one["u"].values, one["v"].values], axis=1)
        change = one["prediction"].values - one["baseline_prediction"].values
        floor = 0.1 * np.abs(a).sum(axis=1)
        assert 0 < (floor > np.abs(change)).sum() < len(a)  # both terms of the scale decide for some rows
        relative = np.abs(a.sum(axis=1) - change) / np.maximum(np.abs(change), floor)
        assert row["relative_quantiles"] == pytest.approx(
            {q: np.quantile(relative, float(q)) for q in ("0.5", "0.9", "0.99", "1")}, rel=1e-12
        )
        assert row["share_within"] == (relative <= row["tolerance"]).mean()


def test_a_head_that_moves_by_a_thousandth_of_its_value_does_react(data):
    def barely(thermal):
        return {"y": 1000 + thermal[:, 0]}

    model = xm.adapt(barely, streams={"thermal": 3}, heads={"y": 1})
    settings = Settings(resamples=200, steps=3, controls=1, ceilings=False)
    result = xm.compare(model, {"thermal": data["thermal"]}, ["occlusion"], settings=settings)
    (verdict,) = result.record.verdicts
    assert "does not react" not in verdict.text


@pytest.mark.parametrize("count", [1, 4])
def test_rows_that_equal_the_background_are_said_to_and_not_the_head_to_be_dead(model, data, count):
    alike = {name: np.repeat(x[:1], count, axis=0) for name, x in data.items()}
    verdicts = compare(model, alike, METHODS, settings=FAST).record.verdicts
    risk = next(v for v in verdicts if v.head == "risk")
    assert risk.verdict == "undecided"
    assert "the rows equal the background" in risk.text
    assert "background=..., or more rows" in risk.text
    verdicts = compare(model, alike, METHODS, background=data, settings=FAST).record.verdicts
    assert "equal the background" not in next(v for v in verdicts if v.head == "risk").text
    assert "does not react" in next(v for v in verdicts if v.head == "dead").text


def test_the_ceiling_of_a_constant_map_says_that_it_is_constant(model, data):
    result = compare(model, data, METHODS, settings=FAST)
    (row,) = pick(result, head="dead", metric="spearman", role="ceiling")
    assert "agreement of gradient with itself is undefined (a constant map has no order)" in row["note"]
