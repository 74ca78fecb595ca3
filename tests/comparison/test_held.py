"""Comparisons of models with streams that are held: each row keeps its own, whatever is replaced of the others."""

import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.core.errors import UnknownName
from xai_mimo.core.streams import Stream
from xai_mimo.explainers import Occlusion

pytestmark = pytest.mark.all_frameworks

ROWS = 12
FAST = xm.Settings(ceilings=False, resamples=100, controls=2)
WEIGHTS = np.array([1.0, -2.0, 0.5])


@pytest.fixture(scope="module")
def x():
    return np.random.default_rng(3).normal(size=(ROWS, 4, 3))


def gated(series, gate):
    """A product of the features' means, of the steps and features that the gate lets pass."""
    means = (series * gate).mean(axis=1)
    return {"sum": means @ WEIGHTS[:, None], "square": np.square(means @ WEIGHTS[:, None])}


def model_of(rows, **more):
    streams = [Stream("series", (4, 3), "float64"), Stream("gate", (4, 3), "float64", held=True)]
    return xm.adapt(gated, streams, {"sum": 1, "square": 1}, **more), {"series": rows[0], "gate": rows[1]}


@pytest.mark.parametrize("space", ["variables", "streams"])
def test_what_is_the_same_in_all_rows_is_as_if_the_model_had_it_in_itself(x, space):
    gate = np.random.default_rng(4).uniform(size=(1, 4, 3))
    model, rows = model_of((x, np.repeat(gate, ROWS, axis=0)))
    alone = xm.adapt(lambda series: gated(series, gate), [Stream("series", (4, 3), "float64")], {"sum": 1, "square": 1})
    given = {"methods": ["occlusion"], "seed": 5, "space": space, "settings": FAST}
    held, closed = xm.compare(model, rows, **given), xm.compare(alone, {"series": x}, **given)
    assert len(held.scores) > 10
    names = [name for name in held.scores.columns if name != "note"]
    for name in names:
        if held.scores[name].dtype.kind == "f":
            np.testing.assert_allclose(held.scores[name], closed.scores[name], rtol=1e-9, atol=1e-12, err_msg=name)
        else:
            assert held.scores[name].tolist() == closed.scores[name].tolist()
    assert held.verdicts["verdict"].tolist() == closed.verdicts["verdict"].tolist()


def test_each_row_keeps_its_own(x):
    """The map says exactly what one feature after another is worth, under the gate of its own row alone."""
    model, rows = model_of((x, np.random.default_rng(4).integers(0, 2, (ROWS, 4, 3)).astype(float)))
    found = xm.compare(model, rows, {"occlusion": Occlusion(baseline="mean")}, targets=["sum"], settings=FAST)
    scores = found.scores[found.scores.role == "value"].set_index("metric")["estimate"]
    assert scores["effect_overlap"] == pytest.approx(1, abs=1e-6)
    assert scores["idle_mass"] == pytest.approx(0, abs=1e-9)


def test_what_is_held_has_no_truth_and_stands_among_the_streams_of_the_model(x):
    model, rows = model_of((x, np.ones_like(x)))
    with pytest.raises(UnknownName, match="gate"):
        xm.compare(model, rows, ["occlusion"], truth={"sum": ["gate"]})
    record = xm.compare(model, rows, ["occlusion"], settings=FAST).to_dict()
    assert [s["name"] for s in record["model"]["streams"]] == ["series", "gate"]
    assert [s["name"] for s in record["space"]["streams"]] == ["series"]
