"""scikit-learn and the libraries of boosted trees that share its forms; nothing is imported that the model has not.

``adapter`` joins the parts: ``columns`` (which column of the model lies in which stream), ``questions`` (what is asked
of an estimator, and which heads the answer holds), ``boosters`` (the same for models that are no estimators),
``groups`` (the columns that a ``ColumnTransformer`` takes together), ``opened`` (what answers in the end, for libraries
that read trees and coefficients), ``fingerprints``.
"""

from xai_mimo_adapters.sklearn_adapter.adapter import SklearnAdapter

__all__ = ["MODELS", "SklearnAdapter"]

MODELS = {"scikit-learn, XGBoost, LightGBM, CatBoost": SklearnAdapter}
"""Kinds of models that it takes, in words, and the class that each is adapted to; ``xai-mimo doctor`` shows them."""
