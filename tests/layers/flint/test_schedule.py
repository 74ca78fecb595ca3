"""The weights of FLINT's losses over epochs, as published and scaled, and what the optimiser sees of them."""

import keras
import numpy as np
import pytest

from tests.helpers.flint_by_hand import compiled, mixed_data, mixed_flint
from xai_mimo.layers import FlintSchedule
from xai_mimo.layers.flint.schedule import DEFAULT_WEIGHTS, PUBLISHED, phases, weights_at

pytestmark = pytest.mark.all_frameworks

# What the authors' code switches on, by epoch: reconstruction, fidelity, sparsity, entropy.
TABLES = {
    "mnist": {
        1: (0.8, 0, 0, 0),
        2: (0.8, 0, 0, 0),
        3: (0.8, 0.5, 0.1, 0),
        4: (0.8, 0.5, 0.1, 0),
        5: (0.8, 0.5, 0.1, 0.2),
    },
    "quickdraw": {
        1: (5, 0, 0, 0),
        2: (5, 0, 0.02, 0),
        3: (5, 0.1, 0.3, 0),
        4: (5, 0.1, 0.3, 0.1),
        12: (5, 0.1, 0.3, 0.1),
    },
    "cifar10": {
        1: (2, 0, 0, 0),
        2: (2, 0, 0.001, 0),
        3: (2, 0.6, 0.15, 0),
        4: (2, 0.6, 0.15, 0.2),
        25: (2, 0.6, 0.15, 0.2),
    },
}
NAMES = ("reconstruction", "fidelity", "sparsity", "entropy")


@pytest.mark.parametrize("name", TABLES)
def test_published_schedules_are_those_of_the_table(name):
    for epoch, values in TABLES[name].items():
        assert weights_at(PUBLISHED[name], epoch) == dict(zip(NAMES, values, strict=True))


def test_phases_of_twelve_epochs_are_the_published_ones_and_others_scale():
    assert [weights_at(phases(DEFAULT_WEIGHTS, 12), e) for e in range(1, 13)] == [
        weights_at(PUBLISHED["mnist"], e) for e in range(1, 13)
    ]
    long = phases(DEFAULT_WEIGHTS, 40)
    assert sorted(long) == [1, 7, 14]
    assert weights_at(phases(DEFAULT_WEIGHTS, 1), 1) == DEFAULT_WEIGHTS


def trained(callback, epochs=5, **settings):
    """A model after some epochs, and what was logged."""
    x, y = mixed_data(np.random.default_rng(0), rows=16)
    model = compiled(mixed_flint(**settings))
    history = model.fit(x, y, batch_size=8, epochs=epochs, verbose=0, callbacks=callback).history
    return model, history


def test_logged_weights_are_the_schedule_and_heads_have_their_factors():
    model, history = trained(FlintSchedule("mnist"), head_weights={"load": 0.5})
    expected = [weights_at(PUBLISHED["mnist"], epoch) for epoch in range(1, 6)]
    for name in ("reconstruction", "sparsity", "entropy"):
        np.testing.assert_allclose(history[f"{name}_weight"], [w[name] for w in expected], rtol=1e-6)
    np.testing.assert_allclose(history["fidelity_kind_weight"], [w["fidelity"] for w in expected], rtol=1e-6)
    np.testing.assert_allclose(history["fidelity_load_weight"], [0.5 * w["fidelity"] for w in expected], rtol=1e-6)
    assert all(np.isfinite(history[name]).all() for name in ("reconstruction", "sparsity", "entropy", "fidelity_alarm"))
    assert model.term_weights()["entropy"] == pytest.approx(0.2)


def test_schedule_argument_is_used_by_fit_without_a_callback():
    _, history = trained(None, schedule={1: {"entropy": 0.0}, 3: {"entropy": 0.7}}, epochs=4)
    np.testing.assert_allclose(history["entropy_weight"], [0, 0, 0.7, 0.7], rtol=1e-6)
    np.testing.assert_allclose(history["fidelity_kind_weight"], [0.5] * 4, rtol=1e-6)


def test_weights_change_without_a_new_graph():
    x, y = mixed_data(np.random.default_rng(0), rows=16)
    model, calls = compiled(mixed_flint()), []
    entropy = model.networks.terms["entropy"]
    traced = entropy.call
    entropy.call = lambda *args, **kwargs: (calls.append(1), traced(*args, **kwargs))[1]
    model.fit(x, y, batch_size=8, epochs=1, verbose=0)
    once = len(calls)
    model.fit(x, y, batch_size=8, epochs=6, verbose=0)
    assert once > 0
    assert len(calls) == once or keras.backend.backend() == "torch"


def test_the_loss_is_the_weighted_sum_of_terms_and_the_predictors_losses():
    x, y = mixed_data(np.random.default_rng(1), rows=16)
    model = compiled(mixed_flint(schedule=None))
    both = model.evaluate(x, y, batch_size=16, verbose=0)
    model.set_term_weights(dict.fromkeys(NAMES, 0.0))
    alone = model.evaluate(x, y, batch_size=16, verbose=0)
    parts = {}
    for name in NAMES:
        model.set_term_weights({**dict.fromkeys(NAMES, 0.0), name: 1.0})
        parts[name] = model.evaluate(x, y, batch_size=16, verbose=0)[0] - alone[0]
    expected = alone[0] + sum(DEFAULT_WEIGHTS[name] * parts[name] for name in NAMES)
    np.testing.assert_allclose(both[0], expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("mnst", "Expected `schedule` to be 'phases', None, one of 'mnist', 'quickdraw', 'cifar10' or a mapping"),
        ({}, "Expected `schedule` to be"),
        ({0: {"entropy": 1}}, "epochs of 1 or more as keys. Received: 0"),
        ({1.5: {"entropy": 1}}, "epochs of 1 or more as keys. Received: 1.5"),
        (
            {1: {"entrpy": 1}},
            "numbers of 0 or more for reconstruction, fidelity, sparsity, entropy. Received: entrpy=1",
        ),
        ({1: {"entropy": -1}}, "Received: entropy=-1"),
        ({1: {"entropy": float("nan")}}, "Received: entropy=nan"),
        ({1: {"entropy": "0.2"}}, "Received: entropy='0.2'"),
    ],
)
def test_schedules_are_checked(schedule, text):
    with pytest.raises(ValueError, match=text.replace("(", r"\(")):
        FlintSchedule(schedule)
