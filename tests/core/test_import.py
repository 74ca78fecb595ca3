"""Importing the package is cheap and loads no framework."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.all_frameworks

FRAMEWORKS = ("keras", "jax", "tensorflow", "torch", "shap", "captum", "matplotlib", "xarray", "pandas")


def loaded_after(statement):
    code = f"{statement}; import sys; print(*[m for m in {FRAMEWORKS} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_importing_the_package_loads_no_framework():
    assert loaded_after("import xai_mimo; dir(xai_mimo)") == []


def test_this_test_can_fail():
    assert "xarray" in loaded_after("import xai_mimo, xarray")


def test_methods_load_no_framework_either():
    found = loaded_after("import xai_mimo; xai_mimo.explain; xai_mimo.explainers.IntegratedGradients")
    assert not set(found) & {"keras", "jax", "tensorflow", "torch", "shap", "captum"}


def test_an_unknown_name_is_an_attribute_error():
    import xai_mimo

    with pytest.raises(AttributeError, match="explian"):
        xai_mimo.explian  # noqa: B018
