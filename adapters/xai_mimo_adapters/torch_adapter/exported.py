"""``.pt2`` files: programs that ``torch.export`` wrote, without what could run code while they are read or called.

``torch.export.load`` unpickles weights where they are no plain tensors, evaluates expressions and guards that the file
holds as text, and loads compiled libraries. Without trust all of this is looked at first, and refused unless it is what
``torch.export.save`` writes of a model of plain tensors.
"""

import ast
import contextlib
import json
import os
import re
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
    if not trust:
        _check(path, names)
    try:
        with _plain_weights(not trust):
            return torch.export.load(path)
    except XaiMimoError:
        raise
    except Exception as err:  # RuntimeError, AssertionError, KeyError: of a damaged file, or one of another version
        raise unreadable(path, err, _WHAT) from err


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


def _check(path: Path, names: Iterable[str]) -> None:
    """Refuse a file that would run code.

    Raises:
        NotTrusted: it would. FileProblem: two of its files have one name for a reader that does not see capitals.
    """
    lower = [name.lower().replace("\\", "/") for name in names]
    if len(set(lower)) < len(lower):
        raise FileProblem(f"'{path}' is not {_WHAT}: two files in the archive have one name.")
    for name, seen in zip(names, lower, strict=True):
        if "/aotinductor/" in seen:
            raise _refused(path, "a compiled library", name)
        if "custom_obj" in seen:
            raise _refused(path, "a pickled object", name)
        if seen.endswith(".json") or "/models/" in seen:
            _check_program(path, name)


def _check_program(path: Path, name: str) -> None:
    try:
        found = json.loads(content(path, name))
    except (ValueError, RecursionError) as err:
        raise FileProblem(f"'{path}' is damaged: '{name}' in it is no JSON.") from err
    for key, value in _entries(found):
        if key == "path_name" and isinstance(value, str) and "custom_obj" in value.lower():
            raise _refused(path, "a pickled object", value)
        if key == "expr_str" and not is_harmless(value):
            raise _refused(path, "an expression that is none of sizes", value)
        if key == "range_constraints" and isinstance(value, dict) and not all(map(is_harmless, value)):
            raise _refused(path, "an expression that is none of sizes", ", ".join(value))
        if key == "guards_code" and not all(map(is_harmless, value or ())):
            raise _refused(path, "a guard that is none of sizes", "; ".join(map(str, value)))
        if key == "target" and isinstance(value, str) and not _is_operator(value):
            raise _refused(path, "a call of what is no operator", value)


def _entries(found: Any) -> Iterator[tuple[str, Any]]:
    """Every entry of every mapping in a JSON value."""
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield from value.items()
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value


def _is_operator(target: str) -> bool:
    return _OPERATOR.fullmatch(target) is not None and not any(part in _READS_FILES for part in target.split("."))


def is_harmless(expression: Any) -> bool:
    """Whether an expression only computes with sizes: numbers, names, and calls of functions that are known."""
    if not isinstance(expression, str) or len(expression) > 10_000:
        return False
    try:
        tree = ast.parse(expression.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_is_harmless(node) for node in ast.walk(tree))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Attribute):
        return node.attr in _ASKED_OF_TENSORS
    if isinstance(node, ast.Call):
        called = node.func
        if isinstance(called, ast.Attribute):
            return called.attr in _ASKED_OF_TENSORS
        return isinstance(called, ast.Name) and called.id in _CALLED
    return isinstance(node, _NODES)


def _refused(path: Path, what: str, which: str) -> FileProblem:
    shown = which if len(which) < 80 else f"{which[:80]}..."
    return refuse_untrusted(path, f"holds {what} ({shown}), which would run code when it is read or called")
