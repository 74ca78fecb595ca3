"""Models through which masks travel in every way that Keras knows: the function, by what stands in the way."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

LENGTH, WORDS = 6, 10

L = keras.layers
ops = keras.ops


def padded_ids(rows: int = 5, seed: int = 0, length: int = LENGTH) -> Any:
    """Ids of 1 to 9, with 0, 1, 3, ... zeros behind them; no row of zeros alone."""
    ids = np.random.default_rng(seed).integers(1, WORDS, (rows, length))
    for row, padding in enumerate([0, 1, 3, 3, 4][:rows]):
        ids[row, length - padding :] = 0
    return ids.astype("int32")


def padded_series(rows: int = 5, seed: int = 0) -> Any:
    """Two features over time, with steps of zeros at the end."""
    values = np.random.default_rng(seed).normal(size=(rows, LENGTH, 2)).astype("float32")
    values[padded_ids(rows, seed) == 0] = 0
    return values


class Doubled(keras.layers.Layer):
    """Takes away what is odd in inference: its call depends on ``training``, and its mask is its own."""

    def call(self, x: Any, training: bool = False) -> Any:
        return x * (100.0 if training else 2.0)

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        return previous_mask


class NotBelowZero(keras.layers.Layer):
    """Hides the steps whose first value is below zero, on the tensor that it hands on unchanged."""

    def call(self, x: Any) -> Any:
        return x + 0.0

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        mine = inputs[..., 0] > -0.5
        return mine if previous_mask is None else ops.logical_and(mine, previous_mask)


class MeanOf(keras.Operation):
    """The mean over the steps that a mask leaves: an operation that is no layer."""

    def call(self, x: Any, mask: Any) -> Any:
        share = ops.expand_dims(ops.cast(mask, x.dtype), -1)
        return ops.sum(x * share, axis=1) / ops.sum(share, axis=1)

    def compute_output_spec(self, x: Any, mask: Any) -> Any:
        return keras.KerasTensor((x.shape[0], x.shape[2]), dtype=x.dtype)


def _tokens(name: str = "tok", length: int | None = LENGTH) -> tuple[Any, Any]:
    ids = keras.Input((length,), dtype="int32", name=name)
    return ids, L.Embedding(WORDS, 4, mask_zero=True, name=f"emb_{name}")(ids)


def _head(x: Any) -> Any:
    return L.Dense(1, name="y")(x)


def _on_tokens(through: Callable[[Any], Any], length: int | None = LENGTH) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        ids, embedded = _tokens(length=length)
        return keras.Model(ids, _head(through(embedded))), {"tok": padded_ids()}

    return make


def _attention(x: Any) -> Any:
    normed = L.LayerNormalization(name="ln")(x)
    attended = L.MultiHeadAttention(2, 2, name="mha")(normed, normed)
    return L.GlobalAveragePooling1D(name="pool")(attended)


def _residual(x: Any) -> Any:
    """The attention takes the mask off ``x``, so that the layers that read it afterwards see none."""
    attended = L.MultiHeadAttention(2, 2, name="mha")(x, x)
    return L.GRU(3, name="gru")(L.LayerNormalization(name="ln")(L.Add(name="add")([x, attended])))


def _by_keyword(x: Any) -> Any:
    attended = L.MultiHeadAttention(2, 2, name="mha")(query=x, value=x, key=L.Dense(4, name="key")(x))
    return L.GlobalAveragePooling1D(name="pool")(attended)


def _merged(x: Any) -> Any:
    wide = L.TimeDistributed(L.Dense(3, activation="tanh"), name="each")(x)
    both = L.Concatenate(name="both")([wide, L.Conv1D(3, 3, padding="same", name="conv")(x)])
    return L.LSTM(3, name="lstm")(L.Add(name="sum")([both, L.Multiply(name="product")([both, both])]))


def _nested(x: Any) -> Any:
    inside = keras.Input((LENGTH, 4))
    normed = L.LayerNormalization(name="L")(inside)
    attended = L.MultiHeadAttention(2, 2, name="inner_mha")(normed, normed)
    block = keras.Model(inside, L.LSTM(3, return_sequences=True, name="inner_lstm")(attended), name="block")
    chain = keras.Sequential([L.Dense(3, name="inner_dense"), L.GRU(3, name="inner_gru")], name="chain")
    return chain(block(x))


def _with_state(x: Any) -> Any:
    sequence, h, c = L.LSTM(4, return_sequences=True, return_state=True, name="encoder")(x)
    return L.LSTM(4, name="decoder")(sequence, initial_state=[h, c])


def _in_training(x: Any) -> Any:
    noisy = L.Dropout(0.5, name="drop")(x, training=True)
    return L.LSTM(3, name="lstm")(L.BatchNormalization(name="norm")(Doubled(name="doubled")(noisy)))


def _translator() -> tuple[Any, Any]:
    """Two texts of other lengths; the second one attends to the first."""
    source, read = _tokens("source")
    target, written = _tokens("target", length=4)
    read = L.Bidirectional(L.LSTM(2, return_sequences=True), name="encoder")(read)
    written = L.LayerNormalization(name="ln")(written)
    crossed = L.MultiHeadAttention(2, 2, name="cross")(written, read)
    pooled = L.GlobalAveragePooling1D(name="pool")(L.Add(name="add")([written, crossed]))
    model = keras.Model(
        [source, target], [L.Dense(1, name="a")(pooled), L.Dense(3, activation="softmax", name="b")(pooled)]
    )
    return model, {"source": padded_ids(), "target": padded_ids(seed=1, length=5)[:, :4]}


def _two_places() -> tuple[Any, Any]:
    """Two texts whose masks are read at different places: an attention takes the second one's away before the cut."""
    first, read = _tokens("first")
    second, written = _tokens("second")
    own = L.MultiHeadAttention(2, 2, name="own")(written, written)
    for i in range(4):
        own = L.Dense(4, activation="tanh", name=f"deep_{i}")(own)
    read = L.Dense(4, name="wide")(read)
    crossed = L.MultiHeadAttention(2, 2, name="cross")(read, written)
    added = L.Add(name="add")([read, crossed])
    both = L.Add(name="both")([own, written])
    outputs = L.Concatenate(name="end")([L.GRU(3, name="gru")(added), L.LSTM(3, name="lstm")(both)])
    return keras.Model([first, second], _head(outputs)), {"first": padded_ids(), "second": padded_ids(seed=1)[::-1]}


