"""A session from whatever a model in ONNX comes as, and a digest of what it was made from."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xai_mimo.core.errors import BadValues, FileProblem, MissingDependency, NotSupported
from xai_mimo.core.paths import as_path, reason

try:
    import onnxruntime
except ImportError as missing:
    raise MissingDependency("models in ONNX are run by onnxruntime: pip install 'xai-mimo[onnx]'") from missing

# An entry "location" of a tensor whose values lie in a file of their own, as protobuf writes it.
_LOCATION = re.compile(rb"\n\x08location\x12")
_UNNAMED = frozenset(["", "torch_jit", "main_graph"])
"""What exporters call a graph that nobody named."""


@dataclass(frozen=True)
class Loaded:
    """A model that can be run, and what is known of it.

    Attributes:
        session: runs it.
        name: of the file or the graph; "" where neither says one.
        digest: SHA-256 of the model's bytes, also of those in files beside it; "" of a session, which does not show
            them.
        proto: the parsed model, where its bytes are known and onnx is installed; else None.
    """

    session: Any
    name: str
    digest: str = ""
    proto: Any = None


def load(model: Any) -> Loaded:
    """Whatever ``OnnxAdapter`` takes, as a session.

    What is not a session yet is run on the CPU with onnxruntime's own settings.

    Raises:
        FileProblem: no such file, or none that onnxruntime reads. BadValues: bytes that it does not read.
        NotSupported: it knows the model's operators or opset not.
    """
    if isinstance(model, onnxruntime.InferenceSession):
        return Loaded(model, _graph_name(model))
    if isinstance(model, str | os.PathLike):
        return _load_file(as_path(model, "an '.onnx' file"))
    is_bytes = isinstance(model, bytes | bytearray | memoryview)
    if not is_bytes and type(model).__name__ != "ModelProto":
        raise NotSupported(
            f"an {type(model).__module__}.{type(model).__name__} is no model; expected the path or the bytes of one in "
            "ONNX, an onnx.ModelProto or an onnxruntime.InferenceSession."
        )
    data = bytes(model) if is_bytes else model.SerializeToString()
    what = f"these {len(data)} bytes" if is_bytes else "this onnx.ModelProto"
    session = _session(data, what, BadValues)
    return Loaded(session, _graph_name(session), hashlib.sha256(data).hexdigest(), _parsed(data))


def load_file(path: Path, *, trust: bool = False) -> Path:
    """The loader of ``.onnx`` files: the path, which ``OnnxAdapter`` takes, of a file that onnxruntime reads.

    Args:
        path: of the file. trust: not needed, since nothing of such a file is run as code.
    Raises:
        FileProblem, NotSupported: see ``load``.
    """
    load(path)
    return path


def _load_file(path: Path) -> Loaded:
    if path.is_dir():
        raise FileProblem(f"cannot read '{path}': it is a folder. Give the name of an '.onnx' file inside it.")
    try:
        data = path.read_bytes()
    except FileNotFoundError as err:
        raise FileProblem(f"cannot read '{path}': there is no such file.") from err
    except OSError as err:
        raise FileProblem(f"cannot read '{path}': {reason(err)}.") from err
    digest, beside = hashlib.sha256(data), sorted(set(_files_beside(data)))
    for name in beside:
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise FileProblem(
                f"'{path}' wants to read '{name}', which lies outside its folder; weights stand in files beside it."
            )
        try:
            with (path.parent / name).open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as err:
            raise FileProblem(
                f"'{path}' keeps weights in '{name}' beside it, which cannot be read: {reason(err)}. Put that file "
                "into the same folder."
            ) from err
    # Weights in other files are found by the model's own path alone.
    session = _session(str(path) if beside else data, f"'{path}'", FileProblem)
    return Loaded(session, path.stem, digest.hexdigest(), _parsed(data))


def _files_beside(data: bytes) -> Iterator[str]:
    """Names of the files that hold weights of a model, relative to its own."""
    for match in _LOCATION.finditer(data):
        length, place = 0, match.end()
        for shift in range(0, 35, 7):  # a number in base 128, lowest digits first
            byte = data[place] if place < len(data) else 0
            length |= (byte & 0x7F) << shift
            place += 1
            if byte < 0x80:
                break
        yield data[place : place + length].decode(errors="replace")


def _session(source: bytes | str, what: str, kind: type[FileProblem] | type[BadValues]) -> Any:
    try:
        return onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
    except Exception as err:  # its errors have no root of their own
        raise _refusal(err, what, kind) from err


def _refusal(err: Exception, what: str, kind: type[FileProblem] | type[BadValues]) -> Exception:
    says = " ".join(str(err).split())
    if "opset" in says.lower():
        return NotSupported(
            f"onnxruntime {onnxruntime.__version__} does not know the opset of {what}: {says} Export it for an older "
            "one, e.g. torch.onnx.export(..., opset_version=18), or install a newer onnxruntime."
        )
    if "not a registered" in says or "No Op registered" in says or "NOT_IMPLEMENTED" in says:
        return NotSupported(
            f"{what} has an operator that onnxruntime {onnxruntime.__version__} does not know: {says} Make the session "
            "yourself, with the library of that operator registered, and give it: xai_mimo.adapt(session)."
        )
    return kind(
        f"{what} cannot be read as a model in ONNX; it is damaged, cut short or something else: {says} Export it "
        "again, and check it by onnx.checker.check_model(path)."
    )


def _parsed(data: bytes) -> Any:
    """The model as protobuf without the weights that lie in other files; None without onnx."""
    try:
        import onnx
    except ImportError:  # a session tells all but what kind of value an output is
        return None
    return onnx.load_model_from_string(data)


def _graph_name(session: Any) -> str:
    name = str(session.get_modelmeta().graph_name or "")
    return "" if name in _UNNAMED else name
