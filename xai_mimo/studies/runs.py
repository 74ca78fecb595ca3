"""One network of a study: train it, score its task and its maps, keep both on disk."""

import json
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xai_mimo.comparison.compare import compare
from xai_mimo.comparison.settings import Settings as ScoreSettings
from xai_mimo.comparison.task_scores import estimates, task_scores
from xai_mimo.core.errors import FileProblem
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.plugins import adapt
from xai_mimo.core.progress import Progress
from xai_mimo.core.streams import Array, Head
from xai_mimo.core.terminal import printable
from xai_mimo.datasets import Data
from xai_mimo.layers.saved import digest_of_file, load_model, save_model
from xai_mimo.record.files import make_folder, write_text
from xai_mimo.studies import networks, training
from xai_mimo.studies.settings import Scoring, StudySettings
from xai_mimo.studies.training import Prepared

_LOG = logging.getLogger("xai_mimo")

BASELINE = "baseline"
BACKGROUND_ROWS = 100
# Single networks are scored for the truth alone; ceilings, curves and intervals over rows belong to the report.
_LEAN = ScoreSettings(steps=1, controls=1, ceilings=False, resamples=100)


@dataclass(frozen=True)
class Identity:
    """What decides a result, as hashes.

    Attributes:
        network: of all that decides how training ends: table, streams, heads, training settings, versions.
        figures: of that and of all that decides how its maps are scored: methods, rows, truth.
    """

    network: str
    figures: str


def train_and_score(
    settings: StudySettings,
    prepared: Prepared,
    network: str,
    seed: int,
    folder: Path,
    identity: Identity,
    progress: Progress,
) -> dict[str, Any]:
    """Train and score one network, or take what an earlier run left, as far as it is the same.

    Args:
        settings: of the study. prepared: the split of this seed.
        network: "baseline" or "mail_<scoring>". seed: of weights and order.
        folder: for ``<network>-seed<k>.keras`` and ``.json``.
        identity: an earlier network with another one is replaced; of one that has only other figures, the maps are
            scored again.
        progress: told the step and the share of this run that is done.
    Returns:
        ``{network, seed, digest, network_digest, network_sha256, seconds, loss, task: {head: {metric: value}}, chance:
        the same of guessing, held_out: row numbers, mean, std: {stream: [...]},
        truth: [{head, method, rows, share, auroc}]}``.
    """
    make_folder(folder)
    run = _earlier_run(folder, network, seed, identity)
    if run is not None and run["digest"] == identity.figures:
        progress("there already", 1.0)
        return run
    if run is None:
        model, run = _trained(settings, prepared, network, seed, folder, progress)
    else:
        model = load_network(folder, run, prepared.test)
    truth = []
    for i, head in enumerate(prepared.test.heads):
        progress(f"explaining {head.name}", 0.7 + 0.3 * i / len(prepared.test.heads))
        truth += _truth_scores(settings, prepared, model, network, head, seed)
    run |= {"digest": identity.figures, "network_digest": identity.network, "truth": truth}
    write_text(json.dumps(run, indent=1, allow_nan=False), _path(folder, network, seed, "json"))
    return run


def _trained(
    settings: StudySettings, prepared: Prepared, network: str, seed: int, folder: Path, progress: Progress
) -> tuple[Model, dict[str, Any]]:
    """A network fresh from training, saved, and what is known of it before its maps are scored."""
    started = time.perf_counter()
    with training.seeded(seed):
        net = _build(settings, prepared, network)
        epochs = settings.training.epochs
        loss = training.fit(
            net,
            prepared.train,
            scales=prepared.scales,
            epochs=epochs,
            batch=settings.training.batch,
            learning_rate=settings.training.learning_rate,
            balance=settings.training.balance,
            advance=lambda epoch: progress("training", 0.7 * (epoch + 1) / epochs),
        )
    network_sha256 = save_model(net, _path(folder, network, seed, "keras"))
    model = adapt(net, streams=prepared.test.streams, heads=prepared.test.heads)
    scores = task_scores(prepared.test.heads, prepared.test.labels, model.predict(prepared.test.inputs))
    return model, {
        "network": network,
        "seed": seed,
        "network_sha256": network_sha256,
        "seconds": time.perf_counter() - started,
        "loss": loss,
        "task": estimates(scores),
        "chance": {head: {s.metric: s.chance for s in of_head} for head, of_head in scores.items()},
        "held_out": prepared.test_rows.tolist(),
        "mean": {name: values.tolist() for name, values in prepared.mean.items()},
        "std": {name: values.tolist() for name, values in prepared.std.items()},
    }


