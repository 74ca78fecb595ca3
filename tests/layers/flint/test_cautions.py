"""What a reading of a FLINT warns of: dead attributes and little fidelity, with numbers and mends; else nothing."""

import warnings

import keras
import numpy as np
import pytest

from tests.helpers.flint_by_hand import mixed_data, mixed_flint
from xai_mimo.core.errors import InterpreterWarning
from xai_mimo.layers import FLINT
from xai_mimo.layers.flint.answers import Answer
from xai_mimo.layers.flint.cautions import cautions
from xai_mimo.layers.flint.predictor import PredictorHead

pytestmark = pytest.mark.all_frameworks
DIGIT, INK = PredictorHead("digit", 10, "multiclass", True, None), PredictorHead("ink", 1, "regression", False, None)


def choice(right, rows):
    agrees = np.arange(rows) < right
    return Answer("digit", DIGIT, np.zeros(rows, int), agrees, np.zeros(rows), np.nan, np.ones(rows))


def quantity(r_squared, rows=60):
    return Answer("ink", INK, np.zeros(rows, int), np.zeros(rows, bool), np.ones(rows), r_squared, None)


def relevances(rows=60, dead=()):
    """Of five attributes, each of relevance 1 in its turn."""
    r = np.tile(np.eye(5), (rows // 5 + 1, 1))[None, :rows]
    r[..., list(dead)] = 0
    return r


def test_a_faithful_interpreter_whose_attributes_live_is_read_without_a_word():
    assert cautions([choice(54, 60), quantity(0.9), quantity(np.nan)], relevances()) == []


def test_little_fidelity_is_said_with_its_numbers_and_mends():
    (said,) = cautions([choice(26, 60), quantity(0.99)], relevances())
    assert "the predictor's answer of head 'digit' in 26 of 60 rows (fidelity 0.433), less than 0.9" in said
    for mend in ("more epochs", "'fidelity'", "more attributes", "another layer", "`agrees`"):
        assert mend in said


def test_of_a_quantity_the_variance_is_said_since_its_fidelity_is_strict():
    (said,) = cautions([choice(60, 60), quantity(0.61)], relevances())
    assert "explains 0.610 of the variance of head 'ink' (R squared) in 60 rows, less than 0.9" in said
    assert "Give f a quantity of mean near 0 and standard deviation near 1" in said


def test_of_a_few_rows_no_share_is_judged():
    assert cautions([choice(0, 9), quantity(0.1, 9)], relevances(9)) == []
    assert len(cautions([choice(0, 10), quantity(0.1, 10)], relevances(10))) == 2


def test_dead_attributes_are_named_with_mends():
    (said,) = cautions([choice(60, 60)], relevances(dead=[1, 3]))
    assert said.startswith("2 of 5 attributes are dead, of relevance 0 in all 60 rows: 1, 3.")
    for mend in ("standardise=True", "attribute_activation='leaky_relu'", "'sparsity'", "`num_attributes`"):
        assert mend in said


def test_an_attribute_that_speaks_in_one_row_of_one_head_is_not_dead():
    both = np.concatenate([relevances(dead=[2]), relevances(dead=[2])])
    assert cautions([choice(60, 60)], both)
    both[1, 17, 2] = -0.001
    assert cautions([choice(60, 60)], both) == []


def test_few_rows_call_no_attribute_dead():
    assert cautions([choice(49, 49)], relevances(49, dead=[1])) == []
    assert cautions([choice(50, 50)], relevances(50, dead=[1]))


def caught(model, x):
    """What a model says of rows, and the warnings of ours that it gives with that."""
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        reading = model.interpret(x)
    return reading, [warning for warning in raised if warning.category is InterpreterWarning]


def test_interpret_warns_where_it_was_called(rng):
    reading, found = caught(mixed_flint(), mixed_data(rng, rows=80)[0])
    said = " ".join(str(warning.message) for warning in found)
    shares = {name: float(reading["fidelity"].sel(head=name)) for name in ("kind", "alarm")}
    assert min(shares.values()) < 0.9, "the test needs an interpreter that knows nothing"
    for name, share in shares.items():
        assert (f"head '{name}' in {round(share * 80)} of 80 rows (fidelity {share:.3f})" in said) == (share < 0.9)
    assert all(warning.filename == __file__ for warning in found)


def test_interpret_warns_of_attributes_without_weights_and_of_silent_ones(rng):
    x, _ = mixed_data(rng, rows=80)
    model = mixed_flint(standardise=True)
    kernel = keras.ops.convert_to_numpy(model.networks.interpreter.kernel).copy()
    kernel[3] = 0.0
    model.networks.interpreter.kernel.assign(kernel)
    last = str(caught(model, x)[1][-1].message)
    assert last.startswith("1 of 5 attributes are dead, of relevance 0 in all 80 rows: 3.")
    model.networks.dictionary.get_layer("standardised").scale.assign([1.0, 0.0, 1.0, 1.0, 1.0])
    reading, found = caught(model, x)
    assert str(found[-1].message).startswith("2 of 5 attributes are dead, of relevance 0 in all 80 rows: 1, 3.")
    assert (reading["attributes"].sel(attribute=1) == 0).all()


def test_a_trained_interpreter_warns_of_nothing(rng):
    """It copies a predictor that one attribute a class tells."""
    x = np.repeat(np.eye(3, dtype="float32"), 20, axis=0)
    inputs = keras.Input((3,))
    tap = keras.layers.Activation("linear", name="tap")(inputs)
    head = keras.layers.Dense(3, activation="softmax", kernel_initializer="identity", name="kind")
    model = FLINT(keras.Model(inputs, head(tap)), ["tap"], 3, dictionary=keras.layers.Activation("relu"), seed=0)
    model.networks.interpreter.kernel.assign(np.eye(3))
    assert caught(model, x)[1] == []
