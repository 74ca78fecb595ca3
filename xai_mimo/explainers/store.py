"""A run on disk: blocks written as they are finished, and gone on with after an interruption."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import xarray as xr

from xai_mimo.core.errors import BadSetting, FileProblem, MissingDependency
from xai_mimo.core.explanation import SCHEMA, load

# A run that is not finished must not pass for an explanation: its schema says so, and ``validate`` refuses it.
_UNFINISHED = f"{SCHEMA} (unfinished)"
_FORMAT = 2  # of Zarr; names of any length and script are stored alike by every version of the library


@dataclass(frozen=True)
class BlockStore:
    """A Zarr folder with the blocks done so far.

    Attributes:
        path: the folder.
        identity: what the numbers depend on; another run may not go on with this one.
        rows, rows_per_block: of the whole run.
        done: blocks that are on disk.
        findings: of the blocks done, as plain values; None before the first.
        seconds: time spent on them.
    """

    path: Path
    identity: Mapping[str, Any]
    rows: int
    rows_per_block: int
    done: int = 0
    findings: Mapping[str, Any] | None = None
    seconds: float = 0.0

    @staticmethod
    def open(path: Path, identity: Mapping[str, Any], *, rows: int, rows_per_block: int) -> "BlockStore":
        """A new store, or the one at this path with what it holds already.

        Raises:
            BadSetting: the name does not end in ".zarr". MissingDependency: no zarr.
            FileProblem: something else is there, or another run.
        """
        if path.suffix != ".zarr":
            raise BadSetting(f"store={str(path)!r} must end in '.zarr', e.g. 'run.zarr'.")
        _zarr()
        fresh = BlockStore(path, identity, rows, rows_per_block)
        if not path.exists():
            return fresh
        record = _record(path)
        for what, held, wanted in _differences(record["identity"], identity):
            raise FileProblem(
                f"{path} holds another run: its {what} is {held!r}, this one's is {wanted!r}. Give another store=, or "
                "delete that folder."
            )
        return replace(fresh, done=record["done"], findings=record["findings"], seconds=record["seconds"])

    def write(self, block: xr.Dataset, *, findings: Mapping[str, Any], seconds: float) -> "BlockStore":
        """Put the next block on disk, then note that it is there."""
        after = replace(self, done=self.done + 1, findings=findings, seconds=self.seconds + seconds)
        named = block.rename({str(n): quote(str(n), safe=" ") for n in block.variables if "/" in str(n)})
        try:
            if self.done == 0:
                self._create(named)
            else:
                start = self.done * self.rows_per_block
                fixed = [str(n) for n, v in named.variables.items() if "sample" not in v.dims]
                region = {"sample": slice(start, start + named.sizes["sample"])}
                named.drop_vars(fixed).to_zarr(self.path, region=region, consolidated=False)
            _group(self.path).attrs.update(after._notes())
        except OSError as err:
            raise FileProblem(f"cannot write block {self.done} of the run to {self.path}: {err}") from err
        return after

    def finish(self) -> xr.Dataset:
        """Mark the run as finished and open it lazily."""
        _group(self.path).attrs.update({"schema": SCHEMA, "seconds": self.seconds})
        return load(self.path)

    def _create(self, block: xr.Dataset) -> None:
        """Write the first block, then give every array its final number of rows; chunks are blocks."""
        block = block.assign_attrs(schema=_UNFINISHED, **self._notes())
        block.to_zarr(self.path, mode="w", zarr_format=_FORMAT, consolidated=False)
        group = _group(self.path)
        for _, array in group.arrays():
            dims = array.attrs["_ARRAY_DIMENSIONS"]
            if "sample" in dims:
                array.resize(tuple(self.rows if d == "sample" else n for d, n in zip(dims, array.shape, strict=True)))
        group["sample"][:] = np.arange(self.rows)  # xarray does not write an index by region

    def _notes(self) -> dict[str, str]:
        record = {"identity": self.identity, "done": self.done, "findings": self.findings, "seconds": self.seconds}
        return {"run": json.dumps(record)}


def _differences(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What two identities differ in: ``(what, held, wanted)``.

    Packages that only one of the processes had loaded took no part in the numbers of both.
    """
    for what, value in wanted.items():
        if what == "versions":
            both = held.get(what, {}).keys() & value.keys()
            yield from ((f"version of {p}", held[what][p], value[p]) for p in sorted(both) if held[what][p] != value[p])
        elif held.get(what) != value:
            yield what, held.get(what), value


def _zarr() -> Any:
    try:
        import zarr
    except ImportError as err:
        raise MissingDependency("store=... writes Zarr and needs zarr: pip install 'xai-mimo[zarr]'") from err
    return zarr


def _group(path: Path) -> Any:
    return _zarr().open_group(path, mode="r+", zarr_format=_FORMAT, use_consolidated=False)


def _record(path: Path) -> dict[str, Any]:
    try:
        record: dict[str, Any] = json.loads(_group(path).attrs["run"])
    except (OSError, ValueError, KeyError) as err:
        raise FileProblem(
            f"{path} exists and is not a run of explain(store=...). Give another store=, or delete it."
        ) from err
    return record
