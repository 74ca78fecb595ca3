"""Peak memory of explaining few and many rows into a store, each in a process of its own.

KERAS_BACKEND=torch python benchmarks/memory.py         # prints both peaks and their ratio
KERAS_BACKEND=torch python benchmarks/memory.py 100000  # one run; prints its peak in MB
"""

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

FEW, MANY = 10_000, 100_000


def peak_memory_row() -> str:
    """A line of the table: peak resident memory of 100 000 rows over that of 10 000."""
    few, many = (_in_new_process(count) for count in (FEW, MANY))
    job = f"Peak memory, {MANY} rows over {FEW}, input x gradient, 8 heads, store"
    return f"| {job} | - | **{many / few:.2f}** | at most 1.2 | - | - | - | {few:.0f} MB and {many:.0f} MB |"


def _in_new_process(count: int) -> float:
    done = subprocess.run([sys.executable, __file__, str(count)], check=True, capture_output=True, text=True)
    return float(done.stdout)


def _peak_of(count: int) -> float:
    """Peak resident memory of this process in MB after explaining all heads of so many rows."""
    from network import build_network, rows

    import xai_mimo as xm

    with tempfile.TemporaryDirectory() as folder:
        explained = xm.explain(build_network(), rows(count), "input_x_gradient", store=Path(folder) / "run.zarr")
        assert explained.sizes["sample"] == count
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "torch")
    print(_peak_of(int(sys.argv[1])) if len(sys.argv) > 1 else peak_memory_row())
