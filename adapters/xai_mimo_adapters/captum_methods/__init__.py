"""Captum's methods, for several heads and on models of every framework."""

from xai_mimo_adapters.captum_methods.gradients import CaptumInputXGradient, CaptumSaliency
from xai_mimo_adapters.captum_methods.noise import CaptumNoiseTunnel
from xai_mimo_adapters.captum_methods.path import CaptumGradientShap, CaptumIntegratedGradients

__all__ = [
    "CaptumGradientShap",
    "CaptumInputXGradient",
    "CaptumIntegratedGradients",
    "CaptumNoiseTunnel",
    "CaptumSaliency",
]
