"""Estimators of scikit-learn: their streams, heads and answers, and Shapley values against closed forms and SHAP."""

import pickle
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import KMeans
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import IsolationForest, RandomForestClassifier, RandomForestRegressor, VotingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import SVC, SVR

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import BadSetting, NotSupported, ShapeMismatch, UnknownName
from xai_mimo.explainers.perturbation.shapley import Shapley
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

EXACT = Shapley(budget=2**12, background_rows=1000)


@pytest.fixture(scope="module")
def patients():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(60, 4)), columns=["age", "bp", "k", "na"])
    x["age"] = rng.integers(2, 9, 60)
    x["ill"] = np.where(x.bp + x.k > 0, "yes", "no")
    x["ward"] = np.digitize(x.bp, [-0.5, 0.5])
    x["hours"] = 2 * x.bp + x.age + x.k**2
    return x


@pytest.fixture(scope="module")
def x(patients):
    return patients[["age", "bp", "k", "na"]]


def labels(x):
    return np.c_[x.bp > 0, x.k > 0, x.na > 0.5].astype(int)


def test_values_of_a_linear_model_are_those_of_the_closed_form(x, patients):
    model = LinearRegression().fit(x, patients["hours"])
    explanation = xm.explain(model, x, EXACT, background=x)
    expected = model.coef_ * (x - x.mean()).to_numpy()
    np.testing.assert_allclose(explanation["table"].values[0], expected, rtol=0, atol=1e-9)
    assert explanation["table_feature"].values.tolist() == list(x.columns)


def test_values_of_a_forest_are_those_of_tree_explainer(x, patients):
    shap = imported("shap")
    model = RandomForestClassifier(12, max_depth=5, random_state=0).fit(x, patients["ward"])
    background = x[:25]
    explanation = xm.explain(model, x[:6], EXACT, background=background, targets=[("output", 0), ("output", "2")])
    peer = shap.TreeExplainer(model, background, feature_perturbation="interventional").shap_values(x[:6])
    for target, unit in enumerate((0, 2)):
        np.testing.assert_allclose(explanation["table"].values[target], peer[..., unit], rtol=0, atol=1e-6)


def test_a_frame_is_handed_over_with_its_columns_and_dtypes_in_the_estimators_order(x, patients):
    model = Recording().fit(x, patients["hours"])
    xm.adapt(model, like=x).predict(x.iloc[:, ::-1])
    pd.testing.assert_frame_equal(model.asked[-1], x)
    xm.adapt(model).predict(x)
    assert model.asked[-1].dtypes.tolist() == [np.dtype("float64")] * 4
    values = x.astype(float).to_numpy().copy()
    values[:, 0] += 0.5
    xm.adapt(model, like=x).predict(values)
    assert model.asked[-1]["age"].dtype == "float64"  # a whole number would be another value
    assert (model.asked[-1]["age"] == values[:, 0]).all()


class Recording(LinearRegression):
    """Keeps the rows that it was asked."""

    def predict(self, rows):
        self.asked = [*getattr(self, "asked", []), rows]
        return super().predict(rows)


def test_an_estimator_of_two_classes_has_the_probability_of_the_second_as_its_one_unit(x, patients):
    model = LogisticRegression().fit(x, patients["ill"])
    adapted = xm.adapt(model)
    (head,) = adapted.heads
    assert (head.name, head.kind, head.units, head.shape, head.unit) == (
        "output",
        "binary",
        ("yes",),
        (1,),
        "probability",
    )
    np.testing.assert_array_equal(adapted.predict(x)["output"][:, 0], model.predict_proba(x)[:, 1])
    score = xm.adapt(model, output="decision_function")
    assert score.heads[0].unit == "log-odds"
    assert score.heads[0].kind == "binary"
    np.testing.assert_array_equal(score.predict(x)["output"][:, 0], model.decision_function(x))


def test_classes_name_the_units(x, patients):
    model = GridSearchCV(KNeighborsClassifier(), {"n_neighbors": [2, 3]}, cv=2).fit(x, patients["ward"])
    (head,) = xm.adapt(model).heads
    assert (head.kind, head.units) == ("multiclass", ("0", "1", "2"))
    np.testing.assert_array_equal(xm.adapt(model).predict(x)["output"], model.predict_proba(x))


