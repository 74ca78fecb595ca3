"""Models whose every answer is known, and maps of them whose every fault is known: what ``verdicts.py`` judges.

A model reads two streams and has three heads; each head reads a few of the features, and one feature more is the same
in every row. What a head owes each feature is its Shapley value against the background's mean row, by enumeration of
the features it reads; all others are owed exactly 0.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import InitVar, dataclass
from functools import cached_property
from typing import ClassVar, Literal, get_args

import numpy as np

import xai_mimo as xm
from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector

Family = Literal["linear", "additive", "network"]
Relation = Literal["independent", "pairs", "opposing"]
Kind = Literal[
    "exact",
    "noisy",
    "flip",
    "alltop",
    "onetop",
    "wrongfeat",
    "proxy",
    "rand",
    "rand_b",
    "permrow",
    "fixed",
    "uniform",
    "leak",
]
FAMILIES, RELATIONS, KINDS = get_args(Family), get_args(Relation), get_args(Kind)
UNSIGNED = ("uniform", "leak")
WIDTHS = (6, 10, 20)
PAIRED, NEARLY_EQUAL = 0.9, 0.98
BACKGROUND_ROWS = 100
_OFF_TRUTH = 0.75  # of the mass of "alltop" and "onetop", where the order allows so much
_LEAKED = 0.8


@dataclass(frozen=True)
class Rule:
    """What one head computes.

    Attributes:
        reads: indices of the features it reads, its true features.
        value: ``(row, len(reads))`` -> ``(row,)``.
    """

    reads: tuple[int, ...]
    value: Callable[[Array], Array]


@dataclass(frozen=True)
class Known:
    """A model with known answers, and rows of its data.

    Attributes:
        seeds: that it was drawn from.
        width: features that vary; one more, the last, is constant.
        rules: by head.
        x, background: ``(row, width + 1)``.
        partner: for each feature the one it is correlated with (or would be), in the other stream.
    """

    seeds: tuple[int, ...]
    width: int
    rules: Mapping[str, Rule]
    x: Array
    background: Array
    partner: tuple[int, ...]

    @property
    def features(self) -> int:
        """How many there are, with the constant one."""
        return self.width + 1

    @cached_property
    def model(self) -> Model:
        """It as ``compare`` takes it."""

        def predict(left: Array, right: Array) -> Arrays:
            x = np.concatenate([left, right], axis=1)
            return {head: rule.value(x[:, rule.reads]) for head, rule in self.rules.items()}

        first = self.width // 2
        streams = {
            "left": xm.Stream("left", (first,), dtype="float64"),
            "right": xm.Stream("right", (self.features - first,), dtype="float64"),
        }
        return xm.adapt(predict, streams=streams, heads=dict.fromkeys(self.rules, 1))

    def split(self, x: Array) -> Arrays:
        """Columns as the two streams."""
        return {"left": x[..., : self.width // 2], "right": x[..., self.width // 2 :]}

    @property
    def truth(self) -> dict[str, dict[str, list[str]]]:
        """The features that each head reads, as ``compare`` takes them."""
        first = self.width // 2
        return {
            head: {
                "left": [str(i) for i in rule.reads if i < first],
                "right": [str(i - first) for i in rule.reads if i >= first],
            }
            for head, rule in self.rules.items()
        }

    @cached_property
    def exact(self) -> Array:
        """Shapley values against the background's mean row, ``(head, row, feature)``."""
        values = np.zeros((len(self.rules), len(self.x), self.features))
        base = self.background.mean(axis=0)
        for h, rule in enumerate(self.rules.values()):
            reads = list(rule.reads)
            values[h][:, reads] = shapley_values(rule.value, self.x[:, reads], base[reads])
        return values


def shapley_values(value: Callable[[Array], Array], x: Array, base: Array) -> Array:
    """Shapley values of every column, ``(row, column)``, by all coalitions; absent columns take the base's value."""
    players = x.shape[1]
    worth = {
        coalition: value(np.where(np.isin(np.arange(players), coalition), x, base))
        for size in range(players + 1)
        for coalition in itertools.combinations(range(players), size)
    }
    values = np.zeros_like(x)
    for coalition, with_it in worth.items():
        weight = math.factorial(len(coalition) - 1) if coalition else 0
        weight *= math.factorial(players - len(coalition))
        for player in coalition:
            without = worth[tuple(p for p in coalition if p != player)]
            values[:, player] += weight / math.factorial(players) * (with_it - without)
    return values


