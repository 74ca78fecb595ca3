"""shap's explainers that ask a model for predictions of coalitions, drawn or all of them, and know no hierarchy."""

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
    each_target,
    explain_players,
    masker_of,
    shap_package,
)

_RULES = re.compile(r"auto|aic|bic|num_features\([1-9][0-9]*\)")
"""What shap's ``l1_reg`` may be, beside a number."""

_STRUMBELJ = """@article{strumbelj2010efficient,
  author = {{\\v{S}}trumbelj, Erik and Kononenko, Igor},
  title = {An Efficient Explanation of Individual Classifications using Game Theory},
  journal = {Journal of Machine Learning Research},
  volume = {11},
  pages = {1--18},
  year = {2010}
}
"""


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


@dataclass(frozen=True)
class ShapSampling:
    """shap's ``SamplingExplainer``: each player is added to random coalitions before random rows of the background.

    shap divides the second part of its draws by how much a target varies, so that each target has a run of its own;
    what all of them ask for is asked once. It then changes the values so that they sum to the change of the target, a
    player that varies more by more, which is not the same in another unit of the target: no completeness gap shows how
    far its draws were from that sum.

    Attributes:
        samples: draws per row and target, at least two for each player; each asks for two predictions.
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Strumbelj and Kononenko (2010), "An Efficient Explanation of Individual Classifications using Game Theory",
    Section 3.1, as Lundberg and Lee (2017) take it up.
    """

    samples: int = 2000
    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.sampling"
    reference: ClassVar[str] = "strumbelj2010efficient"
    bibtex: ClassVar[str] = _STRUMBELJ
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        check_whole_players(self.players)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain each target of each row by draws of its own."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)
        if self.samples < 2 * masker.count:
            raise BadSetting(
                f"{self.name} needs two samples for each player, {2 * masker.count} here; got samples={self.samples}."
            )

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            explainer = shap.explainers.SamplingExplainer(predict, background)
            return np.asarray(explainer.shap_values(rows, nsamples=self.samples, silent=True))

        return explain_players(model, inputs, selectors, context, masker, each_target(run, len(selectors)))


@dataclass(frozen=True)
class ShapExact:
    """shap's ``explainers.Exact``: Shapley values from every coalition.

    Attributes:
        evaluations: coalitions of a row at most, two to the power of its players that differ from the background.
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", equation 4.
    """

    evaluations: int = 100_000
    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.exact"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        whole(self.evaluations, "evaluations")
        check_whole_players(self.players)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from all of its coalitions."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            differ = int((rows[:, None] != background).any(axis=1).sum(axis=1).max())
            if 2**differ > self.evaluations:
                raise BadSetting(
                    f"{self.name} would ask for 2^{differ} coalitions of a row whose {differ} players differ from the "
                    f"background, more than evaluations={self.evaluations}. Give fewer players "
                    "(players='variables', 'streams', or by name), or use 'shap.permutation' or 'shapley'."
                )
            check_memory(2**differ, masker.count, context, self.name)
            values = np.zeros((len(rows), masker.count, len(selectors)))
            moved = (rows[:, None] != background).any(axis=(1, 2))
            if moved.any():  # of a row that differs in nothing shap reads a coefficient before its table
                independent = shap.maskers.Independent(background, max_samples=len(background))
                explainer = shap.explainers.Exact(predict, independent)
                found = explainer(rows[moved], max_evals=self.evaluations, silent=True)
                values[moved] = found.values.reshape(-1, *values.shape[1:])
            return values

        return explain_players(model, inputs, selectors, context, masker, run)
