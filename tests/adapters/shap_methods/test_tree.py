"""Values read off trees: by hand, every coalition of the model's own answers, several heads, what is refused."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.multioutput import MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeRegressor
from xai_mimo_adapters.shap_methods import ShapGpuTree, ShapTree

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.frameworks import imported
from tests.helpers.games import brute_force_shapley
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.model import Fitted

shap = imported("shap")
xgboost, lightgbm, catboost = imported("xgboost"), imported("lightgbm"), imported("catboost")
pytestmark = pytest.mark.all_frameworks

ROWS = np.random.default_rng(4).standard_normal((90, 4))
CURVE = ROWS[:, 0] * ROWS[:, 1] + ROWS[:, 2] + 3
TWO, THREE = (CURVE > 3).astype(int), np.digitize(CURVE, [2.5, 3.5])
CURVES, LABELS = np.stack([CURVE, 100 * ROWS[:, 3]], axis=1), np.stack([TWO, (ROWS[:, 3] > 0).astype(int)], axis=1)
CLASSES = np.stack([THREE, LABELS[:, 1]], axis=1)
SMALL = {"n_estimators": 4, "max_depth": 3, "random_state": 0}
BOOST = {"n_estimators": 4, "n_jobs": 1}
LIGHT = {"n_estimators": 4, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
CAT = {"iterations": 4, "depth": 3, "verbose": 0, "thread_count": 1, "allow_writing_files": False}

EXPLAINED = {
    "one tree, two heads": (DecisionTreeRegressor(max_depth=3), CURVES, None),
    "forest": (RandomForestRegressor(**SMALL), CURVE, None),
    "forest of two classes": (RandomForestClassifier(**SMALL), TWO, None),
    "forest of three classes": (ExtraTreesClassifier(**SMALL), THREE, None),
    "boosted": (GradientBoostingRegressor(**SMALL), CURVE, None),
    "boosted, margin": (GradientBoostingClassifier(**SMALL), TWO, "decision_function"),
    "histograms": (HistGradientBoostingRegressor(max_iter=4), CURVE, None),
    "histograms, margins": (HistGradientBoostingClassifier(max_iter=4), THREE, "decision_function"),
    "a model for each output": (MultiOutputRegressor(GradientBoostingRegressor(**SMALL)), CURVES, None),
    "a model for each label": (MultiOutputClassifier(RandomForestClassifier(**SMALL)), CLASSES, None),
    "behind a scaler": (make_pipeline(StandardScaler(), RandomForestRegressor(**SMALL)), CURVE, None),
    "xgboost": (xgboost.XGBRegressor(**BOOST), CURVE, None),
    "xgboost, two heads": (xgboost.XGBRegressor(**BOOST), CURVES, None),
    "xgboost, margins of labels": (xgboost.XGBClassifier(**BOOST), LABELS, "decision_function"),
    "xgboost, margins": (xgboost.XGBClassifier(**BOOST), THREE, "decision_function"),
    "lightgbm": (lightgbm.LGBMRegressor(**LIGHT), CURVE, None),
    "lightgbm, margins": (lightgbm.LGBMClassifier(**LIGHT), THREE, "decision_function"),
    "catboost": (catboost.CatBoostRegressor(**CAT), CURVE, None),
    "catboost, margin": (catboost.CatBoostClassifier(**CAT), TWO, "decision_function"),
}

WARNED = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning", "ignore::UserWarning:sklearn")


def in_two_streams(rows):
    return {"one": rows[:, [0, 2]], "two": rows[:, [1, 3]]}


def adapted(estimator, y, output, **options):
    options = options or {"streams": {"one": ["a", "c"], "two": ["b", "d"]}}
    frame = pd.DataFrame(ROWS, columns=list("abcd"))
    return xm.adapt(estimator.fit(frame, y), output=output, **options)


@WARNED
@pytest.mark.parametrize("name", EXPLAINED)
def test_values_are_those_of_every_coalition_of_the_models_own_answers(name):
    model = adapted(*EXPLAINED[name])
    rows, background = ROWS[:2], ROWS[40:43]
    found = xm.explain(
        model,
        in_two_streams(rows),
        "shap.tree",
        background=in_two_streams(background),
        targets=[(h.name, "all") for h in model.heads],
    )
    units = [(head.name, unit) for head in model.heads for unit in range(head.size)]
    assert found.sizes["head"] == len(units)
    for t, (head, unit) in enumerate(units):

        def function(x, head=head, unit=unit):
            return model.predict(in_two_streams(x))[head][:, unit].astype(np.float64)

        slow = np.array([brute_force_shapley(function, row, background) for row in rows])
        size = max(np.abs(slow).max(), np.abs(found["prediction"].values).max() * 1e-3)
        np.testing.assert_allclose(found["one"].values[t], slow[:, [0, 2]], atol=3e-6 * size)
        np.testing.assert_allclose(found["two"].values[t], slow[:, [1, 3]], atol=3e-6 * size)
    assert np.abs(found["completeness_gap"].values).max() < 1e-5 * np.abs(found["prediction"].values).max()


def test_a_tree_of_depth_two_is_that_found_by_hand():
    """f = 1 where a > .5, 4 more where b > .5 too. From (0, 0) to (1, 1): a gets (1 + 5) / 2, b gets (0 + 4) / 2."""
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    tree = DecisionTreeRegressor(max_depth=2).fit(corners, [0.0, 0.0, 1.0, 5.0])
    found = xm.explain(xm.adapt(tree), corners, "shap.tree", background=corners[:1])["table"].values[0]
    np.testing.assert_allclose(found, [[0, 0], [0, 0], [1, 0], [3, 2]], atol=1e-7)
    both = xm.explain(xm.adapt(tree), corners[3:], "shap.tree", background=corners[:2])["table"].values[0]
    np.testing.assert_allclose(both, [[(3 + 5) / 2, (2 + 0) / 2]], atol=1e-7)


def test_the_numbers_are_those_of_shap_alone():
    forest = RandomForestRegressor(**SMALL).fit(ROWS, CURVE)
    theirs = shap.TreeExplainer(forest, data=ROWS[40:50]).shap_values(ROWS[:5])
    ours = xm.explain(xm.adapt(forest), ROWS[:5], "shap.tree", background=ROWS[40:50])["table"].values[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_each_row_is_explained_for_its_own_class():
    model = adapted(ExtraTreesClassifier(**SMALL), THREE, None)
    x, background = in_two_streams(ROWS[:12]), in_two_streams(ROWS[40:45])
    own = xm.explain(model, x, "shap.tree", background=background, targets=[("output", "predicted")])
    each = xm.explain(model, x, "shap.tree", background=background, targets=[(h.name, "all") for h in model.heads])
    units = model.predict(x)["output"].argmax(axis=1)
    assert len(set(units)) > 1
    np.testing.assert_array_equal(own["one"].values[0], each["one"].values[units, np.arange(12)])


def test_a_value_on_a_threshold_is_rounded_as_the_trees_round_it():
    """scikit-learn compares float32: a background that is just above a threshold in float64 may lie on it."""
    tree = DecisionTreeRegressor().fit([[1.0], [2.0]], [0.0, 1.0])
    tree.tree_.threshold[0] = np.float32(1.1)
    just = np.array([[1.1 + 1e-9], [2.0]])
    assert tree.predict(just[:1]) == 0
    found = xm.explain(xm.adapt(tree), just[1:], "shap.tree", background=just[:1])
    np.testing.assert_allclose(found["table"].values[0], [[1.0]])


STRETCHED = {
    "boosted": GradientBoostingClassifier(**SMALL),
    "histograms": HistGradientBoostingClassifier(max_iter=4),
    "xgboost": xgboost.XGBClassifier(**BOOST),
    "lightgbm": lightgbm.LGBMClassifier(**LIGHT),
    "catboost": catboost.CatBoostClassifier(**CAT),
}


@WARNED
@pytest.mark.parametrize("name", STRETCHED)
def test_a_probability_of_boosted_trees_is_the_margin_stretched_for_each_background_row(name):
    estimator = STRETCHED[name]
    model, margin = adapted(estimator, TWO, None), adapted(estimator, TWO, "decision_function")
    rows, background = ROWS[:3], ROWS[40:44]
    expected = np.zeros((3, 4))
    for before in background:

        def change(model, row, before=before):
            asked = model.predict(in_two_streams(np.stack([row, before])))["output"][:, 0].astype(np.float64)
            return asked[0] - asked[1]

        def logit(x):
            return margin.predict(in_two_streams(x))["output"][:, 0].astype(np.float64)

        for i, row in enumerate(rows):
            by_margin = brute_force_shapley(logit, row, before[None])
            if change(margin, row):
                expected[i] += by_margin * change(model, row) / change(margin, row) / len(background)
    found = xm.explain(model, in_two_streams(rows), "shap.tree", background=in_two_streams(background))
    np.testing.assert_allclose(found["one"].values[0], expected[:, [0, 2]], atol=1e-6)
    np.testing.assert_allclose(found["two"].values[0], expected[:, [1, 3]], atol=1e-6)
    assert np.abs(found["completeness_gap"].values).max() < 1e-6


REFUSED = {
    "several boosted classes": (
        HistGradientBoostingClassifier(max_iter=4),
        THREE,
        None,
        r"raw: it is not what head 'output' gives \(predict_proba\).*on='logit' or xai_mimo\.adapt\(model, output=",
    ),
    "forest of two heads of classes": (
        RandomForestClassifier(**SMALL),
        CLASSES,
        None,
        r"raw: it is not what head 'output_0' gives \(predict_proba\)",
    ),
    "xgboost of several classes": (
        xgboost.XGBClassifier(**BOOST),
        THREE,
        None,
        "finds nothing that it can explain and the model predicts",
    ),
    "lightgbm of several classes": (
        lightgbm.LGBMClassifier(**LIGHT),
        THREE,
        None,
        "finds nothing that it can explain and the model predicts",
    ),
    "sums in an exponential": (
        xgboost.XGBRegressor(**BOOST, objective="count:poisson"),
        np.exp(CURVE),
        None,
        r"raw: it is not what head 'output' gives \(predict\).*Use 'shap\.permutation' or 'shapley'",
    ),
    "leaves of several values": (
        xgboost.XGBRegressor(**BOOST, multi_strategy="multi_output_tree"),
        CURVES,
        None,
        "shap says of XGBRegressor: vector-leaf is not yet supported",
    ),
    "three boosted classes": (
        GradientBoostingClassifier(**SMALL),
        THREE,
        "decision_function",
        "only supported for binary classification",
    ),
    "catboost of several classes": (
        catboost.CatBoostClassifier(**CAT),
        THREE,
        "decision_function",
        "CatBoost's trees of one output alone, and CatBoostClassifier has 3",
    ),
    "isolation": (IsolationForest(n_estimators=4), None, None, "finds nothing that it can explain"),
    "no trees": (Ridge(), CURVE, None, "Model type not yet supported by TreeExplainer"),
    "columns that are mixed": (
        make_pipeline(PolynomialFeatures(2), RandomForestRegressor(**SMALL)),
        CURVE,
        None,
        r"before its last step Pipeline has PolynomialFeatures, .*Use 'shap\.permutation' or 'shapley'",
    ),
}


@WARNED
@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_another_quantity_is_refused_with_the_reason(name):
    estimator, y, output, words = REFUSED[name]
    model = adapted(estimator, y, output)
    assert isinstance(model, Fitted)
    with pytest.raises(NotSupported, match=words):
        xm.explain(model, in_two_streams(ROWS[:2]), "shap.tree", background=in_two_streams(ROWS[40:43]))


@pytest.mark.parametrize("kind", ["lightgbm", "xgboost", "catboost"])
def test_splits_on_categories_are_refused(kind):
    frame = pd.DataFrame({"a": ROWS[:, 0], "day": pd.Categorical((np.arange(90) % 5).astype(str))})
    y = ROWS[:, 0] + np.where(np.arange(90) % 5 == 3, 4.0, 0.0)
    estimator = {
        "lightgbm": lightgbm.LGBMRegressor(**LIGHT),
        "xgboost": xgboost.XGBRegressor(**BOOST, enable_categorical=True),
        "catboost": catboost.CatBoostRegressor(**CAT, cat_features=["day"]),
    }[kind]
    estimator.fit(frame, y)
    with pytest.raises(NotSupported, match=r"shap\.permutation' or 'shapley'"):
        xm.explain(estimator, frame[:3], "shap.tree", background=frame[10:14])


@WARNED
@pytest.mark.parametrize("kind", ["histograms", "xgboost", "lightgbm"])
def test_on_logit_the_classes_of_boosted_trees_are_explained(kind):
    estimator = {
        "histograms": HistGradientBoostingClassifier(max_iter=4),
        "xgboost": xgboost.XGBClassifier(**BOOST),
        "lightgbm": lightgbm.LGBMClassifier(**LIGHT),
    }[kind]
    x, background = in_two_streams(ROWS[:3]), in_two_streams(ROWS[40:44])
    targets = [("output", "all")]
    found = xm.explain(
        adapted(estimator, THREE, None), x, "shap.tree", background=background, targets=targets, on="logit"
    )
    margins = xm.explain(
        adapted(estimator, THREE, "decision_function"), x, "shap.tree", background=background, targets=targets
    )
    np.testing.assert_allclose(found["one"].values, margins["one"].values)
    assert found.attrs["explained_value"].count("before the softmax of") == 1


def test_models_that_are_no_estimators_and_shap_without_cuda_are_refused():
    plain = toys.mlp()
    with pytest.raises(NotSupported, match=r"shap\.tree needs a fitted estimator .*Use 'shap\.permutation' or"):
        xm.explain(plain, toys.rows(plain), "shap.tree")
    with pytest.raises(NotSupported, match=r"shap\.gpu_tree needs shap built from source with CUDA.*Use 'shap\.tree'"):
        xm.explain(RandomForestRegressor(**SMALL).fit(ROWS, CURVE), ROWS[:3], "shap.gpu_tree")


def test_where_shaps_own_check_fails_the_gap_says_by_how_much(monkeypatch):
    """A reading that answers rightly and sums wrongly: shap's check raises, and we store what it raised for."""
    forest = RandomForestRegressor(**SMALL).fit(ROWS, CURVE)
    right, asked = shap.TreeExplainer.shap_values, []

    def wrong(self, table, check_additivity=True):
        asked.append(check_additivity)
        values = right(self, table, check_additivity=False) + 1.0
        if check_additivity:
            self.assert_additivity(values, self.model.predict(table))
        return values

    monkeypatch.setattr(shap.TreeExplainer, "shap_values", wrong)
    found = xm.explain(xm.adapt(forest), ROWS[:3], "shap.tree", background=ROWS[40:43])
    assert asked == [True, False]
    np.testing.assert_allclose(found["completeness_gap"].values, 4.0, atol=1e-5)


def test_they_are_found_by_name():
    assert xm.methods().loc["shap.tree", "needs"] == "fitted trees or a linear model"
    assert ShapTree.name == "shap.tree"
    assert ShapGpuTree.name == "shap.gpu_tree"
