"""What ``explain`` warns of after a run: streams that a head never answers to, rows that did not converge."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.errors import NotConvergedWarning, UnusedStreamWarning
from xai_mimo.core.explanation import stream_names
from xai_mimo.core.precision import is_half

_Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class RunWarnings:
    """What was noticed in some blocks of a run; ``merge`` joins two accounts, in any order and grouping.

    Attributes:
        rows: rows seen.
        unused: pairs (target, stream) whose attributions were exactly zero in every row; None before the first block.
        missed: target -> rows that did not converge.
        rounded: rows among them, over all targets, that the rounding of the model's outputs kept from it.
        precision: that the model computes in, "" where it is not known.
    """

    rows: int = 0
    unused: _Pairs | None = None
    missed: Mapping[str, int] | None = None
    rounded: int = 0
    precision: str = ""

    @staticmethod
    def of(block: xr.Dataset) -> "RunWarnings":
        """The account of one block."""
        heads = [str(h) for h in block["head"].values]
        missed: dict[str, int] = {}
        if "converged" in block:
            counts = (~block["converged"].values.astype(bool)).sum(axis=1)
            missed = {head: int(count) for head, count in zip(heads, counts, strict=True)}
        return RunWarnings(
            block.sizes["sample"],
            _unused(block, heads) if block.attrs["signed"] else frozenset(),
            missed,
            int(block["rounding_limited"].sum()) if "rounding_limited" in block else 0,
            str(block.attrs.get("precision", "")),
        )

    def merge(self, other: "RunWarnings") -> "RunWarnings":
        """The account of the blocks of both: a stream is unused where it is unused in all of them."""
        mine, theirs = self.missed or {}, other.missed or {}
        return RunWarnings(
            self.rows + other.rows,
            _in_both(self.unused, other.unused),
            {head: mine.get(head, 0) + theirs.get(head, 0) for head in (*mine, *theirs)},
            self.rounded + other.rounded,
            self.precision or other.precision,
        )

    def warnings(self, method: str) -> list[UserWarning]:
        """What the user should be told."""
        texts: list[UserWarning] = []
        unused = sorted(self.unused or ())
        for head in dict.fromkeys(h for h, _ in unused):
            streams = ", ".join(f"'{s}'" for h, s in unused if h == head)
            texts.append(
                UnusedStreamWarning(
                    f"{method} gives head '{head}' exact zeros on input stream {streams} for all {self.rows} rows: the "
                    "head does not read it, or it does not react to it near these rows."
                )
            )
        missed = {head: count for head, count in (self.missed or {}).items() if count}
        if missed:
            counts = ", ".join(f"{head}: {count} of {self.rows}" for head, count in missed.items())
            texts.append(
                NotConvergedWarning(
                    f"{method} did not reach its tolerance for some rows ({counts}); they are marked in the variable "
                    f"'converged'. {self._remedy(sum(missed.values()))}"
                )
            )
        return texts

    def _remedy(self, missed: int) -> str:
        is_by_half = is_half(self.precision)
        half = f", which computes in half precision ({self.precision})" if is_by_half else ""
        higher = "the float32 policy" if is_by_half else "a model of higher precision"
        rounding = (
            f"could not: their gap is of the size of the rounding of the model's own outputs{half}, so only {higher} "
            "or a larger tolerance helps."
        )
        if self.rounded == missed:
            return f"They {rounding}"
        if self.rounded:
            return f"Allow more evaluations or a larger tolerance; {self.rounded} of them {rounding}"
        return "Allow more evaluations or a larger tolerance; a model that computes in half precision may need float32."

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a store that is written over several sessions; ``silent`` is its word for unused."""
        unused = None if self.unused is None else sorted(self.unused)
        return {
            "rows": self.rows,
            "silent": unused,
            "missed": dict(self.missed or {}),
            "rounded": self.rounded,
            "precision": self.precision,
        }

    @staticmethod
    def from_json(values: Mapping[str, Any] | None) -> "RunWarnings":
        """The account that ``to_json`` wrote; an empty one from None."""
        if values is None:
            return RunWarnings()
        unused = values["silent"]
        return RunWarnings(
            values["rows"],
            None if unused is None else frozenset((h, t) for h, t in unused),
            values["missed"],
            values["rounded"],
            values.get("precision", ""),
        )


def lone_row_warning(method: str, rows: int = 1, *, was_drawn: bool = True) -> UnusedStreamWarning:
    """Said in the place of all others where the one row that there is was compared with itself.

    Args:
        rows: how often it is there. was_drawn: whether the background was drawn from the rows.
    """
    what = "the one row of x with itself" if rows == 1 else f"the {rows} rows of x, all alike, with one of them"
    why = "since background=None draws from x" if was_drawn else "since the background is that row again"
    return UnusedStreamWarning(
        f"{method} compared {what}, {why}: its zeros say nothing of the model. Give rows to compare it with: "
        "explain(model, x, background=rows)."
    )


def _in_both(mine: _Pairs | None, theirs: _Pairs | None) -> _Pairs | None:
    if mine is None or theirs is None:
        return theirs if mine is None else mine
    return mine & theirs


def _unused(block: xr.Dataset, heads: list[str]) -> _Pairs:
    """Pairs (target, stream) with nothing but zeros, but of streams that the method says nothing of."""
    pairs = set()
    unexplained = json.loads(block.attrs.get("unexplained", "[]"))
    for stream in (name for name in stream_names(block) if name not in unexplained):
        values = block.variables[stream].values
        used = np.any(values.reshape(len(heads), -1) != 0, axis=1)
        pairs |= {(head, stream) for head, is_used in zip(heads, used, strict=True) if not is_used}
    return frozenset(pairs)
