"""Try an installed xai_mimo that has no framework beside it: ``python minimal.py [VERSION]``."""

import importlib.util
import sys
import tempfile
from importlib import metadata, resources
from pathlib import Path

import numpy as np

import xai_mimo as xm

FRAMEWORKS = ("jax", "torch", "tensorflow")


def main(version: str) -> None:
    """Import every public name, explain and compare a plain function, and say what was wrong."""
    assert metadata.version("xai-mimo") == xm.__version__ == version, (metadata.version("xai-mimo"), xm.__version__)
    assert "site-packages" in str(xm.__file__), f"not the installed package: {xm.__file__}"
    found = [name for name in FRAMEWORKS if importlib.util.find_spec(name)]
    assert not found, f"this environment is not minimal, it has {found}"
    for name in xm.__all__:
        getattr(xm, name)
    assert "keras" not in sys.modules, "importing the public names loads Keras"
    assert resources.files("xai_mimo").joinpath("py.typed").is_file()

    x = np.random.default_rng(0).standard_normal((8, 3))
    model = xm.adapt(lambda u: {"risk": 2.0 * u[:, 0]}, streams={"u": 3}, heads={"risk": "regression"})
    explained = xm.explain(model, {"u": x}, method="shapley", background={"u": np.zeros((1, 3))})
    np.testing.assert_allclose(explained["u"].values[0], 2.0 * x * [1, 0, 0], atol=1e-5)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.html"
        xm.compare(model, {"u": x}, methods=["shapley", "occlusion"]).report(report)
        assert "risk" in report.read_text(encoding="utf-8")
    print(f"xai_mimo {version} works without a framework")


if __name__ == "__main__":
    main(*sys.argv[1:] or [xm.__version__])
