"""Which methods a comparison takes when none are named."""

import dataclasses
import logging
from dataclasses import dataclass

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.comparison.choice import choose_methods
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.streams import Head, Stream
from xai_mimo.record.check import check

pytestmark = pytest.mark.all_frameworks

FAST = Settings(resamples=200, steps=3, controls=1, ceilings=False)


def chosen(model, rows, **kwargs):
    methods, text = choose_methods(model, rows, kwargs.get("at"), kwargs.get("space"))
    return tuple(methods), text


def test_a_plain_function_is_compared_and_the_record_says_what_was_chosen(caplog):
    def total(sensors, table):
        return {"y": sensors.sum(axis=1) + 2 * table[:, 0]}

    rng = np.random.default_rng(0)
    x = {"sensors": rng.standard_normal((12, 3)), "table": rng.standard_normal((12, 2))}
    model = xm.adapt(total, streams={"sensors": 3, "table": 2}, heads={"y": 1})
    with caplog.at_level(logging.INFO, logger="xai_mimo"):
        result = xm.compare(model, x, settings=FAST)
    check(result.to_dict())
    assert [m.label for m in result.record.methods] == ["shapley"]
    text = result.record.settings["methods"]
    assert text.startswith(
        "shapley; without interception (no layer of the model explains itself), integrated_gradients"
    )
    assert text in caplog.text


def test_named_methods_leave_the_settings_as_they_are():
    model = toys.mlp()
    assert "methods" not in xm.compare(model, toys.rows(model), ["gradient"], settings=FAST).record.settings


def test_gradients_and_maps_of_layers_take_part_where_there_are_any():
    mlp = toys.mlp()
    assert chosen(mlp, toys.rows(mlp, 1))[0] == ("integrated_gradients", "shapley")
    for raw in (True, False):
        layer = toys.attention(raw=raw)
        assert chosen(layer, toys.rows(layer, 1))[0] == ("interception", "integrated_gradients", "shapley")


def test_whole_numbers_have_no_gradients_and_many_values_no_shapley_values():
    def answer(words, image):
        return {"y": words.sum(axis=1) + image.sum(axis=(1, 2))}

    streams = [Stream("words", (3,), "int64", axes=("token",)), Stream("image", (30, 30))]
    model = xm.adapt(answer, streams=streams, heads=[Head("y", ())])
    names, text = chosen(model, {"words": np.zeros((1, 3), "int64"), "image": np.zeros((1, 30, 30), "float32")})
    assert names == ("occlusion",)
    assert "shapley (903 values are more than its budget is enough for)" in text


@dataclass(frozen=True)
class Sowing(type(toys.attention())):
    """The toy with attention, whose layer sows fewer maps."""

    sown: tuple[str, ...] = ()
    shift: float = 0.0

    def intercept(self, inputs):
        maps = {m.name: (key, m) for key, m in super().intercept(inputs).items()}
        maps["relevance"] = ("model/mail/relevance", dataclasses.replace(maps["contribution"][1], name="relevance"))
        return {key: m for name, (key, m) in maps.items() if name in self.sown}

    def outputs(self, x):
        bent = super().outputs(x)
        return {head: y + self.shift * y**2 for head, y in bent.items()}


def sowing(*names, shift=0.0):
    toy = toys.attention(raw=True)
    return Sowing(**{f.name: getattr(toy, f.name) for f in dataclasses.fields(toy)}, sown=names, shift=shift)


def test_a_layer_without_an_attention_gives_its_contributions_and_the_record_says_so():
    model = sowing("contribution", "relevance")
    result = xm.compare(model, toys.rows(model, 12), settings=FAST)
    check(result.to_dict())
    assert [m.label for m in result.record.methods] == ["interception", "integrated_gradients", "shapley"]
    assert result.record.methods[0].settings["kind"] == "contribution"
    assert result.record.settings["methods"].startswith(
        "interception (contributions, since no layer has an attention), integrated_gradients"
    )


def test_a_layer_whose_maps_are_of_another_kind_or_of_another_output_is_left_out_with_the_reason():
    model = sowing("relevance")
    names, text = chosen(model, toys.rows(model, 12))
    assert names == ("integrated_gradients", "shapley")
    assert "without interception (no layer has an attention or contributions, only the maps model/mail/relev" in text
    model = sowing("contribution", shift=0.5)
    names, text = chosen(model, toys.rows(model, 12))
    assert names == ("integrated_gradients", "shapley")
    assert "without interception (there is no contribution to head 'y'" in text


def test_a_kind_that_no_layer_has_is_refused_with_those_there_are():
    model = sowing("context", "contribution")
    kinds = r"Interception\(kind='attention_x_input'\) or Interception\(kind='contribution'\)"
    with pytest.raises(
        NotSupported, match=rf"no layer sows a map 'attention'; .*Ask for what the layers have: {kinds}"
    ):
        xm.compare(model, toys.rows(model, 12), ["interception"], settings=FAST)


def test_a_layer_that_cannot_be_compared_is_left_out_with_the_reason():
    model = toys.attention(raw=False)
    names, text = chosen(model, toys.rows(model, 1), space="inputs")
    assert names == ("integrated_gradients", "shapley")
    assert "without interception (" in text


def test_one_row_is_enough_to_tell_that_a_layer_is_not_the_head():
    model = sowing("contribution", shift=0.5)
    names, text = choose_methods(model, toys.rows(model, 1), None, None, background=toys.rows(model, 12))
    assert tuple(names) == ("integrated_gradients", "shapley")
    assert "there is no contribution to head 'y'" in text
