"""Masks that travel on tensors: a cut carries them, they are held, and padding that does not matter gets exactly 0."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from tests.helpers.masked_models import MASKED_MODELS, padded_ids, padded_series
from xai_mimo.core.errors import NotSupported, UnknownName
from xai_mimo.core.held import held_by

L = keras.layers
pytestmark = pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask:UserWarning")


@pytest.fixture(scope="module", params=MASKED_MODELS, ids=str)
def masked(request):
    """A model, adapted, and rows of it."""
    keras.utils.set_random_seed(1)
    model, rows = MASKED_MODELS[request.param]()
    return xm.adapt(model), rows


def test_at_every_layer_the_tail_on_the_activations_is_the_model(masked):
    adapter, rows = masked
    whole = {name: np.asarray(y) for name, y in _answers(adapter.model, rows).items()}
    assert adapter.layers()
    for layer in adapter.layers():
        tail, read = adapter.tail(layer), adapter.activations(rows, layer)
        assert list(read) == [*(s.name for s in tail.streams), *held_by(tail)]
        for part in (slice(None), [2, 0, 2]):
            answers = tail.predict({name: x[part] for name, x in read.items()})
            for head, y in whole.items():
                np.testing.assert_allclose(answers[head], y[part], atol=2e-6, err_msg=layer)


@pytest.mark.parametrize(
    ("name", "layer", "count"),
    [
        ("masks as inputs", "mha", 2),  # not what they are made of
        ("an operation that takes a mask", "dense", 1),
        ("two texts added", "lstm", 1),
        ("two texts added", "emb_second", 1),
    ],
)
def test_masks_are_held_that_are_read_and_no_others(name, layer, count):
    tail = xm.adapt(MASKED_MODELS[name]()[0]).tail(layer)
    assert len(held_by(tail)) == count
    assert not {s.name for s in tail.streams} & {"there", "ones", "tok"}


def _answers(model, rows):
    outputs = model.predict(list(rows.values()) if len(rows) > 1 else next(iter(rows.values())), verbose=0)
    outputs = outputs if isinstance(outputs, list) else [outputs]
    return dict(zip(model.output_names, outputs, strict=True))


def _reader(mask_zero=True, length=6):
    keras.utils.set_random_seed(0)
    ids = keras.Input((length,), dtype="int32", name="tok")
    embedded = L.Embedding(10, 3, mask_zero=mask_zero, name="emb")(ids)
    return keras.Model(ids, L.Dense(1, name="y")(L.LSTM(4, name="lstm")(embedded)))


@pytest.mark.parametrize("method", ["integrated_gradients", "gradient", "shapley", "occlusion"])
def test_padded_steps_get_exactly_0_and_the_others_what_the_unpadded_sequence_gives(method):
    padded, bare = _reader(), _reader(mask_zero=False, length=3)
    bare.set_weights(padded.get_weights())
    ids = padded_ids()[2:4]
    background = np.ones((1, 6), int)
    of_padded = xm.explain(padded, ids, method, at="lstm", background=background)
    of_bare = xm.explain(bare, ids[:, :3], method, at="lstm", background=background[:, :3])
    values = of_padded["tok_encoded"].values
    assert np.abs(values[:, :, 3:]).max() <= (0 if "gradient" in method else 1e-8)
    assert np.abs(values[:, :, :3]).min() > 0
    np.testing.assert_allclose(values[:, :, :3], of_bare["tok_encoded"].values, atol=1e-6)
    np.testing.assert_allclose(of_padded["prediction"], padded.predict(ids, verbose=0).T, atol=1e-6)


def test_rows_of_different_masks_are_explained_each_with_its_own():
    model = xm.adapt(_reader())
    rows = padded_ids()
    together = xm.explain(model, rows, "integrated_gradients", at="lstm")
    for i in range(len(rows)):
        alone = xm.explain(model, rows[i : i + 1], "integrated_gradients", at="lstm")
        for name in ("tok_encoded", "prediction", "completeness_gap"):
            np.testing.assert_allclose(together[name][:, i], alone[name][:, 0], atol=1e-6)
    assert list(together["tok_encoded"].dims) == ["head", "sample", "tok_encoded_time", "tok_encoded_feature"]
    assert not [name for name in together.data_vars if "mask" in name or "equal" in name]


def test_attention_gives_padding_exactly_0(masked_attention):
    model, rows = masked_attention
    for layer in ("ln", "mha"):
        values = xm.explain(model, rows, "integrated_gradients", at=layer)["tok_encoded"].values
        assert (values[:, rows == 0] == 0).all()
        assert np.abs(values[:, rows != 0]).max() > 0.01


@pytest.fixture(scope="module")
def masked_attention():
    keras.utils.set_random_seed(1)
    model, rows = MASKED_MODELS["attention behind a normalisation"]()
    return xm.adapt(model), rows["tok"]


def test_a_comparison_at_a_masked_layer_perturbs_rows_under_their_own_masks():
    model = xm.adapt(_reader())
    rows = padded_ids()
    metrics = ["deletion_area", "conditional_symmetric_gain", "permutation_agreement", "max_sensitivity"]
    compared = xm.compare(model, rows, ["integrated_gradients", "occlusion"], at="lstm", metrics=metrics)
    assert {s.metric for s in compared.record.scores} >= set(metrics) - {"conditional_symmetric_gain"}
    assert [s.name for s in compared.record.space.streams] == ["tok_encoded"]


def test_without_the_masks_the_part_behind_a_cut_refuses_rows():
    model = xm.adapt(_reader())
    read = model.activations(padded_ids(), "lstm")
    with pytest.raises(UnknownName, match=r"'mask by not_equal.*' is missing"):
        model.tail("lstm").predict({"tok_encoded": read["tok_encoded"]})


def test_the_refusal_of_integers_names_the_layer_that_works():
    model = xm.adapt(_reader())
    with pytest.raises(NotSupported, match=r"'tok' holds integers \(int32\).* at='lstm'"):
        xm.explain(model, padded_ids(), "integrated_gradients")
    with pytest.raises(NotSupported, match=r"'tok' holds integers \(int32\).* at='lstm'"):
        xm.explain(model, padded_ids(), "gradient", at="emb")
    assert model.where_floats_begin() == "lstm"


def test_where_no_layer_reads_floats_alone_the_refusal_names_none():
    ids = keras.Input((4,), dtype="int32", name="ids")
    weights = keras.ops.expand_dims(keras.ops.cast(ids, "float32"), -1)
    model = keras.Model(ids, L.Embedding(10, 1, name="emb")(ids) * weights)
    with pytest.raises(NotSupported, match=r"which have none\. Use a method that only asks for predictions"):
        xm.explain(model, np.ones((2, 4), int), "gradient")


def test_layers_of_nested_models_behind_a_mask_are_found_by_name():
    keras.utils.set_random_seed(1)
    model = xm.adapt(MASKED_MODELS["nested"]()[0])
    assert {"L", "inner_mha", "inner_lstm", "inner_dense", "inner_gru"} <= set(model.layers())
    with pytest.raises(UnknownName, match=r"no layer is called 'M'; there are: .*inner_dense"):
        model.tail("M")


@pytest.mark.parametrize("name", ["recurrent", "nested", "two texts"])
def test_a_shuffled_copy_of_a_model_with_masks_is_cut_like_it(name):
    model, rows = MASKED_MODELS[name]()
    adapter = xm.adapt(model)
    copy = adapter.randomised(np.random.default_rng(0))
    assert copy.layers() == adapter.layers()
    layer = copy.layers()[1]
    expected = copy.predict(rows)
    for head, y in copy.tail(layer).predict(copy.activations(rows, layer)).items():
        np.testing.assert_allclose(y, expected[head], atol=2e-6)
    same = adapter.randomised(np.random.default_rng(0), layers=[])
    for head, y in adapter.predict(rows).items():
        np.testing.assert_allclose(same.predict(rows)[head], y, atol=1e-6)


def test_a_mask_that_the_perturbed_layer_makes_is_made_again():
    keras.utils.set_random_seed(1)
    model, rows = MASKED_MODELS["series"]()
    adapter = xm.adapt(model)
    assert held_by(adapter.tail("masking")) == ()
    explained = xm.explain(adapter, {"x": padded_series()}, "occlusion", at="masking")
    np.testing.assert_allclose(explained["prediction"], model.predict(rows["x"], verbose=0).T, atol=1e-6)
