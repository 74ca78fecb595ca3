"""A MAIL whose attention rests on a stream that never changes: the head's answer is carried by how much it rests there.

Scores of the constant features read the sensors that matter, and the output reads the constant features alone: so what
the attention weighs says nothing, and how it moves says everything. Dense scoring, as published, allows it.
"""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.comparison.settings import Settings
from xai_mimo.layers import MAIL

SENSORS, CONSTANTS = 6, 2
MATTER = {"heat": (0, 1), "load": (2, 3)}
FAST = Settings(ceilings=False)


def leaking():
    """Two heads, each of two sensors; most of the attention of either lies on the constant stream."""
    inputs = {
        "sensors": keras.Input((SENSORS,), name="sensors"),
        "constant": keras.Input((CONSTANTS,), name="constant"),
    }
    layer = MAIL(dict.fromkeys(MATTER, 1), hidden_units=1, name="mail")
    model = keras.Model(inputs, layer(inputs), name="leaking")
    # Attributes are heads first: (head, ...), but for hidden_kernel, (feature, head, unit).
    width, sums = SENSORS + CONSTANTS, np.zeros
    hidden, score, bias = sums((width, 2, 1)), sums((2, 1, width)), sums((2, width))
    output = sums((width, 2))
    for h, sensors in enumerate(MATTER.values()):
        hidden[list(sensors), h, 0] = (0.6, -0.4)
        score[h, 0, SENSORS:] = 1.0
        bias[h, SENSORS:] = 2.5
        output[SENSORS:, h] = 5.0
    weights = {"hidden_kernel": hidden, "score_kernel": score, "score_bias": bias, "output_kernel": output}
    for variable in layer.weights:
        if variable.name in weights:
            variable.assign(weights[variable.name].reshape(variable.shape))
    return model


@pytest.fixture
def rows(rng):
    return {
        "sensors": rng.standard_normal((100, SENSORS)).astype("float32"),
        "constant": np.ones((100, CONSTANTS), "float32"),
    }


def test_the_attention_rests_on_the_stream_that_never_changes(rows):
    attention = xm.explain(leaking(), rows, "interception")
    for head in MATTER:
        assert float(attention["constant"].sel(head=head).sum("constant_feature").mean()) > 0.7


@pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.UnusedStreamWarning")  # what it says is the point here
@pytest.mark.parametrize("known", [False, True], ids=["truth withheld", "truth given"])
def test_leaked_attention_is_misleading_and_shapley_beside_it_supported(rows, known):
    truth = {head: {"sensors": [str(i) for i in sensors]} for head, sensors in MATTER.items()}
    result = xm.compare(
        leaking(),
        rows,
        {"attention": "interception", "shapley": "shapley"},
        truth=truth if known else None,
        settings=FAST,
    )
    for row in result.record.verdicts:
        assert row.verdict == {"attention": "misleading", "shapley": "supported"}[row.method], row
