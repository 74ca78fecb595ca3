"""Files that run code when they are read: refused in one way, unless the caller says that they may."""

import os

from xai_mimo.core.errors import NotTrusted


def refuse_untrusted(path: str | os.PathLike[str], risk: str, way_out: str = "") -> NotTrusted:
    """The refusal of a file that would run code.

    Args:
        path: of the file. risk: what it is and what reading it does, a sentence without its subject and its full stop,
            e.g. "is a pickle, which runs whatever its author put into it".
        way_out: a sentence that says how the same model is kept in a file that runs nothing; "" for none.
    Returns:
        What is to be raised.
    """
    file = os.fspath(path)
    return NotTrusted(
        f"'{file}' {risk}. Only if you know who made it, say so: xai_mimo.load_model({file!r}, trust=True), or --trust "
        f"on the command line.{' ' if way_out else ''}{way_out}"
    )
