"""A run of ``explain`` on disk: blocks written as they are finished, in any order, and gone on with after a stop.

A store comes into being whole, empty of rows, and is written by one process at a time. Blocks that are not what was
written are made anew.
"""

import contextlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from filelock import FileLock, Timeout

from xai_mimo.core.blocks import RUN, RunAccount, digest_of_fixed, read_block
from xai_mimo.core.errors import BadSetting, FileProblem
from xai_mimo.core.explanation import SCHEMA
from xai_mimo.core.paths import check_folder_of, part_prefix, reason, written_whole
from xai_mimo.core.saved import ZARR_FORMAT, open_dataset, require_zarr, to_disk
from xai_mimo.explainers.run_warnings import RunWarnings

# A run that is not finished must not pass for an explanation: its schema says so, and ``validate`` refuses it.
_UNFINISHED = f"{SCHEMA} (unfinished)"


@dataclass(frozen=True)
class BlockStore:
    """A Zarr folder with the blocks done so far.

    Attributes:
        path: the folder.
        account: what is done.
        backend: that computes now, "" where the model names none.
        backends: that computed the blocks done, in order.
        damaged: rows of blocks that were on disk and are not what was written; they count as not done.
        noticed: in the blocks done.
        is_there: whether the folder is.
    """

    path: Path
    account: RunAccount
    backend: str = ""
    backends: tuple[str, ...] = ()
    damaged: tuple[slice, ...] = ()
    noticed: RunWarnings = field(default_factory=RunWarnings)
    is_there: bool = False

    @staticmethod
    def open(
        path: Path, identity: Mapping[str, Any], *, rows: int, rows_per_block: int, backend: str = ""
    ) -> "BlockStore":
        """A new store, or the one at this path with what it holds already, every block compared with its checksum.

        Nothing is written.

        Raises:
            FileProblem: something else is there, or another run, or what all its blocks share is damaged.
        """
        if not path.exists():
            account = RunAccount.begin(identity, rows=rows, rows_per_block=rows_per_block)
            return BlockStore(path, account, backend)
        dataset = _opened(path)
        account = _account(path, dataset, rows=rows, rows_per_block=rows_per_block)
        for what, held, asked in _differences(account.identity, identity):
            raise FileProblem(
                f"{path} holds another run: its {what} is {held!r}, this one's is {asked!r}. Give another store=, or "
                "delete that folder."
            )
        if account.fixed and account.fixed != digest_of_fixed(dataset):
            raise FileProblem(
                f"{path} is damaged: its names of heads or features are not those that were written. Delete it, and "
                "run again."
            )
        noticed, damaged = RunWarnings(), []
        for number in (n for n, is_done in enumerate(account.done) if is_done):
            block = read_block(dataset, account, number)
            if block is None:
                damaged.append(number)
            else:
                noticed = noticed.merge(RunWarnings.of(block))
        return BlockStore(
            path,
            account.without(damaged),
            backend,
            tuple(b for b in str(dataset.attrs.get("backend", "")).split(", ") if b),
            tuple(map(account.rows_of, damaged)),
            noticed,
            is_there=True,
        )

    @property
    def pending(self) -> list[int]:
        """Blocks that are to be done."""
        return [number for number, is_done in enumerate(self.account.done) if not is_done]

    def read(self, rows: Sequence[int]) -> xr.Dataset:
        """Some of the rows that are done, in memory."""
        return open_dataset(self.path).isel(sample=list(rows)).load()

    def write(self, number: int, block: xr.Dataset, *, seconds: float) -> "BlockStore":
        """Put a block on disk, then note that it is there."""
        after = replace(
            self,
            account=self.account.with_block(number, block, seconds=seconds),
            backends=tuple(dict.fromkeys([*self.backends, *([self.backend] if self.backend else [])])),
            noticed=self.noticed.merge(RunWarnings.of(block)),
            is_there=True,
        )
        named = to_disk(block)
        try:
            if not self.is_there:
                self._create(named)
            rows = self.account.rows_of(number)
            fixed = [str(n) for n, v in named.variables.items() if "sample" not in v.dims]
            named.drop_vars(fixed).to_zarr(self.path, region={"sample": rows}, consolidated=False)
            backend = {"backend": ", ".join(after.backends)} if after.backends else {}
            _group(self.path).attrs.update({RUN: after.account.text(), **backend})
        except (OSError, ValueError, KeyError) as err:
            words = str(err) if isinstance(err, FileProblem) else reason(err)
            raise FileProblem(f"cannot write block {number} of the run to {self.path}: {words}") from err
        return after

    def finish(self) -> xr.Dataset:
        """Mark the run as finished, where it is not marked yet, and open it lazily."""
        dataset = _opened(self.path)
        if dataset.attrs.get("schema") != SCHEMA:
            _group(self.path).attrs.update({"schema": SCHEMA, "seconds": self.account.seconds})
            dataset = _opened(self.path)
        return dataset

    def _create(self, named: xr.Dataset) -> None:
        """Make the arrays without a row, then give each its final number of rows; chunks are blocks.

        All of it beside its place, and then moved there: a run that is stopped on the way has not begun.
        """
        rows = self.account.rows
        length = min(self.account.rows_per_block, rows)
        chunks = {
            str(name): {"chunks": tuple(length if d == "sample" else n for d, n in variable.sizes.items())}
            for name, variable in named.variables.items()
            if variable.ndim and all(n for d, n in variable.sizes.items() if d != "sample")
        }
        empty = named.isel(sample=slice(0, 0)).assign_attrs({"schema": _UNFINISHED, RUN: self.account.text()})
        with written_whole(self.path) as beside:
            empty.to_zarr(beside, mode="w", zarr_format=ZARR_FORMAT, consolidated=False, encoding=chunks)
            group = _group(beside)
            for _, array in group.arrays():
                dims = array.attrs["_ARRAY_DIMENSIONS"]
                if "sample" in dims:
                    array.resize(tuple(rows if d == "sample" else n for d, n in zip(dims, array.shape, strict=True)))
            group["sample"][:] = np.arange(rows)  # xarray does not write an index by region


