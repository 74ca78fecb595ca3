"""One small model of each kind in a file of its own, all of one stream of four columns, and what each of them answers."""

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS = ("a", "b", "c", "d")
WEIGHTS = np.array([[1.0, -0.5], [0.25, 0.75], [-1.0, 0.5], [0.0, 1.5]], dtype="float32")


def rows(count: int = 12, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype("float32")


def reference(x: np.ndarray) -> np.ndarray:
    """What every network says: ``(row, 2)``."""
    return np.tanh(x @ WEIGHTS)


def keras_file(folder: Path) -> Path:
    import keras

    table = keras.Input((4,), name="table")
    layer = keras.layers.Dense(2, "tanh", use_bias=False, name="risk")
    model = keras.Model({"table": table}, {"risk": layer(table)})
    layer.set_weights([WEIGHTS])
    model.save(folder / "net.keras")
    return folder / "net.keras"


def torch_module() -> Any:
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(4, 2, bias=False), torch.nn.Tanh())
    with torch.no_grad():
        module[0].weight.copy_(torch.from_numpy(WEIGHTS.T))
    return module.eval()


def exported_file(folder: Path) -> Path:
    import torch

    free = ({0: torch.export.Dim.DYNAMIC},)
    torch.export.save(
        torch.export.export(torch_module(), (torch.zeros(5, 4),), dynamic_shapes=free), folder / "net.pt2"
    )
    return folder / "net.pt2"


def scripted_file(folder: Path) -> Path:
    import torch

    torch.jit.script(torch_module()).save(str(folder / "scripted.pt"))
    return folder / "scripted.pt"


def module_file(folder: Path) -> Path:
    import torch

    torch.save(torch_module(), folder / "module.pth")
    return folder / "module.pth"


def onnx_file(folder: Path) -> Path:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("MatMul", ["table", "w"], ["z"]), helper.make_node("Tanh", ["z"], ["risk"])]
    inputs = [helper.make_tensor_value_info("table", TensorProto.FLOAT, ["batch", 4])]
    outputs = [helper.make_tensor_value_info("risk", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "net", inputs, outputs, [numpy_helper.from_array(WEIGHTS, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def tensorflow_folder(folder: Path) -> Path:
    import tensorflow as tf

    class Net(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = tf.Variable(WEIGHTS)

        @tf.function(input_signature=[tf.TensorSpec((None, 4), tf.float32, name="table")])
        def __call__(self, table: Any) -> Any:
            return {"risk": tf.tanh(table @ self.w)}

    net = Net()
    tf.saved_model.save(net, str(folder / "saved"), signatures=net.__call__.get_concrete_function())
    return folder / "saved"


def estimator() -> Any:
    from sklearn.linear_model import LinearRegression

    x = rows(40)
    return LinearRegression().fit(x, x @ WEIGHTS)


def skops_file(folder: Path) -> Path:
    import skops.io

    skops.io.dump(estimator(), folder / "model.skops")
    return folder / "model.skops"


def pickle_file(folder: Path) -> Path:
    import pickle

    (folder / "model.pkl").write_bytes(pickle.dumps(estimator()))
    return folder / "model.pkl"


def joblib_file(folder: Path) -> Path:
    import joblib

    joblib.dump(estimator(), folder / "model.joblib", compress=3)
    return folder / "model.joblib"


def xgboost_file(folder: Path, end: str = "ubj") -> Path:
    import xgboost

    x = rows(40)
    booster = xgboost.train(
        {"max_depth": 2, "nthread": 1}, xgboost.DMatrix(x, label=x @ WEIGHTS[:, 0]), num_boost_round=3
    )
    booster.save_model(folder / f"trees.{end}")
    return folder / f"trees.{end}"


def xgboost_json_file(folder: Path) -> Path:
    return xgboost_file(folder, "json")


def lightgbm_file(folder: Path) -> Path:
    import lightgbm

    x = rows(40)
    settings = {"min_data_in_leaf": 2, "verbose": -1, "num_threads": 1}
    booster = lightgbm.train(settings, lightgbm.Dataset(x, x @ WEIGHTS[:, 0]), num_boost_round=3)
    booster.save_model(folder / "trees.txt")
    return folder / "trees.txt"


def catboost_file(folder: Path, form: str = "cbm") -> Path:
    import catboost

    x = rows(40)
    model = catboost.CatBoostRegressor(iterations=3, depth=2, verbose=False, allow_writing_files=False, thread_count=1)
    model.fit(x, x @ WEIGHTS[:, 0])
    model.save_model(str(folder / f"cats.{form}"), format=form)
    return folder / f"cats.{form}"


def catboost_json_file(folder: Path) -> Path:
    return catboost_file(folder, "json")


Made = Callable[[Path], Path]
SAFE: dict[str, tuple[str, Made]] = {
    "keras": ("keras", keras_file),
    "onnx": ("onnx", onnx_file),
    "pt2": ("torch", exported_file),
    "saved_model": ("tensorflow", tensorflow_folder),
    "skops": ("skops", skops_file),
    "ubj": ("xgboost", xgboost_file),
    "json of xgboost": ("xgboost", xgboost_json_file),
    "txt": ("lightgbm", lightgbm_file),
    "cbm": ("catboost", catboost_file),
    "json of catboost": ("catboost", catboost_json_file),
}
"""Kind of file -> the package that it needs, and what makes one in a folder. Reading them runs nothing of theirs."""
RUNS_CODE: dict[str, tuple[str, Made]] = {
    "pt of torchscript": ("torch", scripted_file),
    "pth": ("torch", module_file),
    "pkl": ("sklearn", pickle_file),
    "joblib": ("sklearn", joblib_file),
}
"""The same for files that are read only where they are trusted."""


def rewritten(path: Path, target: Path, change: Callable[[str, bytes], bytes | None], more: Any = ()) -> Path:
    """A copy of an archive: ``change(name, content)`` gives the new content, None leaves the file out.

    Args:
        path, target: of the archive, and of the copy. change: see above. more: further ``(name, content)``.
    """
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        for info in source.infolist():
            changed = change(info.filename, source.read(info))
            if changed is not None:
                copy.writestr(info.filename, changed)
        for name, content in more:
            copy.writestr(name, content)
    return target
