"""Which space a comparison takes place in, and how the truth reads there."""

import numpy as np
import pytest

from xai_mimo.comparison.spaces import choose_space
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.explanation import describe, features_of, to_dataset, validate
from xai_mimo.core.method import Attribution
from xai_mimo.core.model import InterceptionMap
from xai_mimo.core.streams import Head, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.aligned_maps import project_to_streams, project_to_variables

pytestmark = pytest.mark.all_frameworks

STREAMS = (Stream("thermal", (2,), features=("air", "process")), Stream("wear", (2,), features=("tool", "torque")))
ROW = {"thermal": np.ones((1, 2)), "wear": np.ones((1, 2))}


def attention(layer, *streams):
    return InterceptionMap(layer, "attention", np.ones((1, 1, 4)), ("head", "feature"), {"feature.stream": streams})


class Sown:
    """A model whose layers sow maps."""

    streams = STREAMS
    heads = (Head("risk"),)

    def __init__(self, *maps):
        self.maps = {f"{m.layer}/{m.name}": m for m in maps}

    def fingerprint(self):
        return "00"

    def predict(self, inputs):
        return {"risk": np.ones((1, 1))}

    def intercept(self, inputs):
        return self.maps


class Cuttable(Sown):
    """The same, and it can be cut."""

    def __init__(self, owners, *maps):
        super().__init__(*maps)
        self.owners = owners

    def layers(self):
        return ("mail",)

    def tail(self, layer):
        return Sown()

    def activations(self, inputs, layer):
        return {name: inputs[owners[0]] for name, owners in self.owners.items()}

    def layer_streams(self, layer):
        return self.owners


MAIL = attention("mail", "thermal", "thermal", "wear", "wear")
RAW = {"thermal": ("thermal",), "wear": ("wear",)}
ENCODED = {"thermal_encoded": ("thermal",), "wear_encoded": ("wear",)}


def choose(model, **kwargs):
    return choose_space(model, ROW, **{"intercepts": True, "at": None, "space": None, **kwargs})


def test_without_interception_the_space_is_the_inputs():
    assert choose(Sown(), intercepts=False).name == "inputs"
    assert choose(Sown(), intercepts=False, space="streams").name == "streams"


def test_a_layer_that_reads_the_raw_inputs_is_compared_at_the_inputs():
    space = choose(Cuttable(RAW, MAIL))
    assert space.name == "inputs"
    assert space.cut.layer == "mail"


def test_a_layer_that_reads_encoded_streams_is_compared_at_the_layer():
    space = choose(Cuttable(ENCODED, MAIL))
    assert space.name == "at:mail"
    assert space.is_at_layer
    assert "not over the model's raw inputs" in space.text
    np.testing.assert_array_equal(space.cut.enter(ROW)["wear_encoded"], ROW["wear"])


def test_a_layer_can_be_named_without_interception():
    assert choose(Cuttable(ENCODED, MAIL), intercepts=False, at="mail").name == "at:mail"


def test_a_model_that_cannot_be_cut_falls_back_to_what_names_and_widths_tell():
    assert choose(Sown(MAIL)).name == "inputs"
    assert choose(Sown(MAIL), space="streams").name == "streams"
    assert choose(Sown(attention("mail", "thermal", "wear", "wear", "wear"))).name == "streams"


def test_a_model_without_a_common_space_says_what_to_do():
    with pytest.raises(NotSupported, match=r"cannot be cut there.*functional model, name the layer's streams"):
        choose(Sown(attention("mail", "0", "1")))
    with pytest.raises(NotSupported, match="cannot be cut"):
        choose(Sown(MAIL), at="mail")


def test_variables_may_be_compared_in_every_space_but_streams():
    raw = {"thermal": ("thermal",), "wear": ("wear",)}
    found = choose(Cuttable(raw, MAIL), space="variables")
    assert (found.name, found.by_variable, found.is_at_layer) == ("inputs, by variable", True, False)
    assert "a variable is replaced at all steps together" in found.text
    found = choose(Cuttable(ENCODED, MAIL), space="variables")
    assert (found.name, found.by_variable, found.is_at_layer) == ("at:mail, by variable", True, True)
    assert not choose(Sown(attention("mail", "thermal", "wear")), space="variables").by_variable


