"""Progress of long work: one type of what is told, one that is not shown, one bar on the terminal.

``bar`` gives a ``Progress`` to tell; ``steps`` and ``counted`` divide it among parts of the work, whose own progress is
told as amounts (rows, say), since a method does not know what share of the whole it is.
"""

import inspect
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.terminal import printable

Progress = Callable[[str, float], None]
"""Told what is being done, and the share of the whole work that is finished, from 0 to 1."""

Advance = Callable[[float], None]
"""Told how much of a step was just finished, in the step's own unit (rows, parts)."""

Steps = Callable[[str, float], AbstractContextManager[Advance]]
"""``with step(name, amount) as advance``: one step of so much work; it counts as done when it is left."""


_SHOWN_AFTER_S = 1.0


def silent(*told: object) -> None:
    """Progress that is not shown; fits where a ``Progress`` or an ``Advance`` is wanted."""


def check_progress(progress: Any) -> None:
    """Refuse what is neither None, nor a truth value, nor a function that can be told an amount.

    Raises:
        BadSetting: it is none of these.
    """
    if progress is None or isinstance(progress, bool):
        return
    expected = "True for a bar, False for none, None for one on a terminal, or a function of the rows just finished"
    if not callable(progress):
        raise BadSetting(f"progress is {expected}; got {progress!r}.")
    try:
        signature = inspect.signature(progress)
    except (ValueError, TypeError):  # some functions written in C tell nothing
        return
    try:
        signature.bind(1.0)
    except TypeError as err:
        raise BadSetting(f"progress is {expected}; got a function that cannot be told one: {err}.") from err


@contextmanager
def bar(is_shown: bool | None, what: str) -> Iterator[Progress]:
    """A bar on stderr, so that stdout holds results alone; no bar where nobody looks at a terminal or a notebook.

    Args:
        is_shown: draw it; None draws it on a terminal alone, and only when the work takes longer than a second. Where
            it is not drawn, rich is not imported.
        what: the work, shown until the first step has a name.
    """
    if not (_is_on_a_terminal() if is_shown is None else is_shown):
        yield silent
        return
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    columns = (
        progress.BarColumn(),
        progress.TextColumn("{task.percentage:>3.0f}%"),
        progress.TimeElapsedColumn(),
        progress.TextColumn("{task.description}", markup=False),
    )
    is_seen = console.is_terminal or console.is_jupyter
    drawn = progress.Progress(*columns, console=console, transient=True, disable=not is_seen)
    task = drawn.add_task(printable(what), total=1.0)
    with drawn if is_shown else _started_later(drawn):
        yield lambda text, share: drawn.update(task, description=printable(text), completed=share)


def _is_on_a_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()  # None where a window has no terminal


@contextmanager
def _started_later(drawn: Any) -> Iterator[None]:
    """Start a bar by the clock, since the first step may be a long one that tells nothing; never, in short work."""
    lock = threading.Lock()
    is_over = is_started = False

    def start() -> None:
        nonlocal is_started
        with lock:
            if not is_over:
                drawn.start()
                is_started = True

    timer = threading.Timer(_SHOWN_AFTER_S, start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with lock:
            is_over = True
        if is_started:
            drawn.stop()


def part(progress: Progress, what: str, number: int, count: int) -> Progress:
    """The progress of one of several equal parts of a work; its steps are told as "what: step".

    Args:
        number: of the part, from 0. count: of all parts.
    """
    return lambda text, share: progress(f"{what}: {text}", (number + share) / count)


def counted(progress: Progress, what: str, total: float) -> Advance:
    """The progress of a work that tells amounts, ``total`` in the end."""
    finished = 0.0

    def advance(amount: float) -> None:
        nonlocal finished
        finished += amount
        progress(what, min(1.0, finished / total))

    return advance


def steps(progress: Progress, what: str, count: int) -> Steps:
    """The progress of a work that is taken in ``count`` equal steps, one after the other."""
    finished = 0

    @contextmanager
    def step(name: str, amount: float) -> Iterator[Advance]:
        nonlocal finished
        own = part(progress, what, finished, count)
        own(name, 0.0)
        yield counted(own, name, amount)
        finished += 1
        own(name, 1.0)

    return step
