"""Keras 3 layers that explain themselves.

House rule: ``keras`` and nothing of ours; ``keras.ops`` only, so that TensorFlow, JAX and PyTorch give the same
numbers. Maps are sown (see ``interception``), never stored. Names are loaded when they are first used, so that a
reader of ``interception`` alone loads no framework.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "MAIL": "xai_mimo.layers.mail",
    "MIMOAttentionLayer": "xai_mimo.layers.mimo_attention",
    "InterceptionHistory": "xai_mimo.layers.history",
}

__all__ = ["InterceptionHistory", "MAIL", "MIMOAttentionLayer"]

if TYPE_CHECKING:
    from xai_mimo.layers.history import InterceptionHistory
    from xai_mimo.layers.mail import MAIL
    from xai_mimo.layers.mimo_attention import MIMOAttentionLayer


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'xai_mimo.layers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
