"""shap's explainers, for several streams and heads and on models of every framework.

``bridge`` is what they share: the table of players that shap sees, and the fence around its random numbers. Then a
family a file: ``sampling`` (coalitions, drawn or all), ``coalition`` (players in a hierarchy), ``linear`` (models that
add up), ``gradient``, ``deep``, ``tree``; ``fitted`` is what trees and coefficients share.
"""

from xai_mimo_adapters.shap_methods.coalition import ShapCoalition, ShapPartition
from xai_mimo_adapters.shap_methods.deep import ShapDeep
from xai_mimo_adapters.shap_methods.gradient import ShapGradient
from xai_mimo_adapters.shap_methods.linear import ShapAdditive, ShapLinear
from xai_mimo_adapters.shap_methods.sampling import ShapExact, ShapKernel, ShapPermutation, ShapSampling
from xai_mimo_adapters.shap_methods.tree import ShapGpuTree, ShapTree

__all__ = [
    "ShapAdditive",
    "ShapCoalition",
    "ShapDeep",
    "ShapExact",
    "ShapGpuTree",
    "ShapGradient",
    "ShapKernel",
    "ShapLinear",
    "ShapPartition",
    "ShapPermutation",
    "ShapSampling",
    "ShapTree",
]
