"""One digest for the same data, wherever it is told."""

import hashlib

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from xai_mimo.core import digest as digests
from xai_mimo.core.digest import digest, digest_of_facts

pytestmark = pytest.mark.all_frameworks


def test_an_explanation_and_a_record_of_the_same_data_tell_the_same_digest():
    model = toys.mlp()
    x = toys.rows(model)
    explanation = xm.explain(model, x, "shapley")
    result = xm.compare(model, x, ["shapley", "occlusion"])
    assert explanation.attrs["data_sha256"] == result.record["data"]["sha256"] == digest(x)
    assert result.explanations.attrs["data_sha256"] == digest(x)


def test_the_digest_is_that_of_names_dtypes_shapes_and_values():
    x = np.arange(6, dtype="<f4").reshape(3, 2)
    by_hand = hashlib.sha256(b"u:<f4:(3, 2);" + x.tobytes()).hexdigest()
    assert digest({"u": x}) == by_hand
    others = [{"v": x}, {"u": x.astype("<f8")}, {"u": x.reshape(2, 3)}, {"u": x + 1}, {"u": x, "v": x}]
    assert len({by_hand, *map(digest, others)}) == 1 + len(others)


def test_pieces_and_strides_do_not_change_the_digest(rng, monkeypatch):
    x = rng.normal(size=(7, 3, 2))
    whole = digest({"u": x})
    assert digest({"u": np.asfortranarray(x)}) == whole
    monkeypatch.setattr(digests, "_BYTES", 50)
    assert digest({"u": x}) == whole


def test_no_copy_of_the_whole_array_is_made():
    class Disk:
        dtype, shape = np.dtype("f4"), (40_000, 1000)
        largest = 0

        def __len__(self):
            return self.shape[0]

        def __getitem__(self, part):
            rows = len(range(*part.indices(len(self))))
            Disk.largest = max(Disk.largest, rows)
            return np.zeros((rows, 1000), "f4")

    digest({"u": Disk()})
    assert 0 < Disk.largest * 4000 <= 2**24


def test_facts_are_the_same_in_any_order():
    assert digest_of_facts({"a": 1, "b": [2]}) == digest_of_facts({"b": [2], "a": 1})
    assert digest_of_facts({"a": 1}) != digest_of_facts({"a": 2})
