"""Every layer and model of ours inside a small model, for tests of what Keras expects of all of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import layers

from xai_mimo.layers import (
    FLINT,
    IMVLSTM,
    MAIL,
    IdentityMLP,
    IMVFullCell,
    IMVTensorCell,
    InterpreterHead,
    MHEXHead,
    MIMOAttentionLayer,
    MixtureMean,
    add_mhex,
    small_encoder,
    small_resnet,
)
from xai_mimo.layers.flint.networks import BinAverage
from xai_mimo.layers.precision import precise_dtype

ROWS = 4


@dataclass(frozen=True)
class Case:
    """A model that holds a layer of ours.

    Attributes:
        name: of the test.
        make: makes a new model of new layers.
        shapes: of the inputs without the rows; whole numbers below ``vocabulary`` where that is not 0.
    """

    name: str
    make: Callable[[], Any]
    shapes: tuple[tuple[int, ...], ...]
    vocabulary: int = 0

    def inputs(self, rows: int = ROWS, seed: int = 0) -> Any:
        draws = np.random.default_rng(seed)
        drawn = [
            draws.integers(1, self.vocabulary, size=(rows, *shape)).astype("int32")
            if self.vocabulary
            else draws.uniform(-1, 1, size=(rows, *shape)).astype("float32")
            for shape in self.shapes
        ]
        return drawn if len(drawn) > 1 else drawn[0]

    def __str__(self) -> str:
        return self.name


def around(layer: Any, *shapes: tuple[int | None, ...], masked: bool = False) -> keras.Model:
    """A functional model of one layer; ``masked``, steps of zeros are masked."""
    inputs = [keras.Input(shape, name=f"input_{i}") for i, shape in enumerate(shapes)]
    read = [layers.Masking()(tensor) for tensor in inputs] if masked else inputs
    return keras.Model(_one_or_all(inputs), layer(_one_or_all(read)))


def _one_or_all(values: list[Any]) -> Any:
    return values if len(values) > 1 else values[0]


def _recurrent(cell: Any) -> keras.Model:
    return around(layers.RNN(cell), (3, 2))


def _mixture() -> keras.Model:
    inputs = keras.Input((3, 2), name="input_0")
    return keras.Model(inputs, MixtureMean()(IMVLSTM(2, output="mixture")(inputs)))


def flint(*, post_hoc: bool) -> keras.Model:
    """Over an image, with a tap that is averaged into bins."""
    image = keras.Input((4, 4, 1), name="input_0")
    tap = layers.Conv2D(2, 3, padding="same", activation="tanh", name="tap")(image)
    heads = {name: layers.Dense(2, name=name)(layers.Flatten()(tap)) for name in ("one", "two")}
    predictor = keras.Model(image, heads)
    return FLINT(predictor, ["tap"], 3, kinds=dict.fromkeys(heads, "regression"), post_hoc=post_hoc, schedule=None)


def _supervised() -> keras.Model:
    return add_mhex(small_resnet((4, 4, 1), 2, widths=(2, 2)), kinds="regression")


def _tokens() -> keras.Model:
    return add_mhex(small_encoder(7, 5, 2, width=4, attention_heads=1, blocks=1), kinds="regression").inference()


HEADS = {"a": 1, "b": 2}

CASES = (
    Case("MAIL", lambda: around(MAIL(HEADS, 3), (3,), (2,)), ((3,), (2,))),
    Case(
        "MAIL over steps",
        lambda: around(MAIL(HEADS, 3, "local", "sparsemax", streams="hierarchical", rescale=True), (5, 3), (5, 2)),
        ((5, 3), (5, 2)),
    ),
    Case("MIMOAttentionLayer", lambda: around(MIMOAttentionLayer(2, [1, 2], 3), (3,), (2,)), ((3,), (2,))),
    Case("IMVLSTM tensor", lambda: around(IMVLSTM(2, "tensor", hidden_layer=True), (3, 2)), ((3, 2),)),
    Case("IMVLSTM full", lambda: around(IMVLSTM(2, "full", HEADS, output="mixture"), (3, 2)), ((3, 2),)),
    Case("MixtureMean", _mixture, ((3, 2),)),
    Case("IMVTensorCell", lambda: _recurrent(IMVTensorCell(2, 3)), ((3, 2),)),
    Case("IMVFullCell", lambda: _recurrent(IMVFullCell(2, 3)), ((3, 2),)),
    Case(
        "IdentityMLP",
        lambda: around(IdentityMLP(depth=2, heads=HEADS, scale=(-1, 1), identity_penalty=0.1), (3,)),
        ((3,),),
    ),
    Case(
        "MHEXHead",
        lambda: around(MHEXHead(heads=HEADS, use_bias=True, return_logits=True), (3, 4, 2), (3, 4, 2)),
        ((3, 4, 2), (3, 4, 2)),
    ),
    Case("DeepSupervision", _supervised, ((4, 4, 1),)),
    Case("an equipped encoder", _tokens, ((5,),), vocabulary=7),
    Case("InterpreterHead", lambda: around(InterpreterHead(HEADS), (3,)), ((3,),)),
    Case("BinAverage", lambda: around(BinAverage(), (7, 4, 2)), ((7, 4, 2),)),
    Case("FLINT by design", lambda: flint(post_hoc=False), ((4, 4, 1),)),
    Case("FLINT post hoc", lambda: flint(post_hoc=True), ((4, 4, 1),)),
)


def made(case: Case, policy: str = "float32", like: Any = None) -> Any:
    """The model of a case under a dtype policy, called once; with the weights of another one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        keras.utils.set_random_seed(1)
        model = case.make()
        model(case.inputs())
    finally:
        keras.config.set_dtype_policy(before)
    if like is not None:
        model.set_weights(like.get_weights())
    return model


def answers(model: Any, inputs: Any) -> list[np.ndarray]:
    """All outputs in inference, in one order."""
    outputs = keras.tree.flatten(model(keras.tree.map_structure(keras.ops.convert_to_tensor, inputs), training=False))
    return [keras.ops.convert_to_numpy(keras.ops.cast(y, precise_dtype(y))) for y in outputs]


def two_steps(case: Case, model: Any) -> list[float]:
    """The losses of two steps of training towards ones, from weights that are the same in every process."""
    draws = np.random.default_rng(3)
    model.set_weights([draws.uniform(0.1, 0.5, size=w.shape) for w in model.get_weights()])
    for layer in model._flatten_layers():
        if isinstance(layer, layers.Dropout):
            layer.rate = 0.0
    if not model.trainable_variables:
        return []
    x = case.inputs(8)
    symbols = keras.tree.map_structure(lambda v: keras.KerasTensor((None, *v.shape[1:]), str(v.dtype)), x)
    ones = keras.tree.map_structure(
        lambda spec: np.ones((8, *spec.shape[1:]), "float32"), model.compute_output_spec(symbols)
    )
    model.compile(keras.optimizers.SGD(0.01), loss="mse")
    fitted = model.fit(x, ones, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return [float(loss) for loss in fitted.history["loss"]]
