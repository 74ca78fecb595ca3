"""shap's explainers of fitted trees: exact Shapley values of the background, read off the trees."""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Fitted, Model, require
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.shap_methods.bridge import shap_package
from xai_mimo_adapters.shap_methods.fitted import Reading, explain_fitted

_QUANTITIES = ("raw", "probability")

_LUNDBERG = """@article{lundberg2020local,
  author = {Lundberg, Scott M. and Erion, Gabriel and Chen, Hugh and DeGrave, Alex and Prutkin, Jordan M. and Nair, Bala and Katz, Ronit and Himmelfarb, Jonathan and Bansal, Nisha and Lee, Su-In},
  title = {From Local Explanations to Global Understanding with Explainable {AI} for Trees},
  journal = {Nature Machine Intelligence},
  volume = {2},
  pages = {56--67},
  year = {2020},
  doi = {10.1038/s42256-019-0138-9}
}
"""  # noqa: E501

_MITCHELL = """@article{mitchell2022gputreeshap,
  author = {Mitchell, Rory and Frank, Eibe and Holmes, Geoffrey},
  title = {{GPUTreeShap}: Massively Parallel Exact Calculation of {SHAP} Scores for Tree Ensembles},
  journal = {PeerJ Computer Science},
  volume = {8},
  pages = {e880},
  year = {2022},
  doi = {10.7717/peerj-cs.880}
}
"""


@dataclass(frozen=True)
class ShapTree:
    """shap's ``TreeExplainer`` against a background ("interventional"): exact values, read off the trees.

    Takes trees, forests and boosted trees of scikit-learn, XGBoost, LightGBM and CatBoost, behind scalers too. What is
    explained is what the head gives. Where that is the mean or the sum of the trees the values are Shapley values.
    Where boosted trees give the probability of one class, shap stretches the values of their margin, for each
    background row, so that they sum to the change of the probability; these are no Shapley values of the probability,
    which 'shap.exact' tells. Probabilities of several boosted classes are refused: explain them on='logit'.

    shap checks that the values sum to its own prediction. Where that fails, the completeness gap says by how much.

    Source: Lundberg et al. (2020), "From Local Explanations to Global Understanding with Explainable AI for Trees",
    Algorithm 3.
    """

    name: ClassVar[str] = "shap.tree"
    reference: ClassVar[str] = "lundberg2020local"
    bibtex: ClassVar[str] = _LUNDBERG
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Fitted,)
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from one walk through the trees."""
        require(model, Fitted, for_=self.name)
        return _explain(shap_package().TreeExplainer, self.name, model, inputs, selectors, context)


@dataclass(frozen=True)
class ShapGpuTree:
    """shap's ``GPUTreeExplainer``: as ``ShapTree``, on a CUDA device; shap must be built from source with CUDA.

    Source: Mitchell et al. (2022), "GPUTreeShap: Massively Parallel Exact Calculation of SHAP Scores for Tree
    Ensembles".
    """

    name: ClassVar[str] = "shap.gpu_tree"
    reference: ClassVar[str] = "mitchell2022gputreeshap"
    bibtex: ClassVar[str] = _MITCHELL
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Fitted,)
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from one walk through the trees.

        Raises:
            NotSupported: this shap was built without CUDA.
        """
        require(model, Fitted, for_=self.name)
        shap = shap_package()
        try:
            importlib.import_module("shap._cext_gpu")
        except ImportError as err:
            raise NotSupported(
                f"{self.name} needs shap built from source with CUDA, and this one is not: what pip installs has no "
                "part for GPUs. Use 'shap.tree', which gives the same values on the CPU."
            ) from err
        return _explain(shap.explainers.GPUTreeExplainer, self.name, model, inputs, selectors, context)


def _explain(
    kind: Any, name: str, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context
) -> Attribution:
    def read(estimator: Any, background: Array, quantity: str) -> Reading:
        return _read(kind, estimator, background, quantity)

    return explain_fitted(model, inputs, selectors, context, read, quantities=_QUANTITIES, name=name)


def _read(kind: Any, estimator: Any, background: Array, quantity: str) -> Reading:
    """An estimator as shap reads its trees.

    Raises:
        NotSupported: it is none of trees, or of trees that shap reads wrongly or not at all.
    """
    _check_catboost(estimator)
    try:
        explainer = kind(estimator, data=background, feature_perturbation="interventional", model_output=quantity)
    except Exception as err:  # shap raises what comes, a bare Exception too
        raise NotSupported(f"shap says of {type(estimator).__name__}: {err}") from err

    def explain(table: Array) -> Array:
        from shap.utils._exceptions import ExplainerError

        try:
            found = explainer.shap_values(table)
        except ExplainerError:  # its sums differ from its own prediction: the completeness gap tells by how much
            found = explainer.shap_values(table, check_additivity=False)
        values = np.asarray(found)
        return values[..., None] if values.ndim == 2 else values

    return Reading(lambda table: np.asarray(explainer.model.predict(table)), explain)


def _check_catboost(estimator: Any) -> None:
    """Refuse what shap takes for other trees: several outputs, which it reads past the end of, and categories."""
    if not type(estimator).__module__.startswith("catboost"):
        return
    kind = type(estimator).__name__
    if estimator.get_cat_feature_indices() or estimator.get_text_feature_indices():
        raise NotSupported(f"shap reads no trees that split on categories or texts, as {kind} does.")
    zeros = np.zeros((1, estimator.n_features_in_))
    width = np.asarray(estimator.predict(zeros, prediction_type="RawFormulaVal")).size
    if width > 1:
        raise NotSupported(f"shap reads CatBoost's trees of one output alone, and {kind} has {width}.")