def mail_name(scoring: Scoring) -> str:
    """What the network with this scoring is called in files and tables."""
    return f"mail_{scoring}"


def load_network(folder: Path, run: Mapping[str, Any], data: Data) -> Model:
    """A trained network, adapted, with the names of the data.

    Args:
        folder: of the networks. run: what ``train_and_score`` gave. data: for the names.
    Raises:
        FileProblem: the file in the folder is another network than the one whose figures these are.
    """
    path = _path(folder, run["network"], run["seed"], "keras")
    saved = load_model(path, compile=False)
    if digest_of_file(path) != run["network_sha256"]:
        raise FileProblem(
            f"{path} is not the network of these figures any more: another study has written to this folder meanwhile. "
            "Run the study again, with a folder of its own (--out)."
        )
    return adapt(saved, streams=data.streams, heads=data.heads)


def background(train: Data, seed: int) -> Arrays:
    """Up to 100 training rows, drawn with the seed, that a method takes for "nothing is known"."""
    rows = np.random.default_rng(seed).permutation(len(train))[:BACKGROUND_ROWS]
    return train.take(np.sort(rows)).inputs


def explained_rows(test: Data, head: Head, at_most: int, seed: int) -> Array:
    """Held-out rows that a head's maps are judged on: positives of a binary head, any rows of another."""
    rows = np.flatnonzero(test.labels[head.name] == 1) if head.kind == "binary" else np.arange(len(test))
    return np.sort(np.random.default_rng(seed).permutation(rows)[:at_most])


def _path(folder: Path, network: str, seed: int, kind: str) -> Path:
    return folder / f"{network}-seed{seed}.{kind}"


def _earlier_run(folder: Path, network: str, seed: int, identity: Identity) -> dict[str, Any] | None:
    """What an earlier run left of the same network, with whichever figures.

    None where it was another network, and, with a warning, where its files do not belong together.
    """
    path, saved = _path(folder, network, seed, "json"), _path(folder, network, seed, "keras")
    if not path.is_file() or not saved.is_file():
        return None
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        # Networks of the first version have one digest, that of the figures.
        belongs = run["digest"] == identity.figures or run.get("network_digest") == identity.network
        held = run.get("network_sha256")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        _LOG.warning("%s is damaged: the network is trained again.", printable(path))
        return None
    if not belongs:
        return None
    if held != digest_of_file(saved):
        _LOG.warning("%s is not the network whose figures are in %s: it is trained again.", printable(saved), path.name)
        return None
    return dict(run)


def _build(settings: StudySettings, prepared: Prepared, network: str) -> Any:
    data, hidden = prepared.train, settings.training.hidden
    if network == BASELINE:
        return networks.baseline_network(data.streams, data.heads, hidden=hidden, scales=prepared.scales)
    scoring = next(s for s in settings.training.scorings if mail_name(s) == network)
    return networks.mail_network(data.streams, data.heads, scoring=scoring, hidden=hidden, scales=prepared.scales)


def _truth_scores(
    settings: StudySettings, prepared: Prepared, model: Model, network: str, head: Head, seed: int
) -> list[dict[str, Any]]:
    """Share of mass and AUROC of the mean map on a head's true features; nothing for a head without any."""
    truth = prepared.test.truth.get(head.name)
    if not truth:
        return []
    methods = [m for m in settings.explaining.methods if network != BASELINE or m != "interception"]
    rows = explained_rows(prepared.test, head, settings.explaining.rows, seed)
    result = compare(
        model,
        prepared.test.take(rows).inputs,
        methods,
        targets=[head.name],
        truth={head.name: truth},
        background=background(prepared.train, seed),
        seed=seed,
        settings=_LEAN,
        progress=False,
    )
    scores = {
        (s.method, s.metric): s.estimate
        for s in result.record.scores
        if s.family == "ground_truth" and s.role == "value" and s.estimate is not None
    }
    return [
        {
            "head": head.name,
            "method": method,
            "rows": len(rows),
            "share": scores[method, "share"],
            "auroc": scores[method, "auroc_mean_map"],
        }
        for method in methods
        if (method, "auroc_mean_map") in scores
    ]
