"""Folders of TensorFlow's SavedModel: programs of TensorFlow's own operations, which reach no files unless trusted."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import FileProblem, MissingDependency, XaiMimoError
from xai_mimo.core.loading import unreadable
from xai_mimo.core.trust import refuse_untrusted

# fmt: off
_OUTSIDE = frozenset((
    "PyFunc", "PyFuncStateless", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "PrintV2", "WholeFileReader",
    "WholeFileReaderV2", "TextLineReader", "TextLineReaderV2", "FixedLengthRecordReader", "FixedLengthRecordReaderV2",
    "TFRecordReader", "TFRecordReaderV2", "TextLineDataset", "FixedLengthRecordDataset", "FixedLengthRecordDatasetV2",
    "TFRecordDataset", "TFRecordDatasetV2", "Save", "SaveSlices", "DebugIdentity", "DebugIdentityV2", "WriteSummary",
    "CreateSummaryFileWriter", "SaveDataset", "SaveDatasetV2", "LoadDataset", "RpcCall", "RpcClient", "RpcServer",
    "DataServiceDataset", "SqlDataset",
))
# fmt: on
_SAVES = frozenset({"SaveV2", "MergeV2Checkpoints"})


def load_folder(path: Path, *, trust: bool = False) -> Any:
    """What ``tf.saved_model.save`` or ``model.export`` wrote.

    Args:
        path: of the folder. trust: also read a model whose operations read or write files, or call Python.
    Raises:
        FileProblem: it is no SavedModel, or damaged. NotTrusted: its operations reach out of the model; names them.
        MissingDependency: tensorflow is not installed.
    """
    try:
        import tensorflow as tf
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
    except ImportError as missing:
        raise MissingDependency("a SavedModel is read by tensorflow: pip install 'xai-mimo[tensorflow]'") from missing
    try:
        program = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except Exception as err:  # of protobuf, whose errors have no root of their own
        raise FileProblem(f"'{path}' is not a SavedModel: its saved_model.pb is damaged or was cut short.") from err
    outside = sorted(set(_reaching_out(program)))
    if outside and not trust:
        raise refuse_untrusted(
            path,
            f"holds operations that read or write files or call Python: {', '.join(outside)}. They would run when the "
            "model is called",
        )
    try:
        return tf.saved_model.load(str(path))
    except XaiMimoError:
        raise
    except Exception as err:  # OSError, ValueError, and TensorFlow's own
        raise unreadable(path, err, "a SavedModel") from err


def _reaching_out(program: Any) -> Iterator[str]:
    """Operations that reach out of the model; each has some that keep its own variables, which no function calls."""
    for graph in (part.graph_def for part in program.meta_graphs):
        own = {function.signature.name: list(function.node_def) for function in graph.library.function}
        called = {name for nodes in own.values() for node in nodes for name in _functions_of(node)}
        for name, nodes in [("", list(graph.node)), *own.items()]:
            for node in nodes:
                if node.op in _OUTSIDE or (node.op in _SAVES and name in called):
                    yield node.op


def _functions_of(node: Any) -> Iterator[str]:
    """Functions that an operation calls."""
    yield node.op
    for value in node.attr.values():
        yield value.func.name
        yield from (function.name for function in value.list.func)
