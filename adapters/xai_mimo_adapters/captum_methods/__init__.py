"""Captum's methods, for several heads and on models of every framework."""

from xai_mimo_adapters.captum_methods.gradients import CaptumInputXGradient, CaptumSaliency
from xai_mimo_adapters.captum_methods.noise import CaptumNoiseTunnel
from xai_mimo_adapters.captum_methods.path import CaptumGradientShap, CaptumIntegratedGradients
from xai_mimo_adapters.captum_methods.perturbation import (
    CaptumFeatureAblation,
    CaptumFeaturePermutation,
    CaptumOcclusion,
)
from xai_mimo_adapters.captum_methods.shapley import CaptumShapleyValues, CaptumShapleyValueSampling
from xai_mimo_adapters.captum_methods.surrogates import CaptumKernelShap, CaptumLime

__all__ = [
    "CaptumFeatureAblation",
    "CaptumFeaturePermutation",
    "CaptumOcclusion",
    "CaptumShapleyValues",
    "CaptumShapleyValueSampling",
    "CaptumKernelShap",
    "CaptumLime",
    "CaptumGradientShap",
    "CaptumInputXGradient",
    "CaptumIntegratedGradients",
    "CaptumNoiseTunnel",
    "CaptumSaliency",
]
