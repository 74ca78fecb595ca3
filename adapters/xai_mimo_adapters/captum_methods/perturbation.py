"""Captum's methods that take features away, one at a time: all heads from the same evaluations."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from xai_mimo.core.baselines import Baseline
from xai_mimo.core.coalitions import Game
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context, one_of, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Players, check_players
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.bridge import captum_attr, seeded
from xai_mimo_adapters.captum_methods.games import by_target, forward, game_of, play
from xai_mimo_adapters.captum_methods.windows import Windows, check_windows, resolve_windows

Among = Literal["background", "rows"]


@dataclass(frozen=True)
class CaptumFeatureAblation:
    """Captum's ``FeatureAblation``: what a target loses when one player takes its baseline value and all others stay.

    A_i = f(x) - mean over b of f(x with x_i replaced by b_i), in the head's unit

    One run serves all heads. The values need not sum to anything, so no completeness gap is reported. Captum gives
    every value of a group the loss of the whole group; here that is divided evenly among them, so that sums stay, and
    ``players`` of the result has it whole.

    Attributes:
        players: Captum's ``feature_mask``, in the words of ``Shapley``: "features", "levels", "variables", "patches",
            "streams", or players by name, see ``core.named_players``.
        patch: the size of one, where patches are the players.
        baseline: see ``core.baselines``; a set of baselines is averaged over.

    Source: Kokhlikyan et al. (2020), "Captum: A unified and generic model interpretability library for PyTorch".
    """

    players: Players = "features"
    baseline: Baseline = "zero"
    patch: Patch | None = None

    name: ClassVar[str] = "captum.FeatureAblation"
    reference: ClassVar[str] = "kokhlikyan2020captum"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        check_players(self.players, self.patch)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Take away each player of each row in turn."""
        attr = captum_attr()
        game = game_of(
            model, inputs, selectors, context, players=self.players, patch=self.patch, baseline=self.baseline
        )

        def attribute(row: Any, ones: Any, at_once: int) -> Array:
            captum = attr.FeatureAblation(forward(game))
            found = captum.attribute(ones, additional_forward_args=(row,), perturbations_per_eval=at_once)
            return by_target(found, len(selectors))

        values = play(game, context, attribute)
        return Attribution(
            values=game.masker.split(values),
            prediction=take(model.predict(inputs), selectors),
            players=game.masker.named_values(values),
        )


