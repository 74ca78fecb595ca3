"""Loads a saved FLINT on the backend of this process, reads it, trains it one step and reads it again.

``python flint_answer.py FOLDER`` writes ``<backend>.npz``; used by the test that backends agree.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from tests.helpers.flint_by_hand import compiled
from xai_mimo.layers import FLINT, Maximisation  # registers the class


def compute(folder):
    model = keras.saving.load_model(folder / "model.keras", compile=False)  # else torch would compile where JAX did
    assert isinstance(model, FLINT)
    compiled(model)
    with np.load(folder / "data.npz") as stored:
        x = stored["x"]
        y = {name: stored[name] for name in ("kind", "alarm", "load")}
    found = {f"before {name}": v.values for name, v in model.interpret(x).data_vars.items()}
    found["losses"] = np.asarray(model.evaluate(x, y, batch_size=len(x), verbose=0))
    largest = found["before attributes"].argmax(axis=1)
    found["maximised"] = model.maximise(x, largest, Maximisation(rounds=1, steps=10, low=-3, high=3)).inputs
    model.fit(x, y, batch_size=len(x), shuffle=False, verbose=0)
    smooth = ("attributes", "score", "output", "contribution", "reconstruction_error")
    after = model.interpret(x)
    return found | {f"after {name}": after[name].values for name in smooth}


if __name__ == "__main__":
    place = Path(sys.argv[1])
    np.savez(place / f"{keras.backend.backend()}.npz", **compute(place))
