"""PyTorch modules, scripted, compiled and exported ones, and functions of tensors; nothing else here knows PyTorch.

``adapter`` chooses what a model can do; ``network`` runs it; ``spec`` and ``kinds`` read its streams and heads;
``reading`` puts back what reading it switches; ``trace``, ``cut`` and ``tail`` cut a module at one of its modules.
"""

from xai_mimo_adapters.torch_adapter.adapter import TorchAdapter

__all__ = ["TorchAdapter"]
