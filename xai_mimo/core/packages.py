"""Packages that something needs and that are not there, with the command that installs them."""

import importlib.util
from collections.abc import Sequence

EXTRAS = {
    "jax": ("jax",),
    "torch": ("torch",),
    "tensorflow": ("tensorflow",),
    "shap": ("shap",),
    "captum": ("captum", "torch"),
    "shapiq": ("shapiq",),
    "lime": ("lime",),
    "zarr": ("zarr",),
    "onnx": ("onnxruntime",),
    "skops": ("skops",),
}
"""What each extra of this package brings, by the names that are imported."""


def lacking(packages: Sequence[str]) -> str:
    """Which of these packages are not there, and the command that installs them; "" where all are.

    Args:
        packages: by the names that are imported; nothing is imported to find out.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if not missing:
        return ""
    extra = next((extra for extra, brought in EXTRAS.items() if {*missing} <= {*brought}), None)
    command = f"pip install 'xai-mimo[{extra}]'" if extra else f"pip install {' '.join(missing)}"
    return f"needs {', '.join(missing)}: {command}"
