"""What is installed here, which plugins load, and which do not and why."""

import importlib.metadata
import platform
import warnings
from typing import get_args

from xai_mimo.core.errors import MissingDependency, PluginWarning
from xai_mimo.core.packages import EXTRAS, lacking
from xai_mimo.core.plugins import Group, load_plugin, plugins

# fmt: off
PACKAGES = (
    "xai-mimo", "numpy", "scipy", "pandas", "xarray", "h5netcdf", "zarr", "keras", "jax", "torch", "tensorflow",
    "tensorflow-cpu", "shap", "captum", "shapiq", "lime", "onnxruntime", "onnx", "skops", "scikit-learn", "matplotlib",
    "jinja2", "pydantic", "pooch", "typer", "rich",
)
# fmt: on
_NEEDED = frozenset({"keras", "integrated_gradients", "shapley", "interception"})


def versions() -> list[tuple[str, str]]:
    """Every package that this one can use, with its version, or "-" where it is not installed."""
    rows = [("python", platform.python_version())]
    for package in PACKAGES:
        try:
            rows.append((package, importlib.metadata.version(package)))
        except importlib.metadata.PackageNotFoundError:
            rows.append((package, "-"))
    return rows


def extra_states() -> list[tuple[str, str]]:
    """(extra, "installed" or what it needs) of every extra; nothing is imported to find out."""
    return [(extra, lacking(packages) or "installed") for extra, packages in EXTRAS.items()]


def plugin_states() -> list[tuple[str, str, str, str]]:
    """(group, name, where, "loads", what it needs, or why not) of every plugin; loads each of them."""
    states = []
    for group in get_args(Group):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PluginWarning)
            entries = plugins(group)
        states += [(group, "", "", str(w.message)) for w in caught if issubclass(w.category, PluginWarning)]
        states += [(group, name, entry.value, _state(entry)) for name, entry in sorted(entries.items())]
    return states


def _state(entry: importlib.metadata.EntryPoint) -> str:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", PluginWarning)
        try:
            loaded = load_plugin(entry)
        except MissingDependency as err:
            return str(err)
    if loaded is None:
        return "; ".join(str(w.message) for w in caught)
    return lacking(getattr(loaded, "packages", ())) or "loads"


def usable(states: list[tuple[str, str, str, str]]) -> bool:
    """Whether the Keras adapter and the three methods of a standard report load."""
    return {name for _, name, _, state in states if state == "loads"} >= _NEEDED
