"""What FLINT says over many rows: contributions, relevances, answers and fidelity against slow formulas."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tests.helpers.flint_by_hand import HEADS, mixed_data, mixed_flint, mixed_predictor, sigmoid, softmax
from xai_mimo.layers import FLINT, maximum_activating_samples
from xai_mimo.layers.flint.summary import relevance

# Interpreters that were never trained say little of their predictor; `test_cautions` reads the warning.
pytestmark = [pytest.mark.all_frameworks, pytest.mark.filterwarnings("ignore::xai_mimo.core.errors.InterpreterWarning")]


@pytest.fixture(scope="module")
def read():
    """A model of three kinds of heads, 23 rows, labels and what the model says of them."""
    model = mixed_flint()
    x, y = mixed_data(np.random.default_rng(5), rows=23)
    alarm = float(model.interpret(x)["score"].sel(target="alarm:0").median())
    model.networks.interpreter.bias.assign([0, 0, 0, -alarm, 0, 0])  # so that it answers no and yes
    return model, x, y, model.interpret(x, batch_size=7, threshold=0.3)


def test_contributions_and_bias_sum_to_the_scores(read):
    _, _, _, found = read
    for head, unit in zip(found["head"].values, found["unit"].values, strict=True):
        names = [f"{str(head).split(':')[0]}:{u}" for u in unit]
        scores = [float(found["score"].sel(target=t)[n]) for n, t in enumerate(names)]
        total = found["contribution"].sel(head=head).values.sum(axis=1)
        np.testing.assert_allclose(total + found["bias"].sel(target=names).values, scores, atol=1e-5)


def test_relevance_and_its_readings_equal_the_slow_formulas(read):
    _, _, _, found = read
    phi, weight = found["attributes"].values, found["weight"]
    for e, head in enumerate(found["head"].values):
        kind = str(head).split(":")[0]
        for n in range(23):
            w = weight.sel(target=f"{kind}:{int(found['unit'][e, n])}").values
            alpha = [phi[n, j] * w[j] for j in range(5)]
            largest = max(map(abs, alpha))
            r = np.array([a / largest if largest else 0.0 for a in alpha])
            np.testing.assert_allclose(found["relevance"].values[e, n], r, atol=1e-12)
            score = float(found["score"].sel(target=f"{kind}:{int(found['unit'][e, n])}")[n])
            speaks = {"kind": r, "alarm": r if score > 0 else -r, "load": np.abs(r)}[kind]
            np.testing.assert_array_equal(found["local"].values[e, n], speaks > 0.3)


def test_answers_of_classes_are_those_of_the_interpreter(read):
    model, x, _, found = read
    outputs = model.predict(x, verbose=0)
    scores = {h: np.stack([found["score"].sel(target=f"{h}:{u}") for u in range(n)], 1) for h, n in HEADS.items()}
    np.testing.assert_array_equal(found["unit"].sel(head="kind"), scores["kind"].argmax(1))
    agrees = scores["kind"].argmax(1) == outputs["kind"].argmax(1)
    np.testing.assert_array_equal(found["agrees"].sel(head="kind"), agrees)
    assert 0 < agrees.sum() < len(agrees), "the test needs rows of both sorts"
    np.testing.assert_allclose(found["fidelity"].sel(head="kind"), agrees.mean())
    distance = 0.5 * np.abs(outputs["kind"] - softmax(scores["kind"])).sum(1)
    np.testing.assert_allclose(found["distance"].sel(head="kind"), distance, atol=1e-6)


def test_answers_of_yes_and_no_and_of_quantities(read):
    model, x, _, found = read
    outputs = model.predict(x, verbose=0)
    alarm = found["score"].sel(target="alarm:0").values
    np.testing.assert_array_equal(found["agrees"].sel(head="alarm"), (alarm > 0) == (outputs["alarm"][:, 0] > 0.5))
    np.testing.assert_allclose(
        found["distance"].sel(head="alarm"), np.abs(outputs["alarm"][:, 0] - sigmoid(alarm)), atol=1e-6
    )
    for unit in (0, 1):
        f, g = outputs["load"][:, unit], found["score"].sel(target=f"load:{unit}").values
        np.testing.assert_allclose(found["distance"].sel(head=f"load:{unit}"), np.abs(f - g), atol=1e-5)
        near = np.abs(f.astype("float64") - g) <= 0.1  # of a deviation, 1 before training
        np.testing.assert_array_equal(found["agrees"].sel(head=f"load:{unit}"), near)
        slow = 1 - sum((a - b) ** 2 for a, b in zip(f, g, strict=True)) / sum((a - f.mean()) ** 2 for a in f)
        np.testing.assert_allclose(found["r_squared"].sel(head=f"load:{unit}"), slow, rtol=1e-5)
    assert np.isnan(found["r_squared"].sel(head=["kind", "alarm"])).all()


def test_quantities_agree_within_a_share_of_their_deviation_in_training_whatever_rows_stand_beside():
    x, _ = mixed_data(np.random.default_rng(5), rows=23)
    model = mixed_flint(post_hoc=True)
    model.compile("adam")
    model.fit(x, batch_size=23, verbose=0)
    found = model.interpret(x, tolerance=0.6)
    for head in ("load:0", "load:1"):
        deviation, agrees = found["output"].sel(target=head).values.std(), found["agrees"].sel(head=head)
        np.testing.assert_array_equal(agrees, found["distance"].sel(head=head) <= 0.6 * deviation)
        assert 0 < agrees.sum() < 23, "the test needs rows of both sorts"
    for n in range(0, 23, 4):
        alone = model.interpret(x[n : n + 1], tolerance=0.6)
        np.testing.assert_array_equal(alone["agrees"][:, 0], found["agrees"][:, n])
        assert np.isnan(alone["r_squared"]).all()


def test_fidelity_bounds_the_accuracy_of_the_interpreter(read):
    model, x, y, found = read
    of_f = (model.predict(x, verbose=0)["kind"].argmax(1) == y["kind"]).mean()
    of_g = (found["unit"].sel(head="kind").values == y["kind"]).mean()
    assert of_g >= of_f + float(found["fidelity"].sel(head="kind")) - 1 - 1e-12


def test_global_relevance_is_the_mean_of_the_locals_of_a_class(read):
    _, _, _, found = read
    r, unit = found["relevance"].sel(head="kind").values, found["unit"].sel(head="kind").values
    for c in range(3):
        expected = r[unit == c].mean(0) if (unit == c).any() else np.full(5, np.nan)
        np.testing.assert_allclose(found["global_relevance"].sel({"class": f"kind:{c}"}), expected, atol=1e-12)
        assert int(found["class_rows"].sel({"class": f"kind:{c}"})) == (unit == c).sum()
    yes = found["score"].sel(target="alarm:0").values > 0
    r = found["relevance"].sel(head="alarm").values
    assert 0 < yes.sum() < len(yes), "the test needs rows of both sorts"
    for label, rows, sign in (("0", ~yes, -1), ("1", yes, 1)):
        expected = (sign * r[rows]).mean(0) if rows.any() else np.full(5, np.nan)
        np.testing.assert_allclose(found["global_relevance"].sel({"class": f"alarm:{label}"}), expected, atol=1e-12)
    whole = found["relevance"].sel(head="load:1").values.mean(0)
    np.testing.assert_allclose(found["global_relevance"].sel({"class": "load:1"}), whole, atol=1e-12)
    used = found["attribute_use"].sel({"class": "load:1"}).values
    np.testing.assert_array_equal(used, np.abs(whole) > 0.3)


def test_a_class_that_is_never_given_has_no_relevance_and_uses_nothing():
    model = mixed_flint()
    model.networks.interpreter.bias.assign([-1e6, 0, 0, 0, 0, 0])
    found = model.interpret(mixed_data(np.random.default_rng(0))[0])
    never = found.sel({"class": "kind:0"})
    assert int(never["class_rows"]) == 0
    assert np.isnan(never["global_relevance"]).all()
    assert not never["attribute_use"].any()


def test_conciseness_grows_with_tau_and_counts_the_local_sets(read):
    _, _, _, found = read
    curve = found["conciseness"].values
    assert (np.diff(curve, axis=1) >= 0).all()
    r = found["relevance"].sel(head="kind").values
    for i, tau in enumerate(found["tau"].values):
        assert curve[0, i] == (r > 1 / tau).sum(1).mean()
    one = (r > 0).any(axis=1)
    assert curve[0, 0] >= ((r > 1 / 1.5).any(1)).mean()
    assert one.any()


@given(arrays("float64", (4, 5), elements=st.floats(-100, 100)), st.floats(0.01, 100))
@settings(max_examples=50, deadline=None)
def test_relevance_is_bounded_keeps_signs_and_ignores_the_scale(alpha, scale):
    r = relevance(alpha)
    largest = np.abs(alpha).max(axis=1)
    np.testing.assert_allclose(np.abs(r).max(axis=1), largest > 0)
    tiny = np.abs(alpha) < 1e-290 * np.maximum(largest, 1)[:, None]  # a quotient that underflows
    np.testing.assert_array_equal(np.sign(r)[~tiny], np.sign(alpha)[~tiny])
    keeps_digits = largest > 1e-290  # where scaling loses none to underflow
    np.testing.assert_allclose(relevance(scale * alpha)[keeps_digits], r[keeps_digits], atol=1e-9)
    wide, narrow = r > 1 / 5, r > 1 / 1.5
    assert (wide | ~narrow).all()


def test_rows_do_not_depend_on_the_batch_and_reading_twice_gives_the_same(read):
    model, x, _, found = read
    again = model.interpret(x, batch_size=23, threshold=0.3)
    for name in found.data_vars:
        # float32 matrix products of other batch sizes are summed in another order
        np.testing.assert_allclose(again[name], found[name], rtol=1e-5, atol=1e-5, err_msg=name)
    same = model.interpret(x, batch_size=7, threshold=0.3)
    assert same.equals(found)


def test_reconstruction_error_is_the_mean_over_the_inputs_and_attributes_can_be_switched_off(read):
    model, x, _, found = read
    rebuilt = model.reconstruct(x)
    np.testing.assert_allclose(found["reconstruction_error"], np.square(rebuilt - x).mean(1), rtol=1e-4)
    phi = found["attributes"].values.copy()
    off = int(phi.mean(0).argmax())
    phi[:, off] = 0
    expected = keras.ops.convert_to_numpy(model.networks.decoder(phi.astype("float32")))
    np.testing.assert_allclose(model.reconstruct(x, without=[off]), expected, atol=1e-5)
    assert np.abs(rebuilt - expected).max() > 1e-3


def test_reconstruction_error_of_several_inputs_is_the_mean_over_them(rng):
    inputs = {"series": keras.Input((5, 2), name="series"), "table": keras.Input((3,), name="table")}
    flat = keras.layers.Concatenate(name="tap")([keras.layers.Flatten()(inputs["series"]), inputs["table"]])
    model = FLINT(keras.Model(inputs, keras.layers.Dense(2, "softmax", name="y")(flat)), ["tap"], 4, seed=1)
    x = {"series": rng.normal(size=(6, 5, 2)).astype("float32"), "table": rng.normal(size=(6, 3)).astype("float32")}
    rebuilt = model.reconstruct(x)
    slow = [np.mean([np.square(rebuilt[name][n] - x[name][n]).mean() for name in x]) for n in range(6)]
    np.testing.assert_allclose(model.interpret(x)["reconstruction_error"], slow, rtol=1e-4)


def test_maximum_activating_samples_are_the_largest_of_the_true_class(read):
    _, _, y, found = read
    chosen = maximum_activating_samples(found, {"kind": y["kind"], "alarm": y["alarm"]}, count=2)
    assert chosen.dims == ("class", "attribute", "rank")
    pairs = 0
    for c, label in enumerate(found["class"].values):
        for j in range(5):
            rows = chosen.values[c, j]
            if not found["attribute_use"].values[c, j]:
                assert (rows == -1).all()
                continue
            pairs += 1
            head, _, answer = str(label).partition(":")
            if head != "load":
                true = np.asarray(y[head]).reshape(-1) == int(answer)
            else:
                true = np.ones(23, bool)
            phi = np.where(true, found["attributes"].values[:, j], -np.inf)
            np.testing.assert_array_equal(phi[rows], np.sort(phi)[::-1][:2])
    assert pairs > 2


def test_maximum_activating_samples_of_several_labels(rng):
    inputs = keras.Input((3,))
    tap = keras.layers.Dense(4, name="tap")(inputs)
    f = keras.Model(inputs, keras.layers.Dense(2, activation="sigmoid", name="tags")(tap))
    found = FLINT(f, ["tap"], 3, seed=0).interpret(rng.normal(size=(9, 3)).astype("float32"), threshold=0.0)
    assert list(found["class"].values) == ["tags:0=0", "tags:0=1", "tags:1=0", "tags:1=1"]
    y = np.stack([np.arange(9) % 2, np.zeros(9, int)], axis=1)
    chosen = maximum_activating_samples(found, {"tags": y}, count=5)
    assert set(chosen.sel({"class": "tags:0=1"}).values.ravel()) <= {-1, 1, 3, 5, 7}
    assert (chosen.sel({"class": "tags:1=1"}).values == -1).all()
    with pytest.raises(ValueError, match=r"Expected labels of shape \(9, 2\) for head 'tags', true classes"):
        maximum_activating_samples(found, {"tags": y[:, 0]})


def test_labels_of_samples_are_checked(read):
    _, _, y, found = read
    with pytest.raises(
        ValueError, match=r"labels of shape \(23,\) for head 'alarm', true classes. Received: shape=\(0,\)"
    ):
        maximum_activating_samples(found, {"kind": y["kind"]})
    with pytest.raises(ValueError, match=r"`count` to be an integer of 1 or more\. Received: count=0"):
        maximum_activating_samples(found, y, count=0)


@pytest.mark.parametrize(
    ("given_", "text"),
    [
        ({"threshold": 1.0}, r"Expected `threshold` to be in \[0, 1\). Received: threshold=1.0"),
        ({"taus": [0.5]}, "Expected `taus` to be numbers of 1 or more"),
        ({"taus": []}, "Expected `taus` to be numbers of 1 or more"),
        ({"taus": [float("nan")]}, "Expected `taus` to be numbers of 1 or more"),
        ({"tolerance": -1}, "Expected `tolerance` to be 0 or more"),
    ],
)
def test_settings_are_checked(read, given_, text):
    model, x, _, _ = read
    with pytest.raises(ValueError, match=text):
        model.interpret(x, **given_)


def test_rows_and_attributes_are_checked(read):
    model, x, _, _ = read
    with pytest.raises(ValueError, match="Expected at least one row"):
        model.interpret(x[:0])
    with pytest.raises(ValueError, match=r"Expected `without` to name attributes from 0 to 4. Received: \[5\]"):
        model.reconstruct(x, without=[1, 5])
    with pytest.raises(ValueError, match=r"Received: \[1.5\]"):
        model.reconstruct(x, without=[1.5])
    bare = mixed_flint(predictor=mixed_predictor(), decoder=False)
    assert "reconstruction_error" not in bare.interpret(x)
    with pytest.raises(ValueError, match="Expected a model with a decoder"):
        bare.reconstruct(x)


def test_values_that_are_not_finite_are_told_with_their_row(read):
    model, x, _, _ = read
    broken = x.copy()
    broken[3, 1] = np.nan
    # Some kernels of ReLU make 0 of NaN: then the predictor's own outputs tell it.
    told = r"Expected finite (attributes|outputs of head 'kind'). Received: NaN or infinity in 1 of 23 rows, the first is row 3"
    with pytest.raises(ValueError, match=told):
        model.interpret(broken)
