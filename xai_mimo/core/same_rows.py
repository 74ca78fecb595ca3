"""Whether rows are those that an explanation was made from, which holds their digest and not the rows."""

from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.digest import digest
from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadValues
from xai_mimo.core.model import Arrays
from xai_mimo.core.streams import Array

_DIGITS = 12


def explained_rows(explanation: xr.Dataset, rows: Arrays, what: str = "the rows") -> Array:
    """The places of the explained rows among those that were given.

    Args:
        explanation: of one method; its samples are numbers of rows of the data with the digest ``data_sha256``.
        rows: ``{stream: (row, *shape)}``, checked, all that ``explain`` was given.
        what: they are, for error texts.
    Returns:
        ``(sample,)`` places.
    Raises:
        BadValues: other rows, or in another order; or the explanation does not say which rows it was made from.
    """
    held: Any = explanation.attrs.get("data_sha256")
    if not isinstance(held, str):
        raise BadValues(
            "the explanation does not say which rows it was made from (it has no attribute 'data_sha256'); explain "
            "again, or make it with from_shap or from_captum, which note it."
        )
    given = digest(rows)
    if given != held:
        raise BadValues(
            f"{what} are not those that were explained: their digest is {given[:_DIGITS]}..., that of the explanation "
            f"{held[:_DIGITS]}.... Expected are all rows that it was made from, with the same values and in the same "
            f"order; got {count_rows(rows)}."
        )
    numbers: Array = np.asarray(explanation["sample"].values)
    if numbers.dtype.kind not in "iu" or numbers.min(initial=0) < 0 or numbers.max(initial=0) >= count_rows(rows):
        raise BadValues(
            f"the explanation's samples ({', '.join(map(str, numbers[:5]))}, ...) are no numbers of the "
            f"{count_rows(rows)} rows; leave the coordinate 'sample' as explain made it."
        )
    return numbers
