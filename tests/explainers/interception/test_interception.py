"""``intercept`` and the interception method."""

from dataclasses import replace

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.explainers import Interception

pytestmark = pytest.mark.all_frameworks


class Without:
    """A model that hides some of another one's abilities or changes its maps."""

    def __init__(self, model, change=lambda maps: maps, *, is_black_box=False):
        self.model, self.change, self.is_black_box = model, change, is_black_box
        self.streams, self.heads = model.streams, model.heads

    def fingerprint(self):
        return self.model.fingerprint()

    def predict(self, inputs):
        return self.model.predict(inputs)

    def intercept(self, inputs):
        return self.change(self.model.intercept(inputs))

    def layers(self):
        return self.model.layers()

    def tail(self, layer):
        return self.model.tail(layer)

    def activations(self, inputs, layer):
        return self.model.activations(inputs, layer)

    def layer_streams(self, layer):
        if self.is_black_box:
            raise NotSupported("the layer is called several times")
        return self.model.layer_streams(layer)


class Uncut:
    """A model that is read, and cannot be cut."""

    def __init__(self, model, change=lambda maps: maps):
        self.streams, self.heads, self.fingerprint, self.predict = (
            model.streams,
            model.heads,
            model.fingerprint,
            model.predict,
        )
        self.intercept = lambda inputs: change(model.intercept(inputs))


def relabel(**coords):
    return lambda maps: {k: replace(m, coords={**m.coords, **coords}) for k, m in maps.items()}


def test_intercept_names_every_map_and_axis():
    model = toys.attention()
    x = toys.rows(model)
    maps = xm.intercept(model, x)
    assert set(maps.data_vars) == {f"model/mail/{m}" for m in ("attention", "context", "contribution")}
    attention = maps["model/mail/attention"]
    assert attention.dims == ("sample", "model/mail_head", "model/mail_feature")
    np.testing.assert_array_equal(maps["model/mail_head"], ["y", "z"])
    np.testing.assert_array_equal(maps["model/mail_feature_stream"], ["u_code"] * 4 + ["v_code"] * 3)
    np.testing.assert_array_equal(maps["model/mail_target"], ["y:0", "z:0", "z:1"])
    np.testing.assert_allclose(attention.sum("model/mail_feature"), 1, rtol=1e-12)


def test_intercepted_maps_survive_a_file(tmp_path):
    model = toys.attention()
    maps = xm.intercept(model, toys.rows(model))
    for name in ("maps.nc", "maps.zarr"):
        back = xm.load(xm.save(maps, tmp_path / name))
        np.testing.assert_array_equal(back["model/mail/contribution"], maps["model/mail/contribution"])


def test_attention_at_the_layer_is_the_softmax_of_the_scores():
    model = toys.attention()
    x = toys.rows(model)
    found = xm.explain(model, x, Interception(), at="mail", targets=["y", ("z", 1)])
    code = model.encode(np.concatenate([x["u"], x["v"]], axis=1))
    for head in ("y", "z"):
        e = np.exp(code @ model.scores[head].T)
        a = e / e.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(found["u_code"].sel(head=head), a[:, :4], rtol=1e-10)
        np.testing.assert_allclose(found["v_code"].sel(head=head), a[:, 4:], rtol=1e-10)
    assert found.attrs["signed"] == 0


def test_attention_x_input_is_the_product():
    model = toys.attention(raw=True)
    x = toys.rows(model)
    weight, weighted = (xm.explain(model, x, Interception(kind)) for kind in ("attention", "attention_x_input"))
    np.testing.assert_allclose(weighted["u"], weight["u"] * x["u"], rtol=1e-12)
    assert weighted.attrs["signed"] == 0


def test_contributions_sum_to_the_head_minus_its_bias():
    model = toys.attention()
    found = xm.explain(model, toys.rows(model), Interception("contribution"), at="mail")
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)
    for name, head, unit in (("y", "y", 0), ("z:0", "z", 0), ("z:1", "z", 1)):
        np.testing.assert_allclose(found["baseline_prediction"].sel(head=name), model.bias[head][unit], rtol=1e-9)
    assert found.attrs["signed"] == 1


def test_a_contribution_follows_the_unit_of_each_row():
    model = toys.attention()
    x = toys.rows(model, 4)
    labels = {"z": np.array([0, 1, 1, 0])}
    every = xm.explain(model, x, Interception("contribution"), at="mail")
    found = xm.explain(model, x, Interception("contribution"), at="mail", targets=[("z", "label")], labels=labels)
    np.testing.assert_array_equal(found["u_code"][0, 1], every["u_code"].sel(head="z:1")[1])
    np.testing.assert_array_equal(found["u_code"][0, 3], every["u_code"].sel(head="z:0")[3])


