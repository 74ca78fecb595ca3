"""A plain torch network through this package against Captum: equal numbers are checked first, then ratios are printed.

    python benchmarks/bridge.py
    python benchmarks/bridge.py --only occlusion --repeats 9

The network has three streams (32, 16 and 16 features), a trunk 192-128-128 and eight heads of one unit. Captum cannot
explain a mapping of heads, so it gets each head by itself, one call after the other; and the heads side by side in one
array, as somebody would write it by hand: rows repeated for each head, so that one call is enough. The last line asks
ours for one of the eight heads, and for the only head of a network that has one. Ours is called through ``xm.explain``
on the module itself, checks and dataset included; peer and ours alternate, times are medians, warm-up is left out.
Ratios are what to read: seconds depend on who else uses the machine.
"""

import argparse
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import captum.attr
import numpy as np
import torch
import xarray as xr
from timing import alternate, seconds

import xai_mimo as xm
from xai_mimo.core.explanation import features_of
from xai_mimo.explainers import IntegratedGradients, Occlusion, SmoothGrad

STREAMS = {"sensors": 32, "machine": 16, "site": 16}
HEADS = tuple(f"head{i}" for i in range(8))
NODES = 50
COPIES = 50
NOISE = 0.15


class Network(torch.nn.Module):
    """Three streams, a shared trunk, a mapping of heads; smooth, so that quadratures of all makers converge alike."""

    def __init__(self, heads: tuple[str, ...] = HEADS) -> None:
        super().__init__()
        sizes = [sum(STREAMS.values()), 192, 128, 128]
        layers = [step for n, m in itertools.pairwise(sizes) for step in (torch.nn.Linear(n, m), torch.nn.Tanh())]
        self.trunk = torch.nn.Sequential(*layers)
        self.heads = torch.nn.ModuleDict({name: torch.nn.Linear(128, 1) for name in heads})

    def forward(self, sensors: torch.Tensor, machine: torch.Tensor, site: torch.Tensor) -> dict[str, torch.Tensor]:
        """``{head: (row, 1)}``."""
        hidden = self.trunk(torch.cat([sensors, machine, site], dim=1))
        return {name: head(hidden) for name, head in self.heads.items()}


@dataclass(frozen=True)
class Line:
    """One line of the table; ``ratio`` is what is asked for, at least ``aim``."""

    job: str
    peer: str
    peer_s: float
    ours_s: float
    first_s: float
    aim: str
    check: str

    @property
    def ratio(self) -> float:
        """How many times faster ours is."""
        return self.peer_s / self.ours_s


