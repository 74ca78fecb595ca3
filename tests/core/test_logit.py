"""Heads of probabilities as log-odds: values and gradients by hand, cut off where a dtype ends, and said in words."""

import json
import pickle
import warnings

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import BadSetting, LeftOutWarning, PrecisionWarning
from xai_mimo.core.logit import OF_EACH_CLASS, LogOdds, on_logit
from xai_mimo.core.model import Differentiable, Interceptable, Splittable
from xai_mimo.core.reread import reread
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.probability_drop import probabilities
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

WEIGHTS = np.array([1.0, -2.0, 0.5])
CLASSES = np.array([[0.5, -0.3, 0.1], [0.2, 0.4, -0.6], [-0.1, 0.3, 0.2]])


def softmax(z):
    grown = np.exp(z - z.max(axis=-1, keepdims=True))
    return grown / grown.sum(axis=-1, keepdims=True)


class Clinic:
    """risk = sigmoid(x w), mode = softmax(x W), hours = x_0: gradients by hand, in float64."""

    name = "clinic"
    streams = (Stream("x", (3,), dtype="float64"),)
    heads = (
        Head("risk", kind="binary", unit="probability"),
        Head("mode", (3,), kind="multiclass", unit="probability"),
        Head("hours"),
    )

    def fingerprint(self):
        return "ab" * 8

    def predict(self, inputs):
        x = check_inputs(inputs, self.streams)["x"]
        risk = 1 / (1 + np.exp(-(x @ WEIGHTS)))
        return {"risk": risk[:, None], "mode": softmax(x @ CLASSES), "hours": x[:, :1]}

    def gradients(self, inputs, selectors, streams=None):
        x, outputs = check_inputs(inputs, self.streams)["x"], self.predict(inputs)
        slopes = []
        for selector in selectors:
            if selector.head == "risk":
                slopes.append(outputs["risk"] * (1 - outputs["risk"]) * WEIGHTS)
            elif selector.head == "mode":
                p, k = outputs["mode"], selector.units
                own = p[np.arange(len(x)), k][:, None]
                slopes.append(own * (CLASSES.T[k] - p @ CLASSES.T))
            else:
                slopes.append(np.tile([1.0, 0.0, 0.0], (len(x), 1)))
        return outputs, {"x": np.stack(slopes)}


@pytest.fixture(scope="module")
def rows():
    return {"x": np.random.default_rng(0).normal(size=(6, 3))}


@pytest.fixture(scope="module")
def read():
    return reread(Clinic(), LogOdds(("risk", "mode")))


def test_the_log_odds_of_a_sigmoid_are_what_it_reads(read, rows):
    np.testing.assert_allclose(read.predict(rows)["risk"][:, 0], rows["x"] @ WEIGHTS, atol=1e-12)


def test_a_class_is_held_against_the_rest(read, rows):
    p = softmax(rows["x"] @ CLASSES)
    np.testing.assert_allclose(read.predict(rows)["mode"], np.log(p / (1 - p)), atol=1e-12)
    units = {head.name: head.unit for head in read.heads}
    assert units == {"risk": "log-odds", "mode": OF_EACH_CLASS, "hours": ""}


def test_gradients_follow_the_chain_rule(read, rows):
    selectors = [Selector("risk", "risk", np.zeros(6, np.int64)), Selector("hours", "hours", np.zeros(6, np.int64))]
    outputs, gradients = read.gradients(rows, selectors)
    np.testing.assert_allclose(outputs["risk"][:, 0], rows["x"] @ WEIGHTS, atol=1e-12)
    np.testing.assert_allclose(gradients["x"][0], np.tile(WEIGHTS, (6, 1)), atol=1e-12)
    np.testing.assert_array_equal(gradients["x"][1], np.tile([1.0, 0.0, 0.0], (6, 1)))


def test_it_keeps_the_contract(read, rows):
    check_adapter(read, rows)


def test_it_can_what_the_model_can_and_no_more(read):
    assert isinstance(read, Differentiable)
    assert not isinstance(read, Interceptable | Splittable)
    assert not isinstance(reread(xm.adapt(lambda x: x, {"x": 1}, {"y": 1}), LogOdds(())), Differentiable)
    assert read.name == "clinic"


