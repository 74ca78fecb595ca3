"""lime's explainers, for several streams and heads and on models of every framework.

``columns`` lays the streams of rows out as the columns that lime perturbs; ``tabular`` explains them.
"""

from xai_mimo_adapters.lime_methods.tabular import LimeTabular

__all__ = ["LimeTabular"]
