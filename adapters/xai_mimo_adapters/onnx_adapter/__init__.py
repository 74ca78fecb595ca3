"""Models in ONNX, run by onnxruntime; nothing in a file is run as code.

``adapter`` is what the entry points name; ``loading`` makes a session of a file, bytes or a parsed model; ``spec``
reads streams and heads off it, ``kinds`` what the operators tell of a head.
"""

from xai_mimo_adapters.onnx_adapter.adapter import OnnxAdapter

__all__ = ["MODELS", "OnnxAdapter"]

MODELS = {"ONNX: a file, bytes, a session": OnnxAdapter}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""
