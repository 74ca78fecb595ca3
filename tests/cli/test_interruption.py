"""Ctrl-C ends a command with exit code 130, wherever it comes and whoever swallows it."""

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest
import typer

from xai_mimo.cli.guard import guarded
from xai_mimo.cli.interruption import Interruption

pytestmark = [
    pytest.mark.all_frameworks,
    pytest.mark.skipif(sys.platform == "win32", reason="signals are sent between processes"),
]


@pytest.fixture(autouse=True)
def in_the_foreground():
    """Processes that are started here can be interrupted, also where the suite runs in the background of a shell."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


COMMAND = """
import contextlib, gc, os, signal, sys, time
from pathlib import Path
from xai_mimo.cli.guard import guarded
from xai_mimo.cli.main import app, main
from xai_mimo.core.paths import written_whole

@app.command()
@guarded
def command():
    print("ready", flush=True)
{work}

sys.argv = ["xai-mimo", "command"]
main()
"""
# Work of half a minute at most, an interruption in the middle of which is dropped.
IN_A_CALLBACK = """
    def callback(phase, info):  # as XLA's
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass
    gc.callbacks.append(callback)
    gc.collect(0)
    gc.callbacks.remove(callback)
"""
CAUGHT = """
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
"""
IN_A_FINALIZER = """
    class Held:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            for _ in range(1000):
                pass
    Held()
"""
TURNED_INTO_AN_ERROR = """
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    except KeyboardInterrupt:
        pass
    raise RuntimeError("INTERNAL: a callback failed")
"""
WITH_THE_LAST_STEP = """
    with contextlib.suppress(BaseException):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
    return
"""
WHILE_COMPILED_CODE_LOADS = """
    def exec_dynamic(module):  # as importlib's, whose Python code is called from C++
        try:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.5)
        except BaseException:
            os.abort()
    from importlib import _bootstrap
    _bootstrap._call_with_frames_removed(exec_dynamic, None)
"""
LONG = """
    end = time.monotonic() + 30
    while time.monotonic() < end:
        sum(range(1000))
"""
LINE = "interrupted; what was finished is kept.\n"


def start(work, *, cwd=None):
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(work=work)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize(
    "work",
    [
        *(work + LONG for work in (IN_A_CALLBACK, CAUGHT, IN_A_FINALIZER, WHILE_COMPILED_CODE_LOADS)),
        *(LONG, TURNED_INTO_AN_ERROR, WITH_THE_LAST_STEP),
    ],
    ids=["callback", "caught", "finalizer", "loading", "from outside", "error", "last step"],
)
def test_whoever_swallows_an_interruption_the_command_ends_with_130(work):
    process = start(work)
    if work == LONG:
        process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=20)
    assert (process.returncode, printed, errors) == (130, "", LINE)


WRITING = """
    def callback(phase, info):
        with contextlib.suppress(BaseException):
            for _ in range(2000):
                pass
    gc.callbacks.append(callback)
    end = time.monotonic() + 30
    number = 0
    while time.monotonic() < end:
        number += 1
        with written_whole(Path(f"{number % 5}.txt")) as beside:
            beside.write_text("a whole file\\n" * 1000)
        gc.collect()
"""


@pytest.mark.parametrize("seed", range(10))
def test_at_any_time_the_command_ends_and_its_files_are_whole(seed, tmp_path):
    process = start(WRITING, cwd=tmp_path)
    time.sleep(0.2 + random.Random(seed).random() / 2)
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=20)
    assert (process.returncode, printed, errors) == (130, "", LINE)
    texts = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert texts
    assert set(texts.values()) == {"a whole file\n" * 1000}
    assert set(texts) <= {f"{i}.txt" for i in range(5)}


def test_what_is_tidied_up_is_not_disturbed():
    tidied = """
    try:
        with contextlib.suppress(ValueError):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(30)
    finally:
        try:
            raise OSError
        except OSError:
            end = time.monotonic() + 1
            while time.monotonic() < end:
                sum(range(1000))
        print("tidy", flush=True)
"""
    process = start(tidied)
    printed, errors = process.communicate(timeout=20)
    assert (process.returncode, printed, errors) == (130, "tidy\n", LINE)


def test_pressed_again_it_ends_at_once_whatever_runs():
    stubborn = """
    while True:
        try:
            print("at work", flush=True)
            time.sleep(60)
        except BaseException:
            print("no", flush=True)
            time.sleep(60)
"""
    process = start(stubborn)
    assert process.stdout.readline() == "at work\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "no\n"
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors == "\ninterrupted at once; what was finished is kept.\n"


def test_one_press_that_arrives_twice_is_one():
    process = start(LONG)
    for _ in range(20):
        process.send_signal(signal.SIGINT)
        time.sleep(0.005)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, LINE)


def test_everything_is_put_back():
    before = signal.getsignal(signal.SIGINT), sys.unraisablehook, threading.active_count()

    @guarded
    def command():
        assert signal.getsignal(signal.SIGINT) != before[0]
        signal.raise_signal(signal.SIGINT)

    for _ in range(3):
        with pytest.raises(typer.Exit) as end:
            command()
        assert end.value.exit_code == 130
        assert (signal.getsignal(signal.SIGINT), sys.unraisablehook, threading.active_count()) == before
        fd = signal.set_wakeup_fd(-1)
        assert fd == -1


def test_outside_the_main_thread_and_in_the_background_nothing_is_changed(monkeypatch):
    done = []

    def block():
        with Interruption().raised():
            done.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        block()
    finally:
        signal.signal(signal.SIGINT, before)
    assert done == [before, signal.SIG_IGN]
