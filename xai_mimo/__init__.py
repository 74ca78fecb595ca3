"""Explain models with several inputs and several heads.

``import xai_mimo as xm`` loads no framework; names are loaded when they are first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOME = {
    "adapt": "xai_mimo.core.plugins",
    "intercept": "xai_mimo.explainers.interception",
    "explain": "xai_mimo.explainers.explain",
    "compare": "xai_mimo.analysis.comparison",
    "load": "xai_mimo.core.explanation",
    "save": "xai_mimo.core.explanation",
    "stream_shares": "xai_mimo.core.explanation",
    "Stream": "xai_mimo.core.streams",
    "Head": "xai_mimo.core.streams",
    "Target": "xai_mimo.core.targets",
}
_ROOMS = ("analysis", "core", "datasets", "explainers", "layers", "reports", "testing")

__all__ = [
    "__version__",
    "Head",
    "Stream",
    "Target",
    "adapt",
    "compare",
    "explain",
    "intercept",
    "load",
    "save",
    "stream_shares",
]

if TYPE_CHECKING:
    from xai_mimo.analysis.comparison import compare
    from xai_mimo.core.explanation import load, save, stream_shares
    from xai_mimo.core.plugins import adapt
    from xai_mimo.core.streams import Head, Stream
    from xai_mimo.core.targets import Target
    from xai_mimo.explainers.explain import explain
    from xai_mimo.explainers.interception import intercept


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    if name in _ROOMS:
        return importlib.import_module(f"xai_mimo.{name}")
    raise AttributeError(f"module 'xai_mimo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, *_ROOMS])
