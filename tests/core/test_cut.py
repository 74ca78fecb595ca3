"""A model cut at a layer, and the rule by which a layer is named."""

import numpy as np
import pytest

from tests.helpers import toys
from xai_mimo.core.cut import Cut, cut_at, find_layer, last_name, layers_called
from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName

pytestmark = pytest.mark.all_frameworks
PATHS = ("net/mail", "mail", "net/deep/gate", "other/gate", "net/mail")


def test_a_model_that_is_not_cut_explains_its_own_inputs():
    model = toys.mlp()
    cut = cut_at(model, None)
    rows = toys.rows(model)
    assert cut == Cut(model, model)
    assert cut.space == "inputs"
    assert cut.enter(rows) is rows
    assert cut.owners == {"u": ("u",), "v": ("v",)}
    assert cut.reads_raw_inputs


def test_the_part_behind_a_cut_answers_as_the_whole_does():
    model = toys.attention()
    cut, rows = cut_at(model, "mail"), toys.rows(model)
    assert cut.space == "at:mail"
    assert cut.owners == {"u_code": ("u",), "v_code": ("v",)}
    assert not cut.reads_raw_inputs
    inside = cut.enter(rows)
    assert set(inside) == {s.name for s in cut.part.streams}
    for head, values in model.predict(rows).items():
        np.testing.assert_allclose(cut.part.predict(inside)[head], values, rtol=1e-12)


def test_owners_are_asked_for_once(monkeypatch):
    model, asked = toys.attention(), []
    monkeypatch.setattr(type(model), "layer_streams", lambda self, layer: asked.append(layer) or {"a": ("u", "v")})
    cut = cut_at(model, "mail")
    assert not asked
    assert cut.owners is cut.owners
    assert asked == ["mail"]


def test_a_layer_that_reads_raw_inputs_says_so():
    assert cut_at(toys.attention(raw=True), "mail").owners == {"u": ("u",), "v": ("v",)}
    assert cut_at(toys.attention(raw=True), "mail").reads_raw_inputs


def test_a_model_that_cannot_be_cut_is_refused_at_once():
    with pytest.raises(NotSupported, match="at='mail' needs a model that can be cut at a layer"):
        cut_at(toys.mlp(), "mail")


def test_a_path_counts_before_a_last_name():
    assert layers_called("mail", PATHS) == ["mail"]
    assert layers_called("net/mail", PATHS) == ["net/mail"]
    assert layers_called("gate", PATHS) == ["net/deep/gate", "other/gate"]
    assert layers_called("deep/gate", PATHS) == []
    assert last_name("net/deep/gate") == "gate"
    assert find_layer("net/mail", PATHS) == "net/mail"


def test_a_name_that_fits_none_or_several_is_refused_with_the_names_there_are():
    with pytest.raises(UnknownName, match="no layer that sows 'change' is called 'gat'; there are: other/gate"):
        find_layer("gat", ("other/gate",), "layer that sows 'change'")
    with pytest.raises(
        BadSetting, match=r"several layers are called 'gate'; give the path of one: net/deep/gate, other"
    ):
        find_layer("gate", PATHS)
