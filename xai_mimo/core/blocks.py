"""Blocks of rows of a run that lies on disk: which are done, and whether they still are what was written.

A run keeps an account of itself in the attribute ``run`` of its dataset, as JSON.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.digest import digest_of_variables

RUN = "run"
_DIGITS = 16  # of a block's digest: an account is written after each block, and must stay short


@dataclass(frozen=True)
class RunAccount:
    """What a run on disk says of itself.

    Attributes:
        identity: what its numbers depend on; another run may not go on with it.
        rows, rows_per_block: of the whole run; 0 in accounts of the first version.
        done: for each block, whether it is on disk.
        digests: of the blocks done, "" of the others; all "" in accounts of the first version.
        fixed: digest of what does not belong to a block: names of heads and features; "" in those of the first version.
        seconds: time spent on the blocks done.
    """

    identity: Mapping[str, Any]
    rows: int
    rows_per_block: int
    done: tuple[bool, ...]
    digests: tuple[str, ...]
    fixed: str = ""
    seconds: float = 0.0

    @staticmethod
    def begin(identity: Mapping[str, Any], *, rows: int, rows_per_block: int) -> "RunAccount":
        """The account of a run without a block."""
        blocks = -(-rows // rows_per_block)
        return RunAccount(identity, rows, rows_per_block, (False,) * blocks, ("",) * blocks)

    @staticmethod
    def read(text: str, *, rows: int | None = None, rows_per_block: int | None = None) -> "RunAccount":
        """The account that ``text`` wrote.

        Args:
            text: JSON. rows, rows_per_block: of the run, where the account is of the first version and says nothing.
        Raises:
            ValueError, KeyError, TypeError: it is none.
        """
        values = json.loads(text)
        rows, rows_per_block = (
            int(values.get("rows", rows or 0)),
            int(values.get("rows_per_block", rows_per_block or 1)),
        )
        blocks = -(-rows // rows_per_block)
        digests = values.get("digests", [""] * blocks)
        if len(digests) != blocks or not isinstance(values["identity"], dict):
            raise ValueError(f"an account of {blocks} blocks with {len(digests)} digests")
        return RunAccount(
            values["identity"],
            rows,
            rows_per_block,
            _from_ranges(values["done"], blocks),
            tuple(map(str, digests)),
            str(values.get("fixed", "")),
            float(values["seconds"]),
        )

    def text(self) -> str:
        """As JSON."""
        return json.dumps(
            {
                "identity": self.identity,
                "rows": self.rows,
                "rows_per_block": self.rows_per_block,
                "done": _as_ranges(self.done),
                "digests": self.digests,
                "fixed": self.fixed,
                "seconds": self.seconds,
            }
        )

    @property
    def is_finished(self) -> bool:
        """Whether every block is on disk."""
        return all(self.done)

    def rows_of(self, number: int) -> slice:
        """The rows of a block."""
        return slice(number * self.rows_per_block, min((number + 1) * self.rows_per_block, self.rows))

    def with_block(self, number: int, block: xr.Dataset, *, seconds: float) -> "RunAccount":
        """The account when one more block is on disk."""
        return replace(
            self,
            done=(*self.done[:number], True, *self.done[number + 1 :]),
            digests=(*self.digests[:number], digest_of_block(block), *self.digests[number + 1 :]),
            fixed=digest_of_fixed(block),
            seconds=self.seconds + seconds,
        )

    def without(self, numbers: Sequence[int]) -> "RunAccount":
        """The account when these blocks have to be made anew."""
        return replace(self, done=tuple(is_done and n not in numbers for n, is_done in enumerate(self.done)))


def digest_of_block(block: xr.Dataset) -> str:
    """Of everything that a block has for each row."""
    return digest_of_variables({n: v for n, v in block.variables.items() if "sample" in v.dims})[:_DIGITS]


def digest_of_fixed(dataset: xr.Dataset) -> str:
    """Of everything that all blocks have in common, and of what the streams and heads are."""
    texts = {name: str(dataset.attrs.get(name)) for name in ("streams", "heads", "method", "settings")}
    return digest_of_variables({n: v for n, v in dataset.variables.items() if "sample" not in v.dims}, texts)[:_DIGITS]


def damaged_blocks(dataset: xr.Dataset) -> list[slice]:
    """Rows of the blocks of a run that are not what was written; none where the dataset is no run on disk."""
    if RUN not in dataset.attrs:
        return []
    account = RunAccount.read(
        dataset.attrs[RUN], rows=dataset.sizes["sample"], rows_per_block=int(dataset.attrs.get("rows_per_block", 1))
    )
    if account.fixed and account.fixed != digest_of_fixed(dataset):
        raise ValueError("names of heads or features")
    return [
        account.rows_of(number)
        for number, is_done in enumerate(account.done)
        if is_done and not is_as_written(dataset, account, number)
    ]


def read_block(dataset: xr.Dataset, account: RunAccount, number: int) -> xr.Dataset | None:
    """A block as it was written; None where it is damaged.

    A digest tells; in runs of the first version, which have none, NaN does, the sign of a chunk that is missing.
    """
    try:
        block = dataset.isel(sample=account.rows_of(number)).load()
        if account.digests[number]:
            return block if digest_of_block(block) == account.digests[number] else None
    except Exception:  # a codec raises anything of a chunk that is damaged: it is damaged, which is what is asked
        return None
    numbers = (v.values for v in block.data_vars.values() if v.dtype.kind == "f")
    return block if all(np.isfinite(values).all() for values in numbers) else None


def is_as_written(dataset: xr.Dataset, account: RunAccount, number: int) -> bool:
    """Whether a block on disk is what was written."""
    return read_block(dataset, account, number) is not None


def words_of_blocks(blocks: Sequence[slice]) -> str:
    """Blocks by their rows, in words."""
    shown = ", ".join(f"{rows.start} to {rows.stop - 1}" for rows in blocks[:5])
    return f"rows {shown}{f' and of {len(blocks) - 5} more blocks' if len(blocks) > 5 else ''}"


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
