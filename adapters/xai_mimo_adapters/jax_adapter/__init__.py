"""Functions of JAX, modules of flax (linen and nnx) and of equinox; nothing else here knows JAX without Keras.

``adapter`` chooses what a model can do; ``source`` is a model taken apart into its weights and how it is called, which
``functions``, ``linen``, ``nnx`` and ``equinox_modules`` do; ``tracing`` reads shapes and the program off it;
``network`` is the adapted model, and ``engine`` runs it, compiled. ``links`` sees the last step of a head.
"""

from xai_mimo_adapters.jax_adapter.adapter import JaxAdapter
from xai_mimo_adapters.jax_adapter.links import before_link
from xai_mimo_adapters.jax_adapter.network import JaxModule, JaxNetwork

__all__ = ["MODELS", "JaxAdapter", "before_link"]

MODELS = {"JAX, a function": JaxNetwork, "flax or equinox, a module": JaxModule}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""
