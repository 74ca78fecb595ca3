"""``explain``: one method on any number of rows, block by block, in memory or on disk."""

import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.baselines import choose_background
from xai_mimo.core.digest import digest
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.explanation import describe, settings_of, to_dataset, versions
from xai_mimo.core.method import Context, Method, positive, whole
from xai_mimo.core.model import Arrays
from xai_mimo.core.plugins import adapt
from xai_mimo.core.plugins import method as find_method
from xai_mimo.core.progress import Advance, bar, counted
from xai_mimo.core.streams import check_inputs, count_rows
from xai_mimo.core.targets import AnyTarget, Target, check_labels, select
from xai_mimo.explainers.run_warnings import Findings
from xai_mimo.explainers.space import Space, space_of
from xai_mimo.explainers.store import BlockStore


@dataclass(frozen=True)
class _Run:
    """All that the numbers depend on; checked once, then split into blocks."""

    space: Space
    method: Method
    inputs: Arrays
    background: Arrays
    targets: Sequence[AnyTarget] | None
    labels: Mapping[str, Any]
    seed: int
    max_memory: int
    rows_per_block: int

    @property
    def rows(self) -> int:
        return count_rows(self.inputs)

    @property
    def blocks(self) -> int:
        return -(-self.rows // self.rows_per_block)

    def attrs(self) -> dict[str, Any]:
        """Attributes of the result that are known before it is computed."""
        explained = self.space.explained
        return {
            "method": self.method.name,
            "settings": json.dumps(settings_of(self.method), sort_keys=True),
            "reference": self.method.reference,
            "seed": self.seed,
            "versions": json.dumps(versions()),
            "fingerprint": self.space.whole.fingerprint(),
            "space": self.space.name,
            "reads": json.dumps(self.space.reads()),
            "data_sha256": digest(self.inputs),
            "background_sha256": digest(self.background),
            "rows_per_block": self.rows_per_block,
            **describe(explained.streams, explained.heads),
        }

    def identity(self, attrs: Mapping[str, Any]) -> dict[str, Any]:
        """What must agree before an interrupted run may go on."""
        asked = [
            t if isinstance(t, str) else (t.head, t.unit) if isinstance(t, Target) else t for t in self.targets or ()
        ]
        same = (
            "method",
            "settings",
            "seed",
            "fingerprint",
            "space",
            "data_sha256",
            "background_sha256",
            "rows_per_block",
        )
        labels = digest({name: np.asarray(v) for name, v in self.labels.items()})
        made_with = {package: v for package, v in json.loads(attrs["versions"]).items() if package != "python"}
        return {
            **{k: attrs[k] for k in same},
            "targets": json.dumps(asked),
            "labels_sha256": labels,
            "versions": made_with,
        }

    def block(self, number: int, attrs: Mapping[str, Any], advance: Advance) -> xr.Dataset:
        """Explain one block; its randomness depends on the seed and its number alone."""
        part = slice(number * self.rows_per_block, min((number + 1) * self.rows_per_block, self.rows))
        rows = self.space.enter({name: x[part] for name, x in self.inputs.items()})
        model = self.space.explained
        labels = {head: values[part] for head, values in self.labels.items()}
        selectors = select(self.targets, model.heads, model.predict(rows), labels)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(1, number)))
        context = Context(rng, self.background, self.max_memory, advance, self.space.layer)
        found = self.method(model, rows, selectors, context)
        samples = np.arange(part.start, part.stop)
        return to_dataset(found, streams=model.streams, selectors=selectors, samples=samples, attrs=attrs)


