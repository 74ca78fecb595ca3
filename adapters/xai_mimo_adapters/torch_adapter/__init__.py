"""PyTorch modules, scripted, compiled and exported ones, and functions of tensors; nothing else here knows PyTorch.

``adapter`` chooses what a model can do; ``network`` runs it; ``spec`` and ``kinds`` read its streams and heads;
``reading`` puts back what reading it switches; ``trace``, ``cut`` and ``tail`` cut a module at one of its modules.
"""

from xai_mimo_adapters.torch_adapter.adapter import TorchAdapter, TorchModule
from xai_mimo_adapters.torch_adapter.network import TorchNetwork

__all__ = ["MODELS", "TorchAdapter"]

MODELS = {
    "PyTorch, a module": TorchModule,
    "PyTorch: scripted, compiled, exported, a function of tensors": TorchNetwork,
}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""
