"""Pipelines on one data frame of numbers, categories and texts: streams, values, comparisons and reports."""

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, BadValues, NotSupported, UnknownName
from xai_mimo.core.streams import Stream
from xai_mimo.explainers.perturbation.occlusion import Occlusion
from xai_mimo.explainers.perturbation.shapley import Shapley
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

EXACT = Shapley(budget=2**12, background_rows=1000)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    words = ["pain", "fever", "fine", "cough", "home"]
    return pd.DataFrame(
        {
            "id": np.arange(60),
            "age": rng.integers(2, 9, 60),
            "ward": rng.choice(["surgery", "icu", "er"], 60),
            "bp": rng.normal(size=60),
            "floor": rng.choice(["1", "2"], 60),
            "note": [" ".join(rng.choice(words, 3)) for _ in range(60)],
        }
    )


@pytest.fixture(scope="module")
def ill(x):
    score = x.bp + (x.ward == "icu") + x.note.str.contains("fever")
    return np.where(score > 1, "yes", "no")


def columns():
    return ColumnTransformer(
        [
            ("num", StandardScaler(), ["age", "bp"]),
            ("cat", make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder()), ["ward", "floor"]),
            ("text", TfidfVectorizer(), "note"),
        ]
    )


@pytest.fixture(scope="module")
def pipeline(x, ill):
    return Pipeline([("columns", columns()), ("classifier", LogisticRegression())]).fit(x, ill)


def test_streams_are_the_groups_of_the_column_transformer(pipeline):
    num, cat, text = xm.adapt(pipeline).streams
    assert (num.name, num.features, num.dtype) == ("num", ("age", "bp"), "float64")
    assert (cat.name, cat.features, cat.dtype) == ("cat", ("ward", "floor"), "str")
    assert (text.name, text.features, text.dtype) == ("text", ("note",), "str")
    assert xm.adapt(pipeline).heads[0].units == ("yes",)


def test_shapley_values_are_those_of_the_slow_formula(pipeline, x):
    background = x[20:26].reset_index(drop=True)
    explanation = xm.explain(pipeline, x[:2], EXACT, background=background)
    players = ["age", "bp", "ward", "floor", "note"]
    ours = np.concatenate([explanation[s].values[0] for s in ("num", "cat", "text")], axis=1)
    for row in range(2):

        def worth(known, row=row):
            mixed = background.copy()
            for name in known:
                mixed[name] = x[name][row]
            return pipeline.predict_proba(mixed)[:, 1].mean()

        np.testing.assert_allclose(ours[row], slow_shapley(worth, players), rtol=0, atol=1e-12)


def slow_shapley(worth, players):
    from itertools import permutations

    orders = list(permutations(players))
    known = {frozenset(): worth(())}
    values = dict.fromkeys(players, 0.0)
    for order in orders:
        for i, player in enumerate(order):
            before, after = frozenset(order[:i]), frozenset(order[: i + 1])
            if after not in known:
                known[after] = worth(after)
            values[player] += (known[after] - known[before]) / len(orders)
    return [values[player] for player in players]


def test_occlusion_replaces_words_by_those_of_the_background(pipeline, x):
    background = x[20:26].reset_index(drop=True)
    explanation = xm.explain(pipeline, x[:1], Occlusion(baseline="background"), background=background)
    rows = pd.concat([x[:1]] * 6, ignore_index=True)
    rows["ward"] = background["ward"]
    lost = pipeline.predict_proba(x[:1])[0, 1] - pipeline.predict_proba(rows)[:, 1].mean()
    np.testing.assert_allclose(explanation["cat"].values[0, 0, 0], lost, rtol=0, atol=1e-12)
    zero = xm.explain(pipeline, x[:1], "occlusion", background=background)
    np.testing.assert_allclose(zero["cat"].values[0, 0, 0], lost, rtol=0, atol=1e-12)
    without_bp = x[:1].assign(bp=0.0)
    lost = pipeline.predict_proba(x[:1])[0, 1] - pipeline.predict_proba(without_bp)[0, 1]
    np.testing.assert_allclose(zero["num"].values[0, 0, 1], lost, rtol=0, atol=1e-12)
    with pytest.raises(BadSetting, match="input stream 'cat' holds words, which have no mean"):
        xm.explain(pipeline, x[:1], Occlusion(baseline="mean"), background=background)


