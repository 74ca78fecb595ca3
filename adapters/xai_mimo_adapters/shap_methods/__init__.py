"""shap's explainers, for several streams and heads and on models of every framework.

``bridge`` is what they share: the table of players that shap sees, and the fence around its random numbers. Then a
family a file: ``sampling`` (coalitions, drawn or all), ``coalition`` (players in a hierarchy), ``linear`` (models that
add up), ``gradient``.
"""

from xai_mimo_adapters.shap_methods.coalition import ShapCoalition, ShapPartition
from xai_mimo_adapters.shap_methods.gradient import ShapGradient
from xai_mimo_adapters.shap_methods.linear import ShapAdditive
from xai_mimo_adapters.shap_methods.sampling import ShapExact, ShapKernel, ShapPermutation, ShapSampling

__all__ = [
    "ShapAdditive",
    "ShapCoalition",
    "ShapExact",
    "ShapGradient",
    "ShapKernel",
    "ShapPartition",
    "ShapPermutation",
    "ShapSampling",
]
