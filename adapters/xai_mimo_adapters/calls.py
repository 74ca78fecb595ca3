"""Calls of functions that are slow or far away: several at a time, each with its time and asked again when it fails."""

import contextvars
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from xai_mimo.core.errors import TooSlow
from xai_mimo.core.method import positive, whole

_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Patience:
    """How a function is asked.

    Attributes:
        concurrency: calls at a time, in threads.
        retries: how often a call that failed is made again.
        wait: seconds before the first of them; it doubles each time, up to 30 s.
        timeout: seconds that a call may take; None for any.
        rows_per_call: rows that a call may have; None for as many as memory holds.
    Raises:
        BadSetting: they are not numbers of that kind.
    """

    concurrency: int = 1
    retries: int = 0
    wait: float = 0.5
    timeout: float | None = None
    rows_per_call: int | None = None

    def __post_init__(self) -> None:
        whole(self.concurrency, "concurrency")
        if self.retries != 0:
            whole(self.retries, "retries, where there are any,")
        positive(self.wait, "wait")
        if self.timeout is not None:
            positive(self.timeout, "timeout")
        if self.rows_per_call is not None:
            whole(self.rows_per_call, "rows_per_call")

    @property
    def is_asked_for(self) -> bool:
        """Whether anything is other than by default."""
        return self != Patience()

    def rows_at_once(self, fitting: int, rows: int) -> int:
        """Rows of one call, where so many would fit into the memory of one: several at a time share it and the rows."""
        share = max(1, min(fitting // self.concurrency, -(-rows // self.concurrency)))
        return share if self.rows_per_call is None else min(share, self.rows_per_call)

    def ask(self, work: Callable[[], Any], what: str, rows: slice) -> Any:
        """What a call gives; it is made again where it fails.

        Args:
            work: the call. what: is asked, in words. rows: that it is asked for, for error texts.
        Raises:
            TooSlow: it took longer than it may, every time. Whatever the last call raised, with a note on how often it
                was made.
        """
        import tenacity

        named = f"rows {rows.start} to {rows.stop - 1}"
        attempts = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(self.retries + 1),
            wait=tenacity.wait_exponential(multiplier=self.wait, max=_LONGEST_WAIT_S),
            retry=tenacity.retry_if_exception_type(Exception),
            reraise=True,
        )
        try:
            return attempts(self._in_time, work)
        except _Late as err:
            times = attempts.statistics["attempt_number"]
            raise TooSlow(
                f"{what} gave no answer for {named} within {self.timeout:g} s (asked {_times(times)}). Give it more "
                "time (timeout=...) or fewer rows a call (rows_per_call=...), or see whether it hangs."
            ) from err
        except Exception as err:
            if self.retries:
                err.add_note(f"{what} was asked {_times(attempts.statistics['attempt_number'])} for {named}.")
            raise

    def _in_time(self, work: Callable[[], Any]) -> Any:
        if self.timeout is None:
            return work()
        answers = in_threads([work], 1, timeout=self.timeout)
        return answers[0]


class _Late(Exception):
    """A call has taken too long."""


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


@dataclass
class _Shared:
    """What threads that work together know: which work is next, and what came of what was done."""

    works: Sequence[Callable[[], Any]]
    answers: dict[int, Any] = field(default_factory=dict)
    errors: dict[int, BaseException] = field(default_factory=dict)
    begun: int = 0
    is_over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self) -> None:
        """Work until nothing is left, or until something failed."""
        while (number := self._next()) is not None:
            try:
                answer = self.works[number]()
            except BaseException as err:  # raised again in the thread that asked
                self.errors[number], self.is_over = err, True
            else:
                self.answers[number] = answer

    def _next(self) -> int | None:
        with self.lock:
            if self.is_over or self.begun == len(self.works):
                return None
            self.begun += 1
            return self.begun - 1


def in_threads(works: Sequence[Callable[[], Any]], threads: int, *, timeout: float | None = None) -> list[Any]:
    """What these calls give, in their order, so many at a time; after the first that fails no other is begun.

    A thread cannot be ended: a call that is given up goes on by itself, in a thread that does not keep Python alive.

    Args:
        timeout: seconds for all; None for any.
    Raises:
        Whatever the first of the failed calls raised; ``_Late``.
    """
    shared = _Shared(works)
    # Each in a context of its own: NumPy's error state and what else is set for a while travels with it.
    workers = [
        threading.Thread(target=contextvars.copy_context().run, args=(shared.run,), daemon=True) for _ in range(threads)
    ]
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(timeout)
            if worker.is_alive():
                raise _Late
    finally:
        shared.is_over = True
    if shared.errors:
        raise shared.errors[min(shared.errors)]
    return [shared.answers[number] for number in range(len(works))]
