"""A problem with known truth, a MAIL network trained on it and its report, in about a minute."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.result import Comparison
from xai_mimo.comparison.task_scores import estimates, task_rows, task_scores
from xai_mimo.core.plugins import adapt
from xai_mimo.core.progress import Progress, silent
from xai_mimo.core.streams import unknown
from xai_mimo.datasets import FAILURES, predictive_maintenance
from xai_mimo.layers.saved import save_model
from xai_mimo.record.files import writable_folder
from xai_mimo.studies import training
from xai_mimo.studies.networks import mail_network
from xai_mimo.studies.rows import save_rows
from xai_mimo.studies.runs import background

_POSITIVES = 0.2
_HIDDEN = 32


@dataclass(frozen=True)
class Demo:
    """What the demo made: its report, the comparison behind it, and task scores on held-out rows by head."""

    report: Path
    comparison: Comparison
    task: dict[str, dict[str, float]]


def run_demo(
    out: str | os.PathLike[str] = "demo",
    *,
    seed: int = 0,
    rows: int = 4000,
    heads: tuple[str, ...] = FAILURES,
    epochs: int = 30,
    explain: int = 100,
    progress: Progress | None = None,
) -> Demo:
    """Generate machines, train a MAIL network with local scoring, compare its maps with attributions, write a report.

    Args:
        out: folder for ``report.html, comparison.json, model.keras`` and ``data.npz`` (the explained rows).
        seed: of the rows, the split, the weights and the methods.
        rows: machines generated; 70 % train.
        heads: failure modes to predict; RNF falls at random and depends on nothing.
        epochs: of training.
        explain: held-out rows that are explained.
        progress: called with what is being done and the share finished.
    Raises:
        UnknownName: no such failure mode. FileProblem: the folder cannot be written. BadValues: too few rows.
    """
    tell = progress or silent
    for head in heads:
        if head not in FAILURES:
            raise unknown(head, FAILURES, "head of the demo")
    folder = writable_folder(out)
    data = predictive_maintenance(rows, seed, positives=_POSITIVES).only(heads)
    prepared = training.prepare(data, 0.3, seed)
    with training.seeded(seed):
        net = mail_network(data.streams, data.heads, scoring="local", hidden=_HIDDEN, scales=prepared.scales)
        training.fit(
            net,
            prepared.train,
            scales=prepared.scales,
            epochs=epochs,
            batch=128,
            learning_rate=3e-3,
            balance=0.0,
            advance=lambda epoch: tell("training", 0.5 * (epoch + 1) / epochs),
        )
    save_model(net, folder / "model.keras")
    # A failure comes out as its log-odds: whoever reads a prediction of -120 must be told so.
    outputs = [dataclasses.replace(head, unit="log-odds") for head in prepared.test.heads]
    model = adapt(net, streams=prepared.test.streams, heads=outputs)
    scores = task_scores(prepared.test.heads, prepared.test.labels, model.predict(prepared.test.inputs))
    tell("explaining and comparing", 0.5)
    picked = np.random.default_rng(seed).permutation(len(prepared.test))[:explain]
    shown = prepared.test.take(np.sort(picked))
    save_rows(folder / "data.npz", shown)
    result = compare(
        model,
        shown.inputs,
        labels=shown.labels,
        task=task_rows("mail_local", scores, f"over {len(prepared.test)} held-out rows"),
        truth=shown.truth,
        background=background(prepared.train, seed),
        seed=seed,
        title="Demo: which inputs drive which failure of a machine?",
        command=f"xai-mimo demo --seed {seed}",
        progress=False,
    )
    result.to_json(folder / "comparison.json")
    tell("writing the report", 0.95)
    return Demo(Path(result.report(folder / "report.html")), result, estimates(scores))
