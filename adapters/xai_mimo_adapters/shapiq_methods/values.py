"""Shapley values by shapiq's approximators of order 1, as explanations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.coalitions import Game
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.players import Players, check_players
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.shapiq_methods import exact
from xai_mimo_adapters.shapiq_methods.shared import RowGame, shapiq, unworried

_MOST_EXACT = 12

_MUSCHALIK = """@inproceedings{muschalik2024shapiq,
  title = {shapiq: {Shapley} Interactions for Machine Learning},
  author = {Muschalik, Maximilian and Baniecki, Hubert and Fumagalli, Fabian and Kolpaczki, Patrick and Hammer, Barbara
    and H{\\"u}llermeier, Eyke},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {37},
  year = {2024}
}"""
_KOLPACZKI = """@inproceedings{kolpaczki2024approximating,
  title = {Approximating the {Shapley} Value without Marginal Contributions},
  author = {Kolpaczki, Patrick and Bengs, Viktor and Muschalik, Maximilian and H{\\"u}llermeier, Eyke},
  booktitle = {Proceedings of the AAAI Conference on Artificial Intelligence},
  volume = {38},
  number = {12},
  pages = {13246--13255},
  year = {2024}
}"""
_COVERT = """@inproceedings{covert2021improving,
  title = {Improving {KernelSHAP}: Practical {Shapley} Value Estimation via Linear Regression},
  author = {Covert, Ian and Lee, Su-In},
  booktitle = {Proceedings of the 24th International Conference on Artificial Intelligence and Statistics (AISTATS)},
  series = {Proceedings of Machine Learning Research},
  volume = {130},
  pages = {3457--3465},
  year = {2021},
  publisher = {PMLR}
}"""


@dataclass(frozen=True)
class ShapiqKernelSHAP:
    """shapiq's ``KernelSHAP``: Shapley values by regression on coalitions, drawn with their complements.

    Coalitions of the smallest and largest sizes are enumerated as far as the budget goes, and none is asked for twice.
    Where the budget holds all coalitions of up to 12 players the values are exact.

    Attributes:
        budget: coalitions for each row, at most; each is asked for with every background row, once for all targets.
        players: as ``Shapley`` takes them, but for patches.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", Section 4.1; Muschalik et
    al. (2024), "shapiq: Shapley Interactions for Machine Learning".
    """

    budget: int = 2048
    players: Players = "features"

    name: ClassVar[str] = "shapiq.KernelSHAP"
    reference: ClassVar[str] = "muschalik2024shapiq"
    bibtex: ClassVar[str] = _MUSCHALIK
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shapiq",)

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        return _explain(self, "KernelSHAP", model, inputs, selectors, context)


@dataclass(frozen=True)
class ShapiqUnbiasedKernelSHAP:
    """shapiq's ``UnbiasedKernelSHAP``: like ``KernelSHAP`` and unbiased, for a larger variance.

    Attributes:
        budget, players: as ``ShapiqKernelSHAP`` has them.

    Source: Covert and Lee (2021), "Improving KernelSHAP: Practical Shapley Value Estimation via Linear Regression".
    """

    budget: int = 2048
    players: Players = "features"

    name: ClassVar[str] = "shapiq.UnbiasedKernelSHAP"
    reference: ClassVar[str] = "covert2021improving"
    bibtex: ClassVar[str] = _COVERT
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shapiq",)

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        return _explain(self, "UnbiasedKernelSHAP", model, inputs, selectors, context)


@dataclass(frozen=True)
class ShapiqSVARM:
    """shapiq's ``SVARM``: means over coalitions of each size with a player, less those without it.

    Its values do not sum to the change by themselves; the gap stands in ``completeness_gap``.

    Attributes:
        budget, players: as ``ShapiqKernelSHAP`` has them.

    Source: Kolpaczki et al. (2024), "Approximating the Shapley Value without Marginal Contributions".
    """

    budget: int = 2048
    players: Players = "features"

    name: ClassVar[str] = "shapiq.SVARM"
    reference: ClassVar[str] = "kolpaczki2024approximating"
    bibtex: ClassVar[str] = _KOLPACZKI
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shapiq",)

    def __post_init__(self) -> None:
        _check(self)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        return _explain(self, "SVARM", model, inputs, selectors, context)


def _check(method: Any) -> None:
    whole(method.budget, "budget")
    if isinstance(method.players, str) and method.players == "patches":
        raise BadSetting(
            f"{method.name} has no players='patches'; give label images, players={{'image': labels}}, or use 'shapley'."
        )
    check_players(method.players)


def _explain(
    method: Any, approximator: str, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context
) -> Attribution:
    """Shapley values of all rows: exact where the budget allows it, else estimated row by row."""
    package = shapiq()
    game = Game.of(model, inputs, context.background, selectors, context, method.players, None)
    count, budget = game.masker.count, int(method.budget)
    if (count <= _MOST_EXACT and 2**count <= budget) or count == 1:
        nobody, values = _exactly(game, count, context)
        evaluations = np.full(nobody.shape, 2**count)
    else:
        least = min(2**count, max(2 * (3 * count // 2 + 1), 2 * (count + 1)))
        if budget < least:
            raise BadSetting(
                f"{method.name} needs a budget of at least {least} coalitions for {count} players; got "
                f"budget={budget}. Raise it, or take larger players: players='variables' or 'streams', or groups of "
                "your own with the rest in one, players={..., 'others': 'rest'}."
            )
        nobody, values, evaluations = _estimated(getattr(package, approximator), game, count, budget, context)
    return Attribution(
        values=game.masker.split(values),
        prediction=take(model.predict(inputs), selectors),
        baseline_prediction=nobody,
        diagnostics={"evaluations": evaluations},
        players=game.masker.named_values(values),
    )


def _exactly(game: Game, count: int, context: Context) -> tuple[Array, Array]:
    """Worth of nobody ``(target, row)`` and Shapley values ``(target, row, player)``, from all coalitions."""
    known = exact.coalitions(count)
    nobody = np.empty((len(game.selectors), game.rows))
    values = np.empty((*nobody.shape, count))
    for part in slices(game.rows, context.chunk(len(known) * (count + 24 * len(game.selectors)))):
        rows = np.arange(part.start, part.stop)
        worth = game.values(np.repeat(rows, len(known)), np.tile(known, (len(rows), 1)))
        worth = worth.reshape(len(worth), len(rows), len(known))
        nobody[:, part] = worth[..., 0]
        values[:, part] = exact.values(worth, "SV", 1, 1)
        context.advance(len(rows))
    return nobody, values


def _estimated(kind: Any, game: Game, count: int, budget: int, context: Context) -> tuple[Array, Array, Array]:
    """Worth of nobody, Shapley values, and evaluations ``(target, row)``."""
    nobody = np.empty((len(game.selectors), game.rows))
    values, evaluations = np.empty((*nobody.shape, count)), np.empty(nobody.shape, dtype=np.int64)
    for row in range(game.rows):
        seed, own = int(context.rng.integers(2**31)), RowGame(game, row)
        for target in range(len(game.selectors)):
            with unworried():
                estimate = kind(n=count, pairing_trick=True, random_state=seed)
                answer = estimate.approximate(min(budget, 2**count) // 2 * 2, own.of(target))
            values[target, row] = [answer[(player,)] for player in range(count)]
        nobody[:, row] = own.ask(np.zeros((1, count), dtype=bool))[:, 0]
        evaluations[:, row] = own.evaluations
        context.advance(1)
    return nobody, values, evaluations
