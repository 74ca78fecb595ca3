"""The layer of the article under its published name and signature."""

from collections.abc import Sequence
from typing import Any

import keras

from xai_mimo.layers.mail.layer import MAIL


@keras.saving.register_keras_serializable(package="xai_mimo")
class MIMOAttentionLayer(MAIL):
    """``MAIL`` with dense scoring and softmax, exactly as published; takes and returns lists.

    The published listing keeps its last weights in an attribute, where they cannot be read after ``fit`` on any
    backend;
    here they are sown: read them with ``collect`` or ``xai_mimo.intercept``.

    Args:
        num_output_streams: M, number of heads.
        output_stream_dims: M widths.
        attention_hidden_units: A; default D, the number of features of all streams.

    Raises:
        ValueError: the number of widths is not M, or the inputs are not a list.

    Source: L. Ribeiro (2025), listing of ``MIMOAttentionLayer``.
    """

    def __init__(
        self,
        num_output_streams: int,
        output_stream_dims: Sequence[int],
        attention_hidden_units: int | None = None,
        **kwargs: Any,
    ) -> None:
        if len(output_stream_dims) != num_output_streams:
            raise ValueError(
                "Expected `output_stream_dims` to have one width per output stream, "
                f"`num_output_streams`={num_output_streams} of them. Received: output_stream_dims={output_stream_dims}"
            )
        super().__init__(list(output_stream_dims), hidden_units=attention_hidden_units, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the weights, if the inputs are a list."""
        if not isinstance(input_shape, list) or not isinstance(input_shape[0], list | tuple):
            raise ValueError(f"Expected the inputs to be a list of tensors. Received: inputs of shape {input_shape}")
        super().build(input_shape)

    def call(self, inputs: list[Any], mask: Any = None) -> list[Any]:
        """List of M outputs, ``(..., output_stream_dims[j])``."""
        if not isinstance(inputs, list):
            raise ValueError(f"Expected the inputs to be a list of tensors. Received: inputs={inputs}")
        outputs: list[Any] = super().call(inputs, mask)
        return outputs

    def get_config(self) -> dict[str, Any]:
        """Arguments of the published constructor, and those of ``MAIL`` besides."""
        config = super().get_config()
        widths, hidden_units = config.pop("heads"), config.pop("hidden_units")
        return {
            **config,
            "num_output_streams": len(widths),
            "output_stream_dims": widths,
            "attention_hidden_units": hidden_units,
        }
