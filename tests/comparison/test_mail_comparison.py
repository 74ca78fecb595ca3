"""``compare`` on small MAIL networks: at the inputs, behind encoders, as stream shares, and subclassed."""

import json

import keras
import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import NotSupported
from xai_mimo.explainers.gradients.integrated_gradients import IntegratedGradients
from xai_mimo.explainers.interception.interception import Interception
from xai_mimo.layers import MAIL
from xai_mimo.metrics.metric import Quantity
from xai_mimo.record.check import check

METHODS = {"attention": "interception", "ig": IntegratedGradients(steps=4)}
FAST = Settings(resamples=200, steps=4, ceilings=False)
WIDTHS = {"thermal": 3, "wear": 2}


@pytest.fixture
def data(rng):
    return {name: rng.standard_normal((24, width)).astype("float32") for name, width in WIDTHS.items()}


def network(*, encoded, units=1):
    inputs = {name: keras.Input((width,), name=name) for name, width in WIDTHS.items()}
    read = {
        name: keras.layers.Dense(4, activation="tanh", name=f"{name}_encoder")(x) if encoded else x
        for name, x in inputs.items()
    }
    mixed = MAIL({"risk": 3, "life": 3}, rescale=True, name="mail")(read)
    outputs = {
        head: keras.layers.Dense(units, name=head)(keras.layers.Activation("tanh")(y)) for head, y in mixed.items()
    }
    return keras.Model(inputs, outputs, name="net")


@keras.saving.register_keras_serializable(package="tests")
class Subclassed(keras.Model):
    """The same, out of reach for a cut."""

    def __init__(self, encoded):
        super().__init__()
        self.encoders = {name: keras.layers.Dense(4) for name in WIDTHS} if encoded else {}
        self.mail = MAIL({"risk": 1, "life": 1}, name="mail")

    def call(self, inputs):
        return self.mail({name: self.encoders[name](x) if self.encoders else x for name, x in inputs.items()})


def subclassed(encoded, data):
    model = Subclassed(encoded)
    model({name: x[:1] for name, x in data.items()})
    return xm.adapt(model, streams=WIDTHS, heads={"risk": 1, "life": 1})


def attention_of(model, data, head):
    maps = xm.intercept(model, data)
    (key,) = [k for k in maps.data_vars if str(k).endswith("/attention")]
    (dim,) = [d for d in maps[key].dims if str(d).endswith("_head")]
    return maps[key].sel({dim: head}).values  # (sample, feature)


def test_a_layer_on_raw_inputs_is_compared_at_the_inputs(data):
    model = network(encoded=False)
    result = xm.compare(model, data, METHODS, truth={"risk": {"wear": ["1"]}}, settings=FAST)
    check(result.to_dict())
    assert result.record["space"]["name"] == "inputs"
    shown = result.explanations.sel(explainer="attention", head="life")
    np.testing.assert_allclose(
        np.concatenate([shown[s] for s in WIDTHS], axis=-1), attention_of(model, data, "life"), rtol=1e-5
    )
    assert {m["label"]: m["signed"] for m in result.record["methods"]} == {"attention": False, "ig": True}
    assert {v["verdict"] for v in result.record["verdicts"]} <= {"supported", "doubtful", "misleading", "undecided"}
    assert "ribeiro2025mail" in result.record["references"]
    assert {m["label"]: m["reference"] for m in result.record["methods"]}["attention"] == "ribeiro2025mail"


def test_behind_encoders_everything_is_explained_at_the_layer(data):
    result = xm.compare(network(encoded=True), data, METHODS, truth={"risk": ["wear"]}, settings=FAST)
    check(result.to_dict())
    assert result.record["space"]["name"] == "at:mail"
    assert result.explanations["thermal_encoded"].shape == (2, 2, 24, 4)
    (auroc,) = (
        r
        for r in result.record["scores"]
        if (r["head"], r["metric"], r["method"], r["role"]) == ("risk", "auroc_mean_map", "ig", "value")
    )
    assert "every value of wear_encoded counts as true" in auroc["note"]


