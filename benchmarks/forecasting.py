"""IMV-LSTM on the two forecasting sets of its article: does it predict, and can its importances be believed?

    KERAS_BACKEND=jax python benchmarks/forecasting.py                    # both sets, three seeds
    KERAS_BACKEND=jax python benchmarks/forecasting.py --data pm25 --seeds 1 --out pm25.md
    python benchmarks/forecasting.py --quick                              # shows that everything runs, and no more

The files are looked for in ``$XAI_MIMO_DATA`` and fetched from the UCI repository without it. Prints markdown: errors
in the series' unit beside persistence, ridge regression, a random forest and plain LSTMs; what could be recovered of
published figures, with every difference of protocol; importances per head beside Integrated Gradients and Shapley
values; their agreement by variable and by variable and step. Training stops by a validation part; the test part is
looked at once.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import forecast_tables as tables
from forecast_importance import EXPLAINED, prior_importance, read
from forecast_networks import (
    STEPS,
    TASKS,
    Network,
    Parts,
    Task,
    fit,
    forecast,
    forest_forecast,
    imv_network,
    lstm_network,
    lstm_units_for,
    persistence,
    prepare,
    ridge_forecast,
)
from forecast_tables import Outcome


def main() -> None:
    """Run what was asked for, print it, and write it where told."""
    options = _options()
    lines: list[str] = []

    def say(text: str) -> None:
        lines.append(text)
        print(text, flush=True)

    for name in options.data:
        started = time.process_time()
        task = TASKS[name].quick() if options.quick else TASKS[name]
        _run(task, range(options.seeds), 4 if options.quick else EXPLAINED, say)
        say(f"\n{(time.process_time() - started) / 60:.1f} CPU minutes.")
    if options.out:
        Path(options.out).write_text("\n".join(lines) + "\n", encoding="utf-8")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0 on")
    parser.add_argument("--quick", action="store_true", help="200 windows, one epoch, four explained windows")
    parser.add_argument("--out", help="also write the tables to this file")
    return parser.parse_args()


def _run(task: Task, seeds: Iterable[int], rows: int, say: Callable[[str], None]) -> None:
    parts = prepare(task)
    say(f"\n### {task.title}\n\n{_protocol(task, parts)}\n")
    found = {
        "persistence": [Outcome(persistence(task, parts))],
        "ridge regression": [Outcome(ridge_forecast(task, parts))],
        "random forest": [Outcome(forest_forecast(task, parts, seed)) for seed in seeds],
    }
    for name, build in _networks(task).items():
        network = build()
        found[name] = []
        for seed in seeds:
            found[name].append(_outcome(network, task, parts, seed, rows if name in tables.READ else 0))
            print(f"{task.name}, seed {seed}: {name}, best epoch {found[name][-1].epochs}", file=sys.stderr, flush=True)
    say(tables.errors(task, parts, found, measured_only=False))
    if not all(parts.raw.measured[head].all() for head in task.heads):
        say("\nThe same, on the targets that were measured; those filled forward are left out:\n")
        say(tables.errors(task, parts, found, measured_only=True))
    say(tables.recovered(task, parts))
    for table in (tables.known, tables.groups, tables.variables, tables.agreement, tables.times):
        say(table(task, found))


def _protocol(task: Task, parts: Parts) -> str:
    kept, available = (len(parts.train), len(parts.validation)), parts.available
    return (
        f"{STEPS} steps of {len(task.variables)} variables. In the order of time: {kept[0]} windows for training "
        f"(evenly drawn from {available[0]}), {kept[1]} for validation (from {available[1]}), {len(parts.test)} for "
        "testing. "
        f"IMV-LSTM with d = {task.units}; at most {task.epochs} epochs of Adam, rate {task.learning_rate} decaying to "
        f"zero, batch {task.batch}; the weights of the best validation loss."
    )


def _networks(task: Task) -> dict[str, Callable[[], Network]]:
    small = lstm_units_for(imv_network(task, "tensor", "MSE", "tanh").fitted.count_params(), task)
    wide = len(task.variables) * task.units
    return {
        f"LSTM({small}), parameters of IMV-Tensor": partial(lstm_network, task, small),
        f"LSTM({wide}), units of IMV": partial(lstm_network, task, wide),
        "IMV-Tensor, MSE, tanh": partial(imv_network, task, "tensor", "MSE", "tanh"),
        "IMV-Tensor, EM, tanh": partial(imv_network, task, "tensor", "EM", "tanh"),
        "IMV-Tensor, EM, linear": partial(imv_network, task, "tensor", "EM", "linear"),
        "IMV-Full, MSE, tanh": partial(imv_network, task, "full", "MSE", "tanh"),
        "IMV-Full, EM, linear": partial(imv_network, task, "full", "EM", "linear"),
    }


def _outcome(network: Network, task: Task, parts: Parts, seed: int, rows: int) -> Outcome:
    epochs = fit(network, task, parts, seed)
    return Outcome(
        forecast(network, parts),
        network.fitted.count_params(),
        epochs,
        prior_importance(network, parts) if network.has_maps else None,
        read(task, parts, network, seed, rows=rows) if rows else None,
    )


if __name__ == "__main__":
    main()