def test_a_machine_without_probabilities_gives_its_decision_function_and_says_so(x, patients):
    model = SVC().fit(x, patients["ill"])
    (head,) = xm.adapt(model).heads
    assert (head.kind, head.unit) == ("binary", "score")
    with pytest.raises(
        NotSupported, match="SVC has no predict_proba that could be explained; there is decision_function"
    ):
        xm.adapt(model, output="predict_proba")
    pairs = SVC(decision_function_shape="ovo").fit(x, patients["ward"])
    assert xm.adapt(pairs).heads[0].units == ("0 against 1", "0 against 2", "1 against 2")
    assert xm.adapt(pairs).heads[0].kind == "regression"


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: RandomForestRegressor(4, random_state=0).fit(x, y),
        lambda x, y: MultiOutputRegressor(Ridge()).fit(x, y),
        lambda x, y: make_pipeline(StandardScaler(), LinearRegression()).fit(x, y),
    ],
)
def test_each_number_that_is_predicted_is_a_head(make, x, patients):
    y = patients[["hours", "ward"]]
    model = make(x, y)
    adapted = xm.adapt(model, heads={"hours": 1, "ward": 1})
    assert [h.name for h in xm.adapt(model).heads] == ["output_0", "output_1"]
    outputs = adapted.predict(x)
    np.testing.assert_array_equal(np.hstack([outputs["hours"], outputs["ward"]]), model.predict(x))


@pytest.mark.parametrize(
    "make",
    [
        lambda x, y: RandomForestClassifier(4, random_state=0).fit(x, y),
        lambda x, y: MultiOutputClassifier(LogisticRegression()).fit(x, y),
        lambda x, y: KNeighborsClassifier().fit(x, y),
    ],
)
def test_each_output_with_classes_is_a_head(make, x):
    y = np.c_[labels(x)[:, 0], np.digitize(x.k, [-0.5, 0.5])]
    model = make(x, y)
    first, second = xm.adapt(model).heads
    assert (first.name, first.kind, first.units) == ("output_0", "binary", ("1",))
    assert (second.name, second.kind, second.units) == ("output_1", "multiclass", ("0", "1", "2"))
    outputs = xm.adapt(model).predict(x)
    np.testing.assert_array_equal(outputs["output_0"][:, 0], model.predict_proba(x)[0][:, 1])
    np.testing.assert_array_equal(outputs["output_1"], model.predict_proba(x)[1])


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_labels_that_may_hold_together_are_one_head(x):
    y = labels(x)
    for model in (OneVsRestClassifier(LogisticRegression()).fit(x, y), MLPClassifier((4,), max_iter=5).fit(x, y)):
        (head,) = xm.adapt(model).heads
        assert (head.kind, head.units) == ("multilabel", ("0", "1", "2"))
        np.testing.assert_array_equal(xm.adapt(model).predict(x)["output"], model.predict_proba(x))
    for count in (2, 3):
        network, ridge = MLPClassifier((4,), max_iter=5).fit(x, y[:, :count]), RidgeClassifier().fit(x, y[:, :count])
        for model, answer in ((network, network.predict_proba(x)), (ridge, ridge.decision_function(x))):
            assert xm.adapt(model).heads[0].kind == "multilabel"
            np.testing.assert_array_equal(xm.adapt(model).predict(x)["output"], answer)
    chain = ClassifierChain(LogisticRegression()).fit(x, y)
    outputs = xm.adapt(chain).predict(x)
    assert [h.kind for h in xm.adapt(chain).heads] == ["binary"] * 3
    np.testing.assert_array_equal(outputs["output_2"][:, 0], chain.predict_proba(x)[:, 2])


