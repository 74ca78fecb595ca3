"""Keras 3 models on TensorFlow, JAX and PyTorch."""

from xai_mimo_adapters.keras_adapter.adapter import KerasAdapter as KerasAdapter
