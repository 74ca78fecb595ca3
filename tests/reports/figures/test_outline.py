"""What is known to matter, outlined: closed forms of the line, every kind of stream, and pages of older records."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.helpers.pictured_record import pictured_record, without_figures
from tests.helpers.records import HOSTILE
from xai_mimo.core.errors import SchemaError
from xai_mimo.record.check import check
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.examples import example_map
from xai_mimo.reports.figures.outline import WORDS, segments
from xai_mimo.reports.figures.scores import ground_truth
from xai_mimo.reports.figures.svg import inline_svg
from xai_mimo.reports.page import page as html
from xai_mimo.reports.page.tokens import texts

pytestmark = pytest.mark.all_frameworks

SCAN, WEATHER, REVIEW = np.zeros((6, 4, 1)), np.zeros((8, 1)), np.zeros((8, 1))
SCAN[2:4, 1:3], WEATHER[3:5], REVIEW[[1, 3]] = 1.0, 1.0, 1.0


@pytest.fixture
def record():
    """Every example marks a patch of the image, two steps of the series and two words."""
    record = pictured_record()
    for example in record["examples"]:
        example["region"] = {"scan": SCAN.tolist(), "weather": WEATHER.tolist(), "review": REVIEW.tolist()}
    return record


def lines_of(axes):
    """The outlines of one panel, from the bottom up: ``(colour, segments)``."""
    return [(c.get_colors()[0, :3], {tuple(map(tuple, s)) for s in c.get_segments()}) for c in axes.collections]


def panels(figure):
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def test_a_patch_has_four_sides():
    region = np.zeros((4, 5), dtype=bool)
    region[1:3, 2:5] = True
    assert set(segments(region)) == {
        ((1.5, 0.5), (4.5, 0.5)),
        ((1.5, 2.5), (4.5, 2.5)),
        ((1.5, 0.5), (1.5, 2.5)),
        ((4.5, 0.5), (4.5, 2.5)),
    }
    assert segments(np.zeros((2, 2), dtype=bool)) == []
    assert len(segments(np.ones((2, 3), dtype=bool))) == 4


@settings(max_examples=30, deadline=None)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 5))))
def test_the_line_is_as_long_as_there_are_borders(region):
    wide = np.pad(region, 1)
    borders = (wide[1:] != wide[:-1]).sum() + (wide[:, 1:] != wide[:, :-1]).sum()
    length = sum(abs(x1 - x0) + abs(y1 - y0) for (x0, y0), (x1, y1) in segments(region))
    assert length == borders


def test_an_image_is_outlined_in_every_panel_and_the_line_is_explained(record):
    figure = example_map(check(record), check(record).examples[0], "scan")
    shown = panels(figure)
    assert len(shown) == 1 + len(record["methods"])
    for axes in shown:
        (dark, below), (light, above) = lines_of(axes)
        np.testing.assert_array_equal([dark, light], [[0, 0, 0], [1, 1, 1]])
        assert below == above == {tuple(map(tuple, s)) for s in segments(SCAN[..., 0] > 0)}
    assert [t.get_text() for t in figure.legends[0].get_texts()] == [WORDS]
    drawn = inline_svg(figure, key="k", description="d")
    assert "#ffffff" in drawn
    assert WORDS in drawn
    caption = next(p.caption for p in pictures.of_example(check(record), check(record).examples[0]) if p.name == "scan")
    assert "The white line with a dark edge surrounds what the truth marks" in caption


def test_a_series_is_outlined_over_its_marked_steps(record):
    (shown, *_) = panels(example_map(check(record), check(record).examples[0], "weather"))
    assert lines_of(shown)[0][1] == {tuple(map(tuple, s)) for s in segments(np.tile(WEATHER.T > 0, (3, 1)))}


def test_a_block_that_holds_a_part_of_the_region_is_inside(record):
    row = record["examples"][0]
    row["region"]["scan"][0][0][0] = 0.04
    region = (SCAN > 0)[..., 0]
    region[0, 0] = True
    (shown, *_) = panels(example_map(check(record), check(record).examples[0], "scan"))
    assert lines_of(shown)[0][1] == {tuple(map(tuple, s)) for s in segments(region)}


@pytest.mark.parametrize("given", [{}, {"scan": np.zeros((6, 4, 1)).tolist()}, None])
def test_without_marks_there_is_no_line_and_no_legend(record, given):
    row = record["examples"][0]
    row["region"] = given
    if given is None:  # a record of before
        del row["region"]
    figure = example_map(check(record), check(record).examples[0], "scan")
    assert all(not axes.collections for axes in panels(figure))
    assert figure.legends == []
    assert all(
        "white line" not in p.caption
        for p in pictures.of_example(check(record), check(record).examples[0])
        if p.name == "scan"
    )


def test_marked_words_are_outlined_in_the_page(record):
    record = pictured_record(words=("the", "<b>film</b>", "was", "good", "pad", "pad", "pad", "pad"))
    record["examples"][0]["region"] = {"review": REVIEW.tolist()}
    (text,) = texts(check(record), check(record).examples[0])
    for line in text.lines:
        assert [w.text for w in line.words if w.marked] == ["<b>film</b>", "good"]
        assert line.words[-1].text == "pad × 4"
    page = html.render(without_figures(record))
    marks = re.findall(r"<mark class=\"word[^>]*>([^<]*)</mark>", page)
    assert marks == ["&lt;b&gt;film&lt;/b&gt;", "good"] * len(record["methods"]) + ["Outlined"]
    assert "known to matter" in page


def test_a_marked_word_is_not_gathered_with_others_of_its_kind(record):
    record = pictured_record(words=("a", *["b"] * 6))
    row = record["examples"][0]
    row["region"] = {"review": [0, 0, 1, 0, 0, 0, 0]}
    words = texts(check(record), check(record).examples[0])[0].lines[0].words
    assert [(w.text, w.marked) for w in words] == [
        ("a", False),
        ("b", False),
        ("b", True),
        ("b × 4", False),
    ]


def test_marked_features_of_a_row_have_a_star(record):
    for example in record["examples"]:
        example["region"] = {"weather": [[0.0, 1.0, 0.0]]}
    page = html.render(without_figures(record))
    assert ">rain ★</th>" in page
    assert ">sun ★</th>" not in page


def test_marks_must_be_numbers(record):
    record["examples"][0]["region"] = {"scan": [[True]]}
    with pytest.raises(SchemaError, match=r"examples\.0: .*region\.scan must be finite numbers"):
        html.render(without_figures(record))


def test_names_of_marked_streams_are_escaped():
    record = pictured_record(streams=("weather", HOSTILE, "review"))
    for example in record["examples"]:
        example["region"] = {HOSTILE: SCAN.tolist()}
    assert HOSTILE not in html.render(without_figures(record))


def test_chance_of_each_method_is_dotted_beside_it_and_the_control_is_not(record):
    labels = [m["label"] for m in record["methods"]]
    row = {"family": "ground_truth", "head": "risk", "other": None, "k": None, "rows": 9, "note": "one row"}
    record["scores"] = [
        row | {"metric": "mass_in_region", "method": m, "role": role, "estimate": e, "low": None, "high": None}
        for m, value, chance in zip(labels, (0.9, 0.8, 0.7), (0.1, 0.1, 0.2), strict=True)
        for role, e in (("value", value), ("floor_random", chance))
    ]
    record["scores"].append(record["scores"][0] | {"method": "random", "role": "control_random", "estimate": 0.5})
    record["metrics"].append(record["metrics"][-1] | {"name": "mass_in_region", "title": "mass in the region"})
    (axes,) = ground_truth(check(record), "risk").axes
    dotted = [line for line in axes.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose([line.get_xdata()[0] for line in dotted], [0.1, 0.1, 0.2])
    np.testing.assert_allclose(
        [line.get_ydata() for line in dotted], [[-0.375, -0.125], [-0.125, 0.125], [0.125, 0.375]]
    )
    record["regions"] = {"risk": {"scan": 0.25}}
    page = html.render(without_figures(record) | {"scores": record["scores"]})
    assert "Against what is known to matter (outlined in the examples)" in page
