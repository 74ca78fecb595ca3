"""How the benchmarks time two things beside each other on a machine that others use too."""

import time
from collections.abc import Callable
from statistics import median


def seconds(call: Callable[[], object]) -> float:
    """Wall-clock time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def alternate(peer: Callable[[], object], ours: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Medians of both, already warm, measured in turn so that a busy moment hits both alike."""
    pairs = [(seconds(peer), seconds(ours)) for _ in range(repeats)]
    return median(p for p, _ in pairs), median(o for _, o in pairs)
