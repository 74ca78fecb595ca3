"""Class activation maps: what a layer's channels say of a target, position by position, at any layer of any model."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from xai_mimo.core.cam_cut import CamCut, cam_cut
from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context, flag, name_or_none
from xai_mimo.core.model import Arrays, Differentiable, Model, Splittable
from xai_mimo.core.positions import channel_axis, lay_over
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.activation_maps.token_grid import TokenGrid

# Relative error up to which two float32 computations of one quantity count as equal.
_SAME = 1e-3


@dataclass(frozen=True)
class GradCAM:
    """Where a layer's channels speak for a target: Grad-CAM, for images, sequences and tokens, patches of images too.

    w_k = mean over positions p of dy / dA_k(p),  M(p) = ReLU(sum over k of w_k A_k(p))

    A are the values that the layer reads, with K channels; y is the target. The map is brought to the positions of the
    input stream by (bi)linear interpolation and divided evenly among the stream's channels, so that the sum over
    channels is the map. It says *where*, at the resolution of the layer, not which channel. Its values are those of the
    source: they are in the head's unit, but their sum means nothing once the map is resized.

    The source takes y before a softmax; here it is what the model puts out. Where that is a probability, its gradient
    also tells how the other classes lose.

    Attributes:
        at: name or path of the layer whose inputs are read (for what a layer puts out, name the layer behind it: the
            order of layers is ``xai_mimo.adapt(model).layers()``); None for the last layer of the model that reads
            positions, often the pooling. In the space of a layer (``explain(..., at=...)``) these are that layer's
            inputs.
        positive: False leaves the ReLU out, so that evidence against the target keeps its sign.
        stream: the input stream to explain. Needed where the heads read several: this map says nothing of the others,
            and they get zeros only if they are left out in this way or if no target reacts to them.
        prefix_tokens: where the layer reads tokens, how many of them stand before the first position of the stream,
            such as one for the class: they are in no mean and get no position.
        grid: where the tokens are patches of an image, their rows and columns, in reading order; None for the grid that
            has the aspect of the image.

    Source: Selvaraju et al. (2017), "Grad-CAM", Section 3, Equations 1 and 2.
    """

    at: str | None = None
    positive: bool = True
    stream: str | None = None
    prefix_tokens: int = 0
    grid: Sequence[int] | None = None

    name: ClassVar[str] = "grad_cam"
    reference: ClassVar[str] = "selvaraju2017gradcam"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (
        Splittable,
        Differentiable,
    )

    def __post_init__(self) -> None:
        name_or_none(self.at, "at")
        name_or_none(self.stream, "stream")
        flag(self.positive, "positive")
        TokenGrid.of(self.prefix_tokens, self.grid)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One forward pass for all targets, one backward pass for each, through the part behind the layer."""
        cut = cam_cut(model, inputs, context, at=self.at, stream=self.stream, method=self.name)
        canvas = _Canvas.of(cut, inputs, selectors, TokenGrid.of(self.prefix_tokens, self.grid))
        for piece in _pieces(cut, inputs, selectors, context, canvas.tokens):
            maps = _weighted(piece.activations, _over_positions(piece.gradients).mean(axis=2))
            canvas.draw(piece.rows, np.maximum(maps, 0.0) if self.positive else maps, piece.values)
        return canvas.attribution(signed=not self.positive)


