"""Pictures of places: what is drawn where, in which colour, under which name."""

import dataclasses
import json
import re
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.pictured_record import pictured_record
from tests.helpers.records import AWKWARD, HOSTILE, make_record
from xai_mimo.record.check import check
from xai_mimo.reports.figures import catalogue as figures
from xai_mimo.reports.figures import pictures
from xai_mimo.reports.figures.canvas import saved
from xai_mimo.reports.figures.examples import example_map
from xai_mimo.reports.figures.heat import MAGNITUDE, SIGNED, Heat, Side, draw, limit_of
from xai_mimo.reports.figures.layers import layer_map
from xai_mimo.reports.figures.maps import feature_map, stream_shares
from xai_mimo.reports.figures.streams import stream_map, streams_with_positions
from xai_mimo.reports.figures.svg import inline_svg

TUTORIALS = Path(__file__).resolve().parents[3] / "tutorials"

pytestmark = pytest.mark.all_frameworks

HEAD = "risk"


@pytest.fixture(scope="module")
def record():
    return pictured_record()


def panels(figure):
    """Axes that show a picture, colour bars left out."""
    return [axes for axes in figure.axes if axes.images and axes.get_label() != "<colorbar>"]


def colours(axes):
    return np.asarray(axes.images[-1].get_array())


def rgb(colour_map, shares):
    return np.round(255 * np.clip(colour_map(shares), 0, 1)).astype(int)


def stream_map_of(record, method, stream):
    (row,) = (r for r in record["stream_maps"] if (r["method"], r["stream"]) == (method, stream))
    return row


def layer_row(record, name):
    (row,) = (r for r in check(record).maps if r.name == name)
    return row


def test_a_series_has_features_down_and_steps_across_with_lags_and_stars(record):
    figure = stream_map(check(record), HEAD, "weather")
    shown = panels(figure)
    assert [axes.get_title(loc="left") for axes in shown] == ["attention", "integrated_gradients", "shapley"]
    assert [t.get_text() for t in shown[0].get_yticklabels()] == ["★ wind", "rain", "sun"]
    assert [t.get_text() for t in shown[-1].get_xticklabels()] == list("87654321")
    assert shown[-1].get_xlabel() == "time, lag"


def test_equal_colours_are_equal_shares_for_all_methods(record):
    shown = panels(stream_map(check(record), HEAD, "weather"))
    rows = [stream_map_of(record, m["label"], "weather") for m in record["methods"]]
    shares = [np.asarray(r["mean_abs"]).T / r["total"] for r in rows]
    largest = max(s.max() for s in shares)
    for axes, share in zip(shown, shares, strict=True):
        np.testing.assert_allclose(colours(axes), rgb(MAGNITUDE, share / largest), atol=1)


def test_signed_maps_leave_out_unsigned_methods_and_have_zero_in_the_middle(record):
    shown = panels(stream_map(check(record), HEAD, "weather", signed=True))
    assert [axes.get_title(loc="left") for axes in shown] == ["integrated_gradients", "shapley"]
    rows = [stream_map_of(record, m, "weather") for m in ("integrated_gradients", "shapley")]
    shares = [np.asarray(r["mean"]).T / r["total"] for r in rows]
    largest = max(np.abs(s).max() for s in shares)
    for axes, share in zip(shown, shares, strict=True):
        np.testing.assert_allclose(colours(axes), rgb(SIGNED, 0.5 + share / largest / 2), atol=1)


def test_images_keep_their_sides_whatever_the_order_of_the_axes():
    upright = pictured_record()
    turned = pictured_record()
    for row in turned["stream_maps"]:
        if row["stream"] == "scan":
            row.update(axes=["width", "height"], mean=np.transpose(row["mean"]).tolist())
            row["mean_abs"] = np.transpose(row["mean_abs"]).tolist()
    for one, other in zip(*(panels(stream_map(check(r), HEAD, "scan")) for r in (upright, turned)), strict=True):
        assert colours(one).shape == (6, 4, 4)
        np.testing.assert_array_equal(colours(one), colours(other))