def test_streams_are_those_that_are_asked_for(pipeline, x):
    asked = {"patient": ["age", "ward", "floor"], "bp": ["bp"], "notes": ["note"]}
    adapted = xm.adapt(pipeline, streams=asked, heads={"ill": "binary"})
    assert [s.dtype for s in adapted.streams] == ["object", "float64", "str"]
    np.testing.assert_array_equal(adapted.predict(x)["ill"][:, 0], pipeline.predict_proba(x)[:, 1])
    declared = [
        Stream("vitals", (2,), features=("bp", "age"), unit="z"),
        Stream("words", (3,), dtype="str", features=("note", "ward", "floor")),
    ]
    adapted = xm.adapt(pipeline, streams=declared)
    assert [(s.unit, s.dtype) for s in adapted.streams] == [("z", "float64"), ("", "str")]
    np.testing.assert_array_equal(adapted.predict(x)["output"][:, 0], pipeline.predict_proba(x)[:, 1])


def test_the_contract_holds(pipeline, x, ill):
    model = Pipeline([("columns", columns()), ("classifier", LogisticRegression())]).fit(x, ill)

    def change_weights():
        model.fit(x, ill[::-1])

    check_adapter(
        xm.adapt(model),
        {"num": x[["age", "bp"]][:5], "cat": x[["ward", "floor"]][:5], "text": x[["note"]][:5]},
        state=lambda: {"fitted": xm.adapt(model).fingerprint()},
        limited=lambda memory: xm.adapt(model, max_memory=memory),
        change_weights=change_weights,
    )


def test_a_comparison_and_its_report_hold_the_words(pipeline, x, ill, tmp_path):
    adapted = xm.adapt(pipeline, streams={"patient": ["age", "ward", "floor", "bp"], "notes": ["note"]})
    comparison = xm.compare(adapted, x, ["shapley", "occlusion"], labels=ill == "yes", rows=20, seed=1)
    assert {"deletion_area", "insertion_area"} <= set(comparison.scores["metric"])
    page = comparison.report(tmp_path / "page.html").read_text()
    example = comparison.record.examples[0]
    assert example.levels["notes"]["note"] == x["note"][example.row]
    assert example.levels["patient"]["age"] == str(x["age"][example.row])
    assert x["note"][example.row] in page
    again = xm.compare(adapted, x, ["shapley", "occlusion"], labels=ill == "yes", rows=20, seed=1)
    assert again.record.data.sha256 == comparison.record.data.sha256
    assert again.scores.equals(comparison.scores)


def test_the_bridge_to_shap_replaces_words_too(pipeline, x):
    imported("shap")
    background = x[20:26].reset_index(drop=True)
    ours = xm.explain(pipeline, x[:2], EXACT, background=background)
    peer = xm.explain(pipeline, x[:2], "shap.kernel", background=background)
    for stream in ("num", "cat", "text"):
        np.testing.assert_allclose(peer[stream].values, ours[stream].values, rtol=0, atol=1e-6)


@pytest.mark.parametrize("metric", ["max_sensitivity", "local_lipschitz"])
def test_robustness_moves_numbers_and_leaves_words(pipeline, x, metric):
    comparison = xm.compare(pipeline, x, ["occlusion"], metrics=[metric], rows=4, background=x[:4])
    assert np.isfinite(comparison.scores["estimate"]).all()
    words = xm.adapt(
        lambda note: np.array([float(len(n)) for n in note]), {"note": Stream("note", (), "str")}, {"n": 1}
    )
    with pytest.raises(NotSupported, match="all streams hold whole numbers or words, which cannot be moved a little"):
        xm.compare(words, x["note"], ["occlusion"], metrics=[metric], rows=4)


