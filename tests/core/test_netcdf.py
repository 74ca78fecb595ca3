"""A netCDF as we read it against the reader of xarray and h5netcdf."""

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import xarray as xr

from tests.helpers.work import calls
from xai_mimo.core.explanation import SCHEMA, stream_shares, validate
from xai_mimo.core.netcdf import read_netcdf
from xai_mimo.core.saved import load, save

FIRST_VERSION = Path(__file__).parents[1] / "data" / "first_version"


def wide() -> xr.Dataset:
    """Every kind of value, dimensions with and without coordinates, and a coordinate that is no index."""
    rng = np.random.default_rng(0)
    both = ("head", "sample")
    return xr.Dataset(
        {
            "float": ((*both, "feature"), rng.normal(size=(2, 3, 4)).astype("f4"), {"unit": "", "tick": "°C"}),
            "wide": (("sample", "bare"), rng.normal(size=(3, 5)), {"numbers": np.arange(3.0), "one": 7}),
            "missing": (both, np.array([[1.0, np.nan, 2.0], [0.0, 1.0, 2.0]])),
            "converged": (both, np.array([[True, False, True], [False, False, True]])),
            "count": (both, np.arange(6).reshape(2, 3)),
            "word": ("head", np.array(["a", "ümläut"])),
            "scalar": ((), 3.5),
            "scalar_word": ((), "yes"),
            "empty": (("sample", "none"), np.zeros((3, 0))),
        },
        {
            "head": ["h:0", "h:1"],
            "sample": [4, 0, 9],
            "feature": ["Öl", "b c", "x", "日本"],
            "unit": (both, np.ones((2, 3), dtype=int)),
        },
        {"schema": "s", "signed": 1, "seconds": 0.25, "texts": ["a", "b"], "text": "ä", "nothing": ""},
    )


def many(streams: int) -> xr.Dataset:
    """An explanation of as many streams of two features."""
    names = [f"s{i}" for i in range(streams)]
    return xr.Dataset(
        {name: (("head", "sample", f"{name}_feature"), np.ones((1, 4, 2))) for name in names},
        {"head": ["h"], "sample": range(4), **{f"{name}_feature": ["0", "1"] for name in names}},
        {"schema": SCHEMA, "streams": json.dumps([{"name": name} for name in names])},
    )


def test_every_kind_of_value_is_read_as_xarray_reads_it(tmp_path: Path) -> None:
    wide().to_netcdf(tmp_path / "wide.nc", engine="h5netcdf")
    with xr.open_dataset(tmp_path / "wide.nc", engine="h5netcdf") as opened:
        theirs = opened.load()
    ours = read_netcdf(tmp_path / "wide.nc")
    xr.testing.assert_identical(ours, theirs)
    assert {name: v.dtype for name, v in ours.variables.items()} == {n: v.dtype for n, v in theirs.variables.items()}
    assert set(ours.xindexes) == set(theirs.xindexes) == {"head", "sample", "feature"}
    assert list(ours.data_vars) == list(theirs.data_vars)


@pytest.mark.parametrize("path", sorted(FIRST_VERSION.glob("*.nc")), ids=lambda path: path.stem)
def test_files_of_the_first_version_are_read_as_xarray_reads_them(path: Path) -> None:
    with xr.open_dataset(path, engine="h5netcdf") as opened:
        xr.testing.assert_identical(read_netcdf(path), opened.load())


def test_what_is_saved_is_what_xarray_reads(tmp_path: Path) -> None:
    dataset = many(3)
    save(dataset, tmp_path / "many.nc")
    with xr.open_dataset(tmp_path / "many.nc", engine="h5netcdf") as opened:
        theirs = opened.load()
    xr.testing.assert_identical(load(tmp_path / "many.nc"), dataset)
    xr.testing.assert_equal(theirs, dataset)
    assert list(load(tmp_path / "many.nc").data_vars) == list(dataset.data_vars)


def test_dimensions_are_found_without_the_numbers_that_h5netcdf_gives_them(tmp_path: Path) -> None:
    save(many(3), tmp_path / "many.nc")
    with h5py.File(tmp_path / "many.nc", "r+") as file:
        for part in file.values():
            part.attrs.pop("_Netcdf4Coordinates", None)
            part.attrs.pop("_Netcdf4Dimid", None)
    assert read_netcdf(tmp_path / "many.nc")["s1"].dims == ("head", "sample", "s1_feature")


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_the_work_of_reading_grows_with_the_streams_and_not_with_their_square(tmp_path: Path, suffix: str) -> None:
    work = {}
    for streams in (10, 40, 160):
        path = tmp_path / f"{streams}{suffix}"
        save(many(streams), path)
        load(path)  # what is imported or cached at the first time
        work[streams] = calls(lambda path=path: load(path))
    assert work[160] - work[40] < 5 * (work[40] - work[10])


def test_a_dimension_that_all_streams_share_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detached = []
    monkeypatch.setattr(h5py.h5ds, "detach_scale", lambda *args: detached.append(args))
    save(many(3), tmp_path / "many.nc")
    assert detached == []


@pytest.mark.parametrize("work", [stream_shares, validate], ids=lambda work: work.__name__)
def test_the_work_on_many_streams_grows_with_them_and_not_with_their_square(
    work: Callable[[xr.Dataset], Any],
) -> None:
    work(many(2))
    done = {n: calls(functools.partial(work, many(n))) for n in (10, 40, 160)}
    assert done[160] - done[40] < 5 * (done[40] - done[10])
