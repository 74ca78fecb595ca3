"""Seconds that explanations of many streams take: to be made, summed over streams, saved, loaded and stored.

Run: ``KERAS_BACKEND=torch python benchmarks/many_streams.py 50 100 200 400`` (other numbers of streams are taken too)
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import xai_mimo as xm

ROWS, FEATURES = 8, 2
JOBS = ("explain", "stream_shares", "save .nc", "load .nc", "save .zarr", "load .zarr", "store=")


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """How long it takes, and what it gives."""
    started = time.perf_counter()
    answer = work()
    return time.perf_counter() - started, answer


def measure(streams: int, folder: Path) -> list[float]:
    """Seconds of each job on one model of as many streams."""
    rng = np.random.default_rng(0)
    x = {f"s{i}": rng.normal(size=(ROWS, FEATURES)).astype("float32") for i in range(streams)}
    model = xm.adapt(
        lambda *arrays: {"h": np.sum(arrays, axis=0).sum(axis=1, keepdims=True)},
        streams=dict.fromkeys(x, FEATURES),
        heads={"h": 1},
    )
    explain, explanation = seconds(lambda: xm.explain(model, x, "occlusion"))
    jobs: list[Callable[[], Any]] = [
        lambda: xm.stream_shares(explanation),
        lambda: xm.save(explanation, folder / "a.nc"),
        lambda: xm.load(folder / "a.nc"),
        lambda: xm.save(explanation, folder / "a.zarr"),
        lambda: xm.load(folder / "a.zarr"),
        lambda: xm.explain(model, x, "occlusion", store=folder / "run.zarr"),
    ]
    return [explain, *(seconds(job)[0] for job in jobs)]


def main() -> None:
    """Print a row of the table for each number of streams."""
    numbers = [int(word) for word in sys.argv[1:]] or [50, 100, 200, 400]
    with tempfile.TemporaryDirectory() as first:
        measure(3, Path(first))  # what is imported at the first time
    print(f"| streams | {' | '.join(JOBS)} |\n|{'---|' * (len(JOBS) + 1)}")
    for streams in numbers:
        with tempfile.TemporaryDirectory() as folder:
            print(f"| {streams} | {' | '.join(f'{s:.2f}' for s in measure(streams, Path(folder)))} |", flush=True)


if __name__ == "__main__":
    main()
