"""Rows of the record that say what class probabilities lose over positions: ``drops`` for every method and head."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xai_mimo.comparison.score_rows import Quantity, scored
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.positions import position_axes
from xai_mimo.core.streams import Array, Head
from xai_mimo.core.targets import Selector
from xai_mimo.metrics import probability_drop as drops
from xai_mimo.metrics.aligned_maps import AlignedMaps
from xai_mimo.record.rows import RANDOM

_READ = "outputs that are no probabilities are read as logits"
_OWN = "against the class predicted before"


def drop_scores(
    panel: AlignedMaps,
    model: Model,
    inputs: Arrays,
    replacement: Arrays,
    selectors: Sequence[Selector],
    labels: Mapping[str, Array],
    *,
    share: float,
    rng: np.random.Generator,
    texts: Collection[str] = (),
) -> list[dict[str, Any]]:
    """Average Drop, its signed form and deletion accuracy of every method, and of maps of random numbers.

    They are for heads of classes, and for streams with positions (time, height, width, token, step); other streams stay
    as they are. Streams of whole numbers cannot be multiplied: they count for deletion accuracy alone.

    Args:
        panel: maps in the space of the model: its values are the players.
        model: whose streams the maps lie on. inputs: the explained rows. replacement: rows to replace with; the first
            is used.
        selectors: the explained targets.
        labels: true classes, by head, where they are known.
        share: of the positions, that deletion accuracy takes away.
        rng: of the random maps, and for the order of equal magnitudes.
        texts: streams of words, whose first axis is one of positions whatever it is called.
    Raises:
        BadSetting: the share is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise BadSetting(f"deletion accuracy takes a share of the positions away, above 0 and below 1; got {share!r}.")
    heads = {head.name: head for head in model.heads}
    positions = {s.name: position_axes(s, is_text=s.name in texts) for s in model.streams}
    targets = [(i, s) for i, s in enumerate(selectors) if heads[s.head].kind != "regression"]
    if not any(positions.values()) or not targets:
        return []
    random = rng.random((panel.rows, len(panel.players)))
    found: list[Quantity] = []
    for i, selector in targets:
        target = _Target.of(model, inputs, replacement, selector, heads[selector.head])
        for label in (*panel.labels, RANDOM):
            magnitudes = _over_positions(random if label == RANDOM else panel.maps[label][i], inputs, positions)
            role = "control_random" if label == RANDOM else "value"
            named = {"head": selector.name, "family": "faithfulness", "method": label, "role": role}
            rows = [*target.drops(magnitudes), *target.deletion(magnitudes, labels.get(selector.head), share, rng)]
            found += [row._replace(labels={**named, **row.labels}) for row in rows]
    return scored(found, panel.counts)


@dataclass(frozen=True)
class _Target:
    """One target, asked again with inputs that a map decided on.

    Attributes:
        model: whose head it is. inputs, replacement: as ``drop_scores`` takes them.
        selector: the target. head: of the model.
        before: probabilities on the inputs, ``(sample, unit)``.
        note: how the head's outputs had to be read, "" when there is nothing to say.
    """

    model: Model
    inputs: Arrays
    replacement: Arrays
    selector: Selector
    head: Head
    before: Array
    note: str

    @staticmethod
    def of(model: Model, inputs: Arrays, replacement: Arrays, selector: Selector, head: Head) -> "_Target":
        outputs = model.predict(inputs)[head.name]
        before = drops.probabilities(outputs, head)
        is_same = np.allclose(before, outputs.reshape(before.shape), atol=1e-3)
        first = {name: rows[:1] for name, rows in replacement.items()}
        return _Target(model, inputs, first, selector, head, before, "" if is_same else _READ)

    def drops(self, magnitudes: Arrays) -> list[Quantity]:
        """Both forms of Average Drop, over the streams that can be multiplied."""
        floats = {name: m for name, m in magnitudes.items() if self.inputs[name].dtype.kind == "f"}
        if not floats:
            return []
        each = np.arange(len(self.before)), self.selector.units
        after = self._ask(drops.keep_marked(self.inputs, drops.scaled(floats)))[each]
        return [
            Quantity({"metric": metric}, measure(self.before[each], after), self.note)
            for metric, measure in (
                ("average_drop", drops.average_drop),
                ("signed_average_drop", drops.signed_average_drop),
            )
        ]

    def deletion(
        self, magnitudes: Arrays, labels: Array | None, share: float, rng: np.random.Generator
    ) -> list[Quantity]:
        """Accuracy without the top positions; nothing where units are not the classes of a row."""
        if self.head.kind == "multilabel":
            return []
        k = max(1, round(share * sum(m[0].size for m in magnitudes.values())))
        after = self._ask(drops.delete_top(self.inputs, magnitudes, self.replacement, k, rng))
        known = _classes(labels, self.before.shape[1])
        wanted, own = (drops.classes_of(self.before), _OWN) if known is None else (known, "")
        note = "; ".join(n for n in (self.note, own) if n)
        return [Quantity({"metric": "deletion_accuracy", "k": k}, drops.deletion_accuracy(after, wanted), note)]

    def _ask(self, inputs: Arrays) -> Array:
        return drops.probabilities(self.model.predict(inputs)[self.head.name], self.head)


def _over_positions(values: Array, inputs: Arrays, positions: Mapping[str, Sequence[int]]) -> Arrays:
    """A map ``(sample, player)`` as magnitudes of positions, ``{stream: (sample, *shape)}``, other axes of length 1."""
    sizes = [x[0].size for x in inputs.values()]
    found = {}
    for (name, x), part in zip(inputs.items(), np.split(np.abs(values), np.cumsum(sizes)[:-1], axis=1), strict=True):
        if positions[name]:
            others = tuple(1 + i for i in range(x.ndim - 1) if i not in positions[name])
            found[name] = part.reshape(x.shape).sum(axis=others, keepdims=True)
    return found


def _classes(labels: Array | None, units: int) -> Array | None:
    """Labels as classes, ``(sample,)``; None where they are missing for some rows, or not classes."""
    if labels is None:
        return None
    given = np.asarray(labels, dtype=np.float64).reshape(len(labels), -1)
    if not np.isfinite(given).all() or given.shape[1] not in (1, units):
        return None
    return given[:, 0] if given.shape[1] == 1 else given.argmax(axis=1).astype(np.float64)
