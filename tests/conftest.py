"""What every test shares: the environment of the frameworks and a seeded generator."""

import os
from pathlib import Path

import numpy as np
import pytest

# Real data sets, for the tests that can use them; all others generate what they need.
_SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"
if "XAI_MIMO_DATA" not in os.environ and _SHARED.is_dir():
    os.environ["XAI_MIMO_DATA"] = str(_SHARED)

# A distribution of its own, with a test that runs where it is installed: see test_toy_plugin.py.
collect_ignore = ["toy_plugin"]

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("XAI_MIMO_CACHE", "off")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "agg")
# shap compiles loops that take longer to compile than to run here; as Python they also refuse an index out of bounds.
os.environ.setdefault("NUMBA_DISABLE_JIT", "1")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20250617)
