"""The one test that each part needs: the contract. Run where the plugin is installed."""

import numpy as np
from toy_plugin.adapter import ToyAdapter
from toy_plugin.method import Halving
from toy_plugin.metric import PositiveShare
from toy_plugin.model import Scorecard

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
