"""Two scikit-learn pipelines on one data frame of numbers, a category and notes in words, as two heads, with known truth."""

import numpy as np
import pandas as pd
import pytest

import xai_mimo as xm
from tests.helpers.frameworks import needs
from xai_mimo.explainers import Shapley

pytestmark = [pytest.mark.slow, pytest.mark.all_frameworks, needs("sklearn")]
WHAT = ["a smell of smoke", "smoke at the motor", "a loose cover", "noise", "dust on the filter", "nothing new"]
TRUTH = {
    "work": {"num": ("temperature",), "text": ("note",)},
    "hours": {"num": ("torque",), "cat": ("site",)},
}


def log_of(rows, seed):
    rng = np.random.default_rng(seed)
    log = pd.DataFrame(
        {
            "temperature": rng.normal(70, 10, rows),
            "torque": rng.normal(40, 8, rows),
            "age": rng.integers(1, 20, rows).astype(float),
            "site": rng.choice(["north", "south", "harbour"], rows),
            "note": [f"seen on the round: {what}" for what in rng.choice(WHAT, rows)],
        }
    )
    urgent = np.where((log["temperature"] > 82) | log["note"].str.contains("smoke"), "urgent", "routine")
    return log, urgent, 2 + 3.0 * (log["site"] == "harbour") + 0.1 * (log["torque"] - 40)


ROWS, URGENT, HOURS = log_of(60, 1)
BACKGROUND, _, _ = log_of(24, 2)


@pytest.fixture(scope="module")
def pipelines():
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    def of(model, target):
        columns = [
            ("num", StandardScaler(), ["temperature", "torque", "age"]),
            ("cat", OneHotEncoder(handle_unknown="ignore"), ["site"]),
            ("text", TfidfVectorizer(), "note"),
        ]
        return Pipeline([("columns", ColumnTransformer(columns)), ("model", model)]).fit(log, target)

    log, urgent, hours = log_of(2000, 0)
    forest = RandomForestRegressor(40, min_samples_leaf=3, random_state=0)
    return {"work": of(LogisticRegression(C=10), urgent), "hours": of(forest, hours)}


@pytest.fixture(scope="module")
def model(pipelines):
    return xm.adapt(pipelines)


@pytest.fixture(scope="module")
def found(model):
    return xm.explain(model, ROWS, Shapley(), background=BACKGROUND)


def test_one_frame_is_divided_among_the_streams_of_both_pipelines(model, found, pipelines):
    assert [(stream.name, stream.features) for stream in model.streams] == [
        ("num", ("temperature", "torque", "age")),
        ("cat", ("site",)),
        ("text", ("note",)),
    ]
    np.testing.assert_allclose(found["prediction"].sel(head="hours"), pipelines["hours"].predict(ROWS))
    is_urgent = pipelines["work"].predict_proba(ROWS)[:, 1]
    np.testing.assert_allclose(found["prediction"].sel(head="work"), is_urgent)


def test_hours_are_those_of_the_site_and_of_the_torque(found):
    """The rule is a sum, so its Shapley values are each part's deviation from its mean over the background."""
    hours, site = found.sel(head="hours"), 3.0 * (ROWS["site"] == "harbour")
    expected = {
        "site": site - 3.0 * (BACKGROUND["site"] == "harbour").mean(),
        "torque": 0.1 * (ROWS["torque"] - BACKGROUND["torque"].mean()),
    }
    np.testing.assert_allclose(hours["cat"][:, 0], expected["site"], atol=0.15)
    np.testing.assert_allclose(hours["num"][:, 1], expected["torque"], atol=0.25)
    assert float(abs(hours["text"]).max()) < 0.15
    assert float(abs(hours["num"][:, [0, 2]]).max()) < 0.15


def test_a_note_of_smoke_speaks_for_urgent_work(found):
    work, smokes = found.sel(head="work"), ROWS["note"].str.contains("smoke").to_numpy()
    note = work["text"].values[:, 0]
    assert note[smokes].min() > 0.2
    assert note[~smokes].max() < 0
    hot = (ROWS["temperature"] > 85).to_numpy() & ~smokes
    assert hot.any()
    assert work["num"].values[hot, 0].min() > 0.1
    assert float(abs(work["cat"]).max()) < 0.05


def test_a_comparison_says_so_of_both_heads(model, tmp_path):
    labels = {"work": URGENT, "hours": HOURS.to_numpy()}
    result = xm.compare(
        model,
        ROWS,
        ["shapley", "occlusion"],
        labels=labels,
        truth=TRUTH,
        background=BACKGROUND,
        settings=xm.Settings(resamples=200),
    )
    orders = {(row["head"], row["method"]): row["order"] for row in result.to_dict()["verdicts"]}
    assert orders["work", "shapley"] == orders["hours", "shapley"] == "supported"
    page = result.report(tmp_path / "report.html").read_text()
    assert "seen on the round: a smell of smoke" in page
