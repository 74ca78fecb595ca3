"""Models of TensorFlow that are none of Keras: modules, functions, saved signatures.

``adapter`` is what the entry point names; ``source`` tells how a model is called; ``reading`` finds its streams and
heads; ``network`` traces and runs it; ``kept`` keeps its traces; ``program`` reads what was traced. The Keras adapter
has its own engine on TensorFlow: what that compiles belongs to a Keras model.
"""

import importlib.util

from xai_mimo.core.errors import MissingDependency

if importlib.util.find_spec("tensorflow") is None:
    raise MissingDependency("models of TensorFlow are run by tensorflow: pip install 'xai-mimo[tensorflow]'")

from xai_mimo_adapters.tensorflow_adapter.adapter import TensorFlowAdapter

__all__ = ["MODELS", "TensorFlowAdapter"]

MODELS = {"TensorFlow: a module, a function, a saved signature": TensorFlowAdapter}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""
