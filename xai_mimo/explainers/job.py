"""One explanation to be computed: everything that its numbers depend on, in blocks of rows."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.by_token import name_tokens
from xai_mimo.core.cut import Cut
from xai_mimo.core.digest import digest
from xai_mimo.core.door import count_rows
from xai_mimo.core.engine import Engine
from xai_mimo.core.errors import BadValues
from xai_mimo.core.explanation import describe, plain, settings_of, to_dataset
from xai_mimo.core.held import call_method
from xai_mimo.core.method import Context, Method, Whole
from xai_mimo.core.model import Arrays, backend_of
from xai_mimo.core.precision import precision_of
from xai_mimo.core.probes import answers, check_background
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.speaks_of import speaks_of
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import AnyTarget, Target, expand, select, take
from xai_mimo.core.versions import versions

Naming = Callable[..., xr.Dataset]
"""Makes a dataset of what a method returns; takes what ``core.explanation.to_dataset`` takes."""

# What must agree, beside targets, labels and versions, before an interrupted run may go on.
_IDENTITY = (
    "method",
    "settings",
    "seed",
    "fingerprint",
    "space",
    "data_sha256",
    "background_sha256",
    "rows_per_block",
)


@dataclass(frozen=True)
class ExplainJob:
    """What ``explain`` was asked for, checked; split into blocks whose numbers depend on nothing else.

    Attributes:
        cut: the model, and where it is explained.
        method: with its settings.
        inputs: rows of the whole model. background: rows of its part. own_background: the same of the whole model.
        targets: as the user gave them. labels: ``{head: (sample, ...)}``, perhaps of some heads only.
        seed: of all blocks. max_memory: bytes, see ``explain``.
        rows_per_block: rows that are explained at a time.
        attrs: attributes of the result, known before it is computed; see ``attributes``.
        words: that stand at the places of a stream of the part, ``{stream: (row, token) strings}``.
        naming: makes a block's dataset of what the method returns.
    """

    cut: Cut
    method: Method
    inputs: Arrays
    background: Arrays
    own_background: Arrays
    targets: Sequence[AnyTarget] | None
    labels: Arrays
    seed: int
    max_memory: int
    rows_per_block: int
    attrs: Mapping[str, Any]
    words: Mapping[str, Array] = field(default_factory=dict)
    naming: Naming = to_dataset

    @property
    def rows(self) -> int:
        """Number of rows."""
        return count_rows(self.inputs)

    @property
    def blocks(self) -> int:
        """Number of blocks; the last may be shorter."""
        return -(-self.rows // self.rows_per_block)

    def rows_of(self, number: int) -> slice:
        """The rows of a block."""
        return slice(number * self.rows_per_block, min((number + 1) * self.rows_per_block, self.rows))

    def block(self, number: int, advance: Advance = silent) -> xr.Dataset:
        """Explain one block; its randomness depends on the seed and its number alone."""
        part = self.rows_of(number)
        own = {name: x[part] for name, x in self.inputs.items()}
        rows = self.cut.enter(own)
        model = self.cut.part
        labels = {head: values[part] for head, values in self.labels.items()}
        samples = np.arange(part.start, part.stop)
        heads = {target.head for target in expand(self.targets, model.heads)}
        selectors = select(self.targets, model.heads, answers(model, rows, samples, heads), labels)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1, number)))
        layer = self.cut.layer
        before = None if layer is None else Whole(self.cut.whole, own, self.own_background)
        context = Context(rng, self.background, self.max_memory, advance, layer, part.start, whole=before)
        attribution = call_method(self.method, model, rows, selectors, context)
        if not all(np.isfinite(values).all() for values in attribution.values.values()):
            check_background(model, self.background, heads)
        named = self.naming(attribution, streams=model.streams, selectors=selectors, samples=samples, attrs=self.attrs)
        return name_tokens(named, {name: words[part] for name, words in self.words.items()})

    def predictions(self, rows: Array, units: Array) -> Array:
        """What the model says of some rows now: ``(target, row)``.

        Args:
            rows: their numbers. units: ``(target, row)``, which unit of the target's head was explained.
        """
        model = self.cut.part
        outputs = model.predict(self.cut.enter({name: x[rows] for name, x in self.inputs.items()}))
        labels = {head: values[rows] for head, values in self.labels.items()}
        selectors = select(self.targets, model.heads, outputs, labels)
        return take(outputs, [s._replace(units=u) for s, u in zip(selectors, units, strict=True)])

    def identity(self) -> dict[str, Any]:
        """What must agree before an interrupted run may go on."""
        targets = [_as_pair(t) if isinstance(t, Target) else t for t in self.targets or ()]
        plain_targets = [plain(t) for t in targets]
        made_with = {package: v for package, v in json.loads(self.attrs["versions"]).items() if package != "python"}
        return {
            **{name: self.attrs[name] for name in _IDENTITY},
            "targets": json.dumps(plain_targets),
            "labels_sha256": digest(self.labels),
            # None where there are none, as in stores of versions that knew no groups.
            "groups": {s.name: {g: list(f) for g, f in s.groups.items()} for s in self.cut.part.streams if s.groups}
            or None,
            "versions": made_with,
        }


def _as_pair(target: Target) -> tuple[Any, ...]:
    """A target as its head and unit, and its step where it has one."""
    return (target.head, target.unit) if target.step is None else (target.head, target.unit, target.step)


def attributes(
    cut: Cut, method: Method, inputs: Arrays, background: Arrays, *, seed: int, rows_per_block: int
) -> dict[str, Any]:
    """Attributes of an explanation that are known before it is computed.

    They are taken once, in the process that was asked: another one, that does some of the blocks, may have loaded other
    packages.
    """
    return {
        "method": method.name,
        "settings": json.dumps(settings_of(method), sort_keys=True),
        "reference": method.reference,
        "speaks_of": speaks_of(method),
        "seed": seed,
        "versions": json.dumps(versions()),
        "fingerprint": cut.whole.fingerprint(),
        **({"backend": backend_of(cut.whole)} if backend_of(cut.whole) else {}),
        **({"precision": precision_of(cut.whole)} if precision_of(cut.whole) else {}),
        "space": cut.space,
        "reads": json.dumps(cut.owners),
        "data_sha256": digest(inputs),
        "background_sha256": digest(background),
        "rows_per_block": rows_per_block,
        **describe(cut.part.streams, cut.part.heads),
    }


def blocks_of(
    job: ExplainJob, engine: Engine, numbers: Sequence[int], advance: Advance
) -> Iterator[tuple[int, xr.Dataset]]:
    """The blocks as an engine finishes them, each once.

    Raises:
        BadValues: the engine gave a block that was not asked for, or twice, or left some out.
    """
    pending = set(numbers)
    for number, block in engine.run(job, numbers, advance):
        if number not in pending:
            raise BadValues(f"engine {engine!r} gave block {number}, which was not asked for or was there already.")
        pending.remove(number)
        yield number, block
    if pending:
        raise BadValues(f"engine {engine!r} left out blocks {sorted(pending)}; it must do each of them once.")


def joined_blocks(blocks: Sequence[xr.Dataset]) -> xr.Dataset:
    """All blocks of a job, in order, as one dataset."""
    if len(blocks) == 1:
        return blocks[0]
    joined: xr.Dataset = xr.concat(
        blocks,
        dim="sample",
        data_vars="minimal",
        coords="minimal",
        compat="override",
        join="override",
        combine_attrs="override",
    )
    return joined
