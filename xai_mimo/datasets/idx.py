"""IDX files, the format of MNIST and its successors: arrays of bytes, and labelled images as ``Data``."""

import gzip
import hashlib
import lzma
import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xai_mimo.core.errors import BadValues, FileProblem, ShapeMismatch
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.datasets.data import Data

_BYTES = 0x08  # the type code of unsigned bytes
_GZIP, _XZ = b"\x1f\x8b", b"\xfd7zXZ\x00"


def read_idx(path: str | os.PathLike[str], *, sha256: str | None = None) -> Array:
    """The array of an IDX file of unsigned bytes, plain or compressed by gzip or xz (told by content, not by name).

    Layout: two zero bytes, the type code 0x08, the number of axes, the length of each axis as a big-endian 32-bit
    integer, then the values, the last axis running fastest. The first four bytes, read as one integer, are 2049 for
    labels and 2051 for images.

    Args:
        path: of the file.
        sha256: of the uncompressed content, in hexadecimal; None to take any.
    Returns:
        uint8, read-only, of the shape that the file declares.
    Raises:
        FileProblem: the file cannot be read or unpacked, is no IDX file of bytes, holds more or fewer values than it
            declares, or has another checksum.
    Source: Y. LeCun, C. Cortes and C. J. C. Burges, "The MNIST database of handwritten digits", section on the file
        format.
    """
    content = _unpacked(Path(path))
    if len(content) < 4 or content[:2] != b"\x00\x00" or content[3] == 0:
        raise FileProblem(
            f"'{path}' is no IDX file: it starts with {content[:4].hex(' ') or 'nothing'}, expected 00 00 08 and the "
            "number of axes (magic number 2049 for labels, 2051 for images)."
        )
    if content[2] != _BYTES:
        raise FileProblem(
            f"'{path}' holds values of type code 0x{content[2]:02x}; only unsigned bytes (0x08) are read."
        )
    start = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4 : min(start, len(content) // 4 * 4)], dtype=">u4"))
    length = start + int(np.prod(shape, dtype=object))
    if len(shape) != content[3] or len(content) != length:
        is_short = len(shape) != content[3] or len(content) < length
        raise FileProblem(
            f"'{path}' {'is truncated' if is_short else 'is too long'}: it declares {content[3]} axes of lengths "
            f"{shape}, {length} bytes with the header, and has {len(content)}. Fetch it again."
        )
    digest = hashlib.sha256(content).hexdigest()
    if sha256 not in (None, digest):
        raise FileProblem(
            f"'{path}', unpacked, has sha256 {digest}, not {sha256}: it is not the published file. Delete it and fetch "
            "it again, or read your own files with xai_mimo.datasets.idx_images."
        )
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)


def idx_images(
    images: str | os.PathLike[str],
    labels: str | os.PathLike[str],
    *,
    name: str,
    head: str,
    units: Sequence[str],
    source: str = "",
    sha256: tuple[str | None, str | None] = (None, None),
) -> Data:
    """Grey images and their classes from two IDX files.

    Args:
        images: a file of shape ``(sample, height, width)``. labels: a file of shape ``(sample,)``.
        name: of the data set. source: for a citation.
        head: what the classes tell. units: their names, in the order of the labels.
        sha256: checksums of the two uncompressed files, None to take any.
    Returns:
        Stream ``image``, ``(sample, height, width, 1)`` in float32 from 0 (byte 0) to 1 (byte 255), and one multiclass
        head; nothing is recorded as the truth of its explanation.
    Raises:
        FileProblem: see ``read_idx``. ShapeMismatch: a file has another number of axes, or the two do not have the same
            number of rows. BadValues: a label has no unit. EmptyData: there are no images.
    """
    pixels, classes = read_idx(images, sha256=sha256[0]), read_idx(labels, sha256=sha256[1])
    _check_axes(images, pixels, ("sample", "height", "width"))
    _check_axes(labels, classes, ("sample",))
    if len(pixels) != len(classes):
        raise ShapeMismatch(
            f"'{images}' has {len(pixels)} rows and '{labels}' has {len(classes)}; they must be a pair."
        )
    if classes.size and classes.max() >= len(units):
        raise BadValues(
            f"'{labels}' holds the label {classes.max()}, but head '{head}' has {len(units)} units, 0 to "
            f"{len(units) - 1}. Name a unit for every label."
        )
    scaled = np.divide(pixels[..., None], 255.0, dtype=np.float32)
    return Data(
        name=name,
        inputs={"image": scaled},
        labels={head: classes.astype(np.int64)},
        streams=(Stream("image", scaled.shape[1:], "float32", features=("intensity",)),),
        heads=(Head(head, (len(units),), "multiclass", tuple(units)),),
        truth={},
        units={"image": ("",)},
        ties=np.zeros(len(classes), dtype=bool),
        source=source,
    )


def _check_axes(path: str | os.PathLike[str], array: Array, axes: Sequence[str]) -> None:
    if array.ndim != len(axes):
        raise ShapeMismatch(
            f"'{path}' has shape {array.shape}; expected the axes {', '.join(axes)}. Were images and labels exchanged?"
        )


def _unpacked(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if content.startswith(_GZIP):
            return gzip.decompress(content)
        return lzma.decompress(content) if content.startswith(_XZ) else content
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as err:
        raise FileProblem(f"'{path}' cannot be unpacked ({err}); it is cut short or damaged. Fetch it again.") from err
    except OSError as err:
        raise FileProblem(f"cannot read '{path}': {err.strerror or err}.") from err
