"""What may be scored: everything that the metrics of one comparison read, made once by the comparison."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np
import xarray as xr

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.head_kinds import is_quantity
from xai_mimo.core.model import Arrays, Model, Randomisable
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import Masker, WholePlayers
from xai_mimo.core.positions import position_axes
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.targets import Selector
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.metrics.dependence import STRONG, depend
from xai_mimo.metrics.metric import Need

Value = TypeVar("Value")

_FEW = 200
CANNOT_AGAIN = "not measured: a ready map, whose method cannot be run again here"
"""What is said of a ready map in the place of a number for which its method would have to explain again."""


@dataclass(frozen=True)
class PerturbedModel:
    """The model that is asked again with changed inputs, in the space of the comparison.

    Attributes:
        model: whose streams the maps lie on: the whole model, or the part behind a layer.
        inputs: the explained rows as that model reads them, ``{stream: (sample, *shape)}``.
        background: rows that stand for "nothing known", likewise.
        replacement: rows that replaced values are taken from, likewise.
        selectors: the explained targets.
        players: what one entry of a map is, and is replaced as a whole: a single value, an entry of a stream's last
            axis over all its other axes, or a stream, groups of features of a stream counting as one feature; or
            players by name.
    """

    model: Model
    inputs: Arrays
    background: Arrays
    replacement: Arrays
    selectors: Sequence[Selector]
    players: WholePlayers | NamedPlayers

    @property
    def masker(self) -> Masker:
        """The players of its rows, in the order of the maps."""
        return Masker.of(self.inputs, self.players, self.model.streams)


@dataclass(frozen=True)
class TrueFeatures:
    """What is known of one head.

    Attributes:
        mask: ``(feature,)`` booleans, which features matter; None where the head cannot be scored.
        note: why it cannot be scored, or how the truth had to be read; "" when there is nothing to say.
        is_null: whether the head is known to depend on no input at all.
        feature_of: ``(player,)``, the position of each player's feature in the mask: those of the maps (see
            ``AlignedMaps.features``), unless the truth names some positions of a stream whose positions are one feature
            there. None where there is no mask.
    """

    mask: Array | None
    note: str = ""
    is_null: bool = False
    feature_of: Array | None = None


class ExplainAgain(Protocol):
    """Explains the same targets once more, by a method of the comparison."""

    def __call__(self, label: str, *, inputs: Arrays | None = None, model: Model | None = None) -> Array:
        """Maps of one method, with its settings and the random numbers of its first run.

        Args:
            label: of the method.
            inputs: rows in the place of the explained ones, as the perturbed model reads them; units stay those of the
                explained rows, so that a prediction that flips does not pass for an unstable map.
            model: in the place of the whole model: the same with random weights.
        Returns:
            ``(target, sample, player)``, in the space of the comparison.
        """


class ScoreSettings(Protocol):
    """The settings of a comparison that metrics read."""

    @property
    def ks(self) -> tuple[int, ...]:
        """Sizes of the top for agreement at k."""

    @property
    def steps(self) -> int:
        """Points of a deletion or insertion curve."""

    @property
    def controls(self) -> int:
        """Random orders that every curve is held against."""

    @property
    def replacement(self) -> str:
        """What replaced features become: "mean", "background" or "nearest"."""

    @property
    def replacement_rows(self) -> int:
        """Rows of the background that replaced features are taken from, where it is not their mean."""

    @property
    def deleted(self) -> float:
        """Share of the positions that deletion accuracy takes away."""

    @property
    def tolerance(self) -> float:
        """Distance to a region that the pointing game counts as a hit."""


@dataclass(frozen=True)
class Scene:
    """The maps of one comparison and all that they can be held against.

    Attributes:
        maps: the methods' maps side by side.
        perturbed: the model that is asked again.
        whole: the model as the user gave it; ``perturbed.model`` itself unless the comparison is at a layer.
        explanations: label -> the explanation as the method gave it.
        truth: name of the target -> the features known to matter; targets without a truth are absent.
        regions: name of the target -> ``{stream: (sample, *shape)}``, booleans where the truth marks positions row by
            row, with axes of length 1 where one mark holds for all.
        at_inputs: whether the maps lie on single values of the model's inputs, which regions speak of.
        labels: true values, ``{head: (sample, ...)}``, of the heads that have any.
        texts: streams of words, whose first axis is one of positions whatever it is called.
        explain_again: explains moved rows, or a model with random weights.
        settings: of the scores.
        metrics: names of the metrics that run.
        ready: labels of maps that were brought in, which ``explain_again`` cannot make: of them a metric that explains
            again gives a quantity without values, with ``CANNOT_AGAIN`` as its note.
        rng: name of a metric, or of work that several share -> its random numbers; always the same for one name.
        advance: told the share of the present step that was just finished.
    """

    maps: AlignedMaps
    perturbed: PerturbedModel
    whole: Model
    explanations: Mapping[str, xr.Dataset]
    truth: Mapping[str, TrueFeatures]
    regions: Mapping[str, Mapping[str, Array]]
    at_inputs: bool
    labels: Mapping[str, Array]
    texts: Collection[str]
    explain_again: ExplainAgain
    settings: ScoreSettings
    metrics: tuple[str, ...]
    ready: tuple[str, ...] = field(default=(), kw_only=True)
    rng: Callable[[str], np.random.Generator]
    advance: Advance = silent
    # A cache, not state: every entry is a pure function of the other fields.
    _shared: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def once(self, what: str, make: Callable[[], Value]) -> Value:
        """Work that several metrics share: done when the first of them asks, then kept."""
        if what not in self._shared:
            self._shared[what] = make()
        shared: Value = self._shared[what]
        return shared

    def was_made(self, what: str) -> bool:
        """Whether some metric has asked for this shared work."""
        return what in self._shared

    def positions(self, stream: Stream) -> tuple[int, ...]:
        """The axes of a stream along which its values have positions."""
        return tuple(position_axes(stream, is_text=stream.name in self.texts))

    def lacks(self, need: Need) -> str:
        """Why the scene has not what a metric needs, and how to mend it; "" where it has.

        Raises:
            BadSetting: no such need.
        """
        if need not in _LACKS:
            raise BadSetting(f"a metric needs {need!r}, which is not one of {', '.join(map(repr, _LACKS))}.")
        has, reason = _LACKS[need]
        return "" if has(self) else reason


def _has_positions(scene: Scene) -> bool:
    streams = scene.perturbed.model.streams
    return scene.perturbed.players == "features" and any(scene.positions(s) for s in streams)


def _has_classes(scene: Scene) -> bool:
    are_quantities = {h.name: is_quantity(h) for h in scene.perturbed.model.heads}
    return any(not are_quantities[s.head] for s in scene.perturbed.selectors)


def _has_correlated_features(scene: Scene) -> bool:
    if scene.settings.replacement == "nearest":
        return False
    perturbed = scene.perturbed
    masker = Masker.of(perturbed.background, perturbed.players, perturbed.model.streams)
    return scene.once("dependence", lambda: depend(perturbed.background, masker))


_LACKS: dict[Need, tuple[Callable[[Scene], bool], str]] = {
    "two methods": (lambda scene: len(scene.maps.labels) > 1, "it holds two methods against each other; give two"),
    "two features": (lambda scene: len(scene.maps.players) > 1, "one feature has no order; compare in another space"),
    "few features": (
        lambda scene: len(scene.maps.players) <= _FEW,
        f"what it costs grows with the features, and there are more than {_FEW}; compare by variable or by stream",
    ),
    "correlated features": (
        _has_correlated_features,
        f"no two features of the background have a rank correlation of {STRONG} that is no accident, or all curves are "
        'of this kind already (replacement="nearest")',
    ),
    "truth": (
        lambda scene: bool(scene.truth),
        "no features are known to matter; give truth={head: {stream: [feature, ...]}}",
    ),
    "regions": (
        lambda scene: bool(scene.regions),
        "no regions are known to matter; give truth={head: {stream: booleans (sample, *positions)}}",
    ),
    "positions": (
        _has_positions,
        "it is for single values of streams with positions (axes time, height, width, token or step)",
    ),
    "classes": (_has_classes, "it is for heads of classes, and all explained heads are of kind regression"),
    "baseline": (
        lambda scene: any("baseline_prediction" in e for e in scene.explanations.values()),
        "no method starts from a baseline, so there is nothing that attributions should sum to; give one that does, "
        "e.g. 'integrated_gradients' or 'shapley'",
    ),
    "real values": (
        lambda scene: any(x.dtype.kind == "f" for x in scene.perturbed.inputs.values()),
        "all streams hold whole numbers or words, which cannot be moved a little; compare at the layer that embeds "
        "them",
    ),
    "random weights": (
        lambda scene: isinstance(scene.whole, Randomisable),
        "the model's weights cannot be made random; give a functional Keras model",
    ),
}
"""For each need, whether a scene has it, and what to say where it has not."""