def test_contributions_from_the_background_sum_to_the_change_from_its_mean_output():
    model = toys.attention()
    x, background = toys.rows(model), toys.rows(model, 9, seed=2)
    method = Interception("contribution", baseline="background")
    found = xm.explain(model, x, method, at="mail", background=background)
    plain, there = (xm.explain(model, r, Interception("contribution"), at="mail") for r in (x, background))
    for stream in ("u_code", "v_code"):
        expected = plain[stream] - there[stream].values.mean(axis=1, keepdims=True)
        np.testing.assert_allclose(found[stream], expected, atol=1e-12)
    outputs = model.predict(background)
    for name, head, unit in (("y", "y", 0), ("z:0", "z", 0), ("z:1", "z", 1)):
        np.testing.assert_allclose(found["baseline_prediction"].sel(head=name), outputs[head][:, unit].mean())
    np.testing.assert_allclose(found["completeness_gap"], 0, atol=1e-12)


@pytest.mark.parametrize("baseline", ["bias", "background"])
def test_what_the_layer_reports_to_belong_to_no_feature_is_the_completeness_gap(baseline):
    model = toys.attention(raw=True)
    x, background = toys.rows(model), toys.rows(model, 9, seed=2)

    def rest(inputs):
        """Of (y, 0), (z, 0), (z, 1): something else in each row."""
        return np.outer(np.sin(9 * inputs["u"][:, 0]), [1.0, 2.0, -3.0])

    clipped = Without(model)
    clipped.intercept = lambda inputs: {
        **(maps := model.intercept(inputs)),
        "model/mail/clip_residual": replace(
            maps["model/mail/contribution"], name="clip_residual", axes=("target",), values=rest(inputs)
        ),
    }
    clipped.predict = lambda inputs: {
        h: v + rest(inputs)[:, slice(1) if h == "y" else slice(1, 3)] for h, v in model.predict(inputs).items()
    }
    method = Interception("contribution", baseline=baseline)
    found = xm.explain(clipped, x, method, background=background)
    expected = -rest(x).T + (rest(background).mean(axis=0)[:, None] if baseline == "background" else 0)
    np.testing.assert_allclose(found["completeness_gap"], expected, atol=1e-9)
    np.testing.assert_array_equal(found["u"], xm.explain(model, x, method, background=background)["u"])


def test_there_is_no_contribution_behind_further_layers():
    model = toys.attention(raw=True)
    squashed = Without(model)
    squashed.predict = lambda inputs: {h: np.tanh(v) for h, v in model.predict(inputs).items()}
    with pytest.raises(NotSupported, match=r"no contribution to head 'y': other layers, or .*kind='attention_x_input'"):
        xm.explain(squashed, toys.rows(model), Interception("contribution"))


def test_a_layer_behind_encoders_is_not_read_as_the_inputs():
    model = toys.attention()
    with pytest.raises(NotSupported, match=r"does not read the model's inputs: .*at='mail'"):
        xm.explain(model, toys.rows(model), "interception")


def test_equal_names_and_widths_do_not_make_a_computed_stream_the_input():
    model = toys.attention(raw=True)
    mixing = replace(model, encoders={"u": np.eye(3) * 2, "v": np.eye(2)})
    owners = {"feature.stream": ("u",) * 3 + ("v",) * 2}
    for is_black_box in (False, True):
        disguised = Without(mixing, relabel(**owners), is_black_box=is_black_box)
        disguised.intercept = lambda inputs: relabel(**owners)(mixing.intercept(inputs))
        with pytest.raises(NotSupported, match="does not read the model's inputs"):
            xm.explain(disguised, toys.rows(model), "interception")
    with pytest.raises(NotSupported, match="does not read the model's inputs"):
        xm.explain(Uncut(mixing, relabel(**owners)), toys.rows(model), "interception")


def test_a_black_box_that_reads_its_inputs_is_told_by_the_numbers():
    model = toys.attention(raw=True)
    x = toys.rows(model)
    for opaque in (Without(model, is_black_box=True), Uncut(model)):
        found = xm.explain(opaque, x, "interception")
        np.testing.assert_array_equal(found["u"], xm.explain(model, x, "interception")["u"])
    silent = Uncut(model, lambda maps: {key: m for key, m in maps.items() if m.name != "context"})
    with pytest.raises(NotSupported, match="cannot be told: the model cannot be cut there"):
        xm.explain(silent, x, "interception")


