"""shap's explainers, for several streams and heads and on models of every framework."""

from xai_mimo_adapters.shap_methods.sampling import ShapKernel, ShapPermutation

__all__ = ["ShapKernel", "ShapPermutation"]