def rows(count: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Standard normal data, ``{stream: (count, width)}``."""
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(count, width)).astype("float32") for name, width in STREAMS.items()}


def tensors(data: dict[str, np.ndarray]) -> tuple[torch.Tensor, ...]:
    """One tensor for each stream."""
    return tuple(torch.from_numpy(x) for x in data.values())


def one_head(network: Network, head: str) -> Callable[..., torch.Tensor]:
    """A head as Captum wants it: ``(*streams) -> (row,)``."""
    return lambda *streams: network(*streams)[head][:, 0]


def side_by_side(network: Network) -> Callable[..., torch.Tensor]:
    """All heads in one array: ``(*streams) -> (row, head)``."""
    return lambda *streams: torch.cat(list(network(*streams).values()), dim=1)


def repeated(streams: tuple[torch.Tensor, ...]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """Each row once for each head, and the head that it is there for."""
    count = len(streams[0])
    many = tuple(x.repeat(len(HEADS), *(1,) * (x.ndim - 1)) for x in streams)
    return many, torch.arange(len(HEADS)).repeat_interleave(count)


def stacked(each: list[tuple[torch.Tensor, ...]]) -> np.ndarray:
    """What Captum found for each head: ``(head, row, feature)``."""
    return np.stack([torch.cat(streams, dim=1).detach().numpy() for streams in each])


def split(found: tuple[torch.Tensor, ...]) -> np.ndarray:
    """What Captum found for rows that were repeated: ``(head, row, feature)``."""
    both = torch.cat(found, dim=1).detach().numpy()
    return both.reshape(len(HEADS), -1, both.shape[1])


def integrated_gradients(network: Network, repeats: int) -> list[Line]:
    """All heads of 256 rows with 50 nodes."""
    data = rows(256)

    def ours() -> np.ndarray:
        return features_of(xm.explain(network, data, IntegratedGradients(steps=NODES), progress=False)).values

    def per_head() -> np.ndarray:
        makers = (captum.attr.IntegratedGradients(one_head(network, head)) for head in HEADS)
        return stacked([maker.attribute(tensors(data), n_steps=NODES) for maker in makers])

    def at_once() -> np.ndarray:
        many, heads = repeated(tensors(data))
        maker = captum.attr.IntegratedGradients(side_by_side(network))
        return split(maker.attribute(many, target=heads, n_steps=NODES, internal_batch_size=8192))

    return lines("IG, 8 heads, 256 rows, 50 nodes", ours, per_head, at_once, repeats, equal_to(ours))


def smoothgrad(network: Network, repeats: int) -> list[Line]:
    """All heads of 128 rows with 50 noisy copies; differences in units of their standard error have to be about 1."""
    data = rows(128)
    ends = {name: np.full((2, width), 2.0, dtype="float32") * [[-1], [1]] for name, width in STREAMS.items()}
    settings = {"nt_samples": COPIES, "stdevs": NOISE * 4.0, "abs": False}  # each feature's range in ``ends`` is 4

    def explain() -> xr.Dataset:
        method = SmoothGrad(samples=COPIES, noise=NOISE)
        return xm.explain(network, data, method, background=ends, progress=False)

    def tunnel(forward: Callable[..., torch.Tensor]) -> captum.attr.NoiseTunnel:
        return captum.attr.NoiseTunnel(captum.attr.Saliency(forward))

    def per_head() -> np.ndarray:
        return stacked([tunnel(one_head(network, head)).attribute(tensors(data), **settings) for head in HEADS])

    def at_once() -> np.ndarray:
        many, heads = repeated(tensors(data))
        return split(tunnel(side_by_side(network)).attribute(many, target=heads, **settings))

    def apart(expected: np.ndarray) -> tuple[float, str]:
        found = explain()
        errors = np.concatenate([found[f"{name}_standard_error"].values for name in STREAMS], axis=2)
        spread = float(np.sqrt(np.mean(np.square((features_of(found).values - expected) / (np.sqrt(2) * errors)))))
        return spread / 1.5, f"difference {spread:.2f} standard errors"

    return lines("SmoothGrad, 8 heads, 128 rows, 50 copies", explain, per_head, at_once, repeats, apart)


def occlusion(network: Network, repeats: int) -> list[Line]:
    """All heads of 256 rows, each of 64 features set to zero."""
    data = rows(256)

    def ours() -> np.ndarray:
        return features_of(xm.explain(network, data, Occlusion(), progress=False)).values

    def per_head() -> np.ndarray:
        with torch.no_grad():
            makers = (captum.attr.FeatureAblation(one_head(network, head)) for head in HEADS)
            return stacked([maker.attribute(tensors(data)) for maker in makers])

    def at_once() -> np.ndarray:
        with torch.no_grad():
            found = captum.attr.FeatureAblation(side_by_side(network)).attribute(tensors(data))
        both = torch.cat([x.reshape(len(data["site"]), len(HEADS), -1) for x in found], dim=2).numpy()
        return np.moveaxis(both, 1, 0)

    return lines("occlusion, 8 heads, 256 rows, 64 features", ours, per_head, at_once, repeats, equal_to(ours))


def lines(
    job: str,
    ours: Callable[[], object],
    per_head: Callable[[], np.ndarray],
    at_once: Callable[[], np.ndarray],
    repeats: int,
    apart: Callable[[np.ndarray], tuple[float, str]],
) -> list[Line]:
    """Both ways to ask Captum, after their numbers were compared: ``apart`` says how far they are, at most 1."""
    first = seconds(ours)
    made = []
    for peer, theirs, aim in (
        ("Captum, a call per head", per_head, ">= 5"),
        ("Captum, heads side by side", at_once, ">= 1"),
    ):
        torch.manual_seed(0)
        distance, words = apart(theirs())
        assert distance <= 1, f"{job}: {peer}: {words}"
        peer_s, ours_s = alternate(theirs, ours, repeats)
        made.append(Line(job, peer, peer_s, ours_s, first, aim, words))
    return made


def equal_to(ours: Callable[[], np.ndarray], tolerance: float = 1e-5) -> Callable[[np.ndarray], tuple[float, str]]:
    """The largest difference relative to the largest attribution, as a share of what is allowed."""

    def apart(expected: np.ndarray) -> tuple[float, str]:
        difference = float(np.abs(ours() - expected).max() / np.abs(expected).max())
        return difference / tolerance, f"largest difference {difference:.1e}"

    return apart


def one_of_eight(network: Network, repeats: int) -> list[Line]:
    """What the seven other heads cost who asks for one."""
    data = rows(1024)
    single = Network(HEADS[:1])
    single.trunk.load_state_dict(network.trunk.state_dict())
    single.heads[HEADS[0]].load_state_dict(network.heads[HEADS[0]].state_dict())
    method = IntegratedGradients(steps=NODES)

    def ours() -> np.ndarray:
        return features_of(xm.explain(network, data, method, targets=[HEADS[0]], progress=False)).values

    def alone() -> np.ndarray:
        return features_of(xm.explain(single, data, method, progress=False)).values

    first = seconds(ours)
    difference = float(np.abs(ours() - alone()).max() / np.abs(alone()).max())
    assert difference <= 1e-5, f"one head of eight differs from the same head alone by {difference:.1e}"
    alone_s, ours_s = alternate(alone, ours, max(repeats, 5))
    check = f"takes {ours_s / alone_s:.2f} of its time (aim <= 1.3)"
    return [
        Line("IG, one head of 8, 1024 rows", "ours, a network of one head", alone_s, ours_s, first, ">= 0.77", check)
    ]


JOBS = {"ig": integrated_gradients, "smoothgrad": smoothgrad, "occlusion": occlusion, "one": one_of_eight}


def main() -> None:
    """Run the chosen jobs and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=JOBS, default=list(JOBS))
    parser.add_argument("--repeats", type=int, default=5)
    chosen = parser.parse_args()
    torch.manual_seed(0)
    network = Network().eval().requires_grad_(False)
    print("| job | peer | ratio | aim | peer s | ours s | first call s | checked |")
    print("|---|---|---|---|---|---|---|---|", flush=True)
    for job in chosen.only:
        for line in JOBS[job](network, chosen.repeats):
            print(
                f"| {line.job} | {line.peer} | **{line.ratio:.2f}** | {line.aim} | {line.peer_s:.2f} | "
                f"{line.ours_s:.2f} | {line.first_s:.2f} | {line.check} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