@dataclass(frozen=True)
class CaptumOcclusion:
    """Captum's ``Occlusion``: what a target loses when a window takes its baseline values, averaged over the windows.

    A value that several windows cover has the mean of what they lose. One run serves all heads. Values need not sum to
    anything, so no completeness gap is reported. Windows know no groups of features: columns of one category are taken
    away one by one, and ``captum.FeatureAblation`` keeps them together. Captum sums in float32.

    Attributes:
        windows: Captum's ``sliding_window_shapes``: positions along each axis of positions, with all channels; one
            number for all streams, or ``{stream: number, or one for each axis of positions or of the stream}``. In
            streams that are left out every value has a window of its own.
        strides: how far windows are apart, likewise; None for 1, as Captum has it. No larger than the window, or
            values between windows would be skipped. The last window is cut off where it leaves the row.
        baseline: see ``core.baselines``; a set of baselines is averaged over.

    Source: Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional Networks", Section 4.2.
    """

    windows: Windows = 1
    strides: Windows | None = None
    baseline: Baseline = "zero"

    name: ClassVar[str] = "captum.Occlusion"
    reference: ClassVar[str] = "zeiler2014visualizing"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        check_windows(self.windows, "windows")
        check_windows(1 if self.strides is None else self.strides, "strides")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Take away each window of each row in turn."""
        attr = captum_attr()
        windows, strides = resolve_windows(self.windows, self.strides, model.streams, inputs)
        # A player for each value: what a window covers is Captum's to say.
        game = game_of(model, inputs, selectors, context, players="levels", baseline=self.baseline)
        # Captum wants an axis to slide along where a stream has one value in a row.
        shapes = [inputs[stream.name].shape[1:] or (1,) for stream in model.streams]
        ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
        worth = forward(game)

        def attribute(row: Any, ones: Any, at_once: int) -> Array:
            import torch

            def of_streams(*arguments: Any) -> Any:
                *known, rows = arguments
                return worth(torch.cat([x.flatten(1) for x in known], dim=1), rows)

            parts = torch.tensor_split(ones, tuple(int(end) for end in ends), dim=1)
            streams = tuple(x.reshape(-1, *shape) for x, shape in zip(parts, shapes, strict=True))
            found = attr.Occlusion(of_streams).attribute(
                streams,
                sliding_window_shapes=windows,
                strides=strides,
                additional_forward_args=(row,),
                perturbations_per_eval=at_once,
            )
            return np.concatenate([by_target(x.flatten(1), len(selectors)) for x in found], axis=2)

        values = game.masker.split(play(game, context, attribute))
        return Attribution(values=values, prediction=take(model.predict(inputs), selectors))


@dataclass(frozen=True)
class CaptumFeaturePermutation:
    """Captum's ``FeaturePermutation``: what a target loses when one player takes the values of another row.

    A_i = f(x) - mean over draws of f(x with x_i of another row), in the head's unit

    Captum shuffles a player among the rows it is handed, so that a row's value depends on which other rows are
    explained beside it. Here the other row is drawn from the background by default (Captum's ``perm_func``), and no row
    is asked about another. One run serves all heads; every player of a group comes from the same row. Values need not
    sum to anything, so no completeness gap is reported.

    Attributes:
        players, patch: as ``CaptumFeatureAblation`` takes them.
        samples: draws for each player; Captum has one. Standard errors are those of the mean over the draws, whose
            number stands in ``draws``; absent with one.
        among: "background", or "rows" for Captum's own shuffle among the rows explained, which then must be two or more
            and come in one block (``explain(..., rows_per_block=...)``).

    Source: Breiman (2001), "Random Forests", Section 10, for each row and without labels.
    """

    players: Players = "features"
    samples: int = 10
    among: Among = "background"
    patch: Patch | None = None

    name: ClassVar[str] = "captum.FeaturePermutation"
    reference: ClassVar[str] = "breiman2001random"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("captum", "torch")

    def __post_init__(self) -> None:
        check_players(self.players, self.patch)
        whole(self.samples, "samples")
        one_of(self.among, get_args(Among), "among")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Exchange each player of each row in turn, several times."""
        attr, rows = captum_attr(), len(selectors[0].units)
        if self.among == "rows":
            _check_together(rows, context)
        others = inputs if self.among == "rows" else context.background
        game = Game.of(model, inputs, others, selectors, context, self.players, self.patch)
        prediction, count = take(model.predict(inputs), selectors), game.masker.count
        total, squares = (np.zeros((len(selectors), rows, count)) for _ in range(2))
        with seeded(int(context.rng.integers(2**32))):
            for _ in range(int(self.samples)):
                values = _exchange(attr, game, context, self.among)
                total += values
                squares += values**2
                context.advance(rows / int(self.samples))
        mean = total / int(self.samples)
        error = _standard_error(mean, squares, int(self.samples))
        return Attribution(
            values=game.masker.split(mean),
            prediction=prediction,
            standard_error=None if error is None else game.masker.split(error),
            draws=None if error is None else np.full(prediction.shape, int(self.samples)),
            players=game.masker.named_values(mean, error),
        )


def _check_together(rows: int, context: Context) -> None:
    way_out = "or take among='background', which draws the other row from the background."
    if context.first_row:
        raise NotSupported(
            "captum.FeaturePermutation(among='rows') shuffles among the rows of a block, and another one begins at row "
            f"{context.first_row}: its values would depend on how the rows were divided. Explain all rows in one "
            f"block, explain(..., rows_per_block=...), {way_out}"
        )
    if rows < 2:
        raise NotSupported(
            f"captum.FeaturePermutation(among='rows') shuffles among the rows explained, and there is {rows}. Explain "
            f"two or more, {way_out}"
        )


def _exchange(attr: Any, game: Game, context: Context, among: Among) -> Array:
    """One draw for every player and row: ``(target, sample, player)``.

    Captum is handed, for each player, the number of the row that its values are of: -1, the row's own, before numbers
    of the background come in; or its number among the rows, before those are shuffled.
    """
    import torch

    targets, count = len(game.selectors), game.masker.count
    room = context.chunk(count * (16 * targets + 16))
    own = np.arange(game.rows) if among == "rows" else np.full(game.rows, -1)

    def drawn(sources: Any, is_player: Any) -> Any:
        return torch.where(is_player, torch.randint(game.depth, (len(sources), 1)).to(sources.dtype), sources)

    def worth(sources: Any, row: Any) -> Any:
        numbers, row = sources.numpy().astype(np.int64), row.numpy()
        known = numbers == own[row][:, None]
        # One player alone was exchanged, if any.
        against = np.take_along_axis(numbers, known.argmin(axis=1)[:, None], axis=1)[:, 0]
        return torch.from_numpy(np.ascontiguousarray(game.values_against(row, known, np.maximum(against, 0)).T))

    captum = attr.FeaturePermutation(worth) if among == "rows" else attr.FeaturePermutation(worth, drawn)
    size = game.rows if among == "rows" else min(game.rows, room)
    values = np.zeros((targets, game.rows, count))
    for start in range(0, game.rows, size):
        part = slice(start, min(start + size, game.rows))
        row = torch.arange(part.start, part.stop)
        if among == "background" and len(row) == 1:  # Captum skips the features of a single row: all would be zero
            row = row.repeat(2)
        sources = torch.from_numpy(np.repeat(own[row, None].astype(np.float64), count, axis=1))
        at_once = min(count, max(1, room // len(row)))
        found = captum.attribute(sources, additional_forward_args=(row,), perturbations_per_eval=at_once)
        values[:, part] = by_target(found, targets)[:, : part.stop - part.start]
    return values


def _standard_error(mean: Array, squares: Array, samples: int) -> Array | None:
    """Of the mean over draws; None of a single one."""
    if samples < 2:
        return None
    variance = np.maximum(squares / samples - mean**2, 0) * samples / (samples - 1)
    error: Array = np.sqrt(variance / samples)
    return error