def test_the_colour_bar_has_numbers_and_a_unit(record):
    figure = stream_map(check(record), HEAD, "scan", signed=True)
    (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert bar.get_xlabel() == "mean, share of the map's magnitude (%)"
    figure.draw_without_rendering()
    numbers = [t.get_text() for t in bar.get_xticklabels()]
    assert "0" in numbers
    assert any(n.startswith("−") for n in numbers)


def test_a_series_with_many_features_shows_those_that_matter(record):
    names = tuple(f"f{i}" for i in range(30))
    record = pictured_record(features=names)
    row = stream_map_of(record, "shapley", "weather")
    row["mean_abs"][3][27] = 1e3
    ticks = [t.get_text() for t in panels(stream_map(check(record), HEAD, "weather"))[0].get_yticklabels()]
    assert len(ticks) == 20
    assert "f27" in ticks
    caption = next(p.caption for p in pictures.of_streams(check(record), HEAD))
    assert "The 20 of 30 features that matter most" in caption


def test_a_series_of_time_alone_is_one_row():
    record = pictured_record()
    for row in record["stream_maps"]:
        if row["stream"] == "weather":
            row.update(axes=["time"], coords={}, mean=row["mean"][0], mean_abs=row["mean_abs"][0])
    assert colours(panels(stream_map(check(record), HEAD, "weather"))[0]).shape == (1, 3, 4)


def test_what_was_left_out_has_no_picture_but_a_note():
    record = pictured_record()
    for row in record["stream_maps"]:
        if row["stream"] == "scan":
            row.update(mean=None, mean_abs=None, note="left out: too large")
    assert streams_with_positions(check(record), HEAD) == ["weather"]
    assert pictures.notes_of_streams(check(record), HEAD) == ["Map of scan left out: too large"]


@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [
        ("temporal_attention", 2, (3, 8)),
        ("change", 3, (6, 4)),
        ("class_map", 3, (6, 4)),
        ("class_likelihood", 1, (3, 3)),
        ("relevance", 1, (3, 24)),
        ("token_score", 1, (3, 8)),
    ],
)
def test_maps_are_laid_out_by_the_words_of_their_axes(record, name, count, shape):
    shown = panels(layer_map(check(record), layer_row(record, name)))
    assert [colours(axes).shape[:2] for axes in shown] == [shape] * count


def test_class_likelihood_has_layers_across(record):
    row = layer_row(record, "class_likelihood")
    (axes,) = panels(layer_map(check(record), row))
    values = np.asarray(row.mean).T
    np.testing.assert_allclose(colours(axes), rgb(MAGNITUDE, values / values.max()), atol=1)
    assert axes.get_xlabel() == "layer"


def test_attention_of_few_variables_is_bars_by_head(record):
    figure = layer_map(check(record), layer_row(record, "variable_attention"))
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["risk", "b"]
    widths = [[bar.get_width() for bar in axes.patches] for axes in figure.axes]
    np.testing.assert_allclose(widths, layer_row(record, "variable_attention").mean)


def test_a_line_over_layers_starts_at_zero(record):
    (axes,) = layer_map(check(record), layer_row(record, "deviation")).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), layer_row(record, "deviation").mean)
    assert axes.get_ylim()[0] == 0


def test_one_number_is_one_bar(record):
    (axes,) = layer_map(check(record), layer_row(record, "gain")).axes
    assert [bar.get_width() for bar in axes.patches] == [layer_row(record, "gain").mean]


def test_units_have_the_names_of_the_models_head():
    record = pictured_record()
    record["model"]["heads"][0]["units"] = ["low", "mid", "high"]
    figure = layer_map(check(record), layer_row(record, "class_map"))
    assert [axes.get_title(loc="left") for axes in panels(figure)] == ["risk: low", "risk: mid", "risk: high"]


def test_at_most_24_panels_are_drawn_and_the_rest_counted(record):
    row = dataclasses.replace(layer_row(record, "class_map"), coords={}, mean=np.ones((2, 2, 30)).tolist())
    assert len(panels(layer_map(check(record), row))) == 24
    ((_, shown, _),) = pictures.of_layers(dataclasses.replace(check(record), maps=(row,)))
    assert "6 more panels are in the record" in shown[0].caption


def test_layers_come_with_captions_and_notes(record):
    ((layer, shown, notes),) = pictures.of_layers(check(record))
    captions = {p.name: p.caption for p in shown}
    assert layer == "reader"
    assert list(captions)[:2] == ["temporal_attention", "variable_attention"]
    assert captions["class_map"].startswith(
        "height × width × target, mean over 256 rows. Values of opposite sign cancel"
    )
    assert "Deviation from identity by layer: " in captions["change"]
    assert "Deviation" not in captions["deviation"]
    assert notes == ["large: left out: too many values", "nothing: zero everywhere"]


