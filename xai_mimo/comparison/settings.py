"""How a comparison scores: the settings that a user may change and that the record keeps."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import flag, is_number

DEFAULT_KS = (1, 3, 5)
_MOST_DRAWS = 20_000_000


@dataclass(frozen=True)
class Settings:
    """How a comparison scores.

    Attributes:
        ks: sizes of the top for agreement at k; those not below the number of features are left out.
        steps: points of a deletion or insertion curve.
        controls: random orders that every curve is held against.
        replacement: what replaced features become: the background's "mean"; "background" rows, averaged over; or the
            "nearest" background rows to the explained one in what is not replaced, averaged over, for features that
            depend on each other.
        replacement_rows: how many background rows "background" and "nearest" take.
        ceilings: run every method a second time, with another seed and background, to know its own noise.
        deleted: share of the positions (pixels, steps, tokens) that deletion accuracy takes away.
        tolerance: distance to a region, in positions, that the pointing game still counts as a hit.
        resamples: of the bootstrap, for numbers that are no means over rows; fewer, and recorded so, where rows times
            resamples would pass 20 million.
    """

    ks: tuple[int, ...] = DEFAULT_KS
    steps: int = 10
    controls: int = 3
    replacement: Literal["mean", "background", "nearest"] = "mean"
    replacement_rows: int = 5
    ceilings: bool = True
    deleted: float = 0.1
    tolerance: float = 0.0
    resamples: int = 2000

    def __post_init__(self) -> None:
        flag(self.ceilings, "ceilings")
        if not isinstance(self.replacement, str) or self.replacement not in ("mean", "background", "nearest"):
            raise BadSetting(f"replacement {self.replacement!r} is not one of 'mean', 'background' and 'nearest'.")
        for name in ("steps", "controls", "replacement_rows", "resamples"):
            if not is_whole(getattr(self, name)) or getattr(self, name) < 1:
                raise BadSetting(f"{name} must be a whole number of at least 1; got {getattr(self, name)!r}.")
        if not isinstance(self.ks, tuple | list) or any(not is_whole(k) or k < 1 for k in self.ks):
            raise BadSetting(
                f"ks are sizes of a top, whole numbers of at least 1 each, e.g. ks=(1, 3); got {self.ks!r}."
            )
        if not is_number(self.deleted) or not 0 < self.deleted < 1:
            raise BadSetting(f"deleted must be a share above 0 and below 1; got {self.deleted}.")
        if not is_number(self.tolerance) or self.tolerance < 0:
            raise BadSetting(f"tolerance must be a distance of at least 0; got {self.tolerance}.")

    def for_rows(self, rows: int) -> "Settings":
        """These settings with as many resamples as memory has room for."""
        return dataclasses.replace(self, resamples=min(self.resamples, max(200, _MOST_DRAWS // rows)))

    def plain(self) -> dict[str, Any]:
        """As JSON holds it."""
        return {k: np.array(v).tolist() for k, v in dataclasses.asdict(self).items()}


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python or NumPy, and no truth value."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
