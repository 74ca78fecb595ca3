"""Captum's linear surrogates of a model's answers to coalitions: KernelShap and Lime, row by row.

Captum draws coalitions and weighs them for one row at a time, and fits one target. Here it does so once for each row,
and its surrogate is fitted to each target in turn (Captum's ``interpretable_model``); each coalition is asked of the
model once, for all heads. Fits are in float64, of the worth of a coalition less that of nobody, so that no digits are
lost to a large constant; Captum itself hands over float32.

A target that does not read a player may give it a little all the same: the surrogate is a line through a game that is
none, and what it misses falls on all players by the chance of the draw. ``shapley`` gives such players exactly zero.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xai_mimo.core.baselines import Baseline
from xai_mimo.core.coalitions import Game
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.method import Attribution, Context, one_of, positive, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Players, check_players
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.bridge import captum_attr, seeded
from xai_mimo_adapters.captum_methods.games import game_of

Distance = Literal["cosine", "euclidean", "players"]
Surrogate = Literal["lasso", "ridge", "linear"]

# Less than this share of an answer's size is rounding.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class CaptumKernelShap:
    """Captum's ``KernelShap``: Shapley values by linear regression on coalitions drawn by the Shapley kernel.

    Values sum to f(x) - mean f(b) to a millionth or so: Captum weighs both ends a million times. A player that a target
    does not read is given a little by the chance of the draw, not exactly zero. Coalitions that do not determine all
    players are refused; Captum would return the shortest of many solutions.

    Attributes:
        samples: coalitions per row, the two ends among them (Captum's ``n_samples``, there 25).
        players, patch, baseline: as ``CaptumFeatureAblation`` takes them; of several baselines the worth of a coalition
            is the mean.

    Source: Lundberg and Lee (2017), "A Unified Approach to Interpreting Model Predictions", Section 4.1.
    """

    samples: int = 200
    players: Players = "features"
    baseline: Baseline = "zero"
    patch: Patch | None = None

    name: ClassVar[str] = "captum.KernelShap"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch", "sklearn")

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        check_players(self.players, self.patch)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Fit each target of each row."""
        attr = captum_attr()
        game = game_of(
            model, inputs, selectors, context, players=self.players, patch=self.patch, baseline=self.baseline
        )

        def fit(answers: _Answers, ones: Any, at_once: int) -> Array:
            if ones.shape[1] == 1:  # nothing to draw: Captum knows no kernel for a single player
                return answers.of(np.ones((1, 1), dtype=bool)).T
            captum, surrogates = attr.KernelShap(answers.first), _Surrogates(_linear, answers)
            captum.interpretable_model = surrogates
            captum.attribute(
                ones, n_samples=int(self.samples), perturbations_per_eval=at_once, return_input_shape=False
            )
            surrogates.check_determined(self.name)
            return surrogates.coefficients

        values, nobody = _fit_rows(game, context, fit)
        return Attribution(
            values=game.masker.split(values),
            prediction=take(model.predict(inputs), selectors),
            baseline_prediction=nobody,
            players=game.masker.named_values(values),
        )


@dataclass(frozen=True)
class CaptumLime:
    """Captum's ``Lime``: coefficients of a linear surrogate on coalitions drawn with even chances, near ones first.

    Values sum to nothing, so no completeness gap is reported; ``surrogate_r2`` of the result says how much of the
    (weighted) scatter of the answers the surrogate explains, row by row: where it is low the map says little.

    Attributes:
        samples: coalitions per row (Captum's ``n_samples``).
        surrogate: "lasso", Captum's own; "ridge"; or "linear", without a penalty.
        alpha: of the penalty. The lasso's is in the unit of the head: it pulls every coefficient towards zero, and all
            of a head whose answers move by less; that is refused. A head in other units wants another alpha.
        distance: how near a coalition is to the row: "cosine" (Captum's own) or "euclidean" distance of the rows as the
            model reads them, all streams together, so that the stream of the largest numbers decides; or "players",
            cosine distance of the coalition to that of all players, which knows no units, and words neither.
        kernel_width: of the kernel exp(-distance^2 / (2 width^2)); in the unit of the distance.
        players, patch, baseline: as ``CaptumFeatureAblation`` takes them; of several baselines the worth of a coalition
            is the mean, and its row the mean row.

    Source: Ribeiro et al. (2016), "'Why Should I Trust You?': Explaining the Predictions of Any Classifier", Section 3.
    """

    samples: int = 50
    surrogate: Surrogate = "lasso"
    alpha: float = 0.01
    distance: Distance = "cosine"
    kernel_width: float = 1.0
    players: Players = "features"
    baseline: Baseline = "zero"
    patch: Patch | None = None

    name: ClassVar[str] = "captum.Lime"
    reference: ClassVar[str] = "ribeiro2016why"
    bibtex: ClassVar[str] = """@inproceedings{ribeiro2016why,
  author = {Ribeiro, Marco Tulio and Singh, Sameer and Guestrin, Carlos},
  title = {"{Why} Should {I} Trust You?": Explaining the Predictions of Any Classifier},
  booktitle = {Proceedings of the 22nd ACM SIGKDD International Conference on Knowledge Discovery and Data Mining},
  pages = {1135--1144},
  year = {2016},
  doi = {10.1145/2939672.2939778}
}"""
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch", "sklearn")

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        one_of(self.surrogate, get_args(Surrogate), "surrogate")
        positive(self.alpha, "alpha")
        one_of(self.distance, get_args(Distance), "distance")
        positive(self.kernel_width, "kernel_width")
        check_players(self.players, self.patch)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Fit each target of each row."""
        attr = captum_attr()
        game = game_of(
            model, inputs, selectors, context, players=self.players, patch=self.patch, baseline=self.baseline
        )
        if self.distance != "players":
            _check_numbers(inputs, self.name, self.distance)
        explained, idle = (np.zeros((len(selectors), game.rows)) for _ in range(2))

        def fit(answers: _Answers, ones: Any, at_once: int) -> Array:
            surrogates = _Surrogates(self._model, answers)
            captum = attr.Lime(answers.first, surrogates, self._similarity(game, answers.row))
            captum.attribute(
                ones, n_samples=int(self.samples), perturbations_per_eval=at_once, return_input_shape=False
            )
            if self.surrogate == "linear":
                surrogates.check_determined(self.name)
            explained[:, answers.row] = surrogates.r2()
            idle[:, answers.row] = surrogates.is_idle()
            return surrogates.coefficients

        values, _ = _fit_rows(game, context, fit)
        self._check_alive(idle, values, selectors)
        return Attribution(
            values=game.masker.split(values),
            prediction=take(model.predict(inputs), selectors),
            diagnostics={"surrogate_r2": explained},
            players=game.masker.named_values(values),
        )

    def _model(self) -> Any:
        from captum._utils.models import linear_model

        if self.surrogate == "linear":
            return _linear()
        kinds = {"lasso": linear_model.SkLearnLasso, "ridge": linear_model.SkLearnRidge}
        return kinds[self.surrogate](alpha=float(self.alpha))

    def _similarity(self, game: Game, row: int) -> Callable[..., float]:
        """Captum's kernel, on the rows that the model reads or on the players that Captum plays with."""
        from captum.attr._core.lime import get_exp_kernel_similarity_function

        mode = "cosine" if self.distance == "players" else self.distance
        kernel: Callable[..., float] = get_exp_kernel_similarity_function(mode, float(self.kernel_width))
        if self.distance == "players":
            return kernel
        own = _mixed(game, row, np.ones((1, game.masker.count), dtype=bool))

        def similarity(everybody: Any, coalition: Any, players: Any, **settings: Any) -> float:
            return kernel(own, _mixed(game, row, coalition.numpy() > 0.5), players)

        return similarity

    def _check_alive(self, idle: Array, values: Array, selectors: Sequence[Selector]) -> None:
        """Refuse a target of which the penalty has left nothing in any row, though its answers move."""
        for t, selector in enumerate(selectors):
            if idle[t].any() and not values[t].any():
                raise BadSetting(
                    f"captum.Lime(alpha={self.alpha}) leaves nothing of target '{selector.name}': every coefficient of "
                    "every row is zero, and its answers differ. The penalty is in the unit of the head; take a smaller "
                    "alpha, or surrogate='linear'."
                )


def _linear() -> Any:
    from captum._utils.models.linear_model import SkLearnLinearRegression

    return SkLearnLinearRegression()


def _mixed(game: Game, row: int, known: Array) -> Any:
    """The row of a coalition as the model reads it, streams side by side, mean over the baselines."""
    import torch

    place = np.array([row])
    rows = {name: x[place] for name, x in game.inputs.items()}
    mixed = game.masker.at(place).against_each(rows, game.background, known)
    parts = [np.asarray(x, np.float64).reshape(game.depth, -1).mean(axis=0) for x in mixed.values()]
    return torch.from_numpy(np.concatenate(parts))


@dataclass
class _Answers:
    """What a row's coalitions are worth to all targets, each asked once: lives for one row.

    Attributes:
        game: that is played. row: its number. nobody: ``(target,)``, what is subtracted.
        worth: by coalition, ``(target,)``.
    """

    game: Game
    row: int
    nobody: Array
    worth: dict[bytes, Array] = field(default_factory=dict)

    def of(self, known: Array) -> Array:
        """``(coalition, player)`` to ``(coalition, target)``."""
        keys = [one.tobytes() for one in known]
        new = {key: one for key, one in zip(keys, known, strict=True) if key not in self.worth}
        if new:
            asked = np.stack(list(new.values()))
            found = self.game.values(np.full(len(asked), self.row), asked).T - self.nobody
            self.worth.update(zip(new, found, strict=True))
        return np.stack([self.worth[key] for key in keys])

    def first(self, known: Any) -> Any:
        """What Captum asks for: coalitions of the first target, which the others share."""
        import torch

        return torch.from_numpy(self.of(known.numpy() > 0.5)[:, 0].copy())


class _Surrogates:
    """One of Captum's surrogates for each target, fitted to the same weighted coalitions: its ``interpretable_model``.

    Attributes:
        coefficients: ``(target, player)``, once fitted.
    """

    def __init__(self, make: Callable[[], Any], answers: _Answers) -> None:
        self._make, self._answers = make, answers
        self.coefficients = np.zeros((0, 0))

    def fit(self, batches: Any) -> None:
        """Captum hands over all coalitions in one batch: players, worth of the first target, weights."""
        import torch
        from torch.utils.data import DataLoader, TensorDataset

        ((known, _, weights),) = batches
        self._known, self._weights = known.numpy() > 0.5, weights.numpy().astype(np.float64)
        self._worth = self._answers.of(self._known)
        found = []
        for worth in self._worth.T:
            data = TensorDataset(known.double(), torch.from_numpy(worth.copy()), weights.double())
            surrogate = self._make()
            surrogate.fit(DataLoader(data, batch_size=len(known)))
            found.append(surrogate.representation().numpy().reshape(-1))
        self.coefficients = np.array(found, dtype=np.float64)

    def representation(self) -> Any:
        """What Captum returns."""
        import torch

        return torch.from_numpy(self.coefficients)

    def check_determined(self, method: str) -> None:
        """Refuse coalitions that several solutions fit.

        Raises:
            BadSetting: there are too few different ones.
        """
        samples, players = self._known.shape
        different = np.unique(self._known, axis=0)
        rank = int(np.linalg.matrix_rank(np.column_stack([np.ones(len(different)), different])))
        if rank <= players:
            raise BadSetting(
                f"the {samples} coalitions that {method} drew ({len(different)} different ones) do not determine the "
                f"values of {players} players: more than one solution fits. Raise samples, or take larger players."
            )

    def is_idle(self) -> Array:
        """``(target,)``: every coefficient is zero, and the answers differ by more than rounding."""
        moves: Array = np.ptp(self._worth, axis=0) > _ROUNDING * np.abs(self._worth + self._answers.nobody).max(axis=0)
        return moves & ~self.coefficients.any(axis=1)

    def r2(self) -> Array:
        """``(target,)``, the weighted share of the scatter of the answers that is explained; 1 where there is none."""
        left = self._worth - self._known @ self.coefficients.T
        scatter, rest = (np.cov(x.T, aweights=self._weights, ddof=0) for x in (self._worth, left))
        scatter, rest = (np.diagonal(np.atleast_2d(x)) for x in (scatter, rest))
        share: Array = 1 - np.divide(rest, scatter, out=np.zeros(len(rest)), where=scatter > 0)
        return share


Fit = Callable[[_Answers, Any, int], Array]
"""``(answers of the row, ones, coalitions at once) -> (target, player)``."""


def _fit_rows(game: Game, context: Context, fit: Fit) -> tuple[Array, Array]:
    """Fit the targets of each row: ``(target, sample, player)``, and the worth of nobody ``(target, sample)``."""
    import torch

    count = game.masker.count
    values = np.zeros((len(game.selectors), game.rows, count))
    nobody = game.values(np.arange(game.rows), np.zeros((game.rows, count), dtype=bool))
    at_once = context.chunk(count * 8 + sum(x[:1].nbytes for x in game.inputs.values()) * game.depth)
    for row, seed in enumerate(context.rng.integers(2**32, size=game.rows)):
        with seeded(int(seed)):
            values[:, row] = fit(_Answers(game, row, nobody[:, row]), torch.ones(1, count), at_once)
        context.advance(1)
    return values, nobody


def _check_numbers(inputs: Arrays, method: str, distance: str) -> None:
    for name, x in inputs.items():
        if x.dtype == object:
            raise NotSupported(
                f"{method}(distance='{distance}') measures how far rows are apart, and input stream '{name}' holds "
                "words. Take distance='players', which counts how many players are taken away."
            )