def test_an_image_lies_in_grey_below_its_attribution(record):
    record = pictured_record()
    example = record["examples"][0]
    for values in example["values"].values():
        values["scan"] = np.zeros((6, 4, 1)).tolist()
    example["values"]["shapley"]["scan"][2][3][0] = 5.0
    figure = example_map(check(record), check(record).examples[0], "scan")
    shown = panels(figure)
    assert [axes.get_title(loc="left") for axes in shown] == ["input", *example["values"]]
    grey = np.asarray(example["inputs"]["scan"])[..., 0]
    scaled = np.round(255 * (0.5 + 0.5 * (grey - grey.min()) / np.ptp(grey)))
    np.testing.assert_allclose(np.asarray(shown[0].images[0].get_array())[..., 0], scaled, atol=1)
    glaze = colours(shown[-1])
    assert glaze[2, 3, 3] > 200  # opaque where something is attributed
    assert glaze[2, 3, 2] > glaze[2, 3, 0]  # and blue, for it raises
    assert (np.delete(glaze.reshape(-1, 4), 2 * 4 + 3, axis=0)[:, 3] == 0).all()


def test_a_series_of_one_row_carries_the_labels_of_the_stream(record):
    shown = panels(example_map(check(record), check(record).examples[0], "weather"))
    assert [t.get_text() for t in shown[-1].get_xticklabels()] == list("87654321")
    assert [t.get_text() for t in shown[0].get_yticklabels()] == ["wind", "rain", "sun"]
    values = record["examples"][0]["values"]["shapley"]
    total = sum(np.abs(v).sum() for v in values.values())
    shares = {m: np.asarray(v["weather"]).T / _total(v) for m, v in record["examples"][0]["values"].items()}
    largest = max(np.abs(s).max() for s in shares.values())
    expected = rgb(SIGNED, 0.5 + np.asarray(values["weather"]).T / total / largest / 2)
    np.testing.assert_allclose(colours(shown[2]), expected, atol=1)


def _total(values):
    return sum(np.abs(v).sum() for v in values.values())


def test_features_and_words_have_no_example_map(record):
    assert example_map(check(record), check(record).examples[0], "review") is None
    plain = check(make_record(1))
    assert list(pictures.of_example(plain, plain.examples[0])) == []


def test_colours_end_where_they_are_told_to_and_the_bar_says_so():
    heat = Heat("", np.array([[0.0, 1.0, 4.0]]), True)
    figure = draw([heat], Side(""), Side("time"), label="x", limit=2.0)
    np.testing.assert_array_equal(colours(panels(figure)[0])[0, 2], rgb(SIGNED, 1.0))
    assert limit_of([heat]) == 4.0
    assert limit_of([Heat("", np.zeros((1, 2)), True)]) == 1.0


def test_true_features_of_a_layers_space_are_starred():
    record = make_record(1, features={"encoded": ("a", "b")})
    record["truth"] = {record["targets"][0]["name"]: {"raw": ["x"]}}
    record["true_features"] = {record["targets"][0]["name"]: {"encoded": ["b"]}}
    ticks = feature_map(check(record), record["targets"][0]["name"]).axes[0].get_yticklabels()
    assert {t.get_text() for t in ticks} == {"encoded", "a", "★ b"}


def test_whole_streams_are_starred_where_streams_are_compared():
    record = make_record(1, features={"u": ("a",), "v": ("b",)})
    head = record["targets"][0]["name"]
    record["space"]["name"], record["true_features"] = "streams", {head: {"v": []}}
    ticks = stream_shares(check(record), head).axes[0].get_yticklabels()
    assert [t.get_text() for t in ticks] == ["u", "★ v"]


def test_pictures_are_the_same_bytes_twice_and_hold_their_pixels(record):
    draws = [stream_map(check(record), HEAD, "scan") for _ in range(2)]
    assert saved(draws[0], "svg") == saved(draws[1], "svg")
    text = inline_svg(stream_map(check(record), HEAD, "scan"), key="k", description="d")
    assert text.count('href="data:image/png;base64,') >= 3
    assert "http" not in text


def test_everything_is_saved_inside_the_folder_whatever_it_is_called(tmp_path):
    record = pictured_record(
        streams=("../up", HOSTILE, "t"), layer="a/b", head="x/..", methods=1, features=(AWKWARD, "b")
    )
    record["examples"] = record["examples"][:1]
    paths = figures.save_all(record, tmp_path / "figures", formats=("svg",))
    names = [p.name for p in paths]
    assert sorted(paths) == sorted((tmp_path / "figures").iterdir())
    assert len(set(names)) == len(names)
    assert "01_x_stream1_up-magnitude.svg" in names
    assert f"01_x_row{record['examples'][0]['row']}_1_up.svg" in names
    assert "layer01_a-b_01_temporal-attention.svg" in names


@pytest.mark.parametrize("path", sorted(TUTORIALS.glob("*.ipynb")), ids=lambda path: path.stem)
def test_tutorials_paint_signs_in_the_colours_of_the_reports(path):
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    code = "".join(line for cell in cells for line in cell["source"])
    assert not re.search(r"RdBu|RdYlBu|coolwarm|bwr|seismic|PuOr|PiYG|BrBG", code)
