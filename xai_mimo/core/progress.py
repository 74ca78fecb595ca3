"""A bar over the steps of long work: what is being done, and how much of it is."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

Advance = Callable[[float], None]
"""Told how many parts of a step were just finished."""

Steps = Callable[[str, float], AbstractContextManager[Advance]]
"""``with step(name, parts) as advance``: one step of so many parts; it counts as done when it is left."""


def ignore(parts: float) -> None:
    """Report progress to nobody."""


@contextmanager
def steps(shown: bool, count: int, what: str) -> Iterator[Steps]:
    """Count the steps of a piece of work.

    Args:
        shown: draw a bar on the terminal; else nothing is shown.
        count: of the steps that will be taken.
        what: the work, in front of the name of the step.
    """
    if not shown:
        yield silent
        return
    from rich.progress import Progress

    with Progress(transient=True) as bar:
        task = bar.add_task(what, total=count)
        yield _follow(lambda name, share: bar.update(task, advance=share, description=f"{what}: {name}"))


def _follow(move: Callable[[str, float], None]) -> Steps:
    """Steps that report to ``move``, called with a name and the share of a step."""

    @contextmanager
    def step(name: str, parts: float) -> Iterator[Advance]:
        left = 1.0

        def advance(finished: float) -> None:
            nonlocal left
            share = min(left, finished / parts)
            left -= share
            move(name, share)

        move(name, 0.0)
        yield advance
        move(name, left)

    return step


silent: Steps = _follow(lambda name, share: None)
"""Steps that nobody watches."""
