"""Models that add up: values by hand, and the gap of one that does not."""

import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, QuantileTransformer, StandardScaler
from sklearn.svm import SVC
from xai_mimo_adapters.shap_methods import ShapAdditive, ShapLinear

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.games import Bilinear, Plain, brute_force_shapley, explain, rows_for
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.plugins import method
from xai_mimo.core.streams import Head

pytestmark = pytest.mark.all_frameworks


class Curves(Plain):
    """y = sin(x0) + x1^2 + 3 x2, twice = 2 y."""

    heads = (Head("y"), Head("twice"))

    def __init__(self):
        super().__init__(lambda x: np.sin(x[:, 0]) + x[:, 1] ** 2 + 3 * x[:, 2], 3)
        self.asked = 0

    def predict(self, inputs):
        self.asked += len(inputs["x"])
        y = self.function(inputs["x"])[:, None]
        return {"y": y, "twice": 2 * y}


def test_a_sum_of_curves_is_taken_apart_by_hand(rng):
    x, background = rng.standard_normal((4, 3)), rng.standard_normal((5, 3))
    found = explain(ShapAdditive(), Curves(), {"x": x}, {"x": background}).values["x"]
    curves = [np.sin, np.square, lambda v: 3 * v]
    by_hand = np.stack([c(x[:, i]) - c(background[:, i]).mean() for i, c in enumerate(curves)], axis=1)
    np.testing.assert_allclose(found[0], by_hand, atol=1e-12)
    np.testing.assert_allclose(found[1], 2 * by_hand, atol=1e-12)


def test_both_heads_are_answered_from_the_same_predictions(rng):
    x, background = {"x": rng.standard_normal((4, 3))}, {"x": rng.standard_normal((5, 3))}
    model = Curves()
    explain(ShapAdditive(), model, x, background)
    assert model.asked <= 4 * 3 + 4 * 5 + 4 + 4 + 5  # one row a player; offsets; select, prediction, baseline


def test_a_model_that_does_not_add_up_shows_its_gap(rng):
    """Of a product of two, each value is taken where the other is smallest."""
    x, background = np.array([[2.0, 3.0]]), np.array([[1.0, 1.0], [0.0, -1.0]])
    found = explain(ShapAdditive(), Plain(lambda v: v[:, 0] * v[:, 1], 2), {"x": x}, {"x": background})
    by_hand = [-1 * (2 - 0.5), 0 * (3 - 0)]  # the smallest of the other one times the change of its own
    np.testing.assert_allclose(found.values["x"][0, 0], by_hand, atol=1e-12)
    gap = found.values["x"].sum() - (found.prediction - found.baseline_prediction)
    np.testing.assert_allclose(gap, [[-1.5 - (6 - 0.5)]])


def test_streams_with_several_players_come_back_in_their_shapes(rng):
    model = Bilinear()
    found = explain(ShapAdditive(players="streams"), model, rows_for(model, rng, 3), rows_for(model, rng, 2))
    assert found.values["a"].shape == (2, 3)


def test_it_is_found_by_name():
    assert method("shap.additive") == ShapAdditive()


ROWS = np.random.default_rng(4).standard_normal((60, 3))
TARGET = ROWS @ [2.0, -1.0, 0.5] + 7
TARGETS = np.stack([TARGET, ROWS[:, 0] - TARGET], axis=1)
TWO, THREE = (TARGET > 7).astype(int), np.digitize(TARGET, [6.0, 8.0])


def two(rows):
    return {"one": rows[:, [0, 1]], "other": rows[:, [2]]}


def test_a_linear_regression_is_its_coefficients_times_the_distance_from_the_mean():
    model = xm.adapt(LinearRegression().fit(ROWS, TARGET), like=two(ROWS))
    found = xm.explain(model, two(ROWS[:5]), "shap.linear", background=two(ROWS[20:30]))
    by_hand = (ROWS[:5] - ROWS[20:30].mean(axis=0)) * [2.0, -1.0, 0.5]
    np.testing.assert_allclose(found["one"].values[0], by_hand[:, :2], atol=1e-10)
    np.testing.assert_allclose(found["other"].values[0], by_hand[:, 2:], atol=1e-10)
    assert np.abs(found["completeness_gap"].values).max() < 1e-10


