"""From a plain residual network to its maps: equip, fit, read, save."""

import keras
import numpy as np
import pytest

import xai_mimo as xm
from xai_mimo.layers import add_mhex, read_saliency, small_resnet


@pytest.mark.slow
def test_equipped_network_learns_where_a_bright_square_is(rng, tmp_path):
    corner = rng.integers(0, 2, 128)  # class 1: the bright square lies on the right
    x = rng.normal(0, 0.1, (128, 8, 8, 1)).astype("float32")
    for image, right in zip(x, corner, strict=True):
        image[2:5, 4 * right : 4 * right + 3] += 1.0
    keras.utils.set_random_seed(0)
    model = add_mhex(small_resnet((8, 8, 1), 2, widths=(4,)), kinds="multiclass")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss, metrics=["accuracy"])
    model.fit(x, corner, batch_size=32, epochs=12, verbose=0)
    assert model.evaluate(x, corner, verbose=0)[1] > 0.9

    network = model.inference()
    found = read_saliency(network, x[:16])
    assert dict(found["saliency"].sizes) == {"head": 1, "sample": 16, "height": 8, "width": 8}
    assert found["saliency"].min() >= 0
    assert found["saliency"].max() <= 1
    network.save(tmp_path / "network.keras")
    again = read_saliency(keras.saving.load_model(tmp_path / "network.keras"), x[:16])
    np.testing.assert_allclose(again["saliency"], found["saliency"], atol=1e-6)
    adapted = xm.adapt(network, heads={"logits": "multiclass"})
    as_method = xm.explain(adapted, x[:16], method="position_maps")["image"].sum("image_channel")
    np.testing.assert_allclose(as_method, found["saliency"], atol=1e-5)
    maps = xm.intercept(network, x[:16])
    completed = maps["block_1_mhex/class_map"].mean(["block_1_mhex_height", "block_1_mhex_width"])
    np.testing.assert_allclose(completed, maps["block_1_mhex/logits"], atol=1e-5)