def _crossed() -> tuple[Any, Any]:
    """Two texts; one attends to the other, and is added to it."""
    first, read = _tokens("first")
    second, written = _tokens("second")
    crossed = L.MultiHeadAttention(2, 2, name="cross")(read, written)
    added = L.Add(name="add")([read, crossed])
    model = keras.Model([first, second], _head(L.LSTM(3, name="lstm")(added)))
    return model, {"first": padded_ids(), "second": padded_ids(seed=1)[::-1]}


def _operation() -> tuple[Any, Any]:
    """A mask made of ids and taken by an operation that is no layer."""
    ids = keras.Input((LENGTH,), dtype="int32", name="tok")
    wide = L.Dense(3, name="dense")(L.Embedding(WORDS, 4, name="emb")(ids))
    return keras.Model(ids, _head(MeanOf(name="mean")(wide, mask=ops.not_equal(ids, 0)))), {"tok": padded_ids()}


def _own_alone() -> tuple[Any, Any]:
    """The only layer that makes a mask is the user's own."""
    x = keras.Input((LENGTH, 2), name="x")
    hidden = NotBelowZero(name="own")(x)
    attended = L.MultiHeadAttention(2, 2, name="mha")(hidden, hidden)
    return keras.Model(x, _head(L.GlobalAveragePooling1D(name="pool")(attended))), {"x": padded_series()}


def _given_masks() -> tuple[Any, Any]:
    """Masks that are inputs: one of truth values, and one of 0 and 1 that attention reads as a square."""
    x = keras.Input((LENGTH, 2), name="x")
    there, square = (
        keras.Input((LENGTH,), dtype="bool", name="there"),
        keras.Input((LENGTH,), dtype="int32", name="ones"),
    )
    both = ops.expand_dims(ops.not_equal(square, 0), 1)
    attended = L.MultiHeadAttention(2, 2, name="mha")(
        L.Dense(4, name="query")(x), L.Dense(4, name="value")(x), attention_mask=both
    )
    model = keras.Model([x, there, square], _head(L.LSTM(3, name="lstm")(attended, mask=there)))
    known = padded_ids() > 0
    return model, {"x": padded_series(), "there": known, "ones": known.astype("int32")}


def _series(through: Callable[[Any], Any]) -> Callable[[], tuple[Any, Any]]:
    def make() -> tuple[Any, Any]:
        x = keras.Input((LENGTH, 2), name="x")
        return keras.Model(x, _head(through(L.Masking(name="masking")(x)))), {"x": padded_series()}

    return make


def _ours(x: Any) -> Any:
    from xai_mimo.layers import IMVLSTM

    return IMVLSTM(3, name="imv")(x)


MASKED_MODELS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "attention behind a normalisation": _on_tokens(_attention),
    "attention that takes the mask away": _on_tokens(_residual),
    "keyword tensors": _on_tokens(_by_keyword),
    "Attention": _on_tokens(lambda x: L.GlobalMaxPooling1D(name="pool")(L.Attention(name="att")([x, x]))),
    "AdditiveAttention": _on_tokens(lambda x: L.GRU(3, name="gru")(L.AdditiveAttention(name="att")([x, x]))),
    "GroupQueryAttention": _on_tokens(
        lambda x: L.GlobalAveragePooling1D(name="pool")(L.GroupQueryAttention(2, 4, 2, name="gqa")(x, x))
    ),
    "recurrent": _on_tokens(
        lambda x: L.GRU(3, name="gru")(
            L.Bidirectional(L.LSTM(3, return_sequences=True), name="both")(L.SpatialDropout1D(0.3, name="drop")(x))
        )
    ),
    "any length": _on_tokens(_attention, length=None),
    "merged": _on_tokens(_merged),
    "nested": _on_tokens(_nested),
    "state": _on_tokens(_with_state),
    "training": _on_tokens(_in_training),
    "two texts": _translator,
    "two texts added": _crossed,
    "masks read at two places": _two_places,
    "an operation that takes a mask": _operation,
    "a layer of one's own alone makes masks": _own_alone,
    "masks as inputs": _given_masks,
    "series": _series(lambda x: L.LSTM(3, name="lstm")(L.LayerNormalization(name="ln")(x))),
    "a mask of a layer of one's own": _series(
        lambda x: L.GRU(3, name="gru")(L.Dense(3, name="dense")(NotBelowZero(name="own")(x)))
    ),
    "ours": _series(_ours),
}
