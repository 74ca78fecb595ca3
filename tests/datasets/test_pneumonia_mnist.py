"""PneumoniaMNIST: rows and classes as published, and every other file refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.datasets import pneumonia_mnist
from xai_mimo.datasets.pneumonia_mnist import FILES

pytestmark = pytest.mark.all_frameworks

here = Path(os.environ.get("XAI_MIMO_DATA", "")) / "pneumonia_mnist"
real = pytest.mark.skipif(not here.is_dir(), reason="the published file is not on this machine")


@real
@pytest.mark.parametrize(("split", "rows", "ill"), [("train", 4708, 3494), ("val", 524, 389), ("test", 624, 390)])
def test_the_splits_have_their_rows_and_classes(split, rows, ill):
    data = pneumonia_mnist(here, split=split)
    assert (len(data), data.labels["pneumonia"].sum()) == (rows, ill)
    assert data.inputs["image"].dtype == np.float32
    assert 0 <= data.inputs["image"].min() < data.inputs["image"].max() <= 1
    mean = data.inputs["image"].astype(np.float64).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(data.labels["mean_intensity"], mean, rtol=1e-9)
    assert data.labels["pneumonia"][:200].std() > 0.3  # classes are not in blocks


@real
def test_the_order_of_the_rows_in_the_file_does_not_matter(tmp_path, rng):
    with np.load(here / FILES[1], allow_pickle=False) as file:
        order = rng.permutation(len(file["test_images"]))
        np.savez(tmp_path / FILES[0], test_images=file["test_images"][order], test_labels=file["test_labels"][order])
    ours, theirs = pneumonia_mnist(tmp_path, split="test"), pneumonia_mnist(here, split="test")
    np.testing.assert_array_equal(ours.inputs["image"], theirs.inputs["image"])
    np.testing.assert_array_equal(ours.labels["pneumonia"], theirs.labels["pneumonia"])


def test_other_images_are_refused(tmp_path):
    np.savez(tmp_path / FILES[0], test_images=np.zeros((2, 28, 28), np.uint8), test_labels=np.zeros((2, 1), np.uint8))
    with pytest.raises(FileProblem, match=r"holds other images or labels in its split 'test' than MedMNIST v2"):
        pneumonia_mnist(tmp_path, split="test")
    with pytest.raises(FileProblem, match=r"cannot read split 'val' of '.*npz': .*val_images"):
        pneumonia_mnist(tmp_path, split="val")


def test_images_of_another_size_and_files_that_are_none_are_refused(tmp_path):
    np.savez(tmp_path / FILES[0], test_images=np.zeros((2, 64, 64)), test_labels=np.zeros((2, 1)))
    with pytest.raises(FileProblem, match=r"has images \(2, 64, 64\) and labels \(2, 1\) in split 'test'"):
        pneumonia_mnist(tmp_path, split="test")
    (tmp_path / FILES[0]).write_text("no archive")
    with pytest.raises(FileProblem, match=r"cannot read split 'test'"):
        pneumonia_mnist(tmp_path, split="test")


def test_a_missing_file_says_where_it_was_looked_for(tmp_path, monkeypatch):
    with pytest.raises(FileProblem, match=r"cannot find pneumoniamnist.npz: it is not in '.*'. Fetch PneumoniaMNIST"):
        pneumonia_mnist(tmp_path)
    monkeypatch.delenv("XAI_MIMO_DATA", raising=False)
    with pytest.raises(FileProblem, match="no folder is named and XAI_MIMO_DATA is not set"):
        pneumonia_mnist()


def test_splits_are_checked():
    with pytest.raises(BadSetting, match="split 'validation' is not one of train, val, test"):
        pneumonia_mnist(split="validation")
