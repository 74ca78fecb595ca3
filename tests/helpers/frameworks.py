"""Tests that need a package: skipped without it, and a failure where every framework must be there."""

import importlib
import importlib.util
import os
from types import ModuleType

import pytest


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip without these packages; fail instead when XAI_MIMO_REQUIRE_ALL=1 (as in CI)."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    return pytest.mark.skipif(bool(missing) and not _required(), reason=f"needs {', '.join(missing)}")


def imported(module: str) -> ModuleType:
    """The package, for a test file that needs it whole: without it the file is skipped, or fails as in ``needs``."""
    return importlib.import_module(module) if _required() else pytest.importorskip(module)


def _required() -> bool:
    return os.environ.get("XAI_MIMO_REQUIRE_ALL") == "1"
