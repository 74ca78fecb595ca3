"""Reading a netCDF in a time that grows with its variables alone.

h5netcdf and xarray look through all dimensions once more for each variable: 500 streams, of which each has a dimension
of its own, took 50 s. The layout of a netCDF is read here with h5py, each dimension once; what its values mean (truth
values, texts, coordinates) is still xarray's matter.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

# What netCDF keeps for itself among the attributes of an HDF5 file.
_HIDDEN = frozenset(
    {"REFERENCE_LIST", "CLASS", "DIMENSION_LIST", "NAME", "_Netcdf4Dimid", "_Netcdf4Coordinates", "_nc3_strict"}
    | {"_NCProperties"}
)
_NO_VARIABLE = b"This is a netCDF dimension but not a netCDF variable."
_NOT_ITS_DIMENSION = "_nc4_non_coord_"  # before the name of a variable that has the name of a dimension by chance


def read_netcdf(path: Path) -> xr.Dataset:
    """All of a netCDF, in memory.

    Raises:
        OSError, KeyError, ValueError, RuntimeError: it is damaged, or is none.
    """
    import h5py

    with h5py.File(path, "r") as file:
        parts = {name: part for name, part in file.items() if isinstance(part, h5py.Dataset)}
        names = _DimensionNames(parts)
        variables = {
            name.removeprefix(_NOT_ITS_DIMENSION): _variable(part, names.of(name, part))
            for name, part in parts.items()
            if not _is_bare_dimension(part)
        }
        attributes = _attributes(file)
    return with_indexes(xr.decode_cf(_bare(variables, attributes)).load())


def with_indexes(dataset: xr.Dataset) -> xr.Dataset:
    """A dataset whose coordinates can be selected by.

    Each index is made once; xarray's own readers compare each of them with all others.

    Args:
        dataset: as it was read, without indexes.
    """
    variables = dataset.variables
    coords = {name: variables[name] for name in variables if name in dataset.coords}
    return xr.Dataset({name: v for name, v in variables.items() if name not in coords}, coords, dataset.attrs)


def _bare(variables: Mapping[str, xr.Variable], attributes: Mapping[str, Any]) -> xr.Dataset:
    """A dataset without a single index."""
    coords = xr.Coordinates({name: v for name, v in variables.items() if v.dims == (name,)}, indexes={})
    return xr.Dataset({n: v for n, v in variables.items() if n not in coords}, coords, attributes)


class _DimensionNames:
    """The names of a file's dimensions, by each of the ways in which a variable may point to them."""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        scales = {name: part for name, part in parts.items() if part.attrs.get("CLASS") == b"DIMENSION_SCALE"}
        self._file = next((part.file for part in parts.values()), None)
        self._by_address = {_address(part): name for name, part in scales.items()}
        self._by_id = {int(s.attrs["_Netcdf4Dimid"]): name for name, s in scales.items() if "_Netcdf4Dimid" in s.attrs}
        self._scales = scales

    def of(self, name: str, part: Any) -> tuple[str, ...]:
        """Of a variable, in the order of its axes."""
        if name in self._scales:
            ids = part.attrs.get("_Netcdf4Coordinates", ()) if part.ndim > 1 else ()
            return tuple(self._by_id[int(i)] for i in ids) if part.ndim > 1 else (name,)
        references = part.attrs.get("DIMENSION_LIST", ())
        return tuple(self._by_address[_address(self._file[scale[-1]])] for scale in references)  # type: ignore[index]


def _address(part: Any) -> tuple[int, int]:
    """Where an object begins in its file, which is known of a reference at once; its name has to be searched for."""
    import h5py

    info = h5py.h5o.get_info(part.id)
    return int(info.fileno), int(info.addr)


def _is_bare_dimension(part: Any) -> bool:
    return bytes(part.attrs.get("NAME", b"")).startswith(_NO_VARIABLE) and "CLASS" in part.attrs


def _variable(part: Any, dims: tuple[str, ...]) -> xr.Variable:
    import h5py

    text = h5py.check_string_dtype(part.dtype)
    if text is not None and text.length is None:
        values = np.asarray(part.asstr()[()], dtype=object)
        return xr.Variable(dims, values, _attributes(part), encoding={"dtype": str})
    return xr.Variable(dims, np.asarray(part[()]), _attributes(part))


def _attributes(part: Any) -> dict[str, Any]:
    return dict(_shown_attributes(part))


def _shown_attributes(part: Any) -> Iterator[tuple[str, Any]]:
    """Attributes that are not netCDF's own: numbers and texts as themselves, several of them as arrays and lists."""
    import h5py

    for name, value in part.attrs.items():
        if name in _HIDDEN:
            continue
        if isinstance(value, h5py.Empty):
            yield name, ""
        elif isinstance(value, np.ndarray) and value.dtype.kind in "OS":
            texts = [text.decode() if isinstance(text, bytes) else text for text in value.ravel()]
            yield name, texts[0] if len(texts) == 1 else texts
        elif isinstance(value, np.ndarray) and value.shape == (1,):
            yield name, value[0]
        else:
            yield name, value.decode() if isinstance(value, bytes) else value
