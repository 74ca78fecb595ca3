"""What every test shares: a seeded generator and the rule that a missing framework is a failure in CI."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

# Real data sets, for the tests that can use them; all others generate what they need.
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
if "XAI_MIMO_DATA" not in os.environ and _SHARED.is_dir():
    os.environ["XAI_MIMO_DATA"] = str(_SHARED)

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250617)


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skip without these packages; fail instead when XAI_MIMO_REQUIRE_ALL=1 (as in CI)."""
    missing = [m for m in modules if importlib.util.find_spec(m) is None]
    required = os.environ.get("XAI_MIMO_REQUIRE_ALL") == "1"
    return pytest.mark.skipif(bool(missing) and not required, reason=f"needs {', '.join(missing)}")
