"""Names as people write them: what cannot be kept is refused, what a file cannot hold gets another name there."""

import hashlib
import unicodedata
from collections.abc import Iterable

from xai_mimo.core.errors import BadValues

_PLAIN_MARKS = frozenset("_-.+@=()[]:,")
_LONGEST = 160  # bytes of a name on disk; Zarr makes it a folder's, of which file systems take 255
_SEPARATORS = "\u2028\u2029"


def check_text(name: str, what: str) -> str:
    """A name, if it is one line of characters that every file and report can hold.

    Args:
        name: of a stream, a feature, a head, a method.
        what: the noun for the error, e.g. "input stream".
    Raises:
        BadValues: it holds a control character (NUL, tab, line break), half of a surrogate pair, or what Unicode keeps
            for no character.
    """
    for place, character in enumerate(name):
        if unicodedata.category(character) in ("Cc", "Cs") or character in _SEPARATORS or _is_no_character(character):
            raise BadValues(
                f"the name {name!r} of {with_article(what)} holds {character!r} at place {place}; files and reports "
                "keep names of one line, without control characters. Leave it out, or put a space in its place."
            )
    return name


def with_article(noun: str) -> str:
    """A noun of ours behind "a" or "an"."""
    begins_with_vowel = noun.startswith(tuple("aeio"))  # "unit" is spoken with a consonant
    return f"{'an' if begins_with_vowel else 'a'} {noun}"


def disk_names(names: Iterable[str]) -> dict[str, str]:
    """Names on disk of those that a file would lose, change or read as a path: ``{name: name on disk}``.

    Bytes of all characters but letters, digits and a few marks are written as ``%2F``, long names are cut, and what was
    cut, or differs from another name by case alone, ends in a digest, so that no two are equal.
    """
    names = list(names)
    folded = [name.casefold() for name in names]
    on_disk = {}
    for name in names:
        encoded = _encoded(name)
        if len(encoded.encode()) > _LONGEST or folded.count(name.casefold()) > 1:
            digest = hashlib.sha256(name.encode()).hexdigest()[:16]
            encoded = f"{encoded.encode()[:_LONGEST].decode(errors='ignore').rstrip('%')}%~{digest}"
        if encoded != name:
            on_disk[name] = encoded
    return on_disk


def _is_no_character(character: str) -> bool:
    code = ord(character)
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


def _encoded(name: str) -> str:
    first = name[:1].isalnum()  # ".." is a folder, and Zarr keeps "__" for itself
    composed = unicodedata.normalize("NFC", name) == name
    return "".join(
        c if (c.isalnum() or (c in _PLAIN_MARKS and (i or first))) and (c.isascii() or composed) else _bytes(c)
        for i, c in enumerate(name)
    )


def _bytes(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
