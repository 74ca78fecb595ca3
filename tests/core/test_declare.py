"""Streams and heads from short forms, and laid over what was read off a model."""

import pytest

from xai_mimo.core.declare import annotate_heads, annotate_streams, declared_heads, declared_streams
from xai_mimo.core.errors import BadSetting, ShapeMismatch
from xai_mimo.core.streams import Head, Stream

pytestmark = pytest.mark.all_frameworks


def test_a_list_of_names_is_no_declaration():
    with pytest.raises(BadSetting, match="streams is a list of Stream objects"):
        declared_streams(["a", "b"])
    with pytest.raises(BadSetting, match="heads is a list of Head objects"):
        declared_heads(["a"])


def test_short_forms_of_streams_and_heads():
    streams = declared_streams({"a": 2, "b": ["x", "y"], "c": (4, 1), "d": Stream("d", (1,))})
    assert [s.shape for s in streams] == [(2,), (2,), (4, 1), (1,)]
    assert streams[1].features == ("x", "y")
    heads = declared_heads({"y": 2, "p": "binary", "q": Head("q"), "s": (3, 2)})
    assert [h.size for h in heads] == [2, 1, 1, 6]
    assert heads[1].kind == "binary"


READ = (Stream("a", (2,), dtype="float64"), Stream("b", (None, 3)))


def test_declarations_rename_in_order_or_annotate_by_name():
    assert annotate_streams(READ, None) == READ
    assert [s.name for s in annotate_streams(READ, {"x": 2, "y": (5, 3)})] == ["x", "y"]
    named = annotate_streams(READ, {"b": ["p", "q", "r"]})
    assert named[0] is READ[0]
    assert named[1] == Stream("b", (None, 3), features=("p", "q", "r"))
    whole = annotate_streams(READ, [Stream("a", (2,), unit="K"), READ[1]])[0]
    assert (whole.unit, whole.dtype) == ("K", READ[0].dtype)


def test_heads_keep_what_a_short_form_leaves_unsaid():
    read = (Head("p", (1,), "binary", unit="probability"), Head("y", (2,)))
    renamed = annotate_heads(read, {"risk": 1, "life": "regression"})
    assert renamed == (Head("risk", (1,), "binary", unit="probability"), Head("life", (2,)))
    assert annotate_heads(read, {"y": Head("y", (2,), units=("low", "high"))})[1].units == ("low", "high")


def test_declarations_that_contradict_the_model_are_refused():
    with pytest.raises(ShapeMismatch, match=r"'b' was declared with shape \(4,\), but the model's input 'b' has"):
        annotate_streams(READ, {"b": 4})
    with pytest.raises(ShapeMismatch, match=r"the model has 2 streams .*but 1 were declared"):
        annotate_streams(READ, {"c": 2})
    with pytest.raises(BadSetting, match=r"mix names of the model .* in another order"):
        annotate_streams(READ, {"new": 2, "a": (5, 3)})
    with pytest.raises(ShapeMismatch, match="'y' was declared with 3 units, but the model's output 'y' has 2"):
        annotate_heads((Head("y", (2,)),), {"y": 3})