def test_an_explanation_of_words_is_saved_and_read(pipeline, x, tmp_path):
    explanation = xm.explain(pipeline, x[:3], "shapley", background=x[:4])
    xm.save(explanation, tmp_path / "values.nc")
    assert xm.load(tmp_path / "values.nc").identical(explanation)


def test_a_text_alone_is_a_stream(x, ill):
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(x["note"], ill)
    (stream,) = xm.adapt(model).streams
    assert (stream.name, stream.shape, stream.dtype) == ("text", (), "str")
    explanation = xm.explain(model, x["note"].tolist()[:4], EXACT, background=x["note"])
    p = model.predict_proba(x["note"])[:, 1]
    np.testing.assert_allclose(explanation["text"].values[0], p[:4] - p.mean(), rtol=0, atol=1e-12)
    check_adapter(xm.adapt(model), x["note"][:4])


def test_a_search_and_a_transformed_target_show_the_groups_inside(x):
    split = ColumnTransformer(
        [
            ("numbers", StandardScaler(), make_column_selector(dtype_include="number")),
            ("categories", OrdinalEncoder(), [2, 4]),
        ]
    )
    inside = make_pipeline(split, Ridge())
    model = TransformedTargetRegressor(inside, func=np.log1p, inverse_func=np.expm1).fit(x, x["age"])
    streams = xm.adapt(model).streams
    assert [(s.name, s.features) for s in streams] == [
        ("numbers", ("id", "age", "bp")),
        ("categories", ("ward", "floor")),
    ]
    search = GridSearchCV(make_pipeline(split, Ridge()), {"ridge__alpha": [1.0, 2.0]}, cv=2).fit(x, x["bp"])
    np.testing.assert_array_equal(xm.adapt(search).predict(x)["output"][:, 0], search.predict(x))


def test_categories_of_pandas_keep_their_dtype(x):
    rows = x[["age", "bp", "ward"]].astype({"ward": "category"})
    model = HistGradientBoostingRegressor(max_iter=5, categorical_features="from_dtype").fit(rows, x["bp"])
    adapted = xm.adapt(model, like=rows)
    assert adapted.streams[0].dtype == "object"
    np.testing.assert_array_equal(adapted.predict(rows)["output"][:, 0], model.predict(rows))
    explanation = xm.explain(model, rows[:3], EXACT, background=rows)
    np.testing.assert_allclose(
        explanation["table"].values[0].sum(axis=1), model.predict(rows[:3]) - model.predict(rows).mean(), atol=1e-9
    )
    with pytest.raises(UnknownName, match="column 'ward' holds 'attic' in row 1, which is none of its categories: er"):
        adapted.predict(rows.astype({"ward": "object"}).assign(ward=["er", "attic"] * 30))


def test_a_category_that_the_encoder_does_not_know_is_told_with_its_row(pipeline, x):
    rows = x[:4].assign(ward=["er", "icu", "attic", "er"])
    with pytest.raises(
        BadValues,
        match=r"cannot read row \d of those .* \(age=.*, ward='attic', .*\): Found unknown categories \['attic'\]",
    ):
        xm.explain(pipeline, rows, "shapley")


def test_columns_that_are_missing_and_words_in_the_place_of_numbers_are_refused(pipeline, x):
    with pytest.raises(UnknownName, match=r"there are: id, age, ward, floor, note\. It lacks bp\."):
        xm.explain(pipeline, x.drop(columns="bp"), "shapley")
    with pytest.raises(UnknownName, match=r"the streams have age, bp, ward\. Missing: floor, note\."):
        xm.adapt(pipeline, streams={"vitals": ["age", "bp"], "ward": ["ward"]})
    with pytest.raises(BadValues, match=r"\(age='old', .*\): could not convert string to float: 'old'"):
        xm.explain(pipeline, x.assign(age="old"), "shapley")
    with pytest.raises(BadValues, match="input stream 'cat', column 'floor' holds 1 in row 0; expected a word"):
        xm.explain(pipeline, x.assign(floor=1), "shapley")
    with pytest.raises(NotSupported, match="integrated_gradients needs gradients"):
        xm.explain(pipeline, x, "integrated_gradients")