def known_model(seed: int, family: Family, relation: Relation, width: int, rows: int) -> Known:
    """A model drawn from the seed: with the same seed and more rows, the same rules."""
    numbers = (seed, FAMILIES.index(family), RELATIONS.index(relation), width)
    rule_rng, data_rng = (np.random.default_rng([*numbers, part]) for part in (0, 1))
    half = width // 2
    if relation == "opposing":
        rules = _opposing_rules(family, half)
    else:
        rules = {
            f"reads {count}": _rule(family, _one_of_each_pair(count, half, rule_rng), rule_rng)
            for count in dict.fromkeys((1, 2, max(3, width // 3)))
        }
    x = _features(relation, width, rows + BACKGROUND_ROWS, data_rng)
    partner = (*range(half, width), *range(half), width)
    return Known(numbers, width, rules, x[BACKGROUND_ROWS:], x[:BACKGROUND_ROWS], partner)


def _features(relation: Relation, width: int, rows: int, rng: np.random.Generator) -> Array:
    """Standard normal features, each correlated with its partner in the other stream; the last is constant."""
    half = width // 2
    left, right = rng.standard_normal((2, rows, half))
    correlation = np.full(half, 0.0 if relation == "independent" else PAIRED)
    if relation == "opposing":
        correlation[1] = NEARLY_EQUAL
    right = correlation * left + np.sqrt(1 - correlation**2) * right
    return np.concatenate([left, right, np.ones((rows, 1))], axis=1)


def _one_of_each_pair(count: int, half: int, rng: np.random.Generator) -> tuple[int, ...]:
    """True features, no two of them partners: so that the partner of each is a feature that does nothing."""
    pairs = rng.permutation(half)[:count]
    return tuple(int(i) for i in np.sort(pairs + half * rng.integers(0, 2, len(pairs))))


def _rule(family: Family, reads: tuple[int, ...], rng: np.random.Generator) -> Rule:
    """A rule of one family whose features all matter, from half to twice as much."""
    count = len(reads)
    weights = rng.uniform(0.5, 2.0, count) * rng.choice([-1.0, 1.0], count)
    if family == "linear":
        return Rule(reads, lambda x: x @ weights)
    if family == "additive":
        shapes = rng.integers(0, len(_SHAPES), count)
        terms = list(zip(weights, (_SHAPES[s] for s in shapes), strict=True))
        return Rule(reads, lambda x: sum(w * shape(x[:, i]) for i, (w, shape) in enumerate(terms)))
    hidden = rng.standard_normal((count, 8)) * weights[:, None] / np.sqrt(count)
    bias, out = 0.5 * rng.standard_normal(8), rng.standard_normal(8)
    return Rule(reads, lambda x: np.tanh(x @ hidden + bias) @ out)


_SHAPES: tuple[Callable[[Array], Array], ...] = (
    lambda x: x,
    lambda x: np.tanh(2 * x),
    lambda x: np.sin(1.5 * x),
    np.abs,
    lambda x: x**2 / 2,
)


def _opposing_rules(family: Family, half: int) -> dict[str, Rule]:
    """Differences of features that hardly differ: what both say nearly cancels, and the right map knows it."""
    bend: Callable[[Array], Array] = {"linear": lambda x: x, "additive": np.sinh, "network": lambda x: x}[family]
    around: Callable[[Array], Array] = np.tanh if family == "network" else lambda x: x
    strong = np.array([2.0, -2.0, 0.5, 0.3])
    return {
        "a - b": Rule((0, half), lambda x: around(bend(x) @ [1.0, -1.0])),
        "2a - 2b + c/2 + .3d": Rule((1, half + 1, 2, half + 2), lambda x: around(bend(x) @ strong)),
    }


@dataclass(frozen=True)
class KnownMap:
    """A map that was worked out beforehand, as a method.

    Attributes:
        kind: what is right or wrong with it.
        values: ``(head, row, feature)``.
        known: whose map it is.
    """

    name: ClassVar[str] = "known_map"
    reference: ClassVar[str] = ""
    kind: str
    values: InitVar[Array]
    known: InitVar[Known]

    def __post_init__(self, values: Array, known: Known) -> None:
        # No fields: settings are written into every explanation, and these are the explanation.
        object.__setattr__(self, "answer", (values, known))

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """It, for the rows that it was worked out for."""
        values, known = self.answer
        ours = values[[list(known.rules).index(s.head) for s in selectors]]
        prediction = model.predict(inputs)
        return Attribution(
            values=known.split(ours),
            prediction=np.stack([prediction[s.head].reshape(-1) for s in selectors]),
            signed=self.kind not in UNSIGNED,
        )


def maps_of(known: Known, kinds: Sequence[Kind]) -> dict[str, KnownMap]:
    """One map of each kind; what one draws does not depend on the others."""
    own = [np.random.default_rng([*known.seeds, len(known.x), KINDS.index(kind)]) for kind in kinds]
    return {kind: KnownMap(kind, _MAKE[kind](known, rng), known) for kind, rng in zip(kinds, own, strict=True)}


def is_lucky(known: Known, head: int, values: Array) -> bool:
    """Whether one order for all rows puts what matters into its first half, as half of all orders do."""
    importance = np.abs(known.exact[head]).mean(axis=0)
    places = np.argsort(np.argsort(-np.abs(values[head]).mean(axis=0)))
    return float(importance @ places) / importance.sum() < (known.features - 1) / 2


def _noisy(known: Known, rng: np.random.Generator) -> Array:
    size = np.abs(known.exact).mean(axis=(1, 2), keepdims=True)
    return known.exact + size * rng.standard_normal(known.exact.shape)


def _noise(known: Known, rng: np.random.Generator) -> Array:
    return rng.standard_normal(known.exact.shape)


def _permuted(known: Known, rng: np.random.Generator) -> Array:
    return rng.permuted(known.exact, axis=2)


def _fixed(known: Known, rng: np.random.Generator) -> Array:
    order = np.stack([rng.permutation(known.features) + 1.0 for _ in known.rules])
    signs = rng.choice([-1.0, 1.0], order.shape)
    return np.broadcast_to((order * signs)[:, None, :], known.exact.shape)


def _alltop(known: Known, rng: np.random.Generator) -> Array:
    """The right order of all true features, by magnitudes that hardly differ, and much mass on all the others."""
    made = np.zeros_like(known.exact)
    for h, rule in enumerate(known.rules.values()):
        reads = list(rule.reads)
        exact = known.exact[h][:, reads]
        places = np.argsort(np.argsort(np.abs(exact), axis=1), axis=1)
        made[h][:, reads] = np.where(exact < 0, -1.0, 1.0) * (1.0 + 0.01 * places)
        _spread(made[h], reads, known, rng)
    return made


def _onetop(known: Known, rng: np.random.Generator) -> Array:
    """The largest true feature first, nothing on the other true ones, and much mass on all the others."""
    made = np.zeros_like(known.exact)
    for h, rule in enumerate(known.rules.values()):
        exact = known.exact[h]
        first, rows = np.abs(exact).argmax(axis=1), np.arange(len(exact))
        made[h][rows, first] = np.where(exact[rows, first] < 0, -1.0, 1.0)
        _spread(made[h], list(rule.reads), known, rng)
    return made


def _spread(values: Array, reads: Sequence[int], known: Known, rng: np.random.Generator) -> None:
    """Put ``_OFF_TRUTH`` of the mass on features that do nothing, or as much as leaves the true ones in front."""
    idle = [i for i in range(known.features) if i not in reads]
    mass = np.abs(values).sum(axis=1, keepdims=True)
    level = np.minimum(0.95, _OFF_TRUTH / (1 - _OFF_TRUTH) * mass / len(idle))
    jitter = rng.uniform(0.95, 1.0, (len(values), len(idle)))
    values[:, idle] = level * jitter * rng.choice([-1.0, 1.0], jitter.shape)


def _wrongfeat(known: Known, rng: np.random.Generator) -> Array:
    """The right values on features that do nothing."""
    made = np.zeros_like(known.exact)
    for h, rule in enumerate(known.rules.values()):
        reads = list(rule.reads)
        idle = [i for i in range(known.width) if i not in reads]
        places = rng.permutation(idle)[: len(reads)]
        made[h][:, places] = known.exact[h][:, reads[: len(places)]]
    return made


def _proxy(known: Known, rng: np.random.Generator) -> Array:
    """The right values, each on the partner of its feature."""
    return known.exact[:, :, list(known.partner)]


def _uniform(known: Known, rng: np.random.Generator) -> Array:
    """Attention that hardly prefers anything: softmax of small random scores."""
    scores = np.exp(0.05 * rng.standard_normal(known.exact.shape))
    return scores / scores.sum(axis=2, keepdims=True)


def _leak(known: Known, rng: np.random.Generator) -> Array:
    """Attention that rests on the constant feature, and is right in the little that is left."""
    made = (1 - _LEAKED) * np.abs(known.exact) / np.abs(known.exact).sum(axis=2, keepdims=True)
    made[:, :, -1] = _LEAKED
    return made


_MAKE: Mapping[str, Callable[[Known, np.random.Generator], Array]] = {
    "exact": lambda known, rng: known.exact,
    "noisy": _noisy,
    "flip": lambda known, rng: -known.exact,
    "alltop": _alltop,
    "onetop": _onetop,
    "wrongfeat": _wrongfeat,
    "proxy": _proxy,
    "rand": _noise,
    "rand_b": _noise,
    "permrow": _permuted,
    "fixed": _fixed,
    "uniform": _uniform,
    "leak": _leak,
}
