"""Tests that need a package: skipped without it, and a failure where every framework must be there."""

import importlib.util
import os

import pytest


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip without these packages; fail instead when XAI_MIMO_REQUIRE_ALL=1 (as in CI)."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    required = os.environ.get("XAI_MIMO_REQUIRE_ALL") == "1"
    return pytest.mark.skipif(bool(missing) and not required, reason=f"needs {', '.join(missing)}")