def explain(
    model: Any,
    x: Any,
    method: str | Method = "integrated_gradients",
    *,
    targets: Sequence[AnyTarget] | None = None,
    labels: Any = None,
    background: Any = None,
    background_rows: int = 100,
    at: str | None = None,
    seed: int = 0,
    max_memory: int = 2**29,
    rows_per_block: int = 1024,
    store: str | Path | None = None,
    progress: bool | Advance = False,
) -> xr.Dataset:
    """Explain a model's heads for the given rows with one method.

    Args:
        model: anything ``adapt`` takes, or an adapted model.
        x: the rows, ``{stream: (sample, *shape)}``, a list in the model's order, or one array for one stream.
        method: a name (default settings) or settings such as ``Shapley(budget=4096)``.
        targets: head names, ``(head, unit)`` pairs or ``Target`` objects; None explains every head.
        labels: ``{head: (sample,)}``, needed by targets with unit "label".
        background: rows that stand for "nothing known", for the methods that need them; None draws
            ``background_rows`` rows of ``x``.
        at: a layer; explains its inputs instead of the model's.
        seed: of everything random. The same seed, data and ``rows_per_block`` give the same numbers, with or without
            ``store``.
        max_memory: bytes that the model's passes and the method's intermediate arrays may take, each.
        rows_per_block: rows explained at a time.
        store: a folder ending in ``.zarr``. Blocks are written as they are finished, memory stays flat, and a run that
            was interrupted goes on where it stopped when it is called again with the same arguments. The result is
            opened lazily.
        progress: show a bar; or a function to call with the number of rows just finished.
    Returns:
        The explanation; its layout is described in ``xai_mimo.core.explanation``.
    Raises:
        UnknownName, ShapeMismatch, BadValues, EmptyData, BadSetting, NotSupported: the arguments do not fit.
        FileProblem: the store cannot be written, or holds another run. MissingDependency: ``store`` without zarr.
    Warns:
        UnusedStreamWarning: a head gave exact zeros on a whole stream. NotConvergedWarning: rows missed the tolerance.
    """
    whole(rows_per_block, "rows_per_block")
    whole(background_rows, "background_rows")
    positive(max_memory, "max_memory")
    adapted = adapt(model, max_memory=max_memory)
    inputs = check_inputs(x, adapted.streams)
    space = space_of(adapted, at)
    run = _Run(
        space=space,
        method=find_method(method),
        inputs=inputs,
        background=_background(background, inputs, space, rows=background_rows, seed=seed),
        targets=targets,
        labels=check_labels(labels, adapted.heads, count_rows(inputs)),
        seed=_seed(seed),
        max_memory=int(max_memory),
        rows_per_block=int(rows_per_block),
    )
    with bar(bool(progress) and not callable(progress), run.method.name) as shown:
        advance = progress if callable(progress) else counted(shown, run.method.name, run.rows)
        result, findings = _to_disk(run, Path(store), advance) if store is not None else _in_memory(run, advance)
    for warning in findings.warnings(run.method.name):
        warnings.warn(warning, stacklevel=2)
    return result


def _seed(seed: Any) -> int:
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise BadSetting(f"seed must be a whole number of at least 0; got {seed!r}.")
    return int(seed)


def _background(given: Any, inputs: Arrays, space: Space, *, rows: int, seed: int) -> Arrays:
    if given is None:
        rng = np.random.default_rng(np.random.SeedSequence(_seed(seed), spawn_key=(0,)))
        return space.enter(choose_background(inputs, rows, rng))
    return space.enter(check_inputs(given, space.whole.streams))


def _in_memory(run: _Run, advance: Advance) -> tuple[xr.Dataset, Findings]:
    start, attrs = time.perf_counter(), run.attrs()
    blocks, findings = [], Findings()
    for number in range(run.blocks):
        blocks.append(run.block(number, attrs, advance))
        findings = findings.add(blocks[-1])
    result = (
        blocks[0]
        if len(blocks) == 1
        else xr.concat(
            blocks,
            dim="sample",
            data_vars="minimal",
            coords="minimal",
            compat="override",
            join="override",
            combine_attrs="override",
        )
    )
    result.attrs["seconds"] = time.perf_counter() - start
    return result, findings


def _to_disk(run: _Run, path: Path, advance: Advance) -> tuple[xr.Dataset, Findings]:
    attrs = run.attrs()
    store = BlockStore.open(path, run.identity(attrs), rows=run.rows, rows_per_block=run.rows_per_block)
    findings = Findings.from_json(store.findings)
    advance(min(store.done * run.rows_per_block, run.rows))
    for number in range(store.done, run.blocks):
        start = time.perf_counter()
        block = run.block(number, attrs, advance)
        findings = findings.add(block)
        store = store.write(block, findings=findings.to_json(), seconds=time.perf_counter() - start)
    return store.finish(), findings
