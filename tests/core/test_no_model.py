"""What is said of things that are no model, or a model of nobody's."""

from collections import OrderedDict

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from tests.helpers.frameworks import imported
from xai_mimo.core import plugins
from xai_mimo.core.errors import NotSupported

pytestmark = pytest.mark.all_frameworks


def of_package(package, name, **members):
    """An object whose class is of a package that need not be installed."""
    return type(name, (), {"__module__": f"{package}.inside", **members})()


CALLABLE = {"__call__": lambda self, x: x}


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (
            np.ones((2, 3)),
            r"a numpy\.ndarray is data and no model\. The model comes first: xai_mimo\.explain\(model, x\)",
        ),
        (pd.DataFrame({"a": [1]}), r"a pandas\.\S*DataFrame is data and no model"),
        (xr.Dataset(), r"a xarray\.core\.dataset\.Dataset is data and no model"),
        (of_package("polars", "DataFrame"), r"a polars\.inside\.DataFrame is data"),
        (of_package("xgboost", "DMatrix"), r"a xgboost\.inside\.DMatrix is data"),
        (of_package("lightgbm", "Dataset"), r"a lightgbm\.inside\.Dataset is data"),
        (of_package("catboost", "Pool"), r"a catboost\.inside\.Pool is data"),
        ({"weight": np.ones(3)}, r"part 'weight': a numpy\.ndarray is data and no model"),
        (
            OrderedDict(weight=np.ones(3)),
            r"a collections\.OrderedDict is no model\. If it holds weights, load them into their model and give that",
        ),
        ([np.ones(3)], r"a list is no model\..* One call explains one model"),
        (None, r"None is no model; give a model of a framework, or a function of arrays"),
        (3, r"3 is no model"),
        (np, r"numpy is a Python module and no model; give a model or a function of it"),
        ((x for x in [1]), r"no adapter for generator; there are adapters for .*functions of arrays"),
        (
            of_package("statsmodels", "Results"),
            r"no adapter for statsmodels\.inside\.Results; .*model\.predict\(sensors\)",
        ),
    ],
    ids=lambda value: value[:20] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_model_is_refused_by_what_it_is(thing, text):
    with pytest.raises(NotSupported, match=text):
        plugins.adapt(thing)


@pytest.mark.parametrize(
    ("package", "text"),
    [
        ("paddle", r"a model of paddle, for which no adapter loads.*model\(paddle\.to_tensor\(sensors\)\)\.numpy\(\)"),
        ("mlx", r"a model of mlx, .*numpy\.array\(model\(mlx\.core\.array\(sensors\)\)\)"),
        ("openvino", r"a model of openvino, .*model\(sensors\)\[0\]"),
        ("transformers", r"Net takes texts or pictures as they come.*xai_mimo\.adapt\(pipe\.model\)"),
    ],
)
def test_a_callable_of_a_framework_without_an_adapter_is_not_taken_for_a_function(package, text):
    for declared in ({}, {"streams": {"a": 3}, "heads": {"y": 1}}):
        with pytest.raises(NotSupported, match=text):
            plugins.adapt(of_package(package, "Net", **CALLABLE), **declared)


def test_a_callable_object_of_a_user_is_a_function():
    class Score:
        def __call__(self, a):
            return a.sum(axis=1)

    assert plugins.adapt(Score(), {"a": 2}, {"y": 1}).predict(np.ones((1, 2)))["y"] == 2.0


def test_parts_of_keras_and_of_onnx_are_no_models():
    keras, onnx = imported("keras"), imported("onnx")
    with pytest.raises(NotSupported, match=r"a SGD of Keras is no model; expected a keras\.Model"):
        plugins.adapt(keras.optimizers.SGD())
    with pytest.raises(NotSupported, match=r"a KerasTensor of Keras is no model; expected a keras\.Model"):
        plugins.adapt(keras.Input((3,)))
    with pytest.raises(NotSupported, match=r"an onnx\.\S*GraphProto is no model; .* an onnx\.ModelProto"):
        plugins.adapt(onnx.GraphProto())
