"""The long form of an explanation has each value once."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import xai_mimo as xm
from tests.helpers.work import calls
from xai_mimo.core.errors import SchemaError
from xai_mimo.core.explanation import join, stream_names
from xai_mimo.explainers.frame import to_dataframe
from xai_mimo.explainers.perturbation.occlusion import Occlusion


def model() -> Any:
    """A table, a series and an image; two heads."""

    def heads(table: Any, series: Any, image: Any) -> dict[str, Any]:
        level = table[:, :1] + series.sum((1, 2))[:, None] ** 2
        mode = np.concatenate([level, level * image.sum((1, 2, 3))[:, None]], axis=1)
        return {"level": level + image[:, 0, 0], "mode": mode + image[:, 0, 1]}

    return xm.adapt(
        heads,
        streams={
            "table": xm.Stream("table", (3,), features=("oil", "age", "hour")),
            "series": (4, 2),
            "image": (2, 2, 1),
        },
        heads={"level": 1, "mode": 2},
    )


@pytest.fixture
def x(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {
        "table": rng.normal(size=(5, 3)).astype("f4"),
        "series": rng.normal(size=(5, 4, 2)).astype("f4"),
        "image": rng.normal(size=(5, 2, 2, 1)).astype("f4"),
    }


def test_sums_over_rows_of_the_frame_are_those_of_the_explanation(x: dict[str, np.ndarray]) -> None:
    explanation = xm.explain(model(), x, "occlusion")
    frame = xm.to_dataframe(explanation)
    assert len(frame) == 3 * 5 * (3 + 8 + 4)
    sums = frame.groupby(["stream", "head"], observed=True)["attribution"].sum()
    magnitudes = frame["attribution"].abs().groupby(frame["stream"], observed=True).sum()
    for name in stream_names(explanation):
        for head in explanation["head"].values:
            np.testing.assert_allclose(sums[name, head], explanation[name].sel(head=head).sum(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(magnitudes[name], abs(explanation[name]).sum(), rtol=1e-5)


def test_every_row_says_which_value_it_is(x: dict[str, np.ndarray]) -> None:
    explanation = xm.explain(model(), x, "occlusion").assign_coords(sample=[7, 3, 9, 1, 0])
    frame = xm.to_dataframe(explanation)
    columns = ["head", "unit", "sample", "stream", "time", "height", "width", "feature", "attribution"]
    assert list(frame.columns) == columns
    one = frame.query("head == 'mode:1' and sample == 9 and stream == 'series' and time == 3 and feature == '1'")
    assert one["attribution"].tolist() == [explanation["series"].values[2, 2, 3, 1]]
    assert one["unit"].tolist() == [1]
    assert one["height"].isna().all()
    pixel = frame.query("head == 'level' and sample == 1 and height == 1 and width == 0")
    assert pixel["attribution"].tolist() == [explanation["image"].values[0, 3, 1, 0, 0]]
    assert frame.query("stream == 'table'")["feature"].unique().tolist() == ["oil", "age", "hour"]
    assert not frame.duplicated(columns[:-1]).any()


def test_joined_explanations_have_a_column_for_their_methods_and_errors_where_there_are_some(
    x: dict[str, np.ndarray],
) -> None:
    m = model()
    each = {"s": xm.explain(m, x, "shapley", background=x), "o": xm.explain(m, x, "occlusion", background=x)}
    frame = xm.to_dataframe(join(each))
    assert frame.columns[0] == "explainer"
    assert frame.query("explainer == 'o'")["standard_error"].isna().all()
    errors = frame.query("explainer == 's' and stream == 'table'")["standard_error"]
    np.testing.assert_allclose(errors, each["s"]["table_standard_error"].values.ravel())


def test_whole_streams_have_no_feature_and_variables_have_no_place(x: dict[str, np.ndarray]) -> None:
    by_stream = xm.to_dataframe(xm.explain(model(), x, Occlusion(players="streams")))
    assert len(by_stream) == 3 * 5 * 3
    assert "feature" not in by_stream or by_stream["feature"].isna().all()
    by_variable = xm.to_dataframe(xm.explain(model(), x, Occlusion(players="variables")))
    assert len(by_variable) == 3 * 5 * (3 + 2 + 1)
    assert "time" not in by_variable


def test_streams_of_which_a_method_says_nothing_have_no_rows(x: dict[str, np.ndarray]) -> None:
    explanation = xm.explain(model(), x, "occlusion")
    silent = explanation.assign_attrs(unexplained='["series"]')
    assert set(to_dataframe(silent)["stream"]) == {"table", "image"}
    both = to_dataframe(join({"all": explanation, "some": silent}))
    assert set(both.query("explainer == 'some'")["stream"]) == {"table", "image"}
    assert set(both.query("explainer == 'all'")["stream"]) == {"table", "series", "image"}


def test_names_are_categories_and_places_whole_numbers(x: dict[str, np.ndarray]) -> None:
    frame = xm.to_dataframe(xm.explain(model(), x, "occlusion"))
    assert all(isinstance(frame[c].dtype, pd.CategoricalDtype) for c in ("head", "stream", "feature"))
    assert str(frame["time"].dtype) == "Int64"


def test_what_is_no_explanation_is_refused() -> None:
    with pytest.raises(SchemaError, match="schema"):
        xm.to_dataframe(xr.Dataset())


def test_the_work_grows_with_the_streams_and_not_with_their_square(rng: np.random.Generator) -> None:
    work = {}
    for streams in (10, 40, 160):
        x = {f"s{i}": rng.normal(size=(4, 2)).astype("f4") for i in range(streams)}
        summed = xm.adapt(
            lambda *arrays: {"h": np.sum(arrays, axis=0).sum(axis=1, keepdims=True)},
            streams=dict.fromkeys(x, 2),
            heads={"h": 1},
        )
        explanation = xm.explain(summed, x, "occlusion")
        to_dataframe(explanation)
        work[streams] = calls(lambda explanation=explanation: to_dataframe(explanation))
    assert work[160] - work[40] < 5 * (work[40] - work[10])


@pytest.mark.parametrize("thing", [3, None, "maps", {"x": 1}])
def test_other_things_than_data_sets_are_refused(thing) -> None:
    with pytest.raises(SchemaError, match=f"expected an explanation, .*; got {type(thing).__name__}"):
        xm.to_dataframe(thing)
