"""What ``compare`` costs on images: processor time and peak memory by side of the image, six methods together.

    OMP_NUM_THREADS=1 KERAS_BACKEND=torch python benchmarks/image_comparison.py --sides 64 224        # also jax
    OMP_NUM_THREADS=1 KERAS_BACKEND=torch python benchmarks/image_comparison.py --network resnet50 --no-ceilings

Networks are equipped with ``add_mhex`` and untrained: what is measured is time, not whether maps are right. Each side
runs in a process of its own, so that its peak is its own.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

os.environ.setdefault("KERAS_BACKEND", "torch")


def run(network: str, side: int, rows: int, *, ceilings: bool) -> dict[str, float]:
    """Compare six methods on random images: processor seconds of the methods and the scores, and the peak in MB."""
    import keras
    import numpy as np

    import xai_mimo as xm
    from xai_mimo.comparison.settings import Settings
    from xai_mimo.explainers import IntegratedGradients, Occlusion, Shapley
    from xai_mimo.layers import add_mhex, small_resnet

    keras.utils.set_random_seed(0)
    shape = (side, side, 3)
    resnet50 = {"weights": None, "input_shape": shape, "classes": 3, "classifier_activation": None}
    plain = small_resnet(shape, 3) if network == "small" else keras.applications.ResNet50(**resnet50)
    model = add_mhex(plain, kinds="multiclass").inference()
    head = model.output_names[0]
    images = np.random.default_rng(0).standard_normal((rows, *shape)).astype("float32")
    patches = {"players": "patches", "patch": side // 4}
    methods = {
        "position_maps": "position_maps",
        "grad_cam": "grad_cam",
        "cam": "cam",
        "integrated_gradients": IntegratedGradients(tolerance=0.05),
        "occlusion": Occlusion(**patches),
        "shapley": Shapley(budget=128, **patches),
    }
    clock, start = time.perf_counter(), time.process_time()
    adapted = xm.adapt(model, heads={head: "multiclass"})
    result = xm.compare(
        adapted,
        images,
        methods,
        targets=[(head, 0)],
        background=np.zeros((1, *shape), "float32"),
        settings=Settings(ceilings=ceilings),
        progress=True,
    )
    whole, elapsed = time.process_time() - start, time.perf_counter() - clock
    share = sum(m.seconds for m in result.record.methods) * (1 + ceilings) / elapsed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"methods": share * whole, "scores": (1 - share) * whole, "whole": whole, "peak": peak}


def in_new_process(arguments: list[str]) -> dict[str, float]:
    """One run, as JSON on the last line of what it prints."""
    done = subprocess.run([sys.executable, __file__, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """One line of the table for each side."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", choices=("small", "resnet50"), default="small")
    parser.add_argument("--sides", nargs="+", type=int, default=[64, 224])
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--ceilings", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--alone", action="store_true", help="one side in this process, as JSON")
    given = parser.parse_args()
    if given.alone:
        print(json.dumps(run(given.network, given.sides[0], given.rows, ceilings=given.ceilings)))
        return
    ceilings = "--ceilings" if given.ceilings else "--no-ceilings"
    print("| network | backend | pixels | rows | ceilings | methods s | scores s | whole s | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    for side in given.sides:
        common = ["--alone", "--network", given.network, "--rows", str(given.rows), ceilings, "--sides", str(side)]
        found = in_new_process(common)
        values = " | ".join(f"{found[key]:.0f}" for key in ("methods", "scores", "whole", "peak"))
        backend, size = os.environ["KERAS_BACKEND"], f"{side} x {side}"
        print(f"| {given.network} | {backend} | {size} | {given.rows} | {given.ceilings} | {values} |", flush=True)


if __name__ == "__main__":
    main()
