"""This package against Captum and shap on one MAIL network: equal results are checked first, then ratios are printed.

    KERAS_BACKEND=torch python benchmarks/peers.py          # or jax, tensorflow
    KERAS_BACKEND=jax python benchmarks/peers.py --only ig --repeats 9

Ours is called through ``xm.explain``, checks and dataset included. The peers get ``network.TorchCopy``, on every
backend; on torch a second line gives Captum the Keras network itself behind one forward wrapper per head. Peer and ours
alternate, times are medians, warm-up is left out, and the first call of ours (with what is traced and compiled) is
printed apart. Ratios are what to read: seconds depend on who else uses the machine.
"""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass

os.environ.setdefault("KERAS_BACKEND", "torch")

import captum.attr
import keras
import numpy as np
import shap
import torch
import xarray as xr
from memory import peak_memory_row
from network import HEADS, STREAMS, TorchCopy, build_network, rows
from timing import alternate, seconds

import xai_mimo as xm
from xai_mimo.core.explanation import features_of
from xai_mimo.explainers import ExpectedGradients, IntegratedGradients, Shapley

NODES = 32
PERMUTATIONS = 10
DRAWS = 5
SAMPLES = 200
FEATURES = sum(STREAMS.values())


@dataclass(frozen=True)
class Line:
    """One line of the table; ``ratio`` is what is asked for, at least ``aim``."""

    job: str
    peer: str
    peer_s: float
    ours_s: float
    first_s: float
    aim: float
    check: str

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer_s / self.ours_s


class Setup:
    """The network in the three forms that the benchmarks need."""

    def __init__(self) -> None:
        self.network = build_network()
        self.copy = TorchCopy(self.network)
        data = rows(64)
        ours, theirs = xm.adapt(self.network).predict(data), self.flat(columns(data))
        for j, head in enumerate(HEADS):
            np.testing.assert_allclose(ours[head][:, 0], theirs[:, j], atol=1e-5, rtol=1e-5)

    def flat(self, x: np.ndarray) -> np.ndarray:
        """The torch copy as shap calls it: ``(row, feature) -> (row, head)``."""
        with torch.inference_mode():
            both = torch.from_numpy(np.asarray(x, dtype="float32"))
            return self.copy(both[:, :64], both[:, 64:]).numpy()

    def head(self, j: int, *, through_keras: bool) -> Callable[..., torch.Tensor]:
        """One head as Captum wants it: ``(*streams) -> (row,)``."""
        if through_keras:
            return lambda *streams: self.network(list(streams), training=False)[HEADS[j]][:, 0]
        return lambda *streams: self.copy(*streams)[:, j]


def columns(data: dict[str, np.ndarray]) -> np.ndarray:
    """Streams side by side: ``(row, feature)``."""
    return np.concatenate(list(data.values()), axis=1)


