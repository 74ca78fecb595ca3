"""An estimator opened for libraries that read it: which column is which feature, what comes before it, what is none."""

import copy
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

import xai_mimo as xm
from xai_mimo.core.errors import NotSupported
from xai_mimo.testing import check_adapter

pytestmark = pytest.mark.all_frameworks

FRAME = pd.DataFrame(np.random.default_rng(2).standard_normal((30, 4)), columns=list("abcd"))
STREAMS = {"one": ["d", "a"], "two": ["c", "b"]}
ROWS = {name: FRAME[members].to_numpy()[:5] for name, members in STREAMS.items()}


def test_columns_are_the_models_and_places_those_of_their_features():
    model = xm.adapt(Ridge().fit(FRAME, FRAME["a"]), streams=STREAMS)
    (part,) = model.fitted()
    np.testing.assert_array_equal(part.table(ROWS), FRAME.to_numpy()[:5])
    assert part.places == (("one", 1), ("two", 1), ("two", 0), ("one", 0))
    assert part.heads == ("output",)


def test_scalers_searches_and_pipelines_are_gone_through():
    search = GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2)
    pipeline = make_pipeline(StandardScaler(), make_pipeline(StandardScaler(with_mean=False), search))
    model = xm.adapt(pipeline.fit(FRAME, FRAME["a"]), streams=STREAMS)
    (part,) = model.fitted()
    by_hand = (FRAME.to_numpy() - FRAME.to_numpy().mean(axis=0)) / FRAME.to_numpy().std(axis=0)
    np.testing.assert_allclose(part.table(ROWS), by_hand[:5], atol=1e-12)
    answer = part.table(ROWS) @ part.estimators[0].coef_ + part.estimators[0].intercept_
    np.testing.assert_allclose(part.answers([answer[:, None]])[0], model.predict(ROWS)["output"], atol=1e-12)


def test_trees_read_what_they_round():
    (part,) = xm.adapt(RandomForestRegressor(2).fit(FRAME, FRAME["a"]), streams=STREAMS).fitted()
    np.testing.assert_array_equal(part.table(ROWS), FRAME.to_numpy()[:5].astype("float32").astype("float64"))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_a_model_for_each_label_gives_a_head_each():
    labels = (FRAME[["a", "b"]].to_numpy() > 0).astype(int)
    model = xm.adapt(MultiOutputClassifier(LogisticRegression()).fit(FRAME, labels), streams=STREAMS)
    (part,) = model.fitted()
    assert len(part.estimators) == 2
    answers = part.answers([estimator.predict_proba(part.table(ROWS)) for estimator in part.estimators])
    for head, answer in zip(part.heads, answers, strict=True):
        np.testing.assert_allclose(answer, model.predict(ROWS)[head], atol=1e-12)


def test_what_mixes_columns_or_reads_words_is_refused():
    mixed = make_pipeline(PolynomialFeatures(2), Ridge()).fit(FRAME, FRAME["a"])
    with pytest.raises(
        NotSupported, match=r"has PolynomialFeatures, of which it is not known that it makes one column"
    ):
        xm.adapt(mixed, streams=STREAMS).fitted()
    words = xm.adapt(make_pipeline(TfidfVectorizer(), Ridge()).fit(["a cold day", "a hot day"], [0.0, 1.0]))
    with pytest.raises(
        NotSupported, match=r"Pipeline reads words \(stream 'text'\), which no trees or coefficients have"
    ):
        words.fitted()


def test_the_contract_sees_columns_in_other_places():
    model = xm.adapt(make_pipeline(StandardScaler(), Ridge()).fit(FRAME, FRAME["a"]), streams=STREAMS)
    check_adapter(model, ROWS)
    other = copy.copy(model)
    swapped = tuple(reversed(model.fitted()[0].places))
    other.fitted = lambda: (replace(model.fitted()[0], places=swapped),)
    with pytest.raises(AssertionError, match="feature 0 of stream 'one' is in other columns of fitted"):
        check_adapter(other, ROWS)
    other.fitted = lambda: (replace(model.fitted()[0], heads=("another",)),)
    with pytest.raises(AssertionError, match=r"parts with the heads \['another'\]; the model has \['output'\]"):
        check_adapter(other, ROWS)
