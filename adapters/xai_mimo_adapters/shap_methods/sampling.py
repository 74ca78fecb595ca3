"""shap's explainers that ask a model for predictions alone and draw coalitions: all heads from the same answers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, is_number, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import WholePlayers
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.shap_methods.bridge import (
    Predict,
    check_memory,
    check_whole_players,
    explain_players,
    masker_of,
    shap_package,
)

_RULES = re.compile(r"auto|aic|bic|num_features\([1-9][0-9]*\)")
"""What shap's ``l1_reg`` may be, beside a number."""


@dataclass(frozen=True)
class ShapPermutation:
    """shap's ``explainers.Permutation``: antithetic walks through random orders of the features.

    Attributes:
        permutations: random orders per row, each walked forwards and backwards.
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions"; Mitchell et al. (2022),
    "Sampling Permutations for Shapley Value Estimation", Section 3.1.
    """

    permutations: int = 10
    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.permutation"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        whole(self.permutations, "permutations")
        check_whole_players(self.players)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)
        coalitions = 2 * masker.count + 1
        check_memory(coalitions, masker.count, context, self.name)

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            independent = shap.maskers.Independent(background, max_samples=len(background))
            explainer = shap.explainers.Permutation(predict, independent, seed=seed)
            explanation = explainer(rows, max_evals=self.permutations * coalitions, silent=True)
            return np.asarray(explanation.values)

        return explain_players(model, inputs, selectors, context, masker, run)


@dataclass(frozen=True)
class ShapKernel:
    """shap's ``KernelExplainer``: Shapley values by weighted regression on sampled coalitions.

    Attributes:
        samples: coalitions per row; None for shap's own choice, twice the number of features plus 2048.
        l1_reg: shap's setting of that name. 0 keeps every feature; shap's own default, "num_features(10)", sets all but
            ten of them to zero.
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", Section 4.1.
    """

    samples: int | None = None
    l1_reg: float | str = 0
    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.kernel"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        check_whole_players(self.players)
        if self.samples is not None:
            whole(self.samples, "samples")
        rule = self.l1_reg
        is_known = bool(_RULES.fullmatch(rule)) if isinstance(rule, str) else is_number(rule) and rule >= 0
        if not is_known:
            raise BadSetting(
                "l1_reg must be a number of at least 0, 'auto', 'aic', 'bic' or 'num_features(n)'; got "
                f"{self.l1_reg!r}."
            )

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)
        samples = self.samples or 2 * masker.count + 2048
        check_memory(samples, masker.count, context, self.name)

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            explainer = shap.KernelExplainer(predict, background)
            values = explainer.shap_values(rows, nsamples=samples, l1_reg=self.l1_reg, silent=True)
            return np.asarray(values)

        return explain_players(model, inputs, selectors, context, masker, run)