def test_an_estimator_of_arrays_takes_arrays_and_streams_in_the_order_of_its_columns(x, patients):
    model = SVR().fit(x.to_numpy(), patients["hours"])
    assert xm.adapt(model).streams[0].features == ("0", "1", "2", "3")
    parts = xm.adapt(model, streams={"vitals": ["age", "bp"], "blood": ["k", "na"]})
    assert [s.features for s in parts.streams] == [("age", "bp"), ("k", "na")]
    rows = {"blood": x[["na", "k"]], "vitals": x[["age", "bp"]]}
    np.testing.assert_array_equal(parts.predict(rows)["output"][:, 0], model.predict(x.to_numpy()))


@pytest.mark.parametrize(
    ("make", "limited"),
    [
        (lambda x, y: RandomForestRegressor(3, random_state=0).fit(x, y[["hours", "ward"]]), {}),
        (lambda x, y: LogisticRegression().fit(x, y["ill"]), {}),
        (lambda x, y: LinearDiscriminantAnalysis().fit(x.to_numpy(), y["ward"]), {"output": "decision_function"}),
        (lambda x, y: SVR().fit(x.to_numpy(), y["hours"]), {}),
        (lambda x, y: IsolationForest(n_estimators=5, random_state=0).fit(x), {}),
        (lambda x, y: CalibratedClassifierCV(SVC(), cv=2, ensemble=False).fit(x, y["ill"]), {}),
    ],
    ids=["forest", "binary", "classes", "svr", "outliers", "calibrated"],
)
def test_the_contract_holds(make, limited, x, patients):
    model = make(x, patients)

    def change_weights():
        other = make(1 - x**2, patients)
        model.__dict__.update(other.__dict__)

    check_adapter(
        xm.adapt(model, like=x, **limited),
        x[:5].to_numpy() if not hasattr(model, "feature_names_in_") else x[:5],
        state=lambda: {"parameters": str(model.get_params()), "fitted": xm.adapt(model).fingerprint()},
        limited=lambda memory: xm.adapt(model, like=x, max_memory=memory, **limited),
        change_weights=change_weights,
    )


def test_what_has_no_output_is_refused(x, patients):
    for model, text in [
        (LogisticRegression(), "LogisticRegression is not fitted, so it has no answers yet. Fit it first: model.fit"),
        (KMeans(2, n_init=1).fit(x), "KMeans is a clusterer, which has no output that a method could explain"),
        (StandardScaler().fit(x), "StandardScaler is a transformer, which has no output"),
        (
            VotingClassifier([("a", LogisticRegression())], voting="hard").fit(x, patients["ill"]),
            "VotingClassifier has neither predict_proba nor decision_function",
        ),
        (
            GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2, refit=False).fit(x, patients["hours"]),
            "GridSearchCV is not fitted|GridSearchCV kept no estimator: fit it with refit=True",
        ),
    ]:
        with pytest.raises(NotSupported, match=text):
            xm.adapt(model)


def test_a_setting_or_a_column_that_is_not_there_is_refused(x, patients):
    model = LogisticRegression().fit(x, patients["ill"])
    with pytest.raises(BadSetting, match="output is one of predict_proba, decision_function, predict; got 'logits'"):
        xm.adapt(model, output="logits")
    with pytest.raises(
        NotSupported, match="LogisticRegression has no predict that could be explained; there is predict_proba"
    ):
        xm.adapt(model, output="predict")
    with pytest.raises(
        UnknownName, match=r"was fitted on the columns age, bp, k, na; the streams have age, bp, k\. Missing: na"
    ):
        xm.adapt(model, streams={"vitals": ["age", "bp"], "blood": ["k"]})
    with pytest.raises(UnknownName, match="name the column 'sodium', which LogisticRegression was not fitted on"):
        xm.adapt(model, streams={"vitals": ["age", "bp"], "blood": ["k", "sodium"]})
    with pytest.raises(UnknownName, match="no column of the data frame for stream 'table' is called 'na'"):
        xm.explain(model, x[["age", "bp", "k"]], "shapley")
    with pytest.raises(ShapeMismatch, match="table"):
        xm.explain(model, x.to_numpy()[:, :3], "shapley")


