"""A loader: a function from the path of a file to the model in it; this one runs nothing of a file, trusted or not."""

import json
from pathlib import Path

import numpy as np

from toy_plugin.model import Scorecard
from xai_mimo.core.errors import FileProblem


def load(path: Path, *, trust: bool = False) -> Scorecard:
    """A scorecard from JSON."""
    try:
        found = json.loads(path.read_bytes())
        return Scorecard({y: {x: np.array(w, float) for x, w in of.items()} for y, of in found.items()})
    except (ValueError, AttributeError) as err:
        raise FileProblem(f"'{path}' is not a scorecard.") from err
