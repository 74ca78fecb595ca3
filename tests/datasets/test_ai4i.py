"""The AI4I file: its published counts and rules, its checksum, and how it is fetched."""

import os
from pathlib import Path

import numpy as np
import pooch
import pytest

from xai_mimo.core.errors import FileProblem
from xai_mimo.datasets import ai4i2020, ai4i2020_path, exact_rules
from xai_mimo.datasets.ai4i import SHA256, URL

pytestmark = pytest.mark.all_frameworks

here = Path(os.environ.get("XAI_MIMO_DATA", "")) / "ai4i2020"
real = pytest.mark.skipif(not here.is_dir(), reason="the published file is not on this machine")


@pytest.fixture
def no_folder(monkeypatch):
    monkeypatch.delenv("XAI_MIMO_DATA", raising=False)


@real
def test_the_published_file_has_its_rows_failures_and_ties():
    data = ai4i2020(here)
    assert len(data) == 10_000
    assert {name: int(y.sum()) for name, y in data.labels.items()} == {
        "TWF": 46,
        "HDF": 115,
        "PWF": 95,
        "OSF": 98,
        "RNF": 19,
    }
    np.testing.assert_array_equal(data.inputs["product"].sum(axis=0), [6000, 2997, 1003])
    assert data.ties.sum() == 27
    assert data.labels["HDF"][data.ties].sum() == 12


@real
def test_exact_rules_agree_with_every_row_of_the_published_file():
    data = ai4i2020(here)
    rules = exact_rules(data.inputs)
    for name in ("HDF", "PWF", "OSF"):
        np.testing.assert_array_equal(rules[name], data.labels[name] == 1)
    assert rules["window"].sum() == 790
    assert data.labels["TWF"][rules["window"]].sum() == 43


@real
def test_the_heat_rule_needs_float64():
    data = ai4i2020(here)
    narrow = data.inputs["thermal"].astype(np.float32)
    hdf = (narrow[:, 1] - narrow[:, 0] < np.float32(8.6)) & (data.inputs["mechanical"][:, 0] < 1380)
    assert (hdf == data.labels["HDF"]).sum() == 9983


@real
def test_the_environment_variable_names_the_folder(monkeypatch):
    monkeypatch.setenv("XAI_MIMO_DATA", str(here.parent))
    assert ai4i2020_path() == here / "ai4i2020.csv"


def test_an_edited_copy_is_refused_with_both_checksums(tmp_path):
    (tmp_path / "ai4i2020.csv").write_text("UDI,Type\n1,M\n")
    with pytest.raises(FileProblem, match=f"has sha256 [0-9a-f]{{64}}, not {SHA256}"):
        ai4i2020(tmp_path)


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(FileProblem, match=r"there is no ai4i2020.csv in '.*'; put the file of UCI data set 601 there"):
        ai4i2020(tmp_path)


def test_without_a_folder_the_official_archive_is_fetched_and_checked(no_folder, monkeypatch, tmp_path):
    asked = []
    (tmp_path / "ai4i2020.csv").write_text("edited")

    def retrieve(url, **_):
        asked.append(url)
        return [str(tmp_path / "ai4i2020.csv")]

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(FileProblem, match="several copies of this data set are edited"):
        ai4i2020()
    assert asked == [URL]


def test_without_a_network_the_error_says_how_to_go_on_by_hand(no_folder, monkeypatch):
    def retrieve(url, **_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(FileProblem, match=r"cannot download .*no route to host\. Fetch it by hand"):
        ai4i2020()


def test_an_archive_without_the_file_is_named(no_folder, monkeypatch, tmp_path):
    monkeypatch.setattr(pooch, "retrieve", lambda url, **_: [str(tmp_path / "other.csv")])
    with pytest.raises(FileProblem, match=r"holds no ai4i2020.csv; it holds .*other.csv"):
        ai4i2020()
