"""Ctrl-C, so that no callback on the way can swallow it.

Python raises ``KeyboardInterrupt`` in whatever runs at that moment. Where that is a callback of the garbage collector
or a function that a framework calls, the exception may be dropped there, and the work would go on. So it is raised
again until it arrives.
"""

import _thread
import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

INTERRUPTED = 130
_AGAIN_S = 0.1  # between two tries
_PRESSED_AGAIN_S = 0.3  # a wrapper may pass one press on twice, at once


class Interruption:
    """Whether Ctrl-C was pressed while a block ran."""

    def __init__(self) -> None:
        self.is_set = False
        self._is_over = False

    @contextlib.contextmanager
    def raised(self) -> Iterator[None]:
        """Run a block that Ctrl-C ends with ``KeyboardInterrupt``, and, pressed again, the whole process.

        The block may still end in another way, where a framework turned the interruption into an error of its own or it
        came with the last step: look at ``is_set``. Outside the main thread, and where the signal is ignored (in the
        background of a shell), nothing is changed.
        """
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None):
            yield
            return
        bytes_of_signals, end_of_signals = socket.socketpair()
        end_of_signals.setblocking(False)
        watcher = threading.Thread(target=self._watch, args=(bytes_of_signals,), name="interruption", daemon=True)
        watcher.start()
        fd_before = signal.set_wakeup_fd(end_of_signals.fileno(), warn_on_full_buffer=False)
        hook_before, sys.unraisablehook = sys.unraisablehook, _silence_interruptions
        handler_before = signal.signal(signal.SIGINT, self._handle)
        try:
            yield
        finally:
            self._is_over = True  # a press from here on is noted, and does not disturb this
            signal.set_wakeup_fd(fd_before)
            end_of_signals.close()
            watcher.join()
            bytes_of_signals.close()
            sys.unraisablehook = hook_before
            signal.signal(signal.SIGINT, handler_before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Raise, but not into what is tidied up after an earlier raise, nor where it would crash the process."""
        self.is_set = True
        if not (self._is_over or _is_unwinding() or _is_loading_compiled_code(frame)):
            raise KeyboardInterrupt

    def _watch(self, signals: socket.socket) -> None:
        """Repeat the signal until the block is left; end the process when it is pressed again.

        This is done in a thread of its own because the main one may be in compiled code, where no handler runs.

        Args:
            signals: gets a byte for each signal, and its end when the block is left.
        """
        first_press = None
        own = 0
        while True:
            try:
                numbers = signals.recv(256)
            except TimeoutError:
                _thread.interrupt_main(signal.SIGINT)
                own += 1
                continue
            if not numbers:
                return
            presses = numbers.count(signal.SIGINT)
            presses, own = max(0, presses - own), max(0, own - presses)
            if not presses:
                continue
            if first_press is None:
                first_press = time.monotonic()
                signals.settimeout(_AGAIN_S)
            elif time.monotonic() - first_press > _PRESSED_AGAIN_S:
                _end_at_once()


def end_undisturbed(code: object) -> None:
    """Let a press that comes twice not change the exit code of an interrupted process in its last moments.

    Args:
        code: with which the process is about to end.
    """
    if code == INTERRUPTED:
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _silence_interruptions(error: "sys.UnraisableHookArgs") -> None:
    """Print errors that nobody can catch, but no interruption, which comes again."""
    if error.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(error)


def _is_unwinding() -> bool:
    """Whether the main thread is on its way out: in an ``except``, ``finally`` or ``__exit__`` of an interruption."""
    error = sys.exception()
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _is_loading_compiled_code(frame: FrameType | None) -> bool:
    """Whether a compiled module is making itself ready, which in C++ ends in an abort when Python code in it raises."""
    while frame is not None:
        if frame.f_code.co_name == "_call_with_frames_removed":  # of importlib
            called = getattr(frame.f_locals.get("f"), "__name__", "")
            if called in ("create_dynamic", "exec_dynamic"):
                return True
        frame = frame.f_back
    return False


def _end_at_once() -> None:
    """End the process without tidying up; files take their place whole or not at all."""
    shown_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""  # a bar hides it
    with contextlib.suppress(OSError):
        os.write(2, f"{shown_cursor}\ninterrupted at once; what was finished is kept.\n".encode())
    os._exit(INTERRUPTED)
