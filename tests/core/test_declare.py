"""Streams and heads from short forms."""

import pytest

from xai_mimo.core.declare import declared_heads, declared_streams
from xai_mimo.core.errors import BadSetting
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