def test_a_fingerprint_is_of_what_is_fitted_and_set(x, patients):
    model = make_pipeline(StandardScaler(), RandomForestRegressor(3, random_state=0)).fit(x, patients["hours"])
    once = xm.adapt(model).fingerprint()
    model.predict(x)
    assert xm.adapt(model).fingerprint() == once
    assert xm.adapt(pickle.loads(pickle.dumps(model))).fingerprint() == once
    values = model[-1].estimators_[1].tree_.value
    values[0, 0, 0] += 1.0
    assert xm.adapt(model).fingerprint() != once
    values[0, 0, 0] -= 1.0
    assert xm.adapt(model).fingerprint() == once
    nodes = model[-1].estimators_[1].tree_.threshold
    nodes[0] += 1.0
    assert xm.adapt(model).fingerprint() != once
    nodes[0] -= 1.0
    model[0].scale_[2] *= 2
    assert xm.adapt(model).fingerprint() != once
    model[0].scale_[2] /= 2
    model[-1].set_params(n_jobs=2)
    assert xm.adapt(model).fingerprint() != once


def test_two_functions_of_other_code_have_other_fingerprints(x, patients):
    twice, thrice = (
        make_pipeline(FunctionTransformer(f), Ridge()).fit(x, patients["hours"])
        for f in (lambda v: v * 2, lambda v: v * 3)
    )
    thrice[-1].__dict__.update(twice[-1].__dict__)
    assert xm.adapt(twice, like=x).fingerprint() != xm.adapt(thrice, like=x).fingerprint()


def test_a_pipeline_that_begins_with_a_function_reads_frames_as_they_came(x, patients):
    model = make_pipeline(FunctionTransformer(lambda rows: rows[["bp", "k"]]), LinearRegression())
    model.fit(x, patients["bp"])
    explanation = xm.explain(model, x, EXACT, background=x)
    expected = np.zeros(x.shape)
    expected[:, 1] = x["bp"] - x["bp"].mean()
    np.testing.assert_allclose(explanation["table"].values[0], expected, rtol=0, atol=1e-9)


def test_the_adapter_imports_no_framework_that_the_model_did_not_bring():
    code = (
        "import sys; import xai_mimo_adapters.sklearn_adapter; import lightgbm, numpy as np; import xai_mimo as xm; "
        "x = np.random.default_rng(0).normal(size=(60, 2)); "
        "model = lightgbm.train({'verbose': -1}, lightgbm.Dataset(x, label=x[:, 0]), 2); "
        "before = set(sys.modules); xm.adapt(model).fingerprint(); new = set(sys.modules) - before; "
        "print(sorted({n.split('.')[0] for n in new} & {'sklearn', 'xgboost', 'catboost', 'torch', 'keras', 'jax', "
        "'tensorflow'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


@pytest.mark.parametrize(
    "name", [lambda y: y + 1, lambda y: 2 * y - 1, lambda y: np.array(["no", "yes"])[y], lambda y: y, lambda y: y > 0]
)
def test_labels_are_the_classes_that_the_estimator_was_fitted_on(name):
    """Whatever the classes are called, the score is that of the estimator, and the explained class the row's own."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), np.arange(60) % 2
    x[:, 0] += 4 * y
    classifier = LogisticRegression().fit(x, name(y))
    result = xm.compare(classifier, x[:40], ["occlusion"], labels=name(y)[:40], background=x[40:], progress=False)
    scores = {row["metric"]: row["estimate"] for row in result.to_dict()["task"]}
    assert scores["auroc"] == 1.0


def test_an_estimator_that_was_fitted_on_other_classes_since_is_refused():
    x = np.random.default_rng(1).normal(size=(40, 2))
    classifier = LogisticRegression().fit(x, np.arange(40) % 2)
    adapted = xm.adapt(classifier)
    classifier.fit(-x, np.arange(40) % 2)
    np.testing.assert_allclose(adapted.predict(x)["output"][:, 0], classifier.predict_proba(x)[:, 1])
    classifier.fit(x, np.arange(40) % 3)
    with pytest.raises(NotSupported, match=r"its classes are 0, 1, 2, and were 0, 1\. Adapt it again"):
        adapted.predict(x)
    classifier.fit(x, np.array(["a", "b"])[np.arange(40) % 2])
    with pytest.raises(NotSupported, match="its classes are a, b, and were 0, 1"):
        adapted.predict(x)
