"""Occlusion: what a target loses when one value, or one whole stream, is taken away; all heads at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.baselines import Baseline, resolve_baseline
from xai_mimo.core.coalitions import Game
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.patches import Patch
from xai_mimo.core.players import Players, check_players
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take


@dataclass(frozen=True)
class Occlusion:
    """The change of a target when one player takes its baseline value and all others stay.

    A_i = f(x) - mean over b of f(x with x_i replaced by b_i), in the head's unit

    It asks one question per player and ignores what players do together: of two inputs that can stand in for each
    other, neither gets anything. The values need not sum to anything, so no completeness gap is reported.

    Attributes:
        players: "features", every single input value, a group of features of a stream together (``Stream.groups``: the
            result then has a value for each of the stream's variables); "levels", the same with the columns of a
            category by themselves (rows then arise that cannot exist, of two levels or of none); "variables", every
            entry of a stream's last axis over all its other axes, such as the whole series of a feature; "patches",
            neighbouring positions with all their channels; "words", the tokens of each word of texts (``core.texts``);
            or "streams", whole streams. Or players by name, which may span streams: ``{"engine": {"table": ["rpm",
            "torque"]}, "weather": {"table": ["temp"], "image": "all"}, "first week": {"series": {"time": [0, 7]}}}``,
            or superpixels, ``{"image": labels}``; ``core.named_players`` says all that may stand there. The result then
            has a variable ``players``.
        patch: where patches are the players, positions along each axis: one number for all streams with positions, one
            for each axis, or these by stream. Values of streams without one are players each. What a patch loses is
            divided evenly among its values.
        baseline: "zero", "mean", "background" (averaged over the background's rows), or values per stream: one row, or
            a set of rows to average over. Zero and the mean are no level of a category: with groups of columns, take
            "background".

    Source: Zeiler and Fergus (2014), "Visualizing and Understanding Convolutional Networks", Section 4.2, with patches
    that do not overlap, of one value, of neighbours or of a whole stream.
    """

    players: Players = "features"
    baseline: Baseline = "zero"
    patch: Patch | None = None

    name: ClassVar[str] = "occlusion"
    reference: ClassVar[str] = "zeiler2014visualizing"
    speaks_of: ClassVar[SpeaksOf] = "attribution"

    def __post_init__(self) -> None:
        check_players(self.players, self.patch)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Take away each player of each row in turn; one prediction serves all targets."""
        baselines = resolve_baseline(self.baseline, model.streams, context.background)
        game = Game.of(model, inputs, baselines, selectors, context, self.players, self.patch)
        prediction, count = take(model.predict(inputs), selectors), game.masker.count
        lost = np.empty((len(selectors), game.rows * count))
        for part in slices(game.rows * count, context.chunk(count)):
            row, player = np.divmod(np.arange(part.start, part.stop), count)
            known = np.ones((len(row), count), dtype=bool)
            known[np.arange(len(row)), player] = False
            lost[:, part] = prediction[:, row] - game.values(row, known)
            context.advance(len(row) / count)
        values = lost.reshape(len(selectors), game.rows, count)
        return Attribution(
            values=game.masker.split(values),
            prediction=prediction,
            diagnostics={"evaluations": np.full(prediction.shape, count)},
            players=game.masker.named_values(values),
        )