def test_more_background_than_shap_takes_by_itself_is_all_used():
    rows = np.random.default_rng(0).standard_normal((250, 3)) + np.linspace(0, 9, 250)[:, None]
    model = xm.adapt(LinearRegression().fit(ROWS, TARGET))
    found = xm.explain(model, ROWS[:2], "shap.linear", background=rows)["table"].values[0]
    np.testing.assert_allclose(found, (ROWS[:2] - rows.mean(axis=0)) * [2.0, -1.0, 0.5], atol=1e-9)


ADDS_UP = {
    "two heads": (Ridge(), TARGETS, None),
    "a model for each output": (MultiOutputRegressor(Ridge()), TARGETS, None),
    "behind a scaler": (make_pipeline(StandardScaler(), Ridge()), TARGET, None),
    "behind quantiles": (make_pipeline(QuantileTransformer(n_quantiles=9), Ridge()), TARGET, None),
    "scores of two classes": (LogisticRegression(), TWO, "decision_function"),
    "scores of three classes": (make_pipeline(StandardScaler(), LogisticRegression()), THREE, "decision_function"),
    "a linear margin": (SVC(kernel="linear"), TWO, "decision_function"),
}


@pytest.mark.parametrize("name", ADDS_UP)
def test_values_are_those_of_every_coalition_of_the_models_own_answers(name):
    estimator, y, output = ADDS_UP[name]
    model = xm.adapt(estimator.fit(ROWS, y), output=output)
    rows, background = ROWS[:3], ROWS[40:44]
    targets = [(head.name, "all") for head in model.heads]
    found = xm.explain(model, rows, "shap.linear", background=background, targets=targets)["table"].values
    units = [(head.name, unit) for head in model.heads for unit in range(head.size)]
    assert len(found) == len(units)
    for values, (head, unit) in zip(found, units, strict=True):
        slow = [
            brute_force_shapley(lambda x, h=head, u=unit: model.predict({"table": x})[h][:, u], r, background)
            for r in rows
        ]
        np.testing.assert_allclose(values, slow, atol=1e-9)


@pytest.mark.parametrize("labels", [TWO, THREE], ids=["sigmoid", "softmax"])
def test_on_logit_a_classifier_is_explained_by_its_scores(labels):
    classifier = LogisticRegression().fit(ROWS, labels)
    found = xm.explain(classifier, ROWS[:4], "shap.linear", background=ROWS[20:30], on="logit", targets=[("output", 0)])
    scores = classifier.coef_ if labels is TWO else classifier.coef_[:1]
    np.testing.assert_allclose(found["table"].values[0], (ROWS[:4] - ROWS[20:30].mean(axis=0)) * scores, atol=1e-10)
    link = "sigmoid" if labels is TWO else "softmax"
    assert f"before the {link} of LogisticRegression" in found.attrs["explained_value"]


REFUSED = {
    "a probability": (
        LogisticRegression(),
        TWO,
        r"is not what head 'output' gives \(predict_proba\)\)\. Explain the scores",
    ),
    "an exponential": (
        PoissonRegressor(),
        np.exp(TARGET / 9),
        r"gives \(predict\)\)\. Use 'shap\.permutation' or 'shapley'",
    ),
    "a kernel": (SVC(), TWO, "SVC has no coef_ and intercept_"),
    "products of columns": (
        make_pipeline(PolynomialFeatures(2), Ridge()),
        TARGET,
        "of which it is not known that it makes",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_add_up_is_refused_with_the_reason(name):
    estimator, y, words = REFUSED[name]
    with pytest.raises(NotSupported, match=words):
        xm.explain(estimator.fit(ROWS, y), ROWS[:3], "shap.linear", background=ROWS[5:9])


def test_a_model_that_is_no_estimator_is_refused():
    plain = toys.mlp()
    with pytest.raises(NotSupported, match=r"shap\.linear needs a fitted estimator of trees or a linear model, and"):
        xm.explain(plain, toys.rows(plain), "shap.linear")
    assert method("shap.linear") == ShapLinear()
