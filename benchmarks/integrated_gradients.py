"""Integrated Gradients to a tolerance against fixed nodes, on trained MAIL networks: completeness, distance, cost.

KERAS_BACKEND=jax python benchmarks/integrated_gradients.py [rows]   # prints the table; about two minutes on two cores

Networks and data are those of the first tutorial (generated; MAIL on standardised streams, Dense 32 with ReLU per
head), explained at MAIL's inputs from the zero baseline. The reference is the composite two-point Gauss rule with
8192 nodes.
"""

import os
import sys

os.environ.setdefault("KERAS_BACKEND", "jax")
import keras
import numpy as np
import xarray as xr

import xai_mimo as xm
from xai_mimo.core.door import count_rows
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.targets import rows_of, select
from xai_mimo.datasets import predictive_maintenance
from xai_mimo.explainers import IntegratedGradients
from xai_mimo.layers import MAIL

HEADS = ("HDF", "PWF", "OSF", "RNF")
NODES = 8192
TRAINED_ROWS = 8400
SETTINGS = {
    "50 nodes": IntegratedGradients(steps=50),
    "128 nodes": IntegratedGradients(steps=128),
    **{f"tolerance {t:g}": IntegratedGradients(tolerance=t) for t in (1e-2, 3e-3, 1e-3)},
}


def trained(scoring: str, count: int) -> tuple[keras.Model, Arrays]:
    """A network and rows it was not trained on."""
    keras.utils.set_random_seed(1)
    data = predictive_maintenance(TRAINED_ROWS + count, seed=0, positives=0.15).only(HEADS)
    train, test = data.take(slice(0, TRAINED_ROWS)), data.take(slice(TRAINED_ROWS, None))
    inputs, streams = {}, {}
    for stream in data.streams:
        x = train.inputs[stream.name]
        inputs[stream.name] = keras.Input(stream.shape, name=stream.name)
        streams[stream.name] = keras.layers.Normalization(mean=x.mean(0), variance=x.var(0))(inputs[stream.name])
    read = MAIL(dict.fromkeys(HEADS, 7), scoring=scoring, rescale=scoring != "dense", name="mail")(streams)
    outputs = {h: keras.layers.Dense(1, name=h)(keras.layers.Dense(32, "relu")(read[h])) for h in HEADS}
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.Adam(3e-3), {h: keras.losses.BinaryCrossentropy(from_logits=True) for h in HEADS})
    model.fit(train.inputs, train.labels, batch_size=128, epochs=15, verbose=0)
    return model, test.inputs


def reference(model: Model, x: Arrays) -> np.ndarray:
    """Attributions with many nodes: ``(target, sample, feature)``."""
    selectors = select(None, model.heads, model.predict(x))
    starts, inner = np.arange(NODES // 2)[:, None], (1 + np.array([-1, 1]) / np.sqrt(3)) / 2
    t = ((starts + inner) / (NODES // 2)).reshape(-1, 1)
    found = []
    for i in range(count_rows(x)):
        path = {name: (t * v[i]).astype("float32") for name, v in x.items()}
        _, gradients = model.gradients(path, rows_of(selectors, np.full(NODES, i)))
        found.append(np.concatenate([g.mean(axis=1, dtype="float64") * x[n][i] for n, g in gradients.items()], axis=1))
    return np.stack(found, axis=1)


def figures(found: xr.Dataset, ours: np.ndarray, exact: np.ndarray) -> list[str]:
    """Share of rows within 1 %, evaluations per row and 99th percentile of the distance, for each head."""
    change = abs(found["prediction"] - found["baseline_prediction"]).values
    relative = abs(found["completeness_gap"].values) / np.maximum(change, 0.1 * abs(ours).sum(axis=2))
    distance = abs(ours - exact).sum(axis=2) / abs(exact).sum(axis=2)
    cells = zip((relative <= 0.01).mean(axis=1), found["evaluations"].values, distance, strict=True)
    return [f"{share:7.1%} {spent.mean():5.0f} {np.quantile(d, 0.99):7.2%}" for share, spent, d in cells]


def main(count: int) -> None:
    """Print the table: every setting, each head alone and all heads together."""
    for scoring in ("dense", "local"):
        network, x = trained(scoring, count)
        model = xm.adapt(network)
        tail, read = model.tail("mail"), model.activations(x, "mail")
        exact, names = reference(tail, read), [s.name for s in tail.streams]
        print(
            f'\nscoring="{scoring}", {count} rows: share within 1 %, evaluations, 99th percentile of |a - ref| / |ref|'
        )
        print(f"{'':16}{'heads':10}" + "".join(f"{h:>24}" for h in HEADS))
        for label, method in SETTINGS.items():
            alone, together = [], xm.explain(model, x, method, at="mail")
            for h, head in enumerate(HEADS):
                found = xm.explain(model, x, method, at="mail", targets=[head])
                alone += figures(found, np.concatenate([found[n] for n in names], axis=2), exact[h : h + 1])
            print(f"{label:16}{'alone':10}" + "".join(f"{cell:>24}" for cell in alone), flush=True)
            cells = figures(together, np.concatenate([together[n] for n in names], axis=2), exact)
            print(f"{'':16}{'together':10}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
