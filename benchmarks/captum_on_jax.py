"""What Captum costs on a JAX model: its Integrated Gradients through the bridge against the same sum written in JAX.

    python benchmarks/captum_on_jax.py
    python benchmarks/captum_on_jax.py --rows 1024 --repeats 9

The network is that of ``bridge.py``, as a JAX function of three streams with one head or with eight. The native route
is what somebody would write who has this one model alone: the gradient of a head, compiled, at Captum's own 50 nodes
of each row in one call. It is called directly; the bridge is called through ``xm.explain`` on a model that was
adapted before, checks and dataset included. Both give Captum's numbers, which is checked first; peer and bridge
alternate, times are medians, compilation is left out. The second column of ratios is ``integrated_gradients`` of this
package with as many nodes. With several heads Captum goes head by head; the native route does so too.
"""

import argparse
import itertools
import os
from collections.abc import Callable

os.environ.setdefault("KERAS_BACKEND", "jax")

import jax
import jax.numpy as jnp
import numpy as np
from captum.attr._utils.approximation_methods import approximation_parameters
from timing import alternate, seconds
from xai_mimo_adapters.captum_methods import CaptumIntegratedGradients

import xai_mimo as xm
from xai_mimo.core.explanation import features_of
from xai_mimo.explainers import IntegratedGradients

STREAMS = {"sensors": 32, "machine": 16, "site": 16}
NODES = 50
Heads = dict[str, jax.Array]


def network(heads: int, seed: int = 0) -> Callable[..., Heads]:
    """A JAX function ``(sensors, machine, site) -> {head: (row, 1)}``."""
    rng = np.random.default_rng(seed)
    sizes = [sum(STREAMS.values()), 192, 128, 128]
    trunk = [jnp.asarray(rng.normal(size=(n, m)) / np.sqrt(n), "float32") for n, m in itertools.pairwise(sizes)]
    last = {f"head{i}": jnp.asarray(rng.normal(size=(128, 1)) / 8, "float32") for i in range(heads)}

    def forward(sensors: jax.Array, machine: jax.Array, site: jax.Array) -> Heads:
        hidden = jnp.concatenate([sensors, machine, site], axis=1)
        for weights in trunk:
            hidden = jnp.tanh(hidden @ weights)
        return {name: hidden @ weights for name, weights in last.items()}

    return forward


def native(forward: Callable[..., Heads], head: str, data: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    """Integrated Gradients of one head from a zero baseline: all nodes of all rows in one compiled call."""
    sizes, nodes = (np.asarray(values(NODES), "float32") for values in approximation_parameters("gausslegendre"))

    @jax.jit
    def integrate(streams: dict[str, jax.Array]) -> dict[str, jax.Array]:
        path = {n: (nodes[:, None, None] * x).reshape(-1, x.shape[1]) for n, x in streams.items()}
        slopes = jax.grad(lambda inputs: forward(**inputs)[head].sum())(path)
        means = {n: jnp.tensordot(sizes, g.reshape(NODES, -1, g.shape[1]), 1) for n, g in slopes.items()}
        return {n: means[n] * x for n, x in streams.items()}

    def attributions() -> np.ndarray:
        found = integrate(data)  # whose keys are sorted
        return np.concatenate([np.asarray(found[name]) for name in data], axis=1)

    return attributions


def line(heads: int, count: int, repeats: int) -> str:
    """One line of the table, after the numbers were compared."""
    rng = np.random.default_rng(1)
    data = {name: rng.normal(size=(count, width)).astype("float32") for name, width in STREAMS.items()}
    forward = network(heads)
    model = xm.adapt(forward, like=data)
    each = [native(forward, head.name, data) for head in model.heads]

    def by_hand() -> np.ndarray:
        return np.stack([integrate() for integrate in each])

    def explained(method: object) -> Callable[[], np.ndarray]:
        return lambda: features_of(xm.explain(model, data, method, progress=False)).values

    bridge, ours = explained(CaptumIntegratedGradients(steps=NODES)), explained(IntegratedGradients(steps=NODES))
    first = seconds(bridge)
    expected = by_hand()
    for name, found in (("bridge", bridge()), ("integrated_gradients", ours())):
        difference = float(np.abs(found - expected).max() / np.abs(expected).max())
        assert difference <= 1e-5, f"{name} differs from the sum by hand by {difference:.1e} of the largest value"
    native_s, bridge_s = alternate(by_hand, bridge, repeats)
    ours_s, again_s = alternate(ours, bridge, repeats)
    return (
        f"| {heads} | {count} | **{bridge_s / native_s:.2f}** | {again_s / ours_s:.2f} | {native_s:.3f} | "
        f"{bridge_s:.3f} | {ours_s:.3f} | {first:.2f} |"
    )


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[256, 1024])
    parser.add_argument("--heads", type=int, nargs="*", default=[1, 8])
    parser.add_argument("--repeats", type=int, default=7)
    chosen = parser.parse_args()
    print(
        "| heads | rows | bridge / native (aim <= 1.15) | bridge / ours | native s | bridge s | ours s | first call s |"
    )
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for heads, count in itertools.product(chosen.heads, chosen.rows):
        print(line(heads, count, chosen.repeats), flush=True)


if __name__ == "__main__":
    main()