def test_it_can_be_pickled_as_far_as_the_model_can(read, rows):
    again = pickle.loads(pickle.dumps(read))
    np.testing.assert_array_equal(again.predict(rows)["risk"], read.predict(rows)["risk"])
    assert again.fingerprint() == read.fingerprint() != Clinic().fingerprint()


@pytest.mark.parametrize(("dtype", "end"), [("float32", 16.6355), ("float64", 36.7368)])
def test_probabilities_of_0_and_1_are_cut_off_with_a_word_on_how_many(dtype, end):
    def certain(x):
        return {"risk": np.array([0.0, 1.0, 0.5, 0.25], dtype)[x[:, 0].astype(int)][:, None]}

    model = xm.adapt(certain, {"x": 1}, {"risk": "binary"})
    rows = {"x": np.arange(4.0, dtype=np.float32)[:, None]}
    with pytest.warns(
        PrecisionWarning, match=f"gives 2 of 4 probabilities in 4 rows .* taken as -{end:.2f}.* or {end:.2f}"
    ):
        cut, _ = on_logit(model, {"risk"}, rows)
    values = cut.predict(rows)["risk"]
    assert values.dtype == dtype
    np.testing.assert_allclose(values[:, 0], [-end, end, 0.0, -np.log(3)], rtol=1e-5, atol=1e-7)


def test_where_it_is_cut_off_the_gradient_is_zero(rows):
    far = {"x": rows["x"] + [0.0, -400.0, 0.0]}
    gradients = reread(Clinic(), LogOdds(("risk",))).gradients(far, [Selector("risk", "risk", np.zeros(6, np.int64))])[
        1
    ]
    np.testing.assert_array_equal(gradients["x"], np.zeros((1, 6, 3)))


def test_each_head_says_what_is_explained(rows):
    explanation = xm.explain(Clinic(), rows, on="logit")
    assert explanation.attrs["on"] == "logit"
    why = "log-odds of the probability, since model 'clinic' cannot be cut before its final sigmoid or softmax"
    assert json.loads(explanation.attrs["explained_value"]) == {
        "risk": why,
        "mode": why,
        "hours": "its output: a head of kind regression is none of probabilities",
    }
    # The logit is a line, so a row's attributions are x w, less the same for the background in every row.
    background = rows["x"] * WEIGHTS - explanation["x"].values[0]
    np.testing.assert_allclose(background, np.tile(background[:1], (6, 1)), atol=1e-4)


def test_where_no_head_is_known_to_give_probabilities_that_is_said(rows):
    def chance(x):
        return 1 / (1 + np.exp(-(x @ WEIGHTS)))

    with pytest.warns(
        LeftOutWarning, match=r"on='logit' changes nothing: no head .* \('output' is of kind regression\)"
    ):
        xm.explain(chance, rows, "occlusion", on="logit")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explanation = xm.explain(xm.adapt(chance, heads={"output": "binary"}, like=rows), rows, "occlusion", on="logit")
    np.testing.assert_allclose(explanation["x"].values[0], rows["x"] * WEIGHTS, atol=1e-6)


def test_outputs_are_explained_as_before_and_say_so(rows):
    explanation = xm.explain(Clinic(), rows, targets="risk")
    assert explanation.attrs["on"] == "output"
    assert "explained_value" not in explanation.attrs
    np.testing.assert_allclose(explanation["prediction"].values[0], Clinic().predict(rows)["risk"][:, 0])


def test_logits_are_left_with_a_word(rows):
    model = xm.adapt(
        lambda x: x @ CLASSES, {"x": Stream("x", (3,), "float64")}, [Head("k", (3,), "multiclass", unit="logit")]
    )
    assert on_logit(model, {"k"}, rows)[0] is model
    assert on_logit(model, {"k"}, rows)[1] == {"k": "its output, which is a logit already"}


def test_what_is_no_probability_is_refused(rows):
    model = xm.adapt(lambda x: 9 * x[:, :1], {"x": Stream("x", (3,), "float64")}, {"risk": "binary"})
    with pytest.raises(
        BadSetting, match=r"head 'risk' of model '.*', of kind binary, gives values from -.* unit='log-odds'"
    ):
        xm.explain(model, rows, "occlusion", on="logit")


def test_another_word_is_refused(rows):
    with pytest.raises(BadSetting, match="on='logits' is not one of 'output' and 'logit'"):
        xm.explain(Clinic(), rows, on="logits")


class CutWrong(Clinic):
    """Says that it was cut before the sigmoid, and was not."""

    def before_link(self, heads):
        return self, dict.fromkeys(heads, "before the final sigmoid")


