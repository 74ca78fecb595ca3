"""``.pt2`` files: programs that ``torch.export`` wrote, without what could run code while they are read or called.

``torch.export.load`` unpickles weights where they are no plain tensors, evaluates expressions and guards that the file
holds as text, and loads compiled libraries. Without trust all of this is looked at first, and refused unless it is what
``torch.export.save`` writes of a model of plain tensors.
"""

import ast
import contextlib
import io
import json
import logging
import os
import pickle
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch

from xai_mimo.core.archives import content, members
from xai_mimo.core.errors import FileProblem, XaiMimoError
from xai_mimo.core.loading import unreadable
from xai_mimo.core.trust import refuse_untrusted

_WHAT = "an exported program of PyTorch (torch.export.save)"
_OLD = "serialized_exported_program.json"
_OPERATOR = re.compile(r"(torch\.ops\.\w+\.\w+(\.\w+)?|torch\._?sym_\w+|_operator\.\w+|math\.\w+)")
# What can stand in Python without calling anything: no brackets, quotes, line ends, "=" or ";".
_TEXT = re.compile(r"[\w.:,\-+<>/ ]*")
_EXPRESSIONS = {"expr_str": "an expression", "guards_code": "a guard"}
_NESTED, _JSON = ("in_spec", "out_spec", "context"), ("[", "{", '"')
_READS_FILES = ("from_file", "load_library")
# What expressions of sizes are made of: sympy's own, and those that torch adds.
# fmt: off
_CALLED = frozenset((
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Mod", "Max", "Min", "Abs", "Eq", "Ne", "Lt", "Le",
    "Gt", "Ge", "And", "Or", "Not", "Equality", "Unequality", "GreaterThan", "LessThan", "StrictGreaterThan",
    "StrictLessThan", "floor", "ceiling", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv", "CeilDiv",
    "CeilToInt", "FloorToInt", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv", "IntTrueDiv",
    "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity", "int", "float",
))
# fmt: on
_ASKED_OF_TENSORS = frozenset({"size", "stride", "storage_offset", "dim", "shape"})
_NODES = (
    ast.Expression, ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.Call, ast.Name, ast.Constant, ast.Load,
    ast.keyword, ast.operator, ast.unaryop, ast.boolop, ast.cmpop, ast.Subscript, ast.Attribute,
)  # fmt: skip


def is_exported(names: Iterable[str]) -> bool:
    """Whether an archive with files of these names is an exported program."""
    return any(re.fullmatch(r"[^/]+/models/[^/]+\.json", name) or name == _OLD for name in names)


def load_exported(path: Path, *, trust: bool = False) -> Any:
    """The program in a ``.pt2`` file.

    Args:
        path: of the file. trust: also read compiled libraries, pickled objects and expressions of any kind.
    Raises:
        FileProblem: it is something else, or damaged. NotTrusted: it would run code; says of what kind.
    """
    names = members(path, _WHAT)
    if not is_exported(names):
        raise FileProblem(f"'{path}' is not {_WHAT}: there is no program in the archive.")
    readable = str(path) if trust else _checked_copy(path, names)
    try:
        with _plain_weights(not trust), _quiet():
            return torch.export.load(readable)
    except XaiMimoError:
        raise
    except Exception as err:  # RuntimeError, AssertionError, KeyError: of a damaged file, or one of another version
        if not trust and isinstance(err, pickle.UnpicklingError) and "unsupported" in str(err).lower():
            # Its own words tell to read it unchecked.
            raise _refused(path, "a pickled object", "among its weights or example inputs") from err
        raise unreadable(path, err, _WHAT) from err


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """What torch logs of a file that it cannot read is said by the error."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch._export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _checked_copy(path: Path, names: Iterable[str]) -> io.BytesIO:
    """The archive, written anew with what was checked: another reader may find other files in the one that was given.

    Raises:
        NotTrusted: it would run code. FileProblem: two of its files have one name for a reader that does not see
            capitals.
    """
    lower = [name.lower().replace("\\", "/") for name in names]
    if len(set(lower)) < len(lower):
        raise FileProblem(f"'{path}' is not {_WHAT}: two files in the archive have one name.")
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as written:
        for name, seen in zip(names, lower, strict=True):
            held = content(path, name)
            if "/aotinductor/" in seen:
                raise _refused(path, "a compiled library", name)
            if "custom_obj" in seen:
                raise _refused(path, "a pickled object", name)
            if seen.endswith(".json") or "/models/" in seen:
                held = _checked_program(path, name, held)
            written.writestr(name, held)
    copy.seek(0)
    return copy


@contextlib.contextmanager
def _plain_weights(wanted: bool) -> Iterator[None]:
    """Where wanted, every ``torch.load`` inside reads weights alone, also where its caller says otherwise."""
    switches = {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "0"}
    before = {name: os.environ.get(name) for name in switches}
    if wanted:
        os.environ.update(switches)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is not None:
                os.environ[name] = value
            else:
                os.environ.pop(name, None)


def _checked_program(path: Path, name: str, held: bytes) -> bytes:
    """A part of a program in JSON without its metadata, which hold texts of any kind, after its texts were checked."""
    try:
        found = json.loads(held)
        return json.dumps(_checked(path, found, "")).encode()
    except (ValueError, RecursionError) as err:
        raise FileProblem(f"'{path}' is damaged: '{name}' in it is no JSON.") from err


def _checked(path: Path, value: Any, key: str) -> Any:
    """A value of a program under a key, without metadata; torch writes Python of most texts, and runs it.

    Raises:
        NotTrusted: a text is more than the name or the expression that it should be.
    """
    if isinstance(value, dict):
        return {_plain(path, k): {} if k == "metadata" else _checked(path, v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [_checked(path, each, key) for each in value]
    if isinstance(value, str):
        _check_text(path, value, key)
    return value


def _check_text(path: Path, text: str, key: str) -> None:
    if key in _EXPRESSIONS:
        if not is_harmless(text):
            raise _refused(path, f"{_EXPRESSIONS[key]} that is none of sizes", text)
    elif key in _NESTED and text[:1] in _JSON:
        _checked(path, json.loads(text), "")
    elif key == "target" and not _is_operator(text):
        raise _refused(path, "a call of what is no operator", text)
    elif key == "path_name" and "custom_obj" in text.lower():
        raise _refused(path, "a pickled object", text)
    else:
        _plain(path, text)


def _plain(path: Path, text: str) -> str:
    if not _TEXT.fullmatch(text):
        raise _refused(path, "a name that is none", text)
    return text


def _is_operator(target: str) -> bool:
    return _OPERATOR.fullmatch(target) is not None and not any(part in _READS_FILES for part in target.split("."))


def is_harmless(expression: str) -> bool:
    """Whether an expression only computes with sizes: numbers, names, and calls of functions that are known."""
    if len(expression) > 10_000 or any(mark in expression for mark in "#\\\n\r"):
        return False
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(node) for node in ast.walk(tree))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _ASKED_OF_TENSORS
    if isinstance(node, ast.Constant):  # torch puts a guard between quotes, too
        return isinstance(node.value, int | float) or (
            isinstance(node.value, str) and bool(_TEXT.fullmatch(node.value))
        )
    if isinstance(node, ast.Call):
        called = node.func
        return isinstance(called, ast.Attribute) or (isinstance(called, ast.Name) and called.id in _CALLED)
    return isinstance(node, _NODES)


def _refused(path: Path, what: str, which: str) -> FileProblem:
    shown = which if len(which) < 80 else f"{which[:80]}..."
    return refuse_untrusted(path, f"holds {what} ({shown}), which would run code when it is read or called")
