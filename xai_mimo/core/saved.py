"""Datasets on disk, as netCDF or Zarr: what is saved is what is loaded."""

from pathlib import Path
from urllib.parse import quote, unquote

import xarray as xr

from xai_mimo.core.errors import FileProblem
from xai_mimo.core.paths import check_folder_of, check_no_folder


def save(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a dataset as netCDF (``.nc``) or Zarr (``.zarr``); ``load`` gives the same dataset back.

    Raises:
        FileProblem: its folder is not there, a folder stands in the place of the file, or it cannot be written.
    """
    target = Path(path)
    check_folder_of(target)
    if target.suffix != ".zarr":  # Zarr is a folder itself
        check_no_folder(target)
    safe = dataset.rename({str(n): quote(str(n), safe=" ") for n in dataset.variables if "/" in str(n)})
    try:
        if target.suffix == ".zarr":
            safe.to_zarr(target, mode="w", zarr_format=2)
        else:
            safe.to_netcdf(target, engine="h5netcdf")
    except OSError as err:
        raise FileProblem(f"cannot write the dataset to {target}: {err}") from err
    return target


def load(path: str | Path) -> xr.Dataset:
    """Read a dataset that ``save`` or ``explain(store=...)`` wrote; Zarr is opened lazily, chunk by chunk."""
    target = Path(path)
    if not target.exists():
        raise FileProblem(f"there is no file or folder {target}.")
    try:
        if target.suffix == ".zarr":
            dataset: xr.Dataset = xr.open_zarr(target, consolidated=False, chunks=None)
        else:
            with xr.open_dataset(target, engine="h5netcdf") as opened:
                dataset = opened.load()
    except (OSError, ValueError, KeyError) as err:
        raise FileProblem(f"{target} is not a dataset written by xai_mimo: {err}") from err
    return dataset.rename({str(n): unquote(str(n)) for n in dataset.variables if "%2F" in str(n)})
