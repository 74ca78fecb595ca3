"""What a file of a model holds, found out without running any of it: archives, and the names that a pickle asks for."""

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path

from xai_mimo.core.errors import FileProblem
from xai_mimo.core.paths import reason

# An archive that is larger unpacked, and by this much than it is packed, is taken for one made to fill the memory.
_LARGE = 2**28
_MOST = 200
_HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
_PROTOCOL = b"\x80"
_TEXTS = frozenset(
    {"UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
)
_KEEPS = frozenset({"MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"})


def start_of(path: Path, size: int = 16) -> bytes:
    """The first bytes of a file.

    Raises:
        FileProblem: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(size)
    except OSError as err:
        raise FileProblem(f"cannot read '{path}': {reason(err)}.") from err


def seems(path: Path) -> str:
    """What a file seems to be by its first bytes, in words for errors: "a pickle", "an archive", ...; "" if unknown."""
    start = start_of(path)
    if not start:
        return "empty"
    if start.startswith(ZIP):
        return "a zip archive"
    if start.startswith(_HDF5):
        return "an HDF5 file"
    if start[:1] == _PROTOCOL and len(start) > 1 and start[1] <= 5:
        return "a pickle"
    if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ")):
        return "a compressed file"
    return ""


def but_seems(path: Path) -> str:
    """The end of an error sentence: what the file seems to be in the place of what it is called; "" if unknown."""
    found = seems(path)
    return f": it is {found}" if found == "empty" else f": it seems to be {found}" if found else ""


def members(path: Path, what: str) -> dict[str, zipfile.ZipInfo]:
    """The files in a zip archive by name; nothing is unpacked.

    Args:
        path: of the archive. what: it should be, for errors: "a saved Keras model".
    Raises:
        FileProblem: it is no archive from its first byte (another reader may see another file there), it is damaged,
            two of its files have one name, or it would unpack to far more than it is large.
    """
    if not start_of(path).startswith(ZIP):
        raise FileProblem(f"'{path}' is not {what}{but_seems(path)}.")
    try:
        with zipfile.ZipFile(path) as archive:
            found = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as err:
        raise FileProblem(
            f"'{path}' is not {what}: the archive is damaged or was cut short ({type(err).__name__})."
        ) from err
    if min((info.header_offset for info in found), default=1) != 0:  # an archive inside the rest of another, say
        raise FileProblem(f"'{path}' is not {what}: the archive is damaged or was cut short.")
    by_name = {info.filename: info for info in found}
    if len(by_name) < len(found):
        raise FileProblem(f"'{path}' is not {what}: two files in the archive have one name.")
    check_size(path, found)
    return by_name


def check_size(path: Path, found: list[zipfile.ZipInfo], writer: str = "") -> None:
    """Refuse an archive that was made to fill the memory.

    Args:
        path: of the archive. found: what it holds. writer: the end of the advice, what writes it without compression.
    Raises:
        FileProblem: it would unpack to far more than it is large.
    """
    unpacked, packed = sum(member.file_size for member in found), path.stat().st_size
    if unpacked > _LARGE and unpacked > _MOST * packed:
        raise FileProblem(
            f"'{path}' would unpack to {unpacked / 2**20:.0f} MiB, {unpacked / packed:.0f} times its size: is it what "
            f"you think? If so, write it without compression{writer}."
        )


def content(path: Path, name: str) -> bytes:
    """One file of an archive that ``members`` has seen.

    Raises:
        FileProblem: it is damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(name)
    except Exception as err:  # of a damaged member: zlib's and zipfile's own
        raise FileProblem(f"'{path}' is damaged: '{name}' in it cannot be read ({type(err).__name__}).") from err


def globals_of(pickle: bytes) -> set[str]:
    """Names ``"module.name"`` that a pickle asks for, which is all that it can call; it is read and not run.

    What cannot be told (a name that is put together while it is read, a pickle that is damaged) is "?".
    """
    return set(_globals(pickle))


def _globals(pickle: bytes) -> Iterator[str]:
    before: list[str | None] = []  # the texts that were read just before, None for anything else
    try:
        for opcode, argument, _ in pickletools.genops(pickle):
            if opcode.name in ("GLOBAL", "INST"):
                yield str(argument).replace(" ", ".", 1)
            elif opcode.name == "STACK_GLOBAL":
                module, name = [None, None, *before][-2:]
                yield "?" if module is None or name is None else f"{module}.{name}"
            elif opcode.name.startswith("EXT"):
                yield "?"
            if opcode.name not in _KEEPS:  # what keeps a text in the memo leaves it where it is
                before.append(str(argument) if opcode.name in _TEXTS else None)
    except Exception:  # whatever a damaged pickle makes of it
        yield "?"
