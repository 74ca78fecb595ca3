"""Every figure of a record: drawn where its numbers are there, the same bytes twice, nobody's settings changed."""

import sys
from dataclasses import replace

import matplotlib
import numpy as np
import pytest

from tests.helpers.records import AWKWARD, HOSTILE, make_record
from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.core.positions import ALL_POSITIONS
from xai_mimo.record.check import check
from xai_mimo.record.select import feature_ranking
from xai_mimo.record.words import RANDOM
from xai_mimo.reports.figures import catalogue as figures
from xai_mimo.reports.figures.canvas import saved
from xai_mimo.reports.figures.maps import direction, feature_map, stream_shares
from xai_mimo.reports.figures.palette import styles
from xai_mimo.reports.figures.scores import agreement, completeness_gaps, ground_truth, removal_curve
from xai_mimo.reports.figures.svg import inline_svg

pytestmark = pytest.mark.all_frameworks

HEAD = "heat dissipation failure"


@pytest.fixture(scope="module")
def record():
    return make_record(2, silent_head=True)


@pytest.mark.parametrize("name", figures.FIGURES)
def test_every_figure_can_be_drawn_and_saved_twice_with_the_same_bytes(name):
    record, draw = check(make_record(1, methods=5)), figures.FIGURES[name].draw
    assert saved(draw(record, HEAD), "svg") == saved(draw(record, HEAD), "svg")


def test_direction_of_values_and_of_growth_never_share_an_axis():
    record = check(make_record(1, methods=5))
    of_values, of_growth = direction(record, HEAD), direction(record, HEAD, kind="sensitivity")
    ends = [[text.get_text() for text in f.axes[0].get_xticklabels()] for f in (of_values, of_growth)]
    assert ends == [
        ["−1\nalways lowered it", "0\nboth ways", "1\nalways raised it"],
        ["−1\nalways falls", "0\nboth ways", "1\nalways rises"],
    ]
    names = [[text.get_text() for text in f.legends[0].get_texts()] for f in (of_values, of_growth)]
    assert names == [["integrated_gradients", "shapley", "expected_gradients"], ["gradient"]]


def test_signed_maps_of_older_records_are_all_attributions():
    record = check(make_record(1, methods=5, uses=False))
    assert "gradient" in [text.get_text() for text in direction(record, HEAD).legends[0].get_texts()]
    assert direction(record, HEAD, kind="sensitivity") is None


def test_what_did_nothing_but_for_rounding_has_no_direction():
    record = check(make_record(1, methods=2))
    of_map = [r for r in record.features if r.head == HEAD and r.method == "integrated_gradients"]
    least = min(of_map, key=lambda r: r.mean_abs)
    little = tuple(replace(r, mean=-1e-9, mean_abs=1e-9) if r.feature == least.feature else r for r in record.features)
    before, after = (
        [text.get_text() for text in direction(each, HEAD).axes[0].get_yticklabels()]
        for each in (record, replace(record, features=little))
    )
    assert [name for name in before if name.endswith(least.feature)]
    assert not [name for name in after if name.endswith(least.feature)]
    assert len(after) < len(before)


def test_a_figure_without_numbers_is_none(record):
    assert agreement(check(record), "power failure") is None
    assert ground_truth(check(record), "power failure") is None
    assert direction(check(make_record(1, methods=1)), HEAD) is None


def test_one_stream_has_no_shares_and_places_alone_have_no_direction():
    record = check(make_record(1, features={"scan": (ALL_POSITIONS,)}))
    assert stream_shares(record, HEAD) is None
    assert direction(record, HEAD) is None
    two = check(make_record(1, features={"scan": (ALL_POSITIONS,), "age": ("years",)}))
    assert stream_shares(two, HEAD) is not None
    assert direction(two, HEAD) is not None


def test_shares_are_drawn_where_the_record_says(record):
    axes = stream_shares(check(record), HEAD).axes[0]
    rows = [r for r in record["shares"] if r["head"] == HEAD]
    widths = [bar.get_width() for bar in axes.patches]
    np.testing.assert_allclose(widths, [100 * r["mean"] for r in rows])