def tensors(data: dict[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """One tensor per stream."""
    return tuple(torch.from_numpy(x) for x in data.values())


def integrated_gradients(setup: Setup, repeats: int) -> list[Line]:
    """All heads of 128 rows with 32 nodes; the largest difference relative to the largest attribution."""
    data = rows(128)
    model = xm.adapt(setup.network)

    def ours() -> np.ndarray:
        return features_of(xm.explain(model, data, IntegratedGradients(steps=NODES))).values

    def theirs(through_keras: bool) -> np.ndarray:
        heads = (setup.head(j, through_keras=through_keras) for j in range(len(HEADS)))
        found = [captum.attr.IntegratedGradients(head).attribute(tensors(data), n_steps=NODES) for head in heads]
        return np.stack([torch.cat(streams, dim=1).numpy() for streams in found])

    first = seconds(ours)
    lines = []
    for through_keras in [False, True] if keras.config.backend() == "torch" else [False]:
        found, expected = ours(), theirs(through_keras)
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        assert difference <= 1e-6, f"integrated gradients differ from Captum's by {difference:.1e}"
        peer_s, ours_s = alternate(lambda t=through_keras: theirs(t), ours, repeats)
        peer = "Captum, Keras network" if through_keras else "Captum, torch copy"
        check = f"largest difference {difference:.1e}"
        lines.append(Line("IG, 8 heads, 128 rows, 32 nodes", peer, peer_s, ours_s, first, 5, check))
    return lines


def shapley(setup: Setup, repeats: int) -> list[Line]:
    """96 features, 20 background rows, 8 heads, 32 rows.

    shap walks 10 antithetic permutations, each from all 20 background rows. Ours walks 5 for each background row, which
    are 100, with half of the predictions: the squared error has to be no larger than shap's.
    """
    data, background = rows(32), rows(20, seed=2)
    model = xm.adapt(setup.network)
    masker = shap.maskers.Independent(columns(background), max_samples=20)
    budget = DRAWS * 2 * (FEATURES - 1)

    def ours(data: dict[str, np.ndarray] = data, seed: int = 0) -> np.ndarray:
        found = xm.explain(model, data, Shapley(budget=budget), background=background, seed=seed)
        return features_of(found).values

    def theirs(x: np.ndarray | None = None, seed: int = 0, permutations: int = PERMUTATIONS) -> np.ndarray:
        explainer = shap.explainers.Permutation(setup.flat, masker, seed=seed)
        evaluations = permutations * (2 * FEATURES + 1)
        found = explainer(columns(data) if x is None else x, max_evals=evaluations, silent=True).values
        return np.moveaxis(found, -1, 0)

    first = seconds(ours)
    few = {name: x[:4] for name, x in data.items()}
    long_run = theirs(columns(few), seed=99, permutations=10 * PERMUTATIONS)
    error = np.mean([np.square(ours(few, seed) - long_run).mean() for seed in range(3)])
    peer_error = np.mean([np.square(theirs(columns(few), seed) - long_run).mean() for seed in range(3)])
    assert error <= peer_error, f"squared error {error:.2e}, shap's {peer_error:.2e}"
    peer_s, ours_s = alternate(theirs, ours, max(1, repeats // 3))
    check = f"squared error {error / peer_error:.2f} of shap's"
    job = "Shapley, 96 features, 8 heads, 32 rows"
    return [Line(job, "shap Permutation, torch copy", peer_s, ours_s, first, 3, check)]


def expected_gradients(setup: Setup, repeats: int) -> list[Line]:
    """200 samples per row and 100 background rows; differences in units of their standard error have to be about 1."""
    data, background = rows(4), rows(100, seed=2)
    model = xm.adapt(setup.network)

    def explain() -> xr.Dataset:
        return xm.explain(model, data, ExpectedGradients(samples=SAMPLES), background=background)

    def theirs() -> list[np.ndarray]:
        explainer = shap.GradientExplainer(setup.copy, list(tensors(background)))
        return explainer.shap_values(list(tensors(data)), nsamples=SAMPLES, rseed=0)

    first = seconds(explain)
    found, expected = explain(), theirs()
    scores = []
    for stream, values in zip(STREAMS, expected, strict=True):
        error = np.sqrt(2) * found[f"{stream}_standard_error"].values  # theirs has an equal error of its own
        scores.append(((found[stream].values - np.moveaxis(values, -1, 0)) / error).ravel())
    spread = float(np.sqrt(np.mean(np.square(np.concatenate(scores)))))
    assert spread < 1.5, f"expected gradients differ from shap's by {spread:.2f} standard errors"
    peer_s, ours_s = alternate(theirs, explain, max(1, repeats // 2))
    check = f"difference {spread:.2f} standard errors"
    job = "Expected gradients, 8 heads, 4 rows"
    return [Line(job, "shap Gradient, torch copy", peer_s, ours_s, first, 50, check)]


JOBS = {"ig": integrated_gradients, "shapley": shapley, "expected": expected_gradients}


def main() -> None:
    """Run the chosen jobs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=[*JOBS, "memory"], default=[*JOBS, "memory"])
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    print(f"Keras backend: {keras.config.backend()}\n")
    print("| job | peer | ratio | aim | peer s | ours s | first call s | checked |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    jobs = [job for job in JOBS if job in chosen.only]
    setup = Setup() if jobs else None
    for job in jobs:
        for line in JOBS[job](setup, chosen.repeats):
            print(
                f"| {line.job} | {line.peer} | **{line.ratio:.1f}** | {line.aim:g} | {line.peer_s:.2f} | "
                f"{line.ours_s:.2f} | {line.first_s:.2f} | {line.check} |",
                flush=True,
            )
    if "memory" in chosen.only:
        print(peak_memory_row())


if __name__ == "__main__":
    main()
