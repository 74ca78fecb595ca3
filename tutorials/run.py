"""Run the notebooks: with their outputs kept, or quickly on little data, two at a time, keeping nothing.

python tutorials/run.py            executes every notebook and writes its outputs into it
python tutorials/run.py --quick    sets XAI_MIMO_QUICK=1, which the notebooks read to shrink data and training
"""

import argparse
import os
import re
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
# Where a warning arose: a path of the machine that ran it, and of the kernel's temporary files.
_WHERE = re.compile(r"^\S*?(?=\b(?:xai_mimo|xai_mimo_adapters)/\S+:\d+: )|^\S*ipykernel_\S+:\d+: ", re.MULTILINE)


def run(path: Path, *, keep: bool) -> float:
    """Execute one notebook in the tutorials folder; any error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    start = time.perf_counter()
    NotebookClient(notebook, timeout=1800, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    if keep:
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # time stamps would change with every run
            for output in cell.get("outputs", ()):
                if output.output_type == "stream":
                    output.text = _WHERE.sub("", output.text)
        nbformat.write(notebook, path)
    return time.perf_counter() - start


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all in this folder")
    parser.add_argument("--quick", action="store_true", help="little data, outputs not kept")
    options = parser.parse_args()
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")  # else TensorFlow, where installed, writes into the outputs
    os.environ.setdefault("PYTHONWARNINGS", "ignore:IProgress not found")  # and so does tqdm, without widgets
    if options.quick:
        os.environ["XAI_MIMO_QUICK"] = "1"
    paths = options.notebooks or sorted(HERE.glob("*.ipynb"))
    # One after the other where outputs are kept, since some of them are seconds.
    with ProcessPoolExecutor(max_workers=2 if options.quick else 1) as workers:
        running = {workers.submit(run, path, keep=not options.quick): path.name for path in paths}
        for done in as_completed(running):
            if (error := done.exception()) is not None:
                raise RuntimeError(f"{running[done]} does not run") from error
            print(f"{running[done]}: {done.result():.0f} s", flush=True)


if __name__ == "__main__":
    main()
