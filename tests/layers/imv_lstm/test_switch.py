"""Do the importances of a trained IMV-LSTM find what is planted? Two synthetic tasks with known truth.

Four exogenous AR(1) series (rho 0.5, unit variance) and the target's own history, windows of 8 steps, target standardised:

- SWITCH: y_t = 2 x1_{t-2} with probability 0.6, else -2 x2_{t-1}; plus noise. True importances (0.6, 0.4, 0, 0, 0).
- ADD: y_t = x1_{t-2} + 0.6 x2_{t-1}; plus noise.
"""

import keras
import numpy as np
import pytest

from xai_mimo.layers import IMVLSTM, MixtureMean, MixtureNLL, em_bound, summarise

pytestmark = [pytest.mark.slow, pytest.mark.all_frameworks]
STEPS = 8


def windows(task, seed, length=2600):
    """Inputs ``(rows, 8, 5)`` and targets ``(rows, 1)``, the first 80 % for training."""
    rng = np.random.default_rng(seed)
    shocks = np.sqrt(0.75) * rng.normal(size=(length, 4))
    x = np.zeros((length, 4))
    x[0] = rng.normal(size=4)
    for t in range(1, length):
        x[t] = 0.5 * x[t - 1] + shocks[t]
    first = rng.random(length) < 0.6
    x1, x2 = np.roll(x[:, 0], 2), np.roll(x[:, 1], 1)
    y = np.where(first, 2 * x1, -2 * x2) if task == "switch" else x1 + 0.6 * x2
    y = (y + 0.1 * rng.normal(size=length))[2:]
    table = np.column_stack([x[2:], (y - y.mean()) / y.std()]).astype("float32")
    inputs = np.stack([table[t - STEPS : t] for t in range(STEPS, len(table))])
    targets = table[STEPS:, -1:]
    cut = int(0.8 * len(inputs))
    return (inputs[:cut], targets[:cut]), (inputs[cut:], targets[cut:])


class BoundHolds(keras.callbacks.Callback):
    """Compares Eq. 9 with the likelihood on the same rows after each epoch."""

    def __init__(self, x, y):
        super().__init__()
        self.rows, self.gaps = (x, y), []

    def on_epoch_end(self, epoch, logs=None):
        x, y = self.rows
        parameters = self.model(x, training=False)
        likelihood = MixtureNLL(reduction="sum")(y, parameters)
        gap = keras.ops.sum(em_bound(y, parameters)) - likelihood
        self.gaps.append(float(keras.ops.convert_to_numpy(gap)))


def train(task, seed, variant="tensor", columns=(0, 1, 2, 3, 4)):
    """Importances, root mean squared error on the last rows, and the gap of the bound after each epoch."""
    (x, y), (x_test, y_test) = windows(task, seed)
    x, x_test = x[..., columns], x_test[..., columns]
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(x.shape[1:])
    mixture = IMVLSTM(8, variant, output="mixture", logit_activation="linear")(inputs)
    model = keras.Model(inputs, mixture)
    model.compile(keras.optimizers.Adam(1e-2), MixtureNLL())
    bound = BoundHolds(x[:128], y[:128])
    model.fit(x, y, epochs=60, batch_size=128, verbose=0, callbacks=[bound])
    prediction = keras.Model(inputs, MixtureMean()(mixture)).predict(x_test, verbose=0)
    error = float(np.sqrt(np.mean((prediction - y_test) ** 2)))
    return summarise(model, x, y)["posterior_importance"][0].values, error, bound.gaps


def test_switch_finds_the_planted_shares_and_the_variables_worth_keeping():
    importance, error, gaps = train("switch", 0)
    assert abs(importance[0] - 0.6) <= 0.06
    assert abs(importance[1] - 0.4) <= 0.06
    assert importance[2:].sum() <= 0.03
    assert len(gaps) == 60
    assert min(gaps) >= 0
    ranked = np.argsort(importance[:4])[::-1]
    _, top, _ = train("switch", 0, columns=(*ranked[:2], 4))
    _, bottom, _ = train("switch", 0, columns=(*ranked[2:], 4))
    assert top <= 1.1 * error
    assert bottom >= 1.2 * error


def test_imv_tensor_ranks_the_variables_of_a_sum():
    importance, _, _ = train("add", 0)
    assert importance[0] > importance[1] > 0.2
    assert importance[2:].sum() < 0.05


def test_imv_full_may_give_most_importance_to_a_variable_that_does_not_matter():
    """Its gates see all variables: it predicts well, and its importances say nothing reliable."""
    found = [train("add", seed, "full") for seed in (0, 1, 2)]
    assert max(error for _, error, _ in found) < 0.2
    assert max(importance[2:].sum() for importance, _, _ in found) > 0.3
