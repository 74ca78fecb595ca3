"""Names and texts that come from anyone, made fit for a terminal."""

import re

# C0 and C1 control codes; line ends and bidirectional controls of Unicode, which reorder what stands around them; and
# halves of surrogate pairs, which an undecodable file name holds and which no terminal can be sent.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: object) -> str:
    """A text in one line that a terminal shows and does not obey.

    Returns:
        ``str(text)``, each line end or tab a blank, every other control character as Python writes it (``\\x1b``).
    """
    return _CONTROL.sub(_shown, str(text))


def _shown(match: re.Match[str]) -> str:
    character = match.group()
    return " " if character.isspace() else character.encode("unicode_escape").decode("ascii")
