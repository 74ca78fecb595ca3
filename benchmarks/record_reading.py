"""How long a large comparison record takes to be read: JSON alone, pydantic on the rows, and msgspec where it is there.

Run: ``python benchmarks/record_reading.py``
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.helpers.records import make_record
from xai_mimo.record.json_file import from_json
from xai_mimo.record.rows import Record

REPEATS = 5


def large_record() -> dict[str, Any]:
    """430 000 nested values in seven examples of images, and 6 000 scores."""
    rng = np.random.default_rng(0)
    record = make_record(12, methods=4)
    head, labels = record["targets"][0]["name"], [m["label"] for m in record["methods"]]
    record["examples"] = [
        {
            "row": row,
            "head": head,
            "prediction": 0.5,
            "label": 1,
            "inputs": {"image": rng.random((64, 64, 3)).tolist()},
            "values": {label: {"image": rng.random((64, 64, 3)).tolist()} for label in labels},
        }
        for row in range(7)
    ]
    record["scores"] = (20 * record["scores"])[:6000]
    return record


def show(name: str, read: Callable[[str], Any], text: str) -> None:
    """Print the shortest of several runs."""
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        read(text)
        seconds.append(time.perf_counter() - started)
    print(f"{name:28} {min(seconds):.2f} s")


def main() -> None:
    """Print a line for each way of reading."""
    text = json.dumps(large_record())
    print(f"{len(text) / 1e6:.1f} MB")
    show("json.loads", json.loads, text)
    show("pydantic, rows", TypeAdapter(Record).validate_json, text)
    show("the door (json_file)", from_json, text)
    try:
        import msgspec
    except ImportError:
        print("msgspec is not installed")
    else:
        show("msgspec, rows", msgspec.json.Decoder(Record).decode, text)


if __name__ == "__main__":
    main()