def test_bad_wishes_are_refused():
    with pytest.raises(BadSetting, match="space 'pixels' is not one of 'inputs', 'variables' and 'streams'"):
        choose(Sown(MAIL), space="pixels")
    with pytest.raises(NotSupported, match="no self-explaining layer"):
        choose(Sown())
    with pytest.raises(BadSetting, match=r"several self-explaining layers \(mail, other\); name one with at='mail'"):
        choose(Sown(MAIL, attention("other")))
    with pytest.raises(BadSetting, match="contradict"):
        choose(Cuttable(ENCODED, MAIL), space="inputs", at="mail")
    with pytest.raises(BadSetting, match="reads thermal_encoded, wear_encoded, not the model's inputs"):
        choose(Cuttable(ENCODED, MAIL), space="inputs")


def explanation(values, streams=STREAMS, reads=None):
    selector = Selector("risk", "risk", np.zeros(1, dtype=np.int64))
    attrs = {"method": "m", "settings": "{}", "space": "inputs", **describe(streams, (Head("risk"),))}
    if reads is not None:
        attrs["reads"] = reads
    found = Attribution(values, prediction=np.ones((1, 1)))
    return to_dataset(found, streams=streams, selectors=[selector], samples=np.arange(1), attrs=attrs)


@pytest.mark.parametrize("signed", [True, False])
def test_variables_are_sums_over_the_other_axes(signed):
    streams = (Stream("s", (2, 2), features=("x", "y")), Stream("age", (1,)))
    values = {"s": np.array([[[[1.0, -2.0], [3.0, 1.0]]]]), "age": np.array([[[-4.0]]])}
    given = explanation(values, streams).assign_attrs(signed=int(signed))
    given["s_standard_error"], given["age_standard_error"] = abs(given["s"]), abs(given["age"])
    found = validate(project_to_variables(given, "inputs, by variable"))
    np.testing.assert_array_equal(found["s"], [[[4.0, -1.0 if signed else 3.0]]])
    np.testing.assert_array_equal(found["age"], [[[-4.0]]])
    assert list(found["s_feature"].values) == ["x", "y"]
    assert "s_standard_error" not in found
    assert "age_standard_error" in found
    assert list(features_of(found)["feature"].values) == ["s.x", "s.y", "age.0"]
    again = project_to_variables(found, "inputs, by variable")
    np.testing.assert_array_equal(again["s"], found["s"])


def test_shares_of_streams_are_sums_of_magnitudes():
    values = {"thermal": np.array([[[1.0, -2.0]]]), "wear": np.array([[[0.0, 1.0]]])}
    shares = project_to_streams(explanation(values), STREAMS)
    validate(shares)
    np.testing.assert_allclose(features_of(shares).values, [[[0.75, 0.25]]])
    assert list(features_of(shares)["stream"].values) == ["thermal", "wear"]


def test_shares_at_a_layer_go_to_the_stream_they_depend_on():
    layer = (Stream("b", (1,)), Stream("a", (1,)), Stream("c", (1,)))
    values = {n: np.full((1, 1, 1), v) for n, v in (("a", 1.0), ("b", 2.0), ("c", 1.0))}
    reads = '{"a": ["thermal"], "b": ["wear"], "c": ["wear"]}'
    np.testing.assert_allclose(
        features_of(project_to_streams(explanation(values, layer, reads), STREAMS)).values, [[[0.25, 0.75]]]
    )
    with pytest.raises(NotSupported, match="'a' depends on thermal, wear, not on one stream"):
        project_to_streams(explanation(values, layer, reads.replace('["thermal"]', '["thermal", "wear"]')), STREAMS)
