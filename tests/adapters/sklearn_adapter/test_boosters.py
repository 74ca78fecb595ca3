"""XGBoost, LightGBM and CatBoost, in their native forms and in those of scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.explainers.perturbation.shapley import Shapley
from xai_mimo.testing import check_adapter

xgboost = imported("xgboost")
lightgbm = imported("lightgbm")
catboost = imported("catboost")

pytestmark = pytest.mark.all_frameworks

EXACT = Shapley(budget=2**12, background_rows=1000)
FEW = {"n_estimators": 4, "max_depth": 3, "n_jobs": 1}
LIGHT = {**FEW, "verbose": -1, "min_child_samples": 3}
CAT = {"iterations": 4, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(60, 3)), columns=["age", "bp", "k"])


@pytest.fixture(scope="module")
def y(x):
    return pd.DataFrame(
        {"ill": (x.bp + x.k > 0).astype(int), "ward": np.digitize(x.bp, [-0.5, 0.5]), "hours": 2 * x.bp + x.age**2}
    )


def train(booster, x, label, **settings):
    if booster is xgboost:
        return xgboost.train({"max_depth": 3, "nthread": 1, **settings}, xgboost.DMatrix(x, label=label), 4)
    settings = {"verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, **settings}
    return lightgbm.train(settings, lightgbm.Dataset(x, label=label), 4)


MODELS = {
    "xgboost": (
        lambda x, y: xgboost.XGBClassifier(**FEW).fit(x, y["ill"]),
        lambda m, x: m.predict_proba(x)[:, 1],
        lambda m, x: m.predict(x, output_margin=True),
    ),
    "xgboost, native": (
        lambda x, y: train(xgboost, x, y["ill"], objective="binary:logistic"),
        lambda m, x: m.predict(xgboost.DMatrix(x)),
        lambda m, x: m.predict(xgboost.DMatrix(x), output_margin=True),
    ),
    "lightgbm": (
        lambda x, y: lightgbm.LGBMClassifier(**LIGHT).fit(x, y["ill"]),
        lambda m, x: m.predict_proba(x)[:, 1],
        lambda m, x: m.predict(x, raw_score=True),
    ),
    "lightgbm, native": (
        lambda x, y: train(lightgbm, x, y["ill"], objective="binary"),
        lambda m, x: m.predict(x),
        lambda m, x: m.predict(x, raw_score=True),
    ),
    "catboost": (
        lambda x, y: catboost.CatBoostClassifier(**CAT).fit(x, y["ill"]),
        lambda m, x: m.predict_proba(x)[:, 1],
        lambda m, x: m.predict(x, prediction_type="RawFormulaVal"),
    ),
    "catboost, native": (
        lambda x, y: catboost.CatBoost({**CAT, "loss_function": "Logloss"}).fit(x, y["ill"]),
        lambda m, x: m.predict(x, prediction_type="Probability")[:, 1],
        lambda m, x: m.predict(x, prediction_type="RawFormulaVal"),
    ),
}


@pytest.fixture(scope="module", params=MODELS)
def binary(request, x, y):
    make, probability, margin = MODELS[request.param]
    model = make(x, y)
    return model, probability(model, x), margin(model, x)


def test_probabilities_are_explained_and_margins_are_the_choice(binary, x):
    model, probability, margin = binary
    adapted = xm.adapt(model)
    (head,) = adapted.heads
    assert (head.kind, head.units, head.unit) == ("binary", ("1",), "probability")
    assert adapted.streams[0].features == ("age", "bp", "k")
    np.testing.assert_array_equal(adapted.predict(x.iloc[:, ::-1])["output"][:, 0], probability)
    score = xm.adapt(model, output="decision_function")
    assert score.heads[0].unit == "log-odds"
    np.testing.assert_array_equal(score.predict(x)["output"][:, 0], margin)
    np.testing.assert_allclose(1 / (1 + np.exp(-margin)), probability, rtol=1e-5)


def test_the_contract_holds(binary, x, y):
    model = binary[0]
    check_adapter(
        xm.adapt(model),
        x[:5],
        state=lambda: {"fitted": xm.adapt(model).fingerprint()},
        limited=lambda memory: xm.adapt(model, max_memory=memory),
    )
    other = next(make for make, *_ in MODELS.values() if type(make(x, y)) is type(model))(x, 1 - y)
    assert xm.adapt(other).fingerprint() != xm.adapt(model).fingerprint()


def test_values_are_those_of_tree_explainer(x, y):
    shap = imported("shap")
    model = xgboost.XGBRegressor(**FEW).fit(x, y["hours"])
    explanation = xm.explain(model, x[:5], EXACT, background=x[:20])
    peer = shap.TreeExplainer(model, x[:20], feature_perturbation="interventional").shap_values(x[:5])
    np.testing.assert_allclose(explanation["table"].values[0], peer, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: xgboost.XGBClassifier(**FEW).fit(x, y["ward"]),
        lambda x, y: train(xgboost, x, y["ward"], objective="multi:softmax", num_class=3),
        lambda x, y: train(xgboost, x, y["ward"], objective="multi:softprob", num_class=3),
        lambda x, y: lightgbm.LGBMClassifier(**LIGHT).fit(x, y["ward"]),
        lambda x, y: train(lightgbm, x, y["ward"], objective="multiclass", num_class=3),
        lambda x, y: catboost.CatBoostClassifier(**CAT).fit(x, y["ward"]),
    ],
)
def test_classes_are_units(make, x, y):
    adapted = xm.adapt(make(x, y))
    (head,) = adapted.heads
    assert (head.kind, head.units) == ("multiclass", ("0", "1", "2"))
    outputs = adapted.predict(x)["output"]
    np.testing.assert_allclose(outputs.sum(axis=1), 1.0, rtol=1e-5)
    assert (outputs.argmax(axis=1) == y["ward"]).mean() > 0.8
    margin = xm.adapt(make(x, y), output="decision_function").predict(x)["output"]
    assert (margin.argmax(axis=1) == outputs.argmax(axis=1)).all()


def test_several_numbers_are_heads_and_several_labels_one_head(x, y):
    numbers = xgboost.XGBRegressor(**FEW).fit(x, y[["hours", "ward"]])
    assert [h.name for h in xm.adapt(numbers).heads] == ["output_0", "output_1"]
    np.testing.assert_array_equal(xm.adapt(numbers).predict(x)["output_1"][:, 0], numbers.predict(x)[:, 1])
    labels = np.c_[y["ill"], 1 - y["ill"]]
    model = xgboost.XGBClassifier(**FEW).fit(x, labels)
    (head,) = xm.adapt(model).heads
    assert (head.kind, head.size) == ("multilabel", 2)
    np.testing.assert_array_equal(xm.adapt(model).predict(x)["output"], model.predict_proba(x))
    behind = make_pipeline(StandardScaler(), xgboost.XGBClassifier(**FEW)).fit(x, labels)
    assert xm.adapt(behind).heads[0].kind == "multilabel"
    np.testing.assert_array_equal(xm.adapt(behind).predict(x)["output"], behind.predict_proba(x))
    model = catboost.CatBoostClassifier(**CAT, loss_function="MultiLogloss").fit(x, labels)
    assert xm.adapt(model).heads[0].kind == "multilabel"


def test_columns_of_categories_are_handed_over_as_they_were_fitted(x, y):
    rows = x.assign(ward=np.array(["er", "icu", "hall"])[y["ward"]])
    typed = rows.astype({"ward": "category"})
    for model, given in [
        (xgboost.XGBClassifier(**FEW, enable_categorical=True).fit(typed, y["ill"]), typed),
        (lightgbm.LGBMClassifier(**LIGHT).fit(typed, y["ill"]), typed),
        (catboost.CatBoostClassifier(**CAT, cat_features=["ward"]).fit(rows, y["ill"]), rows),
    ]:
        adapted = xm.adapt(model, like=given)
        assert adapted.streams[0].dtype == "object"
        np.testing.assert_array_equal(adapted.predict(given)["output"][:, 0], model.predict_proba(given)[:, 1])
        explanation = xm.explain(model, given[:3], EXACT, background=given)
        total = explanation["table"].values[0].sum(axis=1)
        p = model.predict_proba(given)[:, 1]
        np.testing.assert_allclose(total, p[:3] - p.mean(dtype=np.float64), atol=1e-6)


def test_what_is_not_there_is_refused(x, y):
    for model in (xgboost.XGBRegressor(), lightgbm.LGBMRegressor(), catboost.CatBoostRegressor()):
        with pytest.raises(NotSupported, match=rf"{type(model).__name__} is not fitted, so it has no answers yet"):
            xm.adapt(model)
    model = xgboost.XGBRegressor(**FEW).fit(x, y["hours"])
    with pytest.raises(NotSupported, match="XGBRegressor was trained to predict numbers: it has no probabilities"):
        xm.adapt(model, output="predict_proba")
    with pytest.raises(BadSetting, match="output is one of predict_proba, decision_function, predict; got 'margin'"):
        xm.adapt(model, output="margin")
    with pytest.raises(UnknownName, match="no column of the data frame for stream 'table' is called 'k'"):
        xm.explain(model, x[["age", "bp"]], "shapley")