def check_place(path: Path) -> Path:
    """The place of a store; one where none can be is refused, before anything is computed.

    Raises:
        BadSetting: the name does not end in ".zarr". MissingDependency: no zarr. FileProblem: no such folder.
    """
    if path.suffix != ".zarr":
        raise BadSetting(f"store={str(path)!r} must end in '.zarr', e.g. 'run.zarr'.")
    require_zarr("store=...")
    check_folder_of(path)
    return path


def is_finished(path: Path) -> bool:
    """Whether a finished run lies here, which is read and never written."""
    return path.exists() and _opened(path).attrs.get("schema") == SCHEMA


@contextlib.contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """No other process writes to this store meanwhile; what an earlier one left in the middle of its start is removed.

    Raises:
        FileProblem: another process does write to it.
    """
    lock = FileLock(path.with_name(f".{path.name}.lock"), blocking=False)
    try:
        lock.acquire()
    except Timeout as err:
        raise FileProblem(
            f"another process is writing to {path}. Wait until it is done, and this call returns its result; or give "
            "another store=."
        ) from err
    except OSError as err:
        raise FileProblem(
            f"cannot write to {path}: {reason(err)}. Choose a folder that can be written, or another store=."
        ) from err
    try:
        for left in path.parent.iterdir():
            if left.name.startswith(part_prefix(path)) and left.suffix == ".part":
                shutil.rmtree(left, ignore_errors=True)
        yield
    finally:
        lock.release()


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


def _group(path: Path) -> Any:
    zarr = require_zarr("store=...")
    return zarr.open_group(path, mode="r+", zarr_format=ZARR_FORMAT, use_consolidated=False)


def _opened(path: Path) -> xr.Dataset:
    try:
        return open_dataset(path)
    except FileProblem as err:
        raise FileProblem(
            f"{path} exists and is not a run of explain(store=...), or is damaged. Give another store=, or delete it."
        ) from err


def _account(path: Path, dataset: xr.Dataset, *, rows: int, rows_per_block: int) -> RunAccount:
    try:
        return RunAccount.read(dataset.attrs[RUN], rows=rows, rows_per_block=rows_per_block)
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise FileProblem(
            f"{path} exists and is not a run of explain(store=...). Give another store=, or delete it."
        ) from err
