"""A run of ``explain`` on disk: blocks written as they are finished, in any order, and gone on with after a stop."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import xarray as xr

from xai_mimo.core.errors import BadSetting, FileProblem, MissingDependency
from xai_mimo.core.explanation import SCHEMA
from xai_mimo.core.saved import load

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
        done: for each block, whether it is on disk.
        run_warnings: of the blocks done, as plain values; None before the first.
        seconds: time spent on them.
    """

    path: Path
    identity: Mapping[str, Any]
    rows: int
    rows_per_block: int
    done: tuple[bool, ...]
    run_warnings: Mapping[str, Any] | None = None
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
        blocks = -(-rows // rows_per_block)
        fresh = BlockStore(path, identity, rows, rows_per_block, (False,) * blocks)
        if not path.exists():
            return fresh
        record = _record(path)
        for what, held, asked in _differences(record["identity"], identity):
            raise FileProblem(
                f"{path} holds another run: its {what} is {held!r}, this one's is {asked!r}. Give another store=, or "
                "delete that folder."
            )
        done = _from_ranges(record["done"], blocks)
        return replace(fresh, done=done, run_warnings=record["findings"], seconds=record["seconds"])

    def write(self, number: int, block: xr.Dataset, *, run_warnings: Mapping[str, Any], seconds: float) -> "BlockStore":
        """Put a block on disk, then note that it is there."""
        done = (*self.done[:number], True, *self.done[number + 1 :])
        after = replace(self, done=done, run_warnings=run_warnings, seconds=self.seconds + seconds)
        named = block.rename({str(n): quote(str(n), safe=" ") for n in block.variables if "/" in str(n)})
        try:
            if not any(self.done):
                self._create(named)
            start = number * self.rows_per_block
            fixed = [str(n) for n, v in named.variables.items() if "sample" not in v.dims]
            region = {"sample": slice(start, start + named.sizes["sample"])}
            named.drop_vars(fixed).to_zarr(self.path, region=region, consolidated=False)
            _group(self.path).attrs.update(after._notes())
        except OSError as err:
            raise FileProblem(f"cannot write block {number} of the run to {self.path}: {err}") from err
        return after

    def finish(self) -> xr.Dataset:
        """Mark the run as finished and open it lazily."""
        _group(self.path).attrs.update({"schema": SCHEMA, "seconds": self.seconds})
        return load(self.path)

    def _create(self, block: xr.Dataset) -> None:
        """Make the arrays without a row, then give each its final number of rows; chunks are blocks."""
        length = min(self.rows_per_block, self.rows)
        chunks = {
            str(name): {"chunks": tuple(length if d == "sample" else n for d, n in variable.sizes.items())}
            for name, variable in block.variables.items()
            if variable.ndim and all(n for d, n in variable.sizes.items() if d != "sample")
        }
        empty = block.isel(sample=slice(0, 0)).assign_attrs(schema=_UNFINISHED, **self._notes())
        empty.to_zarr(self.path, mode="w", zarr_format=_FORMAT, consolidated=False, encoding=chunks)
        group = _group(self.path)
        for _, array in group.arrays():
            dims = array.attrs["_ARRAY_DIMENSIONS"]
            if "sample" in dims:
                array.resize(tuple(self.rows if d == "sample" else n for d, n in zip(dims, array.shape, strict=True)))
        group["sample"][:] = np.arange(self.rows)  # xarray does not write an index by region

    def _notes(self) -> dict[str, str]:
        record = {
            "identity": self.identity,
            "done": _as_ranges(self.done),
            "findings": self.run_warnings,
            "seconds": self.seconds,
        }
        return {"run": json.dumps(record)}


def _as_ranges(done: Sequence[bool]) -> list[list[int]]:
    """Runs of blocks that are done, ``[[first, one after the last], ...]``: few numbers, however many blocks."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], done, [False]]).astype(np.int8)))
    return edges.reshape(-1, 2).tolist()


def _from_ranges(ranges: int | Sequence[Sequence[int]], blocks: int) -> tuple[bool, ...]:
    """The opposite of ``_as_ranges``; stores of the first version hold the number of the first blocks that are done."""
    done = np.zeros(blocks, dtype=bool)
    for start, stop in [(0, ranges)] if isinstance(ranges, int) else ranges:
        done[start:stop] = True
    return tuple(done.tolist())


def _differences(held: Mapping[str, Any], asked: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """What two identities differ in: ``(what, held, asked)``.

    Packages that only one of the processes had loaded took no part in the numbers of both.
    """
    for what, value in asked.items():
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
