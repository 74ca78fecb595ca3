"""Rows in a file: what they are called, and what belongs together, comes back."""

import numpy as np
import pytest

from xai_mimo.core.errors import BadValues
from xai_mimo.datasets import predictive_maintenance
from xai_mimo.datasets.rules import TYPES
from xai_mimo.studies.rows import load_rows, save_rows

pytestmark = pytest.mark.all_frameworks


def test_names_and_groups_come_back(tmp_path):
    data = predictive_maintenance(20, 0)
    save_rows(tmp_path / "rows.npz", data)
    rows = load_rows(tmp_path / "rows.npz")
    assert rows.features == {s.name: s.features for s in data.streams}
    assert rows.groups == {"product": {"type": TYPES}}
    np.testing.assert_array_equal(rows.inputs["wear"], data.inputs["wear"])


def test_groups_that_do_not_fit_the_features_are_refused(tmp_path):
    path = tmp_path / "rows.npz"
    named = {"a": np.zeros((2, 2)), "features:a": np.array(["x", "y"]), "groups:a": np.array(["g"])}
    np.savez(path, **named)
    with pytest.raises(
        BadValues, match=r"'groups:a' of .* has shape \(1,\); expected a group, or '', for each of the 2"
    ):
        load_rows(path)
