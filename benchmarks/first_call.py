"""What a user waits for: the first call, the same call again, and both in a new process.

KERAS_BACKEND=jax python benchmarks/first_call.py                  # the whole table; also torch, tensorflow
KERAS_BACKEND=jax python benchmarks/first_call.py --heads 8 40    # some numbers of heads

Seconds of the clock and, behind the slash, of all processors together: only the second can be compared on a machine
that does other work besides. Each line is a process of its own, so that nothing has been compiled before.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

KINDS = ("heads", "steps", "lengths")
HEADS = (8, 40, 60)


def table(heads: tuple[int, ...]) -> list[str]:
    """The lines: every network without the disk cache, with an empty one, and with the one that this filled."""
    columns = ("network", "disk cache", "first call", "again, model given anew", "again, adapted model", "traces")
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    jobs = [("heads", count) for count in heads] + [("steps", 60), ("lengths", 8)]
    with tempfile.TemporaryDirectory() as folder:
        for kind, count in jobs:
            for cache, where in (("off", "off"), ("empty", folder), ("filled", folder)):
                if cache != "off" and os.environ["KERAS_BACKEND"] != "jax":
                    continue
                lines.append(_line(kind, count, cache, where))
                print(lines[-1], file=sys.stderr, flush=True)
    return lines


def _line(kind: str, count: int, cache: str, where: str) -> str:
    environment = {**os.environ, "XAI_MIMO_CACHE": where}
    command = [sys.executable, str(Path(__file__)), "--one", kind, str(count)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    times = json.loads(done.stdout.splitlines()[-1])
    cells = [f"{clock:.2f} / {used:.2f}" for clock, used in times["seconds"]]
    return f"| {count} {kind} | {cache} | {' | '.join(cells)} | {times['traces']} |"


def measure(kind: str, count: int) -> dict[str, Any]:
    """First call, second call with the model, call with the adapted model; and how often the network was traced."""
    import xai_mimo as xm

    model, calls = _job(kind, count)
    first, again = _timed(lambda: calls(model)), _timed(lambda: calls(model))
    adapted = xm.adapt(model)
    return {"seconds": [first, again, _timed(lambda: calls(adapted))], "traces": getattr(adapted, "traces", 0)}


def _timed(call: Callable[[], Any]) -> tuple[float, float]:
    clock, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - clock, time.process_time() - used


def _job(kind: str, count: int) -> tuple[Any, Callable[[Any], Any]]:
    """A network, and what is asked of it: many heads, one head of many steps, or many lengths."""
    import keras
    import numpy as np

    import xai_mimo as xm
    from xai_mimo.layers import MAIL

    rng = np.random.default_rng(1)
    if kind == "heads":
        names = [f"head{i}" for i in range(count)]
        inputs = [keras.Input((width,), name=name) for name, width in (("sensors", 64), ("machine", 32))]
        encoded = [keras.layers.Dense(64, activation="relu")(x) for x in inputs]
        contexts = MAIL(dict.fromkeys(names, 16), hidden_units=64, rescale=True, name="mail")(encoded)
        model = keras.Model(inputs, {name: keras.layers.Dense(1, name=name)(contexts[name]) for name in names})
        x = {tensor.name: rng.normal(size=(128, tensor.shape[1])).astype("float32") for tensor in inputs}
        method = xm.explainers.IntegratedGradients(steps=16)
        return model, lambda model: xm.explain(model, x, method)
    steps = keras.Input((count if kind == "steps" else None, 4), name="x")
    if kind == "steps":
        hidden = keras.layers.TimeDistributed(keras.layers.Dense(8, activation="tanh"))(steps)
        model = keras.Model(steps, keras.layers.TimeDistributed(keras.layers.Dense(1), name="y")(hidden))
        x, targets = rng.normal(size=(16, count, 4)), [("y", step) for step in range(count)]
        return model, lambda model: xm.explain(model, x, "gradient", targets=targets)
    model = keras.Model(steps, keras.layers.Dense(1, name="y")(keras.layers.GRU(4)(steps)))
    windows = [rng.normal(size=(2, 3 + n, 4)) for n in range(count)]
    return model, lambda model: [xm.explain(model, x, "gradient") for x in windows]


if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "jax")
    parser = argparse.ArgumentParser()
    parser.add_argument("--heads", type=int, nargs="+", default=HEADS)
    parser.add_argument("--one", nargs=2, help=f"one of {KINDS} and how many; prints JSON")
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measure(arguments.one[0], int(arguments.one[1]))))
    else:
        print("\n".join(table(tuple(arguments.heads))))
