"""shap's explainers of models that add up their inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Fitted, Model, require
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import WholePlayers
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.shap_methods.bridge import (
    Predict,
    check_memory,
    check_whole_players,
    each_target,
    explain_players,
    masker_of,
    shap_package,
)
from xai_mimo_adapters.shap_methods.fitted import Reading, explain_fitted


@dataclass(frozen=True)
class ShapLinear:
    """shap's ``LinearExplainer`` against a background: each coefficient times the distance from the background's mean.

    Takes estimators with ``coef_`` and ``intercept_`` whose head is their sum, behind scalers too. Probabilities are no
    such sum: a classifier is explained by its scores, on='logit' or ``xai_mimo.adapt(model,
    output="decision_function")``.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", Corollary 1.
    """

    name: ClassVar[str] = "shap.linear"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Fitted,)
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row by their coefficients."""
        require(model, Fitted, for_=self.name)
        shap = shap_package()

        def read(estimator: Any, background: Array, quantity: str) -> Reading:
            coefficients, intercept = _coefficients(estimator)
            masker = shap.maskers.Independent(background, max_samples=len(background))
            explainer = shap.explainers.LinearExplainer((coefficients, intercept), masker)
            return Reading(lambda table: table @ coefficients.T + intercept, explainer.shap_values)

        return explain_fitted(
            model, inputs, selectors, context, read, quantities=("the sum of its coefficients",), name=self.name
        )


def _coefficients(estimator: Any) -> tuple[Array, Array]:
    """Coefficients ``(output, column)`` and intercepts ``(output,)``.

    Raises:
        NotSupported: it has none, or not one a column.
    """
    coefficients, intercept = getattr(estimator, "coef_", None), getattr(estimator, "intercept_", None)
    if coefficients is None or intercept is None:
        raise NotSupported(f"{type(estimator).__name__} has no coef_ and intercept_.")
    dense = np.atleast_2d(np.asarray(coefficients.toarray() if hasattr(coefficients, "toarray") else coefficients))
    return dense.astype(np.float64), np.broadcast_to(np.ravel(intercept).astype(np.float64), (len(dense),))


@dataclass(frozen=True)
class ShapAdditive:
    """shap's ``AdditiveExplainer``: what each player adds, for a model that is a sum of functions of one player each.

    A value is f(smallest values, but for this player) less its mean over the background. Of a model that is no such sum
    it says something else than a Shapley value: the completeness gap is then not zero, so look at it, or use
    'shap.permutation'.

    Attributes:
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", Corollary 1, for a sum of
    functions instead of a sum of multiples.
    """

    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.additive"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        check_whole_players(self.players)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same predictions, one for each player."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)
        check_memory(masker.count + 1, masker.count, context, self.name)

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            independent = shap.maskers.Independent(background, max_samples=len(background))
            explainer = shap.explainers.AdditiveExplainer(predict, independent)
            return np.asarray(explainer(rows, silent=True).values)

        return explain_players(model, inputs, selectors, context, masker, each_target(run, len(selectors)))
