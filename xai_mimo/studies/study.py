"""Run a study: train every network with every seed, score tasks and maps, write tables, a report and the networks."""

import dataclasses
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import xai_mimo
from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.result import Comparison
from xai_mimo.core.digest import digest, digest_of_facts
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.model import Model
from xai_mimo.core.progress import Progress, part, silent
from xai_mimo.core.streams import Array
from xai_mimo.datasets import Data
from xai_mimo.record.files import writable_folder, write_text
from xai_mimo.record.results import Verdict
from xai_mimo.studies import runs, summary
from xai_mimo.studies.rows import save_rows
from xai_mimo.studies.settings import StudySettings
from xai_mimo.studies.table import read_table
from xai_mimo.studies.training import Prepared, prepare


@dataclass(frozen=True)
class StudyResult:
    """What a study found.

    Attributes:
        folder: where everything lies: ``report.html, comparison.json, study.md, study.csv, study.json, explained.npz``
            and ``networks/<network>-seed<k>.keras`` with a ``.json`` beside each.
        rows: figures over seeds.
        comparison: of the network that the report shows.
        report: the HTML file.
    """

    folder: Path
    rows: tuple[summary.Row, ...]
    comparison: Comparison
    report: Path


def run_study(
    settings: StudySettings, *, out: str | os.PathLike[str] | None = None, progress: Progress | None = None
) -> StudyResult:
    """Train, compare and write.

    Networks: one without MAIL, and one with MAIL for every scoring; each with every seed, which draws the split into
    training and held-out rows, the initial weights and the order of rows. Inputs are standardised by the training
    rows before they reach a network (means and deviations stand in the network's JSON file), so that MAIL reads the
    network's own inputs and all maps are over them; zero is the mean row. A network whose files are there already,
    made with the same training settings, data and versions, is not trained again; where only methods, explained rows
    or truth are others, its maps are scored again.

    Args:
        settings: see ``load_settings``.
        out: folder for the results, before ``settings.out``; by default "<data>_study" in the current folder.
        progress: called with what is being done and the share finished.
    Raises:
        FileProblem, BadSetting, BadValues, EmptyData, UnknownName: bad settings, table or folder; before anything is
        trained, wherever that can be known.
    """
    tell = progress or silent
    data = read_table(settings)
    folder = writable_folder(out or settings.out or f"{data.name}_study")
    identity = _identity(settings, data)
    splits = {seed: prepare(data, settings.training.test_share, seed) for seed in settings.training.seeds}
    networks = [runs.BASELINE, *map(runs.mail_name, settings.training.scorings)]
    jobs = [(network, seed) for seed in settings.training.seeds for network in networks]
    results = []
    for i, (network, seed) in enumerate(jobs):
        advance = part(tell, f"{network}, seed {seed}", i, len(jobs) + 1)
        results.append(
            runs.train_and_score(settings, splits[seed], network, seed, folder / "networks", identity, advance)
        )
    rows = summary.summarise(results)
    _write_tables(folder, settings, rows, results)
    tell("report", len(jobs) / (len(jobs) + 1))
    comparison, report = _report(settings, splits[settings.training.seeds[0]], folder, rows, results)
    _write_markdown(folder, settings, rows, comparison.record.verdicts)
    tell("done", 1.0)
    return StudyResult(folder, tuple(rows), comparison, report)


def _identity(settings: StudySettings, data: Data) -> runs.Identity:
    """Hashes of all that decides how a single network comes out, whichever others are trained beside it."""
    import keras

    trained = {
        "training": settings.training.model_dump(mode="json", exclude={"scorings", "seeds"}),
        "streams": [s.plain() for s in data.streams],
        "heads": [dataclasses.asdict(h) for h in data.heads],
        "inputs": digest(data.inputs),
        "labels": digest(data.labels),
        "versions": [xai_mimo.__version__, keras.version(), keras.backend.backend()],
    }
    explaining = settings.explaining.model_dump(mode="json", include={"methods", "rows"})
    figures = digest_of_facts({**trained, "explaining": explaining, "truth": data.truth})
    return runs.Identity(digest_of_facts(trained), figures)


def _write_tables(
    folder: Path, settings: StudySettings, rows: Sequence[summary.Row], results: Sequence[dict[str, Any]]
) -> None:
    whole = {
        "schema": "xai_mimo.study/1",
        "settings": settings.model_dump(mode="json"),
        "rows": [dataclasses.asdict(r) for r in rows],
        "networks": list(results),
    }
    write_text(json.dumps(whole, indent=1, allow_nan=False), folder / "study.json")
    _write_markdown(folder, settings, rows)
    write_text(summary.to_csv(rows), folder / "study.csv")


def _write_markdown(
    folder: Path, settings: StudySettings, rows: Sequence[summary.Row], verdicts: Sequence[Verdict] = ()
) -> None:
    """The tables for people; written before the comparison too, so that they are there should it fail."""
    write_text(summary.to_markdown(rows, settings.title, verdicts), folder / "study.md")


def _report(
    settings: StudySettings,
    prepared: Prepared,
    folder: Path,
    rows: Sequence[summary.Row],
    results: Sequence[dict[str, Any]],
) -> tuple[Comparison, Path]:
    """The full comparison, with ceilings and curves, of one network: first seed, scoring of the report."""
    network, seed = runs.mail_name(settings.report_scoring), settings.training.seeds[0]
    run = next(r for r in results if (r["network"], r["seed"]) == (network, seed))
    model = runs.load_network(folder / "networks", run, prepared.test)
    shown = prepared.test.take(
        report_rows(model, prepared.test, settings.explaining.rows, settings.explaining.negatives)
    )
    save_rows(folder / "explained.npz", shown)
    task = summary.task_rows(rows)
    result = compare(
        model,
        shown.inputs,
        settings.explaining.methods,
        labels=shown.labels,
        # The rows that are shown were picked by label and score: only all held-out rows say how well a head is known.
        task=[row for row in task if row.model == network],
        truth=shown.truth or None,
        background=runs.background(prepared.train, seed),
        seed=seed,
        title=f"{settings.title} ({network}, seed {seed})",
        command="xai-mimo study",
        progress=False,
    )
    result = result.with_task(task)
    result.to_json(folder / "comparison.json")
    return result, Path(result.report(folder / "report.html"))


def report_rows(model: Model, test: Data, positives: int, negatives: int) -> Array:
    """Held-out rows that tell most: positives of every binary head and the negatives that the network scores highest.

    Args:
        model: the adapted network. test: held-out rows.
        positives: at most so many per head; for a head that is not binary, the first rows.
        negatives: at most so many per binary head.
    Returns:
        Row numbers, ascending, each once.
    Raises:
        BadSetting: nothing to explain.
    """
    outputs = model.predict(test.inputs)
    chosen: set[int] = set()
    for head in test.heads:
        if head.kind != "binary":
            chosen.update(range(min(positives, len(test))))
            continue
        label, score = test.labels[head.name], outputs[head.name].reshape(len(test))
        chosen.update(np.flatnonzero(label == 1)[:positives].tolist())
        sound = np.flatnonzero(label == 0)
        chosen.update(sound[np.argsort(-score[sound], kind="stable")[:negatives]].tolist())
    if not chosen:
        raise BadSetting("no held-out row is left to explain.")
    return np.array(sorted(chosen))
