"""How finely numbers are rounded, as far as the numbers themselves tell."""

import numpy as np

from xai_mimo.core.streams import Array

_BFLOAT16 = 2.0**-7


def relative_rounding(values: Array) -> float:
    """The relative rounding of the narrowest float that holds all these numbers exactly; 0 of whole numbers' dtypes.

    Numbers that leave a network of half precision as float32 are rounded to half precision all the same.
    """
    if values.dtype.kind != "f":
        return 0.0
    if values.dtype == np.float64:
        with np.errstate(over="ignore"):
            narrow = values.astype(np.float32)
        if (narrow != values).any():
            return float(np.finfo(np.float64).eps)
        values = narrow
    if values.dtype == np.float32:
        if not (np.ascontiguousarray(values).view(np.uint32) & 0xFFFF).any():
            return _BFLOAT16
        with np.errstate(over="ignore"):
            if (values.astype(np.float16) != values).any():
                return float(np.finfo(np.float32).eps)
    return float(np.finfo(np.float16).eps)
