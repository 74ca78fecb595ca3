"""Files that were damaged on the way: the right numbers or an error of ours that names the file, never another's words."""

import json
import os
import zipfile

import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers import toys
from tests.helpers.records import make_record
from xai_mimo.core.errors import FileProblem, MissingDependency, SchemaError, XaiMimoError
from xai_mimo.datasets import predictive_maintenance
from xai_mimo.explainers import Gradient
from xai_mimo.record import json_file
from xai_mimo.studies.rows import load_rows, save_rows

pytestmark = pytest.mark.all_frameworks

FOREIGN = ("HDF5", "h5py", "synchronously", "zarr.core", "numcodecs", "zlib", "object header")


@pytest.fixture(scope="module")
def explanation():
    model = toys.mlp()
    return xm.explain(model, toys.rows(model, 30), Gradient())


def damaged(content, seed):
    """The bytes of a file with one thing wrong."""
    rng = np.random.default_rng(seed)
    place = int(rng.integers(len(content)))
    kind = seed % 4
    if kind == 0:
        return content[:place]
    if kind == 1:
        return content[:place] + bytes([content[place] ^ (1 << int(rng.integers(8)))]) + content[place + 1 :]
    if kind == 2:
        return content[:place] + rng.bytes(16) + content[place + 16 :]
    return content[:place] + bytes(200) + content[place + 200 :]


def assert_ours(err, path):
    assert path.name in str(err)
    assert not [word for word in FOREIGN if word in str(err)], str(err)


def assert_refused_or_the_same(path, explanation):
    try:
        loaded = xm.load(path)
    except FileProblem as err:
        assert_ours(err, path)
        return
    for name in explanation.variables:
        np.testing.assert_array_equal(loaded[name], explanation[name])


@pytest.mark.parametrize("seed", range(40))
def test_a_damaged_netcdf_is_refused_or_says_the_same(seed, explanation, tmp_path):
    path = tmp_path / "e.nc"
    xm.save(explanation, path)
    path.write_bytes(damaged(path.read_bytes(), seed))
    assert_refused_or_the_same(path, explanation)


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_zarr_is_refused_or_says_the_same(seed, explanation, tmp_path):
    path = tmp_path / "e.zarr"
    xm.save(explanation, path)
    files = sorted(p for p in path.rglob("*") if p.is_file())
    file = files[np.random.default_rng(seed).integers(len(files))]
    if seed % 5:
        file.write_bytes(damaged(file.read_bytes(), seed))
    else:
        file.unlink()
    assert_refused_or_the_same(path, explanation)


def test_other_numbers_in_a_saved_file_are_noticed(explanation, tmp_path):
    import h5py

    path = tmp_path / "e.nc"
    xm.save(explanation, path)
    with h5py.File(path, "r+") as file:
        file["u"][0, 0, 0] += 1
    with pytest.raises(FileProblem, match=r"e\.nc is not what was written: it was damaged, or changed by another"):
        xm.load(path)


@pytest.mark.parametrize("seed", range(60))
def test_damaged_json_is_refused_in_our_words(seed, tmp_path):
    path = tmp_path / "record.json"
    json_file.write(make_record(1), path)
    path.write_bytes(damaged(path.read_bytes(), seed))
    try:
        json_file.from_json(path)
    except XaiMimoError as err:
        assert path.name in str(err)  # noqa: PT017


@pytest.mark.parametrize(
    "text",
    [
        '{"schema": "xai_mimo.comparison/1", "seed": 1' + "0" * 5000 + "}",
        '{"schema": ' + "[" * 100_000,
        json.dumps({**make_record(1), "shares": [{**make_record(1)["shares"][0], "mean": 10**400}]}),
        '{"schema": "\\ud800"}',
    ],
    ids=["digits", "depth", "large", "surrogate"],
)
def test_json_that_no_reader_can_hold_is_refused(text, tmp_path):
    path = tmp_path / "record.json"
    path.write_text(text)
    with pytest.raises(SchemaError, match=r"record\.json"):
        json_file.from_json(path)


def test_what_is_no_path_is_refused():
    with pytest.raises(SchemaError, match="a record is read from JSON text or the path of a file; got int"):
        json_file.from_json(3)
    with pytest.raises(FileProblem, match=r"cannot read .*Check the path"):
        json_file.from_json("a\0b")


