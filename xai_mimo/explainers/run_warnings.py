"""What is noticed over all blocks of a run: streams that a head never answers to, rows that did not converge."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.errors import NotConvergedWarning, UnusedStreamWarning
from xai_mimo.core.explanation import stream_names

_Pairs = frozenset[tuple[str, str]]


@dataclass(frozen=True)
class Findings:
    """A running account; ``add`` gives the account with one block more.

    Attributes:
        rows: rows seen.
        silent: pairs (target, stream) whose attributions were exactly zero so far; None before the first block.
        missed: target -> rows that did not converge.
        rounded: rows among them, over all targets, that the rounding of the model's outputs kept from it.
    """

    rows: int = 0
    silent: _Pairs | None = None
    missed: Mapping[str, int] | None = None
    rounded: int = 0

    def add(self, block: xr.Dataset) -> "Findings":
        """The account with the rows of this block."""
        heads = [str(h) for h in block["head"].values]
        silent = _silent(block, heads) if block.attrs["signed"] else frozenset()
        missed = dict(self.missed or {})
        if "converged" in block:
            for head, count in zip(heads, (~block["converged"].values.astype(bool)).sum(axis=1), strict=True):
                missed[head] = missed.get(head, 0) + int(count)
        rounded = int(block["rounding_limited"].sum()) if "rounding_limited" in block else 0
        return Findings(
            self.rows + block.sizes["sample"],
            silent if self.silent is None else self.silent & silent,
            missed,
            self.rounded + rounded,
        )

    def warnings(self, method: str) -> list[UserWarning]:
        """What the user should be told."""
        found: list[UserWarning] = []
        silent = sorted(self.silent or ())
        for head in dict.fromkeys(h for h, _ in silent):
            streams = ", ".join(f"'{s}'" for h, s in silent if h == head)
            found.append(
                UnusedStreamWarning(
                    f"{method} gives head '{head}' exact zeros on input stream {streams} for all {self.rows} rows: the "
                    "head does not read it, or it does not react to it near these rows."
                )
            )
        missed = {head: count for head, count in (self.missed or {}).items() if count}
        if missed:
            counts = ", ".join(f"{head}: {count} of {self.rows}" for head, count in missed.items())
            found.append(
                NotConvergedWarning(
                    f"{method} did not reach its tolerance for some rows ({counts}); they are marked in the variable "
                    f"'converged'. {self._remedy(sum(missed.values()))}"
                )
            )
        return found

    def _remedy(self, missed: int) -> str:
        precision = (
            "could not: their gap is of the size of the rounding of the model's own outputs, so only a model of higher "
            "precision or a larger tolerance helps."
        )
        if self.rounded == missed:
            return f"They {precision}"
        if self.rounded:
            return f"Allow more evaluations or a larger tolerance; {self.rounded} of them {precision}"
        return "Allow more evaluations or a larger tolerance; a model that computes in half precision may need float32."

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a store that is written over several sessions."""
        silent = None if self.silent is None else sorted(self.silent)
        return {"rows": self.rows, "silent": silent, "missed": dict(self.missed or {}), "rounded": self.rounded}

    @staticmethod
    def from_json(values: Mapping[str, Any] | None) -> "Findings":
        """The account that ``to_json`` wrote; an empty one from None."""
        if values is None:
            return Findings()
        silent = values["silent"]
        return Findings(
            values["rows"],
            None if silent is None else frozenset((h, t) for h, t in silent),
            values["missed"],
            values["rounded"],
        )


def _silent(block: xr.Dataset, heads: list[str]) -> _Pairs:
    pairs = set()
    unexplained = json.loads(block.attrs.get("unexplained", "[]"))
    for stream in (name for name in stream_names(block) if name not in unexplained):
        values = block[stream].values
        used = np.any(values.reshape(len(heads), -1) != 0, axis=1)
        pairs |= {(head, stream) for head, is_used in zip(heads, used, strict=True) if not is_used}
    return frozenset(pairs)
