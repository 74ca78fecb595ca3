"""The one test that each part needs: the contract, where there is one. Run where the plugin is installed."""

import numpy as np
import pytest
import xarray as xr
from toy_plugin.adapter import ToyAdapter
from toy_plugin.engine import Backwards
from toy_plugin.method import Halving
from toy_plugin.metric import PositiveShare
from toy_plugin.model import Scorecard

import xai_mimo as xm
from xai_mimo.core.errors import FileProblem
from xai_mimo.testing import check_adapter, check_method, check_metric


def test_the_adapter():
    points = {"risk": {"blood": np.array([1.0, -2.0])}, "cost": {"blood": np.ones(2), "bill": np.array([0.5])}}
    model, rng = Scorecard(points), np.random.default_rng(0)
    rows = {"blood": rng.standard_normal((5, 2)), "bill": rng.standard_normal((5, 1))}
    check_adapter(
        ToyAdapter(model),
        rows,
        state=lambda: {"points": model.points},
        change_weights=lambda: points["risk"].update(blood=np.array([3.0, 1.0])),
    )


def test_the_method():
    check_method(Halving(), uses_background=False)


def test_the_metric():
    check_metric(PositiveShare())


def linear():
    return xm.adapt(lambda u: u @ np.array([1.0, -2.0]), streams={"u": 2}, heads={"y": 1})


def test_the_report_format(tmp_path):
    result = xm.compare(linear(), np.random.default_rng(0).standard_normal((9, 2)), ["occlusion"], metrics=["gini"])
    path = result.report(tmp_path / "scores.toy", format="toy")
    assert path == tmp_path / "scores.toy"
    title, *lines = path.read_text(encoding="utf-8").splitlines()
    assert title == result.record.title
    assert f"y gini occlusion {result.record.scores[0].estimate}" in lines


def test_the_engine():
    rows = np.random.default_rng(0).standard_normal((9, 2))
    here, backwards = (
        xm.explain(linear(), rows, "occlusion", rows_per_block=2, engine=e) for e in ("serial", Backwards())
    )
    xr.testing.assert_equal(here, backwards)
    xr.testing.assert_equal(here, xm.explain(linear(), rows, "occlusion", rows_per_block=2, engine="toy_backwards"))


def test_the_loader(tmp_path):
    path = tmp_path / "risk.scorecard"
    path.write_text('{"risk": {"blood": [1.0, -2.0]}}')
    assert xm.adapt(xm.load_model(path)).predict({"blood": np.array([[2.0, 1.0]])})["risk"].item() == 0.5
    path.write_text("[]")
    with pytest.raises(FileProblem, match="is not a scorecard"):
        xm.load_model(path)
