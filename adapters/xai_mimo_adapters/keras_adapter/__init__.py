"""Keras 3 models on TensorFlow, JAX and PyTorch."""

from xai_mimo_adapters.keras_adapter.adapter import FunctionalKeras
from xai_mimo_adapters.keras_adapter.adapter import KerasAdapter as KerasAdapter
from xai_mimo_adapters.keras_adapter.network import KerasNetwork

MODELS = {"Keras, functional or sequential": FunctionalKeras, "Keras, with a call of its own": KerasNetwork}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""
