"""The contract of metrics holds for every one that is installed, and catches one broken in one clause at a time."""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from xai_mimo.core.plugins import load_plugin, plugins
from xai_mimo.metrics.metric import Quantity
from xai_mimo.testing import check_metric

pytestmark = pytest.mark.all_frameworks


@pytest.mark.parametrize("name", plugins("xai_mimo.metrics"))
def test_every_metric_keeps_the_contract(name):
    check_metric(load_plugin(plugins("xai_mimo.metrics")[name])())


def maps_of(scene, measure):
    for label, maps in scene.maps.maps.items():
        for target, values in zip(scene.maps.heads, maps, strict=True):
            yield Quantity(method=label, target=target, values=measure(values))


def top_share(values):
    total = np.abs(values).sum(axis=1)
    return np.where(total > 0, np.abs(values).max(axis=1) / np.where(total > 0, total, 1.0), np.nan)


@dataclass(frozen=True)
class TopShare:
    """The share of the largest value: what each broken metric below is made of."""

    scale: float = 1.0

    name: ClassVar[str] = "top_share"
    family: ClassVar[str] = "complexity"
    title: ClassVar[str] = "share of the top"
    better: ClassVar[str] = "neither"
    bounds: ClassVar[Any] = (0.0, 1.0)
    reference: ClassVar[str] = "nobody2025top"
    bibtex: ClassVar[str] = "@misc{nobody2025top, title = {Top}}"

    def __call__(self, scene, rng):
        return maps_of(scene, top_share)


def test_a_right_metric_keeps_the_contract():
    check_metric(TopShare())


@dataclass(frozen=True)
class Broken(TopShare):
    """Each subclass says in its docstring what the contract must answer."""


@dataclass(frozen=True)
class UnknownFamily(Broken):
    """has the family 'beauty', which is not one of"""

    family: ClassVar[str] = "beauty"


@dataclass(frozen=True)
class UnknownDirection(Broken):
    """has the better 'upwards', which is not one of"""

    better: ClassVar[str] = "upwards"


@dataclass(frozen=True)
class UnknownNeed(Broken):
    """needs 'luck', which is not one of"""

    needs: ClassVar[tuple] = ("luck",)


@dataclass
class NotFrozen:
    """NotFrozen is not frozen"""

    name, family, title, better, bounds, reference = "thawed", "complexity", "thawed", "neither", (None, None), ""

    def __call__(self, scene, rng):
        return []


@dataclass(frozen=True)
class SettingsOfFunctions(Broken):
    """the settings of SettingsOfFunctions cannot be recorded as JSON"""

    rule: Any = max


@dataclass(frozen=True)
class KeyOfNothing(Broken):
    """reference is 'nobody2025top', which nothing describes"""

    bibtex: ClassVar[str] = ""


@dataclass(frozen=True)
class TitleForMachines(Broken):
    """title is 'top_share'; expected words"""

    title: ClassVar[str] = "top_share"


@dataclass(frozen=True)
class OneBound(Broken):
    """bounds is 1.0; expected the smallest and the largest value"""

    bounds: ClassVar[Any] = 1.0


@dataclass(frozen=True)
class BoundsTurnedRound(Broken):
    """bounds is \\(1.0, 0.0\\); the first must be below the second"""

    bounds: ClassVar[Any] = (1.0, 0.0)


@dataclass(frozen=True)
class HoldsMethodsWithoutADirection(Broken):
    """is tested and has no direction"""

    tested: ClassVar[bool] = True


@dataclass(frozen=True)
class HeldAgainstLuck(Broken):
    """is tested against \\('luck',\\); expected a tuple of 'methods' and 'controls'"""

    better: ClassVar[str] = "larger"
    tested: ClassVar[tuple] = ("luck",)


@dataclass(frozen=True)
class HeldAgainstNothing(Broken):
    """is tested against 'controls' and gives none"""

    better: ClassVar[str] = "larger"
    tested: ClassVar[tuple] = ("controls",)


@dataclass(frozen=True)
class OtherPEachTime(Broken):
    """gives other numbers from the same seed"""

    better: ClassVar[str] = "larger"
    tested: ClassVar[tuple] = ("controls",)

    def __call__(self, scene, rng):
        for q in super().__call__(scene, rng):
            p = None if np.isnan(q.values).all() else np.random.default_rng().random()
            yield dataclasses.replace(q, p=p, note="tested by luck")
            yield dataclasses.replace(q, values=np.full(scene.maps.rows, 0.1), role="floor_random", exact=True)


