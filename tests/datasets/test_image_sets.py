"""MNIST and its like: read from a folder or fetched, each file checked against its checksum."""

import gzip
import hashlib
import lzma
import os
from pathlib import Path

import numpy as np
import pooch
import pytest

from tests.helpers.idx_files import idx
from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.datasets import fashion_mnist, mnist
from xai_mimo.datasets.image_sets import ImageSet

pytestmark = pytest.mark.all_frameworks

LOADERS = {"mnist": mnist, "fashion_mnist": fashion_mnist}
here = Path(os.environ.get("XAI_MIMO_DATA", ""))
real = pytest.mark.skipif(
    not all((here / name).is_dir() for name in LOADERS), reason="the published files are not on this machine"
)
CONTENT = {
    "train-images-idx3-ubyte": idx(np.arange(12, dtype="uint8").reshape(3, 2, 2)),
    "train-labels-idx1-ubyte": idx(np.array([0, 1, 0], "uint8")),
    "t10k-images-idx3-ubyte": idx(np.full((1, 2, 2), 255, "uint8")),
    "t10k-labels-idx1-ubyte": idx(np.array([1], "uint8")),
}
TINY = ImageSet(
    name="tiny",
    head="shape",
    units=("round", "square"),
    url="https://example.org/tiny",
    sha256={name: hashlib.sha256(content).hexdigest() for name, content in CONTENT.items()},
    source="made by hand",
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Files as people have them: plain, gzipped, and as xz."""
    monkeypatch.delenv("XAI_MIMO_DATA", raising=False)
    there = tmp_path / "tiny"
    there.mkdir()
    endings = [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress), (".gz", gzip.compress)]
    for (name, content), (ending, pack) in zip(CONTENT.items(), endings, strict=True):
        (there / f"{name}{ending}").write_bytes(pack(content))
    return there


def test_both_splits_are_read_from_a_folder(folder):
    train, test = TINY.load(folder, "train"), TINY.load(str(folder), "test")
    assert (train.name, len(train), test.name, len(test)) == ("tiny_train", 3, "tiny_test", 1)
    np.testing.assert_array_equal(train.labels["shape"], [0, 1, 0])
    np.testing.assert_array_equal(test.inputs["image"], np.ones((1, 2, 2, 1), "float32"))


def test_the_environment_variable_names_the_folder_of_all_sets(folder, monkeypatch):
    monkeypatch.setenv("XAI_MIMO_DATA", str(folder.parent))
    assert len(TINY.load(None, "train")) == 3


def test_an_edited_file_is_refused(folder):
    (folder / "train-images-idx3-ubyte").write_bytes(idx(np.zeros((3, 2, 2), "uint8")))
    with pytest.raises(FileProblem, match="it is not the published file"):
        TINY.load(folder, "train")


def test_a_folder_without_the_files_is_refused(tmp_path):
    with pytest.raises(FileProblem, match=r"there is no train-images-idx3-ubyte, plain or as .gz or .xz, in '.*'; put"):
        TINY.load(tmp_path, "train")


def test_an_unknown_split_is_refused():
    with pytest.raises(BadSetting, match="split 'validation' of mnist is not one of train, test"):
        mnist(split="validation")


def test_without_a_folder_the_gzipped_files_are_fetched(folder, monkeypatch):
    asked = []

    def retrieve(url, *, fname, path, **_):
        asked.append((url, Path(path).name))
        (folder / fname).write_bytes(gzip.compress(CONTENT[fname.removesuffix(".gz")]))
        return str(folder / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    assert len(TINY.load(None, "test")) == 1
    names = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    assert asked == [(f"https://example.org/tiny/{name}.gz", "tiny") for name in names]


def test_without_a_network_the_error_says_how_to_go_on_by_hand(folder, monkeypatch):
    def retrieve(url, **_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(FileProblem, match=r"cannot download https://example.org/.*no route to host\. Fetch it by hand"):
        TINY.load(None, "test")


@real
@pytest.mark.parametrize("name", LOADERS)
def test_the_published_test_images_are_read(name):
    data = LOADERS[name](here / name, split="test")
    assert data.inputs["image"].shape == (10_000, 28, 28, 1)
    assert (data.inputs["image"].min(), data.inputs["image"].max()) == (0.0, 1.0)
    counts = {  # of the classes, as published
        "mnist": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
        "fashion_mnist": [1000] * 10,
    }
    (head,) = data.heads
    np.testing.assert_array_equal(np.bincount(data.labels[head.name]), counts[name])
    assert head.name == {"mnist": "digit", "fashion_mnist": "garment"}[name]


@real
@pytest.mark.slow
@pytest.mark.parametrize(("name", "mean", "deviation"), [("mnist", 0.1307, 0.3081), ("fashion_mnist", 0.2860, 0.3530)])
def test_the_published_training_images_have_their_known_moments(name, mean, deviation):
    data = LOADERS[name](here / name)
    pixels = data.inputs["image"]
    assert pixels.shape == (60_000, 28, 28, 1)
    np.testing.assert_allclose(
        [pixels.mean(dtype="float64"), pixels.std(dtype="float64")], [mean, deviation], atol=5e-5
    )
    assert np.bincount(data.labels[data.heads[0].name]).sum() == 60_000
