"""The figure of interactions: what stands in which cell, on which colours, under which names."""

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from tests.helpers.records import HOSTILE
from xai_mimo.core.errors import BadSetting, SchemaError, UnknownName
from xai_mimo.reports.figures.canvas import saved
from xai_mimo.reports.figures.heat import SIGNED
from xai_mimo.reports.figures.interactions import interactions

pytestmark = [pytest.mark.all_frameworks, needs("shapiq")]


def two(a, b):
    return {"pair": a[:, 0] * b[:, 0], "sum": 100 * (a[:, 0] - b[:, 0])}


@pytest.fixture(scope="module")
def found():
    model = xm.adapt(two, streams={"a": 1, "b": 1}, heads={"pair": 1, "sum": 1})
    return xm.interactions(model, {"a": [[2.0], [4.0]], "b": [[3.0], [-1.0]]}, background={"a": [[0.0]], "b": [[0.0]]})


def panels(figure):
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def numbers_in(axes):
    return [text.get_text() for text in axes.texts]


def test_each_head_has_its_matrix_with_its_values(found):
    figure = interactions(found, sample=0)
    pair, total = panels(figure)
    assert [axes.get_title(loc="left") for axes in (pair, total)] == ["pair", "sum"]
    assert numbers_in(pair) == ["0", "6.00", "6.00", "0"]
    assert numbers_in(total) == ["200", "0", "0", "\u2212300"]
    assert [t.get_text() for t in pair.get_yticklabels()] == ["a", "b"]


def test_without_a_row_it_is_the_mean_with_its_sign(found):
    figure = interactions(found)
    assert numbers_in(panels(figure)[0]) == ["0", "1.00", "1.00", "0"]  # (2 * 3 + 4 * -1) / 2
    assert "mean over 2 rows" in figure._suptitle.get_text()
    assert "k-SII of order 2" in figure._suptitle.get_text()


def test_colours_are_each_heads_own_and_zero_is_their_middle(found):
    pixels = [axes.images[0].get_array() for axes in panels(interactions(found, sample=0))]
    ends, middle = [np.round(255 * np.array(SIGNED(x))) for x in (0.0, 1.0)], np.round(255 * np.array(SIGNED(0.5)))
    np.testing.assert_array_equal(pixels[0][0, 1], ends[1])
    np.testing.assert_array_equal(pixels[1][1, 1], ends[0])
    np.testing.assert_array_equal(pixels[1][0, 1], middle)


def test_heads_are_picked_in_the_order_that_was_asked(found):
    assert [axes.get_title(loc="left") for axes in panels(interactions(found, heads=["sum"]))] == ["sum"]
    assert [axes.get_title(loc="left") for axes in panels(interactions(found, heads="sum"))] == ["sum"]
    with pytest.raises(UnknownName, match="other"):
        interactions(found, heads=["other"])
    with pytest.raises(BadSetting, match=r"heads=\[\] shows nothing; name at least one \(.*sum"):
        interactions(found, heads=[])


def test_what_is_not_there_is_refused(found):
    with pytest.raises(UnknownName, match="no row 7 in these interactions; they are of rows 0 to 1"):
        interactions(found, sample=7)
    with pytest.raises(BadSetting, match="most"):
        interactions(found, most=0)
    with pytest.raises(SchemaError, match="was it made by"):
        interactions(found.assign_attrs(schema="other"))


def many(count, names=()):
    weights = np.zeros((count, count))
    weights[1, count - 2] = 3.0

    def forms(table):
        table = np.asarray(table, dtype=np.float64)
        return {"y": np.einsum("ni,ij,nj->n", table, weights, table) + table[:, 0]}

    model = xm.adapt(forms, streams={"table": list(names) or count}, heads={"y": 1})
    settings = {"players": "features", "background": np.zeros((1, count)), "budget": 4000}
    return xm.interactions(model, np.ones((1, count)), **settings)


def test_of_many_players_the_strongest_are_shown_in_their_own_order():
    found = many(16)
    figure = interactions(found, most=3)
    (axes,) = panels(figure)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["table.0", "table.1", "table.14"]
    assert "the 3 of 16 players with the largest values" in figure._suptitle.get_text().replace("\n", " ")
    assert ", estimated," in figure._suptitle.get_text()
    assert numbers_in(axes)[5] == "3.00"
    assert numbers_in(panels(interactions(found))[0]) == []  # cells too small for numbers
    assert saved(interactions(found), "png")


def test_hostile_names_are_text_that_fits():
    name = "a very long name of a sensor in the northern hall, number "
    names = [HOSTILE, "$x^2_{", "<script>&amp;", "名前", f"{name}1", f"{name}2", "_", "^"]
    figure = interactions(many(8, [n.replace("\n", " ") for n in names]))
    (axes,) = panels(figure)
    shown = [t.get_text() for t in axes.get_yticklabels()]
    assert len(set(shown)) == 8
    assert max(map(len, shown)) <= 20
    assert not any(t.get_parse_math() for t in axes.get_yticklabels())
    svg = saved(figure, "svg").decode()
    assert "<script>" not in svg
    assert saved(figure, "pdf")