def test_deletion_curves_are_drawn_where_the_record_says(record):
    axes = removal_curve(check(record), HEAD, kind="deletion").axes[0]
    drawn = [line.get_ydata() for line in axes.lines]
    rows = [r for r in record["curves"] if r["head"] == HEAD and r["kind"] == "deletion"]
    rows.sort(key=lambda r: r["method"] != RANDOM)
    np.testing.assert_allclose(drawn, [r["mean"] for r in rows])
    assert "probability" in axes.get_ylabel()


def test_features_are_ranked_by_the_largest_share_of_any_method():
    record = make_record(1, methods=2, features={"u": ("a", "b"), "v": ("c",)})
    sizes = {"attention": (1, 0, 9), "integrated_gradients": (80, 5, 15)}
    for row in record["features"]:
        row["mean_abs"] = float(sizes[row["method"]]["abc".index(row["feature"])])
    assert feature_ranking(check(record), HEAD) == [("v", "c"), ("u", "a"), ("u", "b")]


def test_names_are_never_formulas_and_long_ones_are_shortened():
    record = make_record(1, methods=1, features={"u": (AWKWARD, "x" * 40, "_hidden")}, method_names=("_m",))
    text = saved(feature_map(check(record), HEAD), "svg").decode()
    assert "$x$" in text
    assert "x" * 40 not in text
    assert "_m</text>" in text


def test_settings_of_the_user_and_pyplot_are_left_alone(record):
    matplotlib.rcParams["font.size"] = 13.0
    try:
        saved(completeness_gaps(check(record), HEAD), "svg")
        assert matplotlib.rcParams["font.size"] == 13.0
    finally:
        matplotlib.rcParams["font.size"] = matplotlib.rcParamsDefault["font.size"]
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_colours_are_one_per_method():
    found = styles(check(make_record(1, method_names=tuple(f"m{i}" for i in range(20)))))
    looks = [(s.colour, s.marker) for name, s in found.items() if name != RANDOM]
    assert len(set(looks)) == 20


def test_svg_ids_carry_their_key(record):
    text = inline_svg(removal_curve(check(record), HEAD), key="h7-deletion", description='a "b" <c>')
    assert 'id="h7-deletion-' in text
    assert "http" not in text
    assert 'aria-label="a &quot;b&quot; &lt;c&gt;"' in text
    assert "#1b2330" not in text


def test_gaps_of_exactly_zero_are_drawn():
    record = make_record(1)
    for row in record["gaps"]:
        row["relative_quantiles"] = {"0.5": 0.0, "0.9": 0.0, "0.99": 0.0, "1": 0.0}
        row["tolerance"] = 0.0
    assert completeness_gaps(check(record), HEAD) is not None


def test_everything_is_saved_inside_the_folder(tmp_path):
    record = make_record(
        1, rows=1, methods=5, head_names=("../../escape",), features={HOSTILE: ("a", "b"), "v": ("c",)}
    )
    folder = tmp_path / "figures"
    paths = figures.save_all(record, folder, formats=("svg", "png"))
    assert len(paths) == 2 * len(figures.FIGURES)
    assert sorted(paths) == sorted(folder.iterdir())
    assert {p.name for p in tmp_path.iterdir()} == {"figures"}
    assert paths[0].name == "01_escape_feature_map.svg"


def test_pdf_is_the_same_tomorrow(tmp_path, record):
    record, draw = check(record), figures.FIGURES["agreement"].draw
    assert b"CreationDate" not in saved(draw(record, HEAD), "pdf")
    assert saved(draw(record, HEAD), "pdf") == saved(draw(record, HEAD), "pdf")


def test_bad_format_and_bad_folder_are_refused(tmp_path, record):
    with pytest.raises(BadSetting, match="saved as svg, pdf, png; got 'gif'"):
        figures.save_all(record, tmp_path, formats=("gif",))
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem, match="cannot make the folder"):
        figures.save_all(record, tmp_path / "file")
