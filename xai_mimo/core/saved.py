"""Datasets on disk, as netCDF or Zarr: what is saved is what is loaded, or the file is refused."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote

import xarray as xr

from xai_mimo.core.blocks import damaged_blocks, words_of_blocks
from xai_mimo.core.digest import digest_of_variables
from xai_mimo.core.errors import FileProblem, MissingDependency
from xai_mimo.core.names import disk_names
from xai_mimo.core.netcdf import read_netcdf, with_indexes
from xai_mimo.core.paths import as_path, check_folder_of, check_no_folder, reason, written_whole

ZARR_FORMAT = 2  # names of any length and script are stored alike by every version of the library
Answer = TypeVar("Answer")

_NAMES = "names_on_disk"
_CONTENT = "content_sha256"
_SEAL = b"\nxai_mimo sha256\n"  # behind the end of a netCDF, where HDF5 does not look; its digest follows


def save(dataset: xr.Dataset, path: str | Path) -> Path:
    """Write a dataset as netCDF (``.nc``) or Zarr (``.zarr``); ``load`` gives the same dataset back.

    The file takes its place when it is whole, and holds a checksum.

    Raises:
        FileProblem: its folder is not there, a folder stands in the place of the file, or it cannot be written.
        MissingDependency: ``.zarr`` without zarr.
    """
    target = as_path(path)
    check_folder_of(target)
    if target.suffix == ".zarr":  # Zarr is a folder itself
        require_zarr(f"save(..., {target.name!r})")
    else:
        check_no_folder(target)
    safe = to_disk(dataset.drop_encoding().assign_attrs({_CONTENT: _content(dataset)}))
    with written_whole(target, suffix=target.suffix) as beside:
        if target.suffix == ".zarr":
            safe.to_zarr(beside, mode="w", zarr_format=ZARR_FORMAT)
        else:
            coordinates_first = safe[[*safe.coords, *safe.data_vars]]  # else HDF5 makes each dimension twice
            coordinates_first.to_netcdf(beside, engine="h5netcdf")
            with beside.open("rb+") as file:
                digest = hashlib.file_digest(file, "sha256").digest()
                file.write(_SEAL + digest)
    return target


def load(path: str | Path) -> xr.Dataset:
    """Read a dataset that ``save`` or ``explain(store=...)`` wrote; Zarr is opened lazily, chunk by chunk.

    Its checksums are compared first, for which all of it is read once.

    Raises:
        FileProblem: no such file, none of ours, or one that is not what was written any more.
    """
    target = as_path(path)
    dataset = open_dataset(target)
    if _CONTENT in dataset.attrs:
        content = dataset.attrs.pop(_CONTENT)
        if _checked(target, lambda: _content(dataset)) != content:
            raise FileProblem(
                f"{target} is not what was written: it was damaged, or changed by another program. Save it again, or "
                "read it as it is with xarray.open_dataset or xarray.open_zarr."
            )
    damaged = _checked(target, lambda: damaged_blocks(dataset))
    if damaged:
        raise FileProblem(
            f"{target} is damaged: the numbers of {words_of_blocks(damaged)} are not those that were written. Call "
            "explain with the same arguments and this store= again: it makes them anew."
        )
    return dataset


def open_dataset(path: Path) -> xr.Dataset:
    """A dataset as it lies on disk, under its own names and without a look at its checksums.

    Raises:
        FileProblem: no such file, or none of ours.
    """
    if not path.exists():
        raise FileProblem(f"there is no file or folder {path}.")
    if path.suffix == ".zarr":
        require_zarr(f"load({path.name!r})")
    elif other := _other_kind(path):
        raise FileProblem(f"{path} is no explanation but {other}.")
    return _checked(path, lambda: from_disk(_read(path)))


def _other_kind(path: Path) -> str:
    """What a file is that something else of this package wrote, and how to read it; "" for all others."""
    if path.is_dir():
        return "a folder; give the name of a file inside it, or of a folder that ends in '.zarr'"
    try:
        with path.open("rb") as file:
            start = file.read(4096).lstrip().lower()
    except OSError:  # said when it is read
        return ""
    if start.startswith(b"{") and b'"xai_mimo.comparison/' in start:
        return (
            f"a comparison: read its record with xai_mimo.record.json_file.from_json({str(path)!r}), or draw its "
            f"report again with `xai-mimo report {path}`"
        )
    if start.startswith(b"<!doctype html"):
        return "a report, which nothing can be read back from; its comparison is kept by to_json"
    if start.startswith(b"pk\x03\x04"):
        ours = {".keras": f"a saved Keras model: load it with xai_mimo.load_model({str(path)!r})"}
        return ours.get(path.suffix, f"an archive of arrays: read it with numpy.load({str(path)!r})")
    return ""


def to_disk(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset under names that a file can hold; an attribute keeps its own."""
    names = disk_names(sorted({*map(str, dataset.variables), *map(str, dataset.dims)}))
    renamed: xr.Dataset = dataset.rename(names)
    return (
        renamed.assign_attrs({_NAMES: json.dumps({disk: name for name, disk in names.items()})}) if names else dataset
    )


def from_disk(dataset: xr.Dataset) -> xr.Dataset:
    """The opposite of ``to_disk``."""
    if _NAMES in dataset.attrs:
        names = json.loads(dataset.attrs.pop(_NAMES))
    else:  # before names were kept, those with a slash were quoted
        names = {str(n): unquote(str(n)) for n in dataset.variables if "%2F" in str(n)}
    return dataset.rename(names)


def require_zarr(what: str) -> Any:
    """The package zarr.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        import zarr
    except ImportError as err:
        raise MissingDependency(f"{what} needs zarr: pip install 'xai-mimo[zarr]'") from err
    return zarr


def _read(path: Path) -> xr.Dataset:
    if path.suffix == ".zarr":
        bare = xr.open_zarr(path, consolidated=False, chunks=None, create_default_indexes=False)
        return with_indexes(bare)
    _check_seal(path)
    return read_netcdf(path)


def _check_seal(path: Path) -> None:
    """Compare a netCDF with the digest behind its end, before HDF5 reads it, which may never end on a damaged one.

    Files of the first version, and those that another program wrote to, have none.

    Raises:
        FileProblem: it is not what was written.
    """
    length = path.stat().st_size - len(_SEAL) - hashlib.sha256().digest_size
    if length < 0:
        return
    with path.open("rb") as file:
        file.seek(length)
        seal = file.read()
        if not seal.startswith(_SEAL):
            return
        file.seek(0)
        sha, left = hashlib.sha256(), length
        while left:
            piece = file.read(min(left, 2**20))
            sha.update(piece)
            left -= len(piece)
    if seal != _SEAL + sha.digest():
        raise FileProblem(f"{path} is damaged: it is not what was written. Save it again.")


def _content(dataset: xr.Dataset) -> str:
    """Digest of the variables, and of the attributes that are text, which every format gives back as they were."""
    texts = {str(name): value for name, value in dataset.attrs.items() if isinstance(value, str)}
    return digest_of_variables(dataset.variables, texts)


def _checked(path: Path, read: Callable[[], Answer]) -> Answer:
    """What a reader gives; whatever HDF5, Zarr or a codec raises of a damaged file becomes an error of ours."""
    try:
        return read()
    except FileProblem:
        raise
    except Exception as err:  # a damaged file may raise anything, from MemoryError to a codec's own error
        raise FileProblem(f"{path} is not a dataset written by xai_mimo: {reason(err)}.") from err
