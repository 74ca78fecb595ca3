"""Methods that need positions keep the contract of methods: on a network of pictures, and on maps that are given."""

import keras
import numpy as np
import pytest

from tests.helpers.keras_weights import with_weights
from tests.helpers.mapped import Mapped, rows_for
from xai_mimo import adapt
from xai_mimo.explainers import CAM, GradCAM, PositionMaps
from xai_mimo.testing import check_method


@pytest.fixture(scope="module")
def pictures():
    image = keras.Input((6, 6, 2), name="image")
    code = keras.layers.Conv2D(4, 2, strides=2, activation="tanh", name="conv")(image)
    kind = keras.layers.Dense(3, name="kind")(keras.layers.GlobalAveragePooling2D(name="pool")(code))
    x = np.random.default_rng(2).standard_normal((5, 6, 6, 2)).astype("float32")
    return adapt(with_weights(keras.Model(image, kind))), x


@pytest.mark.parametrize("method", [GradCAM(), GradCAM(positive=False), CAM()], ids=repr)
def test_maps_of_activations(method, pictures):
    check_method(method, *pictures, uses_background=False, tolerance=1e-5)


@pytest.mark.all_frameworks
@pytest.mark.parametrize("method", [PositionMaps(), PositionMaps(nonnegativity="none", fusion="product")], ids=repr)
def test_maps_that_layers_give(method, rng):
    model = Mapped({"net/low": rng.standard_normal((5, 4, 6, 3)), "net/high": rng.standard_normal((5, 2, 3, 3))})
    check_method(method, model, rows_for(model, 5), zero_where_unused=False, uses_background=False)
