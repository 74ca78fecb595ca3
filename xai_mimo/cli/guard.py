"""Errors as one line on stderr and an exit code; the traceback only for those who ask for it."""

import functools
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from xai_mimo.cli.backend import quiet_warnings
from xai_mimo.cli.interruption import INTERRUPTED, Interruption
from xai_mimo.core.errors import XaiMimoError
from xai_mimo.core.terminal import printable

USER_ERROR, DEFECT = 2, 1

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Give a command its exit codes.

    2: the user can mend it (our errors, which say how); 1: something else went wrong; 130: interrupted (Ctrl-C), and
    what was finished stays on disk. The command's ``debug`` argument adds the traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        debug = bool(kwargs.get("debug"))
        interruption = Interruption()
        try:
            with interruption.raised(), quiet_warnings(sys.stderr):
                command(*args, **kwargs)
        except BaseException as err:  # the outermost door: whatever got here becomes one line
            if interruption.is_set or isinstance(err, KeyboardInterrupt):
                raise _interrupted() from err
            if isinstance(err, XaiMimoError):
                raise _exit(USER_ERROR, f"error: {err}", debug) from err
            if isinstance(err, SystemExit):  # of a model's own code, which says nothing and takes any exit code
                text = f"unexpected SystemExit({err.code!r}): code of the model ended the program."
                raise _exit(DEFECT, text, debug) from err
            if isinstance(err, typer.Exit) or not isinstance(err, Exception):
                raise
            text = f"unexpected {type(err).__name__}: {err}".splitlines()[0]
            advice = "run again with --debug for the traceback, and with `xai-mimo doctor` to check the installation."
            raise _exit(DEFECT, f"{text} -- {advice}", debug) from err
        if interruption.is_set:
            raise _interrupted()

    return run


def _interrupted() -> typer.Exit:
    return _exit(INTERRUPTED, "interrupted; what was finished is kept.", False)


def _exit(code: int, line: str, debug: bool) -> typer.Exit:
    if debug:
        for shown in traceback.format_exc().splitlines():
            typer.echo(printable(shown), err=True)
    typer.echo(printable(" ".join(line.split())), err=True)
    return typer.Exit(code)
