"""Fitted estimators from files that run no code: skops, and the model files of the libraries of boosted trees."""

import json
from pathlib import Path
from typing import Any

from xai_mimo.core.archives import but_seems, members, start_of
from xai_mimo.core.errors import FileProblem, MissingDependency
from xai_mimo.core.loading import unreadable
from xai_mimo.core.trust import refuse_untrusted
from xai_mimo_adapters.sklearn_adapter.ubjson import is_whole

_SHOWN = 8
_XGBOOST_JSON, _CATBOOST_JSON = "learner", "oblivious_trees"


def load_skops(path: Path, *, trust: bool = False) -> Any:
    """What ``skops.io.dump`` wrote; types that skops does not know as harmless are only made where they are trusted.

    Args:
        path: of the file. trust: also make objects of the types that skops does not trust, which may run code.
    Raises:
        FileProblem: it is no such file, or damaged. NotTrusted: it needs types that skops does not trust; names them.
        MissingDependency: skops is not installed.
    """
    what = "a file of skops"
    if "schema.json" not in members(path, what):
        raise FileProblem(f"'{path}' is not {what}: there is no schema.json in the archive.")
    skops = _imported("skops.io", "'.skops' files are read by skops: pip install 'xai-mimo[skops]'")
    try:
        untrusted = skops.get_untrusted_types(file=path)
        if untrusted and not trust:
            raise _untrusted_types(path, untrusted)
        return skops.load(path, trusted=untrusted)
    except (FileProblem, MemoryError):
        raise
    except Exception as err:  # of a damaged file: KeyError, zipfile's, JSON's, and skops's own
        raise unreadable(path, err, what) from err


def _untrusted_types(path: Path, types: list[str]) -> FileProblem:
    more = f" and {len(types) - _SHOWN} more" if len(types) > _SHOWN else ""
    return refuse_untrusted(
        path,
        f"makes objects of types that skops does not know as harmless, and making them can run code: "
        f"{', '.join(types[:_SHOWN])}{more}",
    )


def load_json(path: Path, *, trust: bool = False) -> Any:
    """A model of XGBoost or CatBoost in JSON.

    Args:
        path: of the file. trust: not needed, since nothing of such a file is run as code.
    Raises:
        FileProblem: it is no JSON, or JSON of something else. MissingDependency: its library is not installed.
    """
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as err:
        raise FileProblem(f"'{path}' is not a model in JSON: it cannot be read as JSON.") from err
    keys = found if isinstance(found, dict) else {}
    if _XGBOOST_JSON in keys:
        return _xgboost(path)
    if _CATBOOST_JSON in keys:
        return _catboost(path, "json")
    if "schema" in keys:
        raise FileProblem(
            f"'{path}' is not a saved model but a record: `xai-mimo report {path}` without rows draws it again."
        )
    raise FileProblem(f"'{path}' is not a model in JSON as XGBoost (save_model) or CatBoost (format='json') writes it.")


def load_ubj(path: Path, *, trust: bool = False) -> Any:
    """A model of XGBoost in UBJSON.

    Args:
        path: of the file. trust: not needed, since nothing of such a file is run as code.
    Raises:
        FileProblem: it is something else, or damaged. MissingDependency: xgboost is not installed.
    """
    start = start_of(path, 64)
    if not start.startswith(b"{") or _XGBOOST_JSON.encode() not in start:
        raise FileProblem(f"'{path}' is not a model of XGBoost in UBJSON{but_seems(path)}.")
    if not is_whole(path.read_bytes()):
        raise FileProblem(f"'{path}' is not a model of XGBoost in UBJSON: it is damaged or was cut short.")
    return _xgboost(path)


def load_txt(path: Path, *, trust: bool = False) -> Any:
    """A model of LightGBM, which is text.

    Args:
        path: of the file. trust: not needed, since nothing of such a file is run as code.
    Raises:
        FileProblem: it is something else, or damaged. MissingDependency: lightgbm is not installed.
    """
    if not start_of(path, 64).replace(b"\r", b"").startswith(b"tree\nversion=v"):
        raise FileProblem(f"'{path}' is not a model of LightGBM (booster.save_model){but_seems(path)}.")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise unreadable(path, err, "a model of LightGBM") from err
    # LightGBM itself ends the process on a file that was cut short.
    if "\nend of trees" not in text or ("\nparameters:" in text and "\nend of parameters" not in text):
        raise FileProblem(f"'{path}' is not a model of LightGBM: it is damaged or was cut short.")
    lightgbm = _imported("lightgbm", "models of LightGBM are read by it: pip install lightgbm")
    try:
        return lightgbm.Booster(model_str=text)
    except lightgbm.basic.LightGBMError as err:
        raise unreadable(path, err, "a model of LightGBM") from err


def load_cbm(path: Path, *, trust: bool = False) -> Any:
    """A model of CatBoost.

    Args:
        path: of the file. trust: not needed, since nothing of such a file is run as code.
    Raises:
        FileProblem: it is something else, or damaged. MissingDependency: catboost is not installed.
    """
    if not start_of(path).startswith(b"CBM1"):
        raise FileProblem(f"'{path}' is not a model of CatBoost (save_model){but_seems(path)}.")
    return _catboost(path, "cbm")


def _xgboost(path: Path) -> Any:
    xgboost = _imported("xgboost", "models of XGBoost are read by it: pip install xgboost")
    try:
        return xgboost.Booster(model_file=path)
    except xgboost.core.XGBoostError as err:
        said = next((line for line in str(err).splitlines() if line.strip()), "it is damaged")
        raise unreadable(path, ValueError(said), "a model of XGBoost") from err


def _catboost(path: Path, form: str) -> Any:
    catboost = _imported("catboost", "models of CatBoost are read by it: pip install catboost")
    try:
        return catboost.CatBoost().load_model(str(path), format=form)
    except catboost.CatBoostError as err:
        raise unreadable(path, err, "a model of CatBoost") from err


def _imported(module: str, lacking: str) -> Any:
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as missing:
        raise MissingDependency(lacking) from missing
