"""Boosted trees of XGBoost with several outputs, of both strategies: columns as streams, targets as heads, known truth."""

import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import imported
from xai_mimo.core.errors import NotSupported
from xai_mimo.explainers import Occlusion, Shapley

pytestmark = [pytest.mark.slow, pytest.mark.all_frameworks]
STREAMS = {"heat": ["oil", "hall"], "load": ["pressure", "speed", "valve"], "history": ["hours"]}
COLUMNS = [column for columns in STREAMS.values() for column in columns]
TRUTH = {
    "wear": {"heat": ["oil"], "history": ["hours"]},
    "energy": {"load": ["pressure", "speed"]},
    "vibration": {"load": ["valve"]},
}


def press(rows, seed):
    x = pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 6)), columns=COLUMNS)
    y = {
        "wear": x["hours"] + 3 * (x["oil"] > 0.8),
        "energy": 2 * x["pressure"] * x["speed"],
        "vibration": 2.0 * (x["valve"] > 0.3),
    }
    return x, pd.DataFrame(y)


@pytest.fixture(scope="module", params=["one_output_per_tree", "multi_output_tree"])
def fitted(request):
    x, y = press(4000, 0)
    booster = imported("xgboost").XGBRegressor
    return booster(n_estimators=150, max_depth=4, multi_strategy=request.param, n_jobs=1).fit(x, y)


@pytest.fixture(scope="module")
def model(fitted):
    return xm.adapt(fitted, streams=STREAMS, heads=dict.fromkeys(TRUTH, 1))


ROWS, LABELS = press(60, 1)
BACKGROUND, _ = press(16, 2)


def test_streams_and_heads_are_those_that_were_named(model, fitted):
    assert {stream.name: list(stream.features) for stream in model.streams} == STREAMS
    assert [(head.name, head.kind) for head in model.heads] == [(head, "regression") for head in TRUTH]
    shuffled = ROWS[COLUMNS[::-1]]
    found = xm.explain(model, shuffled, Shapley(players="streams"), background=BACKGROUND)
    np.testing.assert_allclose(found["prediction"], fitted.predict(ROWS).T, atol=1e-5)


def test_shapley_values_are_those_of_the_rule(model):
    """Of what is known by the rule: a quantity's own deviation, a step's, and of a product half the difference each."""
    found = xm.explain(model, ROWS, "shapley", background=BACKGROUND)
    hours = ROWS["hours"] - BACKGROUND["hours"].mean()
    oil = 3.0 * ((ROWS["oil"] > 0.8) - (BACKGROUND["oil"] > 0.8).mean())
    valve = 2.0 * ((ROWS["valve"] > 0.3) - (BACKGROUND["valve"] > 0.3).mean())
    p, s, bp, bs = (frame[name].to_numpy() for frame in (ROWS, BACKGROUND) for name in ("pressure", "speed"))
    # phi of p in 2 p s, against each background row: half of 2 (p - b_p)(s + b_s)
    pressure = ((p[:, None] - bp) * (s[:, None] + bs)).mean(axis=1)
    expected = {
        ("wear", "history", 0): hours,
        ("wear", "heat", 0): oil,
        ("energy", "load", 0): pressure,
        ("vibration", "load", 2): valve,
    }
    for (head, stream, feature), values in expected.items():
        got = found[stream].sel(head=head)[:, feature]
        assert np.corrcoef(got, values)[0, 1] > 0.95, (head, stream)
        assert np.sqrt(((got - values) ** 2).mean()) < 0.35 * np.std(values), (head, stream)
    assert float(abs(found["completeness_gap"]).max()) < 1e-5
    shares = xm.stream_shares(found).mean("sample")
    assert float(shares.sel(head="vibration", stream="load")) > 0.85
    assert float(shares.sel(head="energy", stream="load")) > 0.8


def test_the_trees_themselves_are_read_or_refused_by_name(model, fitted):
    ask = {"model": model, "x": ROWS, "background": BACKGROUND}
    if fitted.multi_strategy == "multi_output_tree":
        with pytest.raises(
            NotSupported, match=r"vector-leaf is not yet supported.*Use 'shap.permutation' or 'shapley'"
        ):
            xm.explain(method="shap.tree", **ask)
        return
    found, exact = (xm.explain(method=method, **ask) for method in ("shap.tree", "shapley"))
    for stream in STREAMS:
        np.testing.assert_allclose(found[stream], exact[stream], atol=1e-4)


def test_a_comparison_finds_what_the_rule_says(model, tmp_path):
    result = xm.compare(
        model,
        ROWS,
        [Shapley(), Occlusion(baseline="mean")],
        labels={head: LABELS[head].to_numpy() for head in TRUTH},
        truth=TRUTH,
        background=BACKGROUND,
        settings=xm.Settings(resamples=200),
    )
    for row in result.to_dict()["verdicts"]:
        if row["method"] == "shapley":
            assert row["order"] == "supported", row["head"]
            assert row["verdict"] != "misleading", row["head"]
    assert "vibration" in result.report(tmp_path / "report.html").read_text()
