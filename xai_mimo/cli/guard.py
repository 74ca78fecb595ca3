"""Errors as one line on stderr and an exit code; the traceback only for those who ask for it."""

import functools
import sys
import traceback
from collections.abc import Callable
from typing import ParamSpec

import typer

from xai_mimo.cli.backend import quiet_warnings
from xai_mimo.core.errors import XaiMimoError
from xai_mimo.core.terminal import printable

USER_ERROR, DEFECT, INTERRUPTED = 2, 1, 130

P = ParamSpec("P")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """Give a command its exit codes.

    2: the user can mend it (our errors, which say how); 1: something else went wrong; 130: interrupted (Ctrl-C), and
    what was finished stays on disk. The command's ``debug`` argument adds the traceback.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            with quiet_warnings(sys.stderr):
                command(*args, **kwargs)
        except XaiMimoError as err:
            raise _exit(USER_ERROR, f"error: {err}", bool(kwargs.get("debug"))) from err
        except KeyboardInterrupt as err:
            raise _exit(INTERRUPTED, "interrupted; what was finished is kept.", False) from err
        except typer.Exit:
            raise
        except Exception as err:  # the outermost door: whatever got here is a defect and becomes one line
            text = f"unexpected {type(err).__name__}: {err}".splitlines()[0]
            advice = "run again with --debug for the traceback, and with `xai-mimo doctor` to check the installation."
            raise _exit(DEFECT, f"{text} -- {advice}", bool(kwargs.get("debug"))) from err

    return run


def _exit(code: int, line: str, debug: bool) -> typer.Exit:
    if debug:
        for shown in traceback.format_exc().splitlines():
            typer.echo(printable(shown), err=True)
    typer.echo(printable(" ".join(line.split())), err=True)
    return typer.Exit(code)