def test_stream_shares_lay_the_layers_map_beside_attributions_of_the_inputs(data):
    model = network(encoded=True)
    result = xm.compare(model, data, METHODS, space="streams", settings=FAST)
    check(result.to_dict())
    weights = attention_of(model, data, "risk")
    shown = result.explanations.sel(explainer="attention", head="risk")
    np.testing.assert_allclose(shown["thermal"], weights[:, :4].sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(shown["thermal"] + shown["wear"], 1.0, rtol=1e-6)
    ig = xm.explain(model, data, IntegratedGradients(steps=4))
    shares = xm.stream_shares(ig).sel(head="risk", stream="wear")
    np.testing.assert_allclose(result.explanations["wear"].sel(explainer="ig", head="risk"), shares, atol=1e-6)


@pytest.mark.parametrize(("encoded", "space"), [(False, "inputs"), (True, "streams")])
def test_a_subclassed_model_is_compared_where_its_names_allow(data, encoded, space):
    adapted = subclassed(encoded, data)
    result = xm.compare(adapted, data, {"attention": "interception", "gradient": "gradient"}, settings=FAST)
    check(result.to_dict())
    assert result.record["space"]["name"] == space
    seeds = {m.label: m.seed for m in result.record.methods}
    facts = json.loads(result.explanations.attrs["methods"])
    assert {label: fact["seed"] for label, fact in facts.items()} == seeds
    shares = {(r["method"], r["head"], r["stream"]): r["mean"] for r in result.record["shares"]}
    weights = attention_of(adapted, data, "risk")
    half = weights.shape[1] // 2 if encoded else WIDTHS["thermal"]
    assert shares["attention", "risk", "thermal"] == pytest.approx(weights[:, :half].sum(axis=1).mean(), rel=1e-5)


def test_a_subclassed_model_has_no_contribution_shares(data):
    with pytest.raises(NotSupported, match="kind 'contribution' needs a model that can be cut"):
        xm.compare(subclassed(True, data), data, {"c": Interception(kind="contribution"), "g": "gradient"})


def test_one_row_and_several_units(data):
    one = {name: x[:1] for name, x in data.items()}
    result = xm.compare(network(encoded=False, units=2), one, ["interception", "gradient"], settings=FAST)
    check(result.to_dict())
    assert {t["name"] for t in result.record["targets"]} == {"risk:0", "risk:1", "life:0", "life:1"}
    assert {v["verdict"] for v in result.record["verdicts"]} == {"undecided"}


def test_behind_a_standardisation_features_are_still_themselves(data):
    inputs = {name: keras.Input((width,), name=name) for name, width in WIDTHS.items()}
    scaled = {name: keras.layers.Rescaling(2.0)(x) for name, x in inputs.items()}
    model = keras.Model(inputs, MAIL({"risk": 1}, name="mail")(scaled))
    named = xm.adapt(model, streams={"thermal": ["air", "process", "room"], "wear": ["age", "load"]})
    result = xm.compare(named, data, METHODS, truth={"risk": {"wear": ["load"]}}, settings=FAST)
    (auroc,) = (
        r for r in result.record["scores"] if (r["metric"], r["method"], r["role"]) == ("auroc_mean_map", "ig", "value")
    )
    assert result.record["space"]["name"] == "at:mail"
    mean = abs(result.explanations.sel(explainer="ig", head="risk")).mean("sample")
    flat = np.concatenate([mean["thermal_encoded"], mean["wear_encoded"]])
    assert list(mean["wear_encoded_feature"].values) == ["age", "load"]
    assert auroc["estimate"] == np.mean(flat[4] > flat[:4])


class _Again:
    """A metric that explains everything once more, with the same rows and the same model."""

    name, family, title, better, bounds, reference = "again", "robustness", "again", "neither", (None, None), ""

    def __call__(self, scene, rng):
        for label, maps in scene.maps.maps.items():
            np.testing.assert_allclose(scene.explain_again(label), maps, atol=1e-6)
            np.testing.assert_allclose(scene.explain_again(label, inputs=scene.perturbed.inputs), maps, atol=1e-6)
            np.testing.assert_allclose(scene.explain_again(label, model=scene.whole), maps, atol=1e-6)
            values = np.zeros(scene.maps.rows)
            yield from (Quantity(method=label, target=target, values=values) for target in scene.maps.heads)


@pytest.mark.parametrize(("encoded", "space"), [(False, None), (True, None), (True, "streams")])
def test_explaining_again_gives_what_was_explained_behind_a_cut_too(data, encoded, space):
    result = xm.compare(network(encoded=encoded), data, METHODS, metrics=[_Again()], space=space, settings=FAST)
    assert {s.method for s in result.record.scores} == set(METHODS)


def test_shares_of_a_subclassed_model_are_read_again(data):
    methods = {"attention": "interception", "gradient": "gradient"}
    result = xm.compare(subclassed(True, data), data, methods, metrics=[_Again()], settings=FAST)
    assert result.record.space.name == "streams"
    assert {s.method for s in result.record.scores} == set(methods)


def test_maps_of_random_weights_are_compared_when_asked_for(data):
    metrics = ["parameter_randomisation", "max_sensitivity"]
    result = xm.compare(network(encoded=True), data, METHODS, metrics=metrics, settings=FAST)
    check(result.to_dict())
    alike = {s.method: s.estimate for s in result.record.scores if s.metric == "parameter_randomisation"}
    assert set(alike) == set(METHODS)
    assert all(-1 <= value < 0.9 for value in alike.values())
    assert {s.note for s in result.record.scores if s.metric == "parameter_randomisation"} == {"weights shuffled"}
    assert all(s.estimate > 0 for s in result.record.scores if s.metric == "max_sensitivity")
    assert {"adebayo2018sanity", "yeh2019infidelity"} <= set(result.record.references)
