"""Ways to explain: each file turns a model and rows into attributions, for every framework.

House rule: values in, values out. Methods are frozen settings (see ``xai_mimo.core.method``); they know ``core`` only,
never a framework, a metric or a report.
"""

import importlib
from typing import TYPE_CHECKING, Any

_HOME = {
    "CAM": "grad_cam",
    "ExpectedGradients": "expected_gradients",
    "GradCAM": "grad_cam",
    "Gradient": "gradients",
    "InputXGradient": "gradients",
    "IntegratedGradients": "integrated_gradients",
    "Interception": "interception",
    "Occlusion": "occlusion",
    "PositionMaps": "position_maps",
    "Shapley": "shapley",
    "SmoothGrad": "gradients",
}

__all__ = [
    "CAM",
    "ExpectedGradients",
    "GradCAM",
    "Gradient",
    "InputXGradient",
    "IntegratedGradients",
    "Interception",
    "Occlusion",
    "PositionMaps",
    "Shapley",
    "SmoothGrad",
]

if TYPE_CHECKING:
    from xai_mimo.explainers.expected_gradients import ExpectedGradients
    from xai_mimo.explainers.grad_cam import CAM, GradCAM
    from xai_mimo.explainers.gradients import Gradient, InputXGradient, SmoothGrad
    from xai_mimo.explainers.integrated_gradients import IntegratedGradients
    from xai_mimo.explainers.interception import Interception
    from xai_mimo.explainers.occlusion import Occlusion
    from xai_mimo.explainers.position_maps import PositionMaps
    from xai_mimo.explainers.shapley import Shapley


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"xai_mimo.explainers.{_HOME[name]}"), name)
    raise AttributeError(f"module 'xai_mimo.explainers' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
