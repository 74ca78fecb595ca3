"""Names: what a file or report cannot keep is refused at the door; the rest is kept to the letter."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xai_mimo as xm
from xai_mimo.core.errors import BadValues, DuplicateName
from xai_mimo.core.names import check_text, disk_names
from xai_mimo.core.streams import Head, Stream, check_together

pytestmark = pytest.mark.all_frameworks

LOST = ["a\0b", "a\nb", "a\tb", "a\x1b[2Jb", "\ud800", "a\udfff", "a\x85b", "a\u2028b", "a\ufffe", "\ufdd0"]


@pytest.mark.parametrize("name", LOST, ids=ascii)
def test_what_no_file_keeps_is_refused_at_every_door(name):
    for make in (
        lambda: Stream(name, (1,)),
        lambda: Stream("a", (1,), axes=(name,)),
        lambda: Stream("a", (1,), features=(name,)),
        lambda: Stream("a", (1,), unit=name),
        lambda: Stream("a", (2,), features=("x", "y"), groups={name: ["x", "y"]}),
        lambda: Head(name),
        lambda: Head("h", (1,), units=(name,)),
        lambda: Head("h", unit=name),
        lambda: xm.compare(toy(), {"a": np.ones((3, 1))}, {name: "occlusion"}),
    ):
        with pytest.raises(BadValues, match=r"the name .* of an? .* holds .* at place \d+; files and reports keep"):
            make()


def toy():
    return xm.adapt(lambda a: {"h": a}, streams={"a": 1}, heads={"h": 1})


@pytest.mark.parametrize(
    "streams",
    [
        [Stream("a_standard_error", (2,)), Stream("a", (2,))],
        [Stream("a", (2,)), Stream("a_feature", (2,))],
        [Stream("a", (2, 2)), Stream("a_time", (2,))],
        [Stream("a", (2,), axes=("b_feature",)), Stream("a_b", (2,))],
        [Stream("a", (2,), axes=("standard_error",))],
        [Stream("baseline", (2,), axes=("prediction",))],
        [Stream("a", (2,)), Stream("a", (3,))],
    ],
)
def test_streams_of_which_results_would_overwrite_one_are_refused(streams):
    with pytest.raises(DuplicateName, match=r"results would call two things '.*': .* and .*\. Rename a stream"):
        check_together(streams)
    if len({s.name for s in streams}) == len(streams):
        with pytest.raises(DuplicateName, match="results would call two things"):
            xm.adapt(lambda *x: {"h": x[0][:, :1]}, streams=streams, heads={"h": 1})


@pytest.mark.parametrize("name", ["evaluations", "converged", "rounding_limited", "draws", "prediction", "unit"])
def test_a_stream_is_not_called_as_something_that_results_hold(name):
    with pytest.raises(DuplicateName, match=f"'{name}' cannot name an input stream"):
        Stream(name, (1,))


def test_streams_that_only_look_alike_go_together():
    check_together([Stream("a", (2,)), Stream("a_time", (2,)), Stream("b_standard_error", (1,)), Stream("A", (1,))])


@given(st.lists(st.text(min_size=1, max_size=300), unique=True, max_size=8))
def test_names_on_disk_are_all_different_and_safe(names):
    on_disk = disk_names(names)
    there = [on_disk.get(name, name) for name in names]
    assert len({n.casefold() for n in there}) == len(names)
    for name in there:
        assert len(name.encode("utf-8")) <= 200
        assert not set(name) & set('/\\:*?"<>|\0\n ') - {":"}
        assert name[0].isalnum() or name[0] == "%"


def test_usual_names_are_on_disk_as_they_are():
    usual = ["vibration", "u_feature", "Länge", "a.b", "prediction", "run 1/2", "50%"]
    assert disk_names(usual) == {"run 1/2": "run%201%2F2", "50%": "50%25"}


@pytest.mark.parametrize(
    ("noun", "words"),
    [("head", "a head"), ("input stream", "an input stream"), ("unit of head 'y'", "a unit"), ("axis", "an axis")],
)
def test_the_refusal_of_a_name_speaks_of_a_head_and_an_axis(noun, words):
    with pytest.raises(BadValues, match=f"of {words}.* holds"):
        check_text("a\0", noun)


def test_text_of_every_script_is_a_name():
    for name in ["a\\b", "π", "名前", "👩‍🔬", "a b", "x" * 5000, ".", "..", "%2F", "é", "é", "‮abc", "\u00a0"]:
        assert check_text(name, "feature") == name
