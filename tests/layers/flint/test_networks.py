"""FLINT's networks: bins and initial weights as in torch, sizes as in the authors' code, shapes that fit."""

import keras
import numpy as np
import pytest
from keras import ops

from tests.helpers.frameworks import needs
from xai_mimo.layers.flint.networks import BinAverage, as_torch, default_decoder, default_dictionary

pytestmark = pytest.mark.all_frameworks


@needs("torch")
@pytest.mark.parametrize("length", [1, 2, 3, 4, 7, 14])
def test_bins_are_those_of_torch(length, rng):
    import torch

    x = rng.normal(size=(2, length, 5, 4)).astype("float32")
    ours = ops.convert_to_numpy(BinAverage(3)(ops.convert_to_tensor(x)))
    size = (min(3, length), 3)
    theirs = torch.nn.functional.adaptive_avg_pool2d(torch.tensor(x).permute(0, 3, 1, 2), size).permute(0, 2, 3, 1)
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-6)


def test_bins_of_sequences_equal_the_slow_means(rng):
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    ours = ops.convert_to_numpy(BinAverage(3)(ops.convert_to_tensor(x)))
    slow = np.stack([x[:, 0:2].mean(1), x[:, 1:3].mean(1), x[:, 2:4].mean(1)], axis=1)
    np.testing.assert_allclose(ours, slow, atol=1e-6)


def test_kernels_are_drawn_as_torch_draws_them():
    drawn = ops.convert_to_numpy(as_torch(1)((100, 200)))
    assert np.abs(drawn).max() <= 0.1
    np.testing.assert_allclose(drawn.std(), 0.1 / np.sqrt(3), rtol=0.05)


def test_networks_for_mnist_have_as_many_weights_as_the_authors():
    assert default_dictionary([(None, 14, 14, 32)], 25).count_params() == 32_921
    assert default_decoder([(None, 28, 28, 1)], 25).count_params() == 2_773


@pytest.mark.parametrize(
    "shapes",
    [
        [(None, 6)],
        [(None, 5, 3)],
        [(None, None, 3)],
        [(None, 4, 4, 2)],
        [(None, None, None, 2)],
        [(None, 8, 8, 2), (None, 4, 4, 3), (None, 6)],
    ],
)
def test_dictionary_reads_vectors_sequences_images_and_several_of_them(shapes, rng):
    model = default_dictionary(shapes, 7, seed=0)
    x = [rng.normal(size=(3, *(n or 5 for n in shape[1:]))).astype("float32") for shape in shapes]
    found = ops.convert_to_numpy(model(x[0] if len(x) == 1 else x))
    assert found.shape == (3, 7)
    assert (found >= 0).all()
    assert (found > 0).any()


def test_the_seed_decides_the_weights():
    first, same, other = (default_dictionary([(None, 6)], 3, seed=s).get_weights() for s in (1, 1, 2))
    np.testing.assert_array_equal(first[0], same[0])
    assert (first[0] != other[0]).all()
    assert not np.array_equal(first[0][:, :3], first[2][:6])


@pytest.mark.parametrize("shape", [(5,), (6, 2), (8, 8, 1), (18, 16, 3), (16, 20, 3)])
def test_decoder_gives_the_shape_of_each_input(shape):
    model = default_decoder([(None, *shape), (None, 3)], 4)
    assert [tuple(t.shape) for t in model.outputs] == [(None, *shape), (None, 3)]


@pytest.mark.parametrize("shape", [(None,), (None, 2, 2, 2, 2), (None, 4, None)])
def test_taps_that_the_default_cannot_read_are_refused(shape):
    with pytest.raises(ValueError, match=r"vectors, sequences or images .* Give your own `dictionary`"):
        default_dictionary([shape], 3)


def test_bins_are_a_keras_layer():
    layer = BinAverage(2, name="bins")
    assert BinAverage.from_config(layer.get_config()).bins == 2
    for shape in ((None, 5, 3), (None, 5, 1, 3)):
        assert layer.compute_output_shape(shape) == tuple(layer(keras.Input(shape[1:])).shape)
