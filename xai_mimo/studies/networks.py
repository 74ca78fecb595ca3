"""The networks that a study compares: one without MAIL, and MAIL in front of the same kind of head."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from xai_mimo.core.streams import Head, Stream
from xai_mimo.studies.settings import Scoring

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Scale:
    """How a regression head's values are spread in the training rows; the network learns in these units."""

    mean: float = 0.0
    std: float = 1.0


def baseline_network(
    streams: Sequence[Stream], heads: Sequence[Head], *, hidden: int, scales: Mapping[str, Scale]
) -> "keras.Model":
    """Streams side by side, then for each head Dense (hidden, tanh), Dense (hidden / 2, ReLU) and its outputs.

    A tower for each head, as behind MAIL: the comparison is about MAIL and not about sharing a trunk.

    Args:
        streams: inputs, standardised. heads: outputs; classes come out as log-odds (logits).
        hidden: width of the first layer.
        scales: of the regression heads.
    """
    import keras

    inputs = _inputs(streams)
    joined = _join(list(inputs.values()))
    outputs = {}
    for head in heads:
        x = keras.layers.Dense(hidden, activation="tanh", name=f"{head.name}_wide")(joined)
        x = keras.layers.Dense(max(1, hidden // 2), activation="relu", name=f"{head.name}_narrow")(x)
        outputs[head.name] = _output(x, head, scales)
    return keras.Model(inputs, outputs, name="baseline")


def mail_network(
    streams: Sequence[Stream], heads: Sequence[Head], *, scoring: Scoring, hidden: int, scales: Mapping[str, Scale]
) -> "keras.Model":
    """MAIL on the streams themselves (rescaled, the layer's own default width of scores), then Dense (hidden, ReLU).

    Args:
        scoring: of ``MAIL``. Others: as ``baseline_network``; ``hidden`` is the width of MAIL's heads too.
    """
    import keras

    from xai_mimo.layers import MAIL

    inputs = _inputs(streams)
    layer = MAIL({h.name: hidden for h in heads}, scoring=scoring, rescale=True, name="mail")
    read = layer(inputs)
    outputs = {}
    for head in heads:
        x = keras.layers.Dense(hidden, activation="relu", name=f"{head.name}_wide")(read[head.name])
        outputs[head.name] = _output(x, head, scales)
    return keras.Model(inputs, outputs, name=f"mail_{scoring}")


def compile_network(
    model: "keras.Model", heads: Sequence[Head], learning_rate: float, scales: Mapping[str, Scale]
) -> None:
    """Adam; cross-entropy from logits, or squared error in units of the head's spread."""
    import keras

    losses: dict[str, Any] = {
        "binary": lambda: keras.losses.BinaryCrossentropy(from_logits=True),
        "multiclass": lambda: keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "regression": keras.losses.MeanSquaredError,
    }
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate),
        loss={h.name: losses[h.kind]() for h in heads},
        loss_weights={h.name: 1.0 / scales[h.name].std ** 2 if h.name in scales else 1.0 for h in heads},
    )


def _inputs(streams: Sequence[Stream]) -> dict[str, Any]:
    import keras

    return {s.name: keras.Input(s.shape, name=s.name) for s in streams}


def _join(tensors: list[Any]) -> Any:
    import keras

    return keras.layers.Concatenate(name="streams")(tensors) if len(tensors) > 1 else tensors[0]


def _output(x: Any, head: Head, scales: Mapping[str, Scale]) -> Any:
    import keras

    if head.name not in scales:
        return keras.layers.Dense(head.size, name=head.name)(x)
    # Learn a value of spread one, give it out in the head's own unit.
    unit = keras.layers.Dense(head.size, name=f"{head.name}_standard")(x)
    return keras.layers.Rescaling(scales[head.name].std, scales[head.name].mean, name=head.name)(unit)