@pytest.mark.parametrize("seed", range(60))
def test_a_damaged_npz_is_refused_in_our_words(seed, tmp_path):
    path = tmp_path / "rows.npz"
    save_rows(path, predictive_maintenance(20, 0))
    path.write_bytes(damaged(path.read_bytes(), seed))
    try:
        load_rows(path)
    except XaiMimoError as err:
        assert_ours(err, path)
        assert "Python objects" not in str(err)  # noqa: PT017


def test_an_archive_that_would_fill_the_memory_is_not_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a.npy", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(FileProblem, match=r"bomb\.npz' would unpack to 300 MiB, \d+ times its size.*numpy\.savez"):
        load_rows(path)


def test_streams_may_be_called_as_numpys_own_arguments(tmp_path):
    from xai_mimo.core.streams import Head, Stream
    from xai_mimo.datasets import Data

    names = ["file", "allow_pickle", "label:y", "input:x", "a/b", "x.npy", "a\\b"]
    inputs = {name: np.full((3, 1), float(i)) for i, name in enumerate(names)}
    parts = tuple(Stream(n, (1,)) for n in names), (Head("y"),), {}, {}, np.zeros(3, bool), ""
    data = Data("d", inputs, {"y": np.zeros(3)}, *parts)
    save_rows(tmp_path / "rows.npz", data)
    rows = load_rows(tmp_path / "rows.npz")
    assert list(rows.labels) == ["y"]
    for name in names:
        np.testing.assert_array_equal(rows.inputs[name], inputs[name])
    assert rows.features == dict.fromkeys(names, ("0",))


def test_one_rule_about_folders_holds_for_everything_that_is_written(explanation, tmp_path):
    model = xm.adapt(lambda u: {"y": u[:, :1]}, streams={"u": 2}, heads={"y": 1})
    x = np.random.default_rng(0).normal(size=(4, 2))
    result = xm.compare(model, x, ["occlusion"], metrics=["gini"])
    for write in (
        lambda folder: result.report(folder / "r.html"),
        lambda folder: result.to_json(folder / "r.json"),
        lambda folder: result.to_latex(folder / "r.tex"),
        lambda folder: xm.save(explanation, folder / "e.nc"),
        lambda folder: xm.save(explanation, folder / "e.zarr"),
        lambda folder: xm.explain(model, x, "occlusion", store=folder / "run.zarr"),
        lambda folder: save_rows(folder / "rows.npz", predictive_maintenance(20, 0)),
    ):
        with pytest.raises(
            FileProblem, match=r"cannot write .*: there is no folder .*such\. Make it first, or name an"
        ):
            write(tmp_path / "no" / "such")
    assert list(tmp_path.iterdir()) == []


def test_what_hdf5_says_of_a_full_disk_does_not_reach_the_user(explanation, tmp_path, monkeypatch):
    def full(self, path, **options):
        with open(path, "wb") as file:
            file.write(b"half")
        raise OSError(28, "Unable to synchronously create dataset (HDF5's own words)")

    monkeypatch.setattr("xarray.Dataset.to_netcdf", full)
    with pytest.raises(FileProblem, match=r"cannot write .*e\.nc: No space left on device\. Choose") as caught:
        xm.save(explanation, tmp_path / "e.nc")
    assert_ours(caught.value, tmp_path / "e.nc")
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_there_stays_when_the_new_one_cannot_be_written(explanation, tmp_path, monkeypatch):
    for suffix in ("nc", "zarr"):
        path = tmp_path / f"e.{suffix}"
        xm.save(explanation, path)
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "Input/output error")))
            with pytest.raises(FileProblem, match="Input/output error"):
                xm.save(explanation * 2, path)
        np.testing.assert_array_equal(xm.load(path)["u"], explanation["u"])
        xm.save(explanation.assign(u=explanation["u"] * 2), path)
        np.testing.assert_array_equal(xm.load(path)["u"], 2 * explanation["u"])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["e.nc", "e.zarr"]


def test_zarr_that_is_not_installed_is_named_with_its_extra(explanation, tmp_path, monkeypatch):
    xm.save(explanation, tmp_path / "there.zarr")
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(MissingDependency, match=r"e\.zarr'\) needs zarr: pip install 'xai-mimo\[zarr\]'"):
        xm.save(explanation, tmp_path / "e.zarr")
    with pytest.raises(MissingDependency, match=r"there\.zarr'\) needs zarr: pip install"):
        xm.load(tmp_path / "there.zarr")
