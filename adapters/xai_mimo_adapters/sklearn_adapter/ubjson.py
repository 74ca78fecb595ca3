"""Whether a file is whole UBJSON: XGBoost's own reader ends the process on one that was cut short."""

_SIZES = {b"i": 1, b"U": 1, b"I": 2, b"l": 4, b"L": 8, b"d": 4, b"D": 8, b"C": 1, b"Z": 0, b"N": 0, b"T": 0, b"F": 0}
_WHOLE = (b"i", b"U", b"I", b"l", b"L")
_DEEPEST = 200


def is_whole(data: bytes) -> bool:
    """Whether bytes are one value in UBJSON, from the first to the last."""
    try:
        return _behind(data, 1, data[:1], 0) == len(data)
    except ValueError:
        return False


def _behind(data: bytes, at: int, kind: bytes, depth: int) -> int:
    """The place behind a value of a kind that begins at a place.

    Raises:
        ValueError: the bytes end before it, or are none.
    """
    if kind in _SIZES:
        return at + _SIZES[kind]
    if kind in (b"S", b"H"):
        length, at = _count(data, at)
        return at + length
    if kind not in (b"[", b"{") or depth > _DEEPEST:
        raise ValueError(kind)
    is_object, each = kind == b"{", b""
    if data[at : at + 1] == b"$":
        each, at = data[at + 1 : at + 2], at + 2
    count = -1
    if data[at : at + 1] == b"#":
        count, at = _count(data, at + 1)
        if each in _SIZES and not is_object:
            return at + count * _SIZES[each]
    closing = b"}" if is_object else b"]"
    while count != 0:
        if count < 0 and data[at : at + 1] == closing:
            return at + 1
        if is_object:
            length, at = _count(data, at)
            at += length
        marker, at = (each, at) if each else (data[at : at + 1], at + 1)
        at = _behind(data, at, marker, depth + 1)
        if at > len(data):
            raise ValueError("cut short")
        count -= 1
    return at


def _count(data: bytes, at: int) -> tuple[int, int]:
    kind = data[at : at + 1]
    if kind not in _WHOLE:
        raise ValueError(kind)
    behind = at + 1 + _SIZES[kind]
    found = int.from_bytes(data[at + 1 : behind], "big", signed=kind != b"U")
    if found < 0 or behind > len(data):
        raise ValueError(found)
    return found, behind
