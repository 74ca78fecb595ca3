"""A saved FLINT gives the same numbers on the three backends: readings, losses, maximisation and one training step."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from tests.helpers import flint_answer
from tests.helpers.flint_by_hand import mixed_data, mixed_flint, mixed_predictor
from tests.helpers.frameworks import needs

UNTRAINED = pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.InterpreterWarning")
pytestmark = [pytest.mark.all_frameworks, needs("jax", "tensorflow", "torch"), UNTRAINED]
ROOT = Path(__file__).parents[3]


def test_three_backends_agree(tmp_path):
    x, y = mixed_data(np.random.default_rng(2), rows=12)
    predictor = mixed_predictor()
    predictor.get_layer("tap").rate = 0.0  # draws of dropout differ between backends
    model = mixed_flint(predictor=predictor)
    model.save(tmp_path / "model.keras")
    np.savez(tmp_path / "data.npz", x=x, **y)
    others = [b for b in ("jax", "tensorflow", "torch") if b != keras.backend.backend()]
    started = [_start(tmp_path, backend) for backend in others]
    ours = flint_answer.compute(tmp_path)
    for backend, process in zip(others, started, strict=True):
        errors = process.communicate()[1]
        assert process.returncode == 0, f"{backend}: {errors[-2000:]}"
        with np.load(tmp_path / f"{backend}.npz") as theirs:
            assert set(theirs.files) == set(ours)
            for name, values in ours.items():
                np.testing.assert_allclose(theirs[name], values, atol=1e-5, rtol=1e-5, err_msg=f"{backend}: {name}")


def _start(folder, backend):
    command = [sys.executable, str(Path(flint_answer.__file__)), str(folder)]
    environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(command, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
