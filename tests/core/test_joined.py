"""Several models as the heads of one: streams that are shared, heads side by side, gradients where all have them."""

import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import BadSetting, NotFinite, NotSupported, ShapeMismatch, UnknownName, UnusedStreamWarning
from xai_mimo.core.model import Differentiable
from xai_mimo.core.streams import Head, Stream
from xai_mimo.explainers.perturbation.shapley import Shapley
from xai_mimo.testing import check_adapter

EXACT = Shapley(budget=2**12, background_rows=1000)


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(0)
    x = pd.DataFrame(rng.normal(size=(50, 3)), columns=["age", "bp", "k"])
    x["ward"] = rng.choice(["er", "icu"], 50)
    return x


@pytest.fixture(scope="module")
def forest(x):
    return RandomForestClassifier(4, random_state=0).fit(x[["age", "bp"]], np.where(x.bp > 0, "yes", "no"))


@pytest.fixture(scope="module")
def line(x):
    return LinearRegression().fit(x[["k", "bp"]], x.bp + 2 * x.k)


@pytest.mark.all_frameworks
def test_models_on_some_columns_each_are_one_on_all(forest, line, x):
    joined = xm.adapt({"ill": forest, "hours": line})
    (stream,) = joined.streams
    assert (stream.name, stream.features) == ("table", ("age", "bp", "k"))
    assert [(h.name, h.kind, h.units) for h in joined.heads] == [
        ("ill", "binary", ("yes",)),
        ("hours", "regression", ("0",)),
    ]
    rows = x[["k", "age", "bp"]]
    explanation = xm.explain({"ill": forest, "hours": line}, rows, EXACT, background=rows)
    alone = xm.explain(forest, x[["age", "bp"]], EXACT, background=x[["age", "bp"]])
    np.testing.assert_allclose(explanation["table"].values[0][:, :2], alone["table"].values[0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(explanation["table"].values[0][:, 2], 0, rtol=0, atol=1e-12)
    expected = dict(zip(["k", "bp"], line.coef_, strict=True))
    for i, name in enumerate(("bp", "k")):
        closed = expected[name] * (x[name] - x[name].mean())
        np.testing.assert_allclose(explanation["table"].values[1][:, 1 + i], closed, rtol=0, atol=1e-9)
    assert joined.backend == "sklearn"


@pytest.mark.all_frameworks
def test_a_part_with_several_outputs_has_heads_with_its_name_before_theirs(forest, x):
    several = LinearRegression().fit(x[["bp"]], x[["k", "age"]])
    joined = xm.adapt({"ill": forest, "rest": several})
    assert [h.name for h in joined.heads] == ["ill", "rest_output_0", "rest_output_1"]
    outputs = joined.predict(x[["age", "bp"]])
    np.testing.assert_array_equal(outputs["rest_output_1"][:, 0], several.predict(x[["bp"]])[:, 1])
    renamed = xm.adapt({"ill": forest, "rest": several}, heads={"risk": "binary", "k": 1, "age": 1})
    assert [h.name for h in renamed.heads] == ["risk", "k", "age"]
    np.testing.assert_array_equal(renamed.predict(x[["age", "bp"]])["age"], outputs["rest_output_1"])


@pytest.mark.all_frameworks
def test_columns_are_put_into_the_streams_that_are_asked_for(forest, line, x):
    split = ColumnTransformer([("numbers", StandardScaler(), ["age"]), ("words", OneHotEncoder(), ["ward"])])
    pipeline = make_pipeline(split, LogisticRegression()).fit(x, x.bp > 0)
    joined = xm.adapt(
        {"ill": forest, "hours": line, "late": pipeline}, streams={"patient": ["age", "ward"], "blood": ["k", "bp"]}
    )
    assert [s.dtype for s in joined.streams] == ["object", "float64"]
    outputs = joined.predict(x)
    np.testing.assert_array_equal(outputs["late"][:, 0], pipeline.predict_proba(x)[:, 1])
    np.testing.assert_array_equal(outputs["ill"][:, 0], forest.predict_proba(x[["age", "bp"]])[:, 1])
    np.testing.assert_array_equal(outputs["hours"][:, 0], line.predict(x[["k", "bp"]]))
    check_adapter(joined, {"patient": x[["age", "ward"]][:5], "blood": x[["k", "bp"]][:5]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedStreamWarning)
        comparison = xm.compare(joined, x, ["shapley", "occlusion"], rows=12)
    assert set(comparison.scores["head"]) == {"ill", "hours", "late"}


@pytest.mark.all_frameworks
def test_functions_join_by_the_streams_that_they_declare(forest, x):
    function = xm.adapt(
        lambda table, sensors: table[:, 1] * sensors[:, 0], streams={"table": 2, "sensors": 1}, heads={"area": 1}
    )
    joined = xm.adapt({"ill": forest, "area": function})
    assert [(s.name, s.features) for s in joined.streams] == [("table", ("age", "bp")), ("sensors", ("0",))]
    assert not isinstance(joined, Differentiable)
    rows = {"table": x[["bp", "age"]], "sensors": x[["k"]].to_numpy()}
    np.testing.assert_array_equal(joined.predict(rows)["area"][:, 0], x["bp"] * x["k"])
    check_adapter(joined, rows)


@pytest.mark.all_frameworks
def test_a_part_is_named_in_what_it_refuses(forest, line, x):
    with pytest.raises(NotSupported, match="part 'late': LogisticRegression is not fitted"):
        xm.adapt({"ill": forest, "late": LogisticRegression()})
    with pytest.raises(BadSetting, match=r"options such as 'output' belong to one model: adapt it first"):
        xm.adapt({"ill": forest}, output="predict_proba")
    for models in ({}, {1: forest}):
        with pytest.raises(BadSetting, match=r"a dictionary of models is \{head: model\}, names as keys; got the keys"):
            xm.adapt(models)
    wide = xm.adapt(lambda table: table.sum(axis=1), streams={"table": 3}, heads={"y": 1})
    with pytest.raises(
        ShapeMismatch, match=r"part 'sum' has an input stream 'table' of shape \(3,\), another part one of"
    ):
        xm.adapt({"ill": forest, "sum": wide})
    with pytest.raises(UnknownName, match=r"part 'hours' reads k, bp; the streams have age, bp\. Missing: k\."):
        xm.adapt({"ill": forest, "hours": line}, streams={"some": ["age", "bp"]})
    lost = xm.adapt(lambda table: table[:, 0] / 0, streams={"table": 2}, heads={"y": 1})
    with pytest.raises(NotFinite, match="NaN or infinity for head 'lost'"), np.errstate(all="ignore"):
        xm.explain({"ill": forest, "lost": lost}, x[["age", "bp"]], "shapley")


@pytest.mark.all_frameworks
def test_the_fingerprint_is_of_all_parts(forest, line, x):
    one = xm.adapt({"ill": forest, "hours": line}).fingerprint()
    assert one == xm.adapt({"ill": forest, "hours": line}).fingerprint()
    other = LinearRegression().fit(x[["k", "bp"]], x.bp)
    assert one != xm.adapt({"ill": forest, "hours": other}).fingerprint()
    assert one != xm.adapt({"ill": forest, "days": line}).fingerprint()


class Squares:
    """f_h(x) = w_h . x^2 over one stream, with its gradient."""

    def __init__(self, stream, weights):
        self.streams = (Stream(stream, (len(weights),), "float64"),)
        self.heads = (Head("one", (1,)), Head("half", (1,)))
        self.weights = np.array(weights, dtype=np.float64)

    def fingerprint(self):
        return self.weights.tobytes().hex()

    def predict(self, inputs):
        (x,) = check_inputs(inputs, self.streams).values()
        value = (x**2 @ self.weights)[:, None]
        return {"one": value, "half": value / 2}

    def gradients(self, inputs, selectors, streams=None):
        (x,) = check_inputs(inputs, self.streams).values()
        share = {"one": 1.0, "half": 0.5}
        slopes = np.stack([2 * share[s.head] * x * self.weights for s in selectors])
        return self.predict(inputs), {self.streams[0].name: slopes}


@pytest.mark.all_frameworks
def test_models_that_all_have_gradients_are_one_with_gradients():
    joined = xm.adapt({"a": Squares("u", [1.0, 2.0]), "b": Squares("v", [3.0]), "c": Squares("u", [5.0, 0.0])})
    assert isinstance(joined, Differentiable)
    assert [s.name for s in joined.streams] == ["u", "v"]
    rows = {"u": np.array([[1.0, 2.0], [3.0, -1.0]]), "v": np.array([[0.5], [2.0]])}
    check_adapter(joined, rows)
    with pytest.warns(UnusedStreamWarning):
        maps = xm.explain(joined, rows, "integrated_gradients")
    np.testing.assert_allclose(maps["u"].sel(head="a_half").values, rows["u"] ** 2 * [0.5, 1.0], rtol=1e-6)
    np.testing.assert_allclose(maps["u"].sel(head="c_one").values, rows["u"] ** 2 * [5.0, 0.0], rtol=1e-6)
    assert (maps["v"].sel(head="c_one") == 0).all()
    np.testing.assert_allclose(maps["v"].sel(head="b_one").values, rows["v"] ** 2 * 3, rtol=1e-6)


@pytest.mark.all_frameworks
def test_gradients_go_to_the_columns_that_a_part_reads():
    one, other = Squares("u", [1.0, 2.0]), Squares("u", [3.0, 4.0])
    one.streams = (Stream("u", (2,), "float64", features=("p", "q")),)
    other.streams = (Stream("u", (2,), "float64", features=("r", "p")),)
    joined = xm.adapt({"a": one, "b": other}, streams={"s": ["r", "q"], "t": ["p"]})
    rows = {"s": np.array([[1.0, 2.0], [1.5, -1.0]]), "t": np.array([[5.0], [0.5]])}
    check_adapter(joined, rows)
    maps = xm.explain(joined, rows, "integrated_gradients", targets=["a_one", "b_one"])
    np.testing.assert_allclose(maps["s"].values[0], rows["s"] ** 2 * [0.0, 2.0], rtol=1e-6)
    np.testing.assert_allclose(maps["s"].values[1], rows["s"] ** 2 * [3.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(maps["t"].values, np.stack([rows["t"] ** 2, rows["t"] ** 2 * 4]), rtol=1e-6)


def test_a_mixture_of_frameworks_is_one_model(forest, x):
    torch, keras = imported("torch"), imported("keras")
    keras.utils.set_random_seed(0)
    table = keras.Input((2,), name="table")
    one = keras.Model(table, keras.layers.Dense(2, name="one")(table))
    weights, bias = one.layers[-1].get_weights()
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Tanh())
    with_torch = xm.adapt(net, streams={"table": 2}, heads={"y": 2}, like=x[["age", "bp"]].to_numpy("float32"))
    function = xm.adapt(lambda table: table[:, 0], streams={"table": 2}, heads={"age": 1})
    joined = xm.adapt({"ill": forest, "keras": one, "torch": with_torch, "age": function})
    rows = x[["bp", "age"]]
    outputs = joined.predict(rows)
    values = x[["age", "bp"]].to_numpy("float32").copy()
    np.testing.assert_allclose(outputs["torch"], net(torch.from_numpy(values)).detach().numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(outputs["keras"], values @ weights + bias, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(outputs["age"][:, 0], x["age"])
    explanation = xm.explain(joined, rows[:6], EXACT, background=rows)
    linear = explanation["table"].sel(head="age").values
    np.testing.assert_allclose(
        linear, np.stack([x["age"][:6] - x["age"].mean(), np.zeros(6)], axis=1), rtol=0, atol=1e-6
    )
    assert "sklearn" in joined.backend
    with pytest.raises(NotSupported, match="integrated_gradients needs gradients"):
        xm.explain(joined, rows, "integrated_gradients")
