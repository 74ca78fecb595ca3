"""Where compiled programs are kept between processes: in the user's cache folder, elsewhere, or nowhere."""

import hashlib
import os
import platform
import stat
import sys
from pathlib import Path

import platformdirs

VARIABLE = "XAI_MIMO_CACHE"
_OFF = ("", "0", "off", "no", "none", "false")


def cache_folder() -> Path | None:
    """The folder for compiled programs, made where it is not there; None where they are not kept.

    It is ``$XAI_MIMO_CACHE``, else the user's cache folder, and in it a folder for this kind of processor, because a
    program that was compiled for another may not run. They are not kept where the variable is "0", "off" or empty, and
    where either folder cannot be written, belongs to somebody else or can be written by others, who could put programs
    there for us to run.
    """
    named = os.environ.get(VARIABLE)
    if named is not None and named.strip().lower() in _OFF:
        return None
    try:
        root = Path(platformdirs.user_cache_dir("xai_mimo", appauthor=False) if named is None else named).expanduser()
        folder = root / f"compiled-{_processor()}"
        for each in (root, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # the second for "~somebody" without a home
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) and _is_ours(root) and _is_ours(folder) else None


def _is_ours(folder: Path) -> bool:
    """Whether nobody but this user can put files there."""
    if sys.platform == "win32":
        return True
    status = folder.stat()
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _processor() -> str:
    """Digest of what this processor is and can do."""
    says = f"{platform.machine()} {platform.processor()}"
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            lines = []
        told = [line for line in lines if line.startswith(("model name", "flags", "Features", "CPU part"))]
        says += "\n".join(dict.fromkeys(told))
    return hashlib.sha256(says.encode()).hexdigest()[:12]
