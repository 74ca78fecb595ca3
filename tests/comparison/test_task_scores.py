"""Task scores by hand."""

import numpy as np
import pytest

from xai_mimo.comparison.task_scores import task_scores
from xai_mimo.core.streams import Head


@pytest.mark.all_frameworks
def test_task_scores_of_predictions_known_by_hand():
    heads = (Head("b", kind="binary"), Head("m", (3,), "multiclass"), Head("r"))
    labels = {"b": np.array([1, 0, 1, 0]), "m": np.array([0, 1, 2, 2]), "r": np.array([1.0, 2.0, 3.0, 6.0])}
    outputs = {
        "b": np.array([[3.0], [2.0], [1.0], [0.0]]),
        "m": np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]),
        "r": np.array([[1.0], [2.0], [3.0], [4.0]]),
    }
    scores = task_scores(heads, labels, outputs)
    assert scores["b"]["average_precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert scores["b"]["auroc"] == pytest.approx(3 / 4)
    assert scores["m"] == {"accuracy": 0.75}
    assert scores["r"]["rmse"] == pytest.approx(1.0)
    assert scores["r"]["r2"] == pytest.approx(1 - 4 / 14)
