"""How much work something is, whatever else the machine does."""

import cProfile
import pstats
from collections.abc import Callable
from typing import Any


def calls(work: Callable[[], Any]) -> int:
    """How many functions run, which says more of growth than seconds do on a busy machine."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return int(pstats.Stats(profile).total_calls)