def test_heads_are_matched_by_name_before_order():
    model = toys.attention(raw=True)
    x = toys.rows(model)
    plain = xm.explain(model, x, Interception(), targets=["y"])
    by_order = xm.explain(Without(model, relabel(head=("a", "b"))), x, Interception(), targets=["y"])
    by_name = xm.explain(Without(model, relabel(head=("z", "y"))), x, Interception(), targets=["z"])
    np.testing.assert_array_equal(plain["u"], by_order["u"])
    np.testing.assert_array_equal(plain["u"][0], by_name["u"][0])


def test_heads_that_cannot_be_matched_are_refused():
    model = toys.attention(raw=True)
    with pytest.raises(NotSupported, match="has the heads y, other, so it says nothing of z"):
        xm.explain(Without(model, relabel(head=("y", "other"))), toys.rows(model), "interception")


def test_a_map_over_time_keeps_its_steps():
    model = toys.attention(raw=True)

    def over_time(maps):
        found = maps["model/mail/attention"]
        values = np.repeat(found.values[:, None], 4, axis=1)
        return {"model/mail/attention": replace(found, values=values, axes=("time", *found.axes))}

    with pytest.raises(NotSupported, match="does not read the model's inputs"):
        xm.explain(Without(model, over_time), toys.rows(model), "interception")


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"layer": "mial"}, UnknownName, "no layer that sows 'attention' is called 'mial'"),
        ({"kind": "context"}, BadSetting, "kind 'context' is not one of attention, attention_x_input"),
        ({"baseline": "zero"}, BadSetting, "baseline of an interception 'zero' is not one of bias, background"),
        ({"kind": "change"}, NotSupported, "no layer sows a map 'change'"),
    ],
)
def test_bad_settings_are_refused(options, error, text):
    model = toys.attention(raw=True)
    with pytest.raises(error, match=text):
        xm.explain(model, toys.rows(model), Interception(**options))


def test_two_layers_need_a_name():
    model = toys.attention(raw=True)

    def twice(maps):
        return {**maps, **{k.replace("mail", "mail_2"): replace(m, layer="model/mail_2") for k, m in maps.items()}}

    with pytest.raises(BadSetting, match=r"several layers sow 'attention' \(model/mail, model/mail_2\)"):
        xm.explain(Without(twice and model, twice), toys.rows(model), "interception")
    for name in ("mail", "model/mail"):
        xm.explain(Without(model, twice), toys.rows(model), Interception(layer=name))


def test_the_layer_that_is_explained_at_needs_no_other_name():
    model = toys.attention(raw=True)

    def twice(maps):
        return {**maps, **{k.replace("mail", "mail_2"): replace(m, layer="model/mail_2") for k, m in maps.items()}}

    class Twice(Without):
        def tail(self, layer):
            return Without(self.model.tail(layer), self.change)

    x = toys.rows(model)
    read = xm.explain(Twice(model, twice), x, "interception", at="mail")
    np.testing.assert_array_equal(read["u"], xm.explain(model, x, Interception(layer="mail"), at="mail")["u"])
    with pytest.raises(BadSetting, match=r"several layers sow 'attention' .* or explain at it, at='<layer>'"):
        xm.explain(Twice(model, twice), x, "interception")


def test_models_without_such_layers_are_refused_with_advice():
    plain = toys.mlp()
    with pytest.raises(
        NotSupported,
        match=r"'interception' needs a model whose layers can be intercepted, and a model of type Toy is none. Build the",
    ):
        xm.intercept(plain, toys.rows(plain))
    silent = Without(toys.attention(raw=True), lambda maps: {})
    with pytest.raises(NotSupported, match="holds no self-explaining layer"):
        xm.intercept(silent, toys.rows(plain))


def test_heads_that_the_layer_does_not_make_may_be_left_out():
    model = toys.attention(raw=True)
    x = toys.rows(model)
    some = Without(model, relabel(head=("y", "other")))
    with pytest.raises(NotSupported, match=r"explain those alone: targets=\['y'\]"):
        xm.explain(some, x, "interception")
    alone = xm.explain(some, x, "interception", targets=["y"])
    np.testing.assert_array_equal(alone["u"], xm.explain(model, x, "interception", targets=["y"])["u"])
