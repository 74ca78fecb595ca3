"""Arrays as the bytes of IDX files, the format that MNIST was published in."""

import struct

import numpy as np


def idx(array: np.ndarray) -> bytes:
    """An array of uint8 as an IDX file: two zero bytes, the type, the number of axes, their lengths, the values."""
    return b"\0\0\x08" + bytes([array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