@dataclass(frozen=True)
class GivesNumbers(Broken):
    """gave a float, not a Quantity"""

    def __call__(self, scene, rng):
        return [1.0]


@dataclass(frozen=True)
class OneValueForAllRows(Broken):
    """gave values of shape \\(1,\\); expected one value for each of the 24 rows"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: top_share(values)[:1])


@dataclass(frozen=True)
class OfNoMethod(Broken):
    """gave a quantity of the method 'somebody'"""

    def __call__(self, scene, rng):
        return [Quantity(method="somebody", target=scene.maps.heads[0], values=np.ones(scene.maps.rows))]


@dataclass(frozen=True)
class GivesNothing(Broken):
    """'top_share' gives no value of any method"""

    def __call__(self, scene, rng):
        return [q for q in super().__call__(scene, rng) if q.values is None]


@dataclass(frozen=True)
class NothingOfOneRow(Broken):
    """'top_share' gives no value of a single row"""

    def __call__(self, scene, rng):
        return list(super().__call__(scene, rng)) if scene.maps.rows > 1 else []


@dataclass(frozen=True)
class FailsOnOneRow(Broken):
    """'top_share', given one row, fails with MetricFailed"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: top_share(values) + 0 * values[1, 0])


@dataclass(frozen=True)
class OutOfBounds(Broken):
    """gave values from .* to .* for '.*'.*; its bounds are \\(0.0, 1.0\\)"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: 3 * top_share(values))


@dataclass(frozen=True)
class BelowItsBounds(Broken):
    """gave values from -"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: -top_share(values))


@dataclass(frozen=True)
class InfiniteForZeroMaps(Broken):
    """'top_share' gave values that are infinite for 'nothing'"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: np.nan_to_num(top_share(values), nan=np.inf))


@dataclass(frozen=True)
class DividesByZero(Broken):
    """invalid value encountered"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: np.abs(values).max(axis=1) / np.abs(values).sum(axis=1))


@dataclass(frozen=True)
class RandomOfItsOwn(Broken):
    """gives other numbers from the same seed"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: top_share(values) * np.random.default_rng().random())


@dataclass(frozen=True)
class CountsItsFellows(Broken):
    """gives other numbers when other metrics run beside it"""

    def __call__(self, scene, rng):
        return maps_of(scene, lambda values: top_share(values) / len(scene.metrics))


@dataclass(frozen=True)
class ChangesTheMaps(Broken):
    """changes the maps"""

    def __call__(self, scene, rng):
        for maps in scene.maps.maps.values():
            np.abs(maps, out=maps)
        return super().__call__(scene, rng)


@dataclass(frozen=True)
class ChangesTheRows(Broken):
    """changes the inputs"""

    def __call__(self, scene, rng):
        scene.perturbed.inputs["table"][0] = 0
        return super().__call__(scene, rng)


@dataclass(frozen=True)
class TouchesTheGlobalGenerator(Broken):
    """changes NumPy's global generator"""

    def __call__(self, scene, rng):
        np.random.random()  # noqa: NPY002
        return super().__call__(scene, rng)


@dataclass(frozen=True)
class PrefersNoise(Broken):
    """says that smaller is better, and gives .* to a map that is right and .* to noise"""

    better: ClassVar[str] = "smaller"


@dataclass(frozen=True)
class MeasuresNoiseAlone(Broken):
    """has a direction and no target of which it measures the right map and noise"""

    better: ClassVar[str] = "larger"

    def __call__(self, scene, rng):
        return [q for q in super().__call__(scene, rng) if q.method != "right"]


@pytest.mark.parametrize("kind", [NotFrozen, *Broken.__subclasses__()], ids=lambda kind: kind.__name__)
def test_a_broken_metric_is_caught(kind):
    with pytest.raises(AssertionError, match=kind.__doc__):
        check_metric(kind())


def test_a_metric_may_ask_something_else_of_a_map():
    check_metric(PrefersNoise(), tells_noise=False)


@dataclass(frozen=True)
class OfTheMeanMap(TopShare):
    """A number about the mean over rows."""

    better: ClassVar[str] = "larger"

    def __call__(self, scene, rng):
        return (dataclasses.replace(q, values=m, of_mean=top_share) for q, m in self.pairs(scene))

    def pairs(self, scene):
        every = [np.abs(m) for maps in scene.maps.maps.values() for m in maps]
        return zip(maps_of(scene, lambda values: None), every, strict=True)


def test_a_number_about_the_mean_over_rows_is_checked_as_one():
    check_metric(OfTheMeanMap())
