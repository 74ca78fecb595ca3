"""Versions of what computed a result."""

import contextlib
import functools
import importlib.metadata
import platform
import sys

_PACKAGES = {  # distribution -> module
    "xai-mimo": "xai_mimo",
    "numpy": "numpy",
    "scipy": "scipy",
    "scikit-learn": "sklearn",
    "xarray": "xarray",
    "keras": "keras",
    "jax": "jax",
    "tensorflow": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "torch": "torch",
    "shap": "shap",
    "captum": "captum",
    "shapiq": "shapiq",
    "lime": "lime",
}


def versions() -> dict[str, str]:
    """Versions of Python, of this package and of every framework loaded in this process."""
    loaded = {package: _version(package) for package, module in _PACKAGES.items() if module in sys.modules}
    return {"python": platform.python_version(), **{package: version for package, version in loaded.items() if version}}


@functools.cache
def _version(package: str) -> str:
    """Of a package that is loaded, which cannot change any more; "" where it is not known. Read from disk, so once."""
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version(package)
    return ""