class CutRight(Clinic):
    """Cuts the sigmoid and not the softmax."""

    def before_link(self, heads):
        return reread(Clinic(), LogOdds(("risk",))), {"risk": "before the final sigmoid"} if "risk" in heads else {}


def test_a_cut_that_is_not_the_models_is_not_taken(rows):
    cut, words = on_logit(CutWrong(), {"risk"}, rows)
    assert words == {
        "risk": "log-odds of the probability, since before the final sigmoid there are values that do not make its answer"
    }
    np.testing.assert_allclose(cut.predict(rows)["risk"][:, 0], rows["x"] @ WEIGHTS, atol=1e-12)


def test_heads_that_cannot_be_cut_are_read_as_log_odds_beside_those_that_can(rows):
    cut, words = on_logit(CutRight(), {"risk", "mode"}, rows)
    assert words["risk"] == "before the final sigmoid"
    assert words["mode"].startswith("log-odds of the probability, since")
    np.testing.assert_allclose(cut.predict(rows)["risk"][:, 0], rows["x"] @ WEIGHTS, atol=1e-12)


class CutAtLayers(CutRight):
    """Can be cut at a layer too, but not once it was cut before its sigmoid."""

    def layers(self):
        return ("only",)

    def tail(self, layer):
        return Clinic()

    def activations(self, inputs, layer):
        return inputs

    def layer_streams(self, layer):
        return {"x": ("x",)}


def test_a_model_that_would_lose_what_is_needed_is_read_as_log_odds(rows):
    model = CutAtLayers()
    cut, words = on_logit(model, {"risk"}, rows, needs={Splittable})
    assert isinstance(cut, Splittable)
    assert words["risk"] == (
        "log-odds of the probability, since model 'clinic', cut before the final sigmoid, cannot be cut at a layer too"
    )
    tail = xm.explain(model, rows, on="logit", at="only", targets=["risk"])
    np.testing.assert_allclose(tail["prediction"].values[0], rows["x"] @ WEIGHTS, atol=1e-12)
    assert on_logit(model, {"risk"}, rows)[1]["risk"] == "before the final sigmoid"


def test_logarithms_of_probabilities_are_left_with_a_word(rows):
    head = Head("k", (3,), "multiclass", unit="log-probability")
    model = xm.adapt(lambda x: np.log(softmax(x @ CLASSES)), {"x": Stream("x", (3,), "float64")}, [head])
    assert on_logit(model, {"k"}, rows) == (model, {"k": "its output, which is the logarithm of a probability already"})


def test_joined_models_are_cut_where_their_parts_can_be(rows):
    joined = xm.adapt({"ward": CutRight(), "home": Clinic()})
    explanation = xm.explain(joined, rows, on="logit", targets=["ward_risk", "home_risk", "ward_hours"])
    words = json.loads(explanation.attrs["explained_value"])
    assert words["ward_risk"] == "before the final sigmoid"
    assert words["home_risk"].startswith("log-odds of the probability, since model 'ward and home' cannot be cut")
    for head in range(2):
        np.testing.assert_allclose(explanation["prediction"].values[head], rows["x"] @ WEIGHTS, atol=1e-12)
    assert joined.before_link(["home_risk"])[1] == {}


def test_metrics_of_probabilities_read_the_log_odds_of_classes_back(read, rows):
    head = read.heads[1]
    np.testing.assert_allclose(probabilities(read.predict(rows)["mode"], head), softmax(rows["x"] @ CLASSES), atol=1e-9)


def test_a_comparison_tells_what_it_explains_and_scores_the_task_on_probabilities(rows):
    rng = np.random.default_rng(1)
    many = {"x": rng.normal(size=(40, 3))}
    labels = {"risk": (many["x"] @ WEIGHTS > 0).astype(int)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result = xm.compare(
            Clinic(),
            many,
            ["integrated_gradients", "occlusion"],
            on="logit",
            labels=labels,
            targets=["risk"],
            metrics=["deletion_area"],
        )
    assert result.record.settings["on"] == "logit"
    assert "cannot be cut" in result.record.settings["explained_value"]["risk"]
    assert result.explanations.attrs["on"] == "logit"
    assert result.record.model.heads[0].unit == "log-odds"
    assert result.record.task[0].estimate == pytest.approx(1.0)