@dataclass(frozen=True)
class CAM:
    """The class activation map of a head that is linear in the mean over positions of a layer's channels.

    y = b + sum over k of W_k mean over p of A_k(p),  M(p) = sum over k of W_k A_k(p)

    So the mean of M over the layer's positions is y - b exactly: nothing is left out and nothing is rectified. That is
    Z times ``GradCAM(positive=False)``, Z being the number of positions. That the head has this form is checked on the
    numbers, and every other head is refused. Resizing and streams: as in ``GradCAM``.

    Attributes:
        at: name or path of the pooling layer; None as in ``GradCAM``.
        stream, prefix_tokens, grid: as in ``GradCAM``. A head that reads a prefix token too is refused.

    Source: Zhou et al. (2016), "Learning Deep Features for Discriminative Localization", Section 2, Equations 1 and 2.
    """

    at: str | None = None
    stream: str | None = None
    prefix_tokens: int = 0
    grid: Sequence[int] | None = None

    name: ClassVar[str] = "cam"
    reference: ClassVar[str] = "zhou2016cam"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Splittable,)

    def __post_init__(self) -> None:
        name_or_none(self.at, "at")
        name_or_none(self.stream, "stream")
        TokenGrid.of(self.prefix_tokens, self.grid)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Read the weights off the gradient, and make sure that the map explains the whole target."""
        cut = cam_cut(model, inputs, context, at=self.at, stream=self.stream, method=self.name)
        canvas = _Canvas.of(cut, inputs, selectors, TokenGrid.of(self.prefix_tokens, self.grid))
        for piece in _pieces(cut, inputs, selectors, context, canvas.tokens):
            maps = _weighted(piece.activations, _over_positions(piece.gradients).sum(axis=2))
            without = take(cut.at.part.predict(piece.without(cut)), rows_of(selectors, piece.rows))
            _check_whole(maps, piece.values - without, selectors, cut)
            canvas.draw(piece.rows, maps, piece.values)
        return canvas.attribution(signed=True)


class _Piece(NamedTuple):
    """Some rows at the layer, channels last.

    Attributes:
        rows: which rows. read: ``{stream of the cut: (row, *shape)}``, as the layer reads them.
        activations: ``(row, *positions, channel)``. gradients: ``(target, row, *positions, channel)``.
        values: ``(target, row)``, the explained values.
    """

    rows: slice
    read: Arrays
    activations: Array
    gradients: Array
    values: Array

    def without(self, cut: CamCut) -> Arrays:
        """The same rows with zeros for the activations."""
        return {**self.read, cut.source.name: np.zeros_like(self.read[cut.source.name])}


def _pieces(
    cut: CamCut, inputs: Arrays, selectors: Sequence[Selector], context: Context, tokens: TokenGrid
) -> Iterator[_Piece]:
    """All rows, as many at a time as memory allows."""
    rows = len(selectors[0].units)
    one = cut.at.enter({name: x[:1] for name, x in inputs.items()})
    values = sum(x[0].size for x in one.values())
    axis = channel_axis(cut.source)
    for part in slices(rows, context.chunk(values * 8 * (2 + 2 * len(selectors)))):
        read, chosen = cut.at.enter({name: x[part] for name, x in inputs.items()}), rows_of(selectors, part)
        outputs, gradients = cut.gradients(read, chosen)
        cut.check_others(gradients, selectors)
        activations, slopes = (
            tokens.patches(np.moveaxis(v, lead + (axis or 0), -1), lead, axes=v.ndim - lead - 1, what=cut.reads)
            for lead, v in ((1, read[cut.source.name]), (2, gradients[cut.source.name]))
        )
        yield _Piece(part, read, activations, slopes, take(outputs, chosen))
        context.advance(part.stop - part.start)


def _over_positions(values: Array) -> Array:
    """``(target, row, position, channel)`` in float64, the positions in one axis."""
    return values.reshape(*values.shape[:2], -1, values.shape[-1]).astype(np.float64)


def _weighted(activations: Array, weights: Array) -> Array:
    """``(target, row, *positions)``: the channels summed with a weight for each target, row and channel."""
    maps: Array = np.einsum("tnk,n...k->tn...", weights, activations.astype(np.float64))
    return maps


def _check_whole(maps: Array, explained: Array, selectors: Sequence[Selector], cut: CamCut) -> None:
    """Refuse a head whose value is not the mean of the map and a bias."""
    mean = maps.reshape(*maps.shape[:2], -1)
    scale = np.abs(mean).mean(axis=2).max(axis=1) + np.abs(explained).max(axis=1)
    wrong = np.abs(mean.mean(axis=2) - explained).max(axis=1) > _SAME * scale
    if wrong.any():
        raise NotSupported(
            f"head '{selectors[int(np.argmax(wrong))].head}' is not linear in the mean over positions of what layer "
            f"'{cut.layer}' reads, so it has no class activation map there. Name the pooling before a linear head, "
            "leave a softmax out of the model (explain its logits), or use 'grad_cam'."
        )


@dataclass(frozen=True)
class _Canvas:
    """Attributions that are filled piece by piece.

    Attributes:
        cut: where the maps come from.
        values: ``{stream: (target, sample, *shape)}``, zeros where nothing is drawn.
        prediction: ``(target, sample)``.
        tokens: how a row of them lies over an image.
    """

    cut: CamCut
    values: Arrays
    prediction: Array
    tokens: TokenGrid

    @staticmethod
    def of(cut: CamCut, inputs: Arrays, selectors: Sequence[Selector], tokens: TokenGrid) -> "_Canvas":
        values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
        return _Canvas(cut, values, np.empty((len(selectors), len(selectors[0].units))), tokens)

    def draw(self, rows: slice, maps: Array, values: Array) -> None:
        """Lay the maps ``(target, row, *positions)`` of some rows over the explained stream."""
        stream, into = self.cut.stream, self.values[self.cut.stream.name]
        maps, axes = self.tokens.lay(maps, stream, into.shape[2:], axes=maps.ndim - 2, what=self.cut.reads)
        into[:, rows] = lay_over(maps, stream, into.shape[2:], axes=axes, what=self.cut.reads)
        self.prediction[:, rows] = values

    def attribution(self, *, signed: bool) -> Attribution:
        return Attribution(self.values, self.prediction, signed=signed, unexplained=self.cut.unexplained)
