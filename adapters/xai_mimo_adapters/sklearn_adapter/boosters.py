"""XGBoost, LightGBM and CatBoost, in their native forms and in those of scikit-learn.

All answer "decision_function" with the sum over their trees, which each library calls otherwise: ``output_margin`` in
XGBoost, ``raw_score`` in LightGBM, ``RawFormulaVal`` in CatBoost.
"""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo_adapters.sklearn_adapter.questions import OUTPUTS, Question, estimator_kind

LIBRARIES = ("xgboost", "lightgbm", "catboost")
_TRAINED = "the loss it was trained with"


class Booster(NamedTuple):
    """What one of these models takes and is asked.

    Attributes:
        names: of its columns, () where it has none. width: how many.
        question: how it is asked.
        content: all that it computes with, as its library writes it.
    """

    names: tuple[str, ...]
    width: int
    question: Question
    content: Callable[[], bytes]


class _Objective(NamedTuple):
    """What a model was trained for: its heads, and how its margin becomes probabilities."""

    kind: str
    """ "binary", "multiclass", "multilabel" or "regression"."""
    classes: int = 1


def library_of(model: Any) -> str:
    """The library that a model is of, by its class; "" for none of these."""
    roots = [kind.__module__.split(".")[0] for kind in type(model).__mro__]
    return next((root for root in roots if root in LIBRARIES), "")


def read_booster(model: Any, output: str | None) -> Booster:
    """Read a model of one of these libraries.

    Args:
        model: fitted. output: one of ``OUTPUTS``, None for the probability where there is one.
    Raises:
        NotSupported: not fitted, or it has no such output. BadSetting: no such output at all.
    """
    if output is not None and output not in OUTPUTS:
        raise BadSetting(f"output is one of {', '.join(OUTPUTS)}; got {output!r}.")
    return {"xgboost": _of_xgboost, "lightgbm": _of_lightgbm, "catboost": _of_catboost}[library_of(model)](
        model, output
    )


def _of_xgboost(model: Any, output: str | None) -> Booster:
    is_wrapped = hasattr(model, "get_booster")
    if is_wrapped and not model.__sklearn_is_fitted__():
        raise not_fitted(model)
    booster = model.get_booster() if is_wrapped else model
    learner = json.loads(booster.save_config())["learner"]
    name = learner["objective"]["name"]
    targets = int(learner["learner_model_param"].get("num_target", 1))
    if name.startswith("multi:"):
        objective = _Objective("multiclass", int(learner["learner_model_param"]["num_class"]))
    elif name in ("binary:logistic", "reg:logistic", "binary:logitraw") and (not is_wrapped or _classifies(model)):
        objective = _Objective("multilabel" if targets > 1 else "binary", targets)
    else:
        objective = _Objective("regression", targets)

    def margin(rows: Any) -> Any:
        if is_wrapped:
            return model.predict(rows, output_margin=True)
        return booster.predict(_matrix(rows, booster), output_margin=True)

    def value(rows: Any) -> Any:
        if is_wrapped and _classifies(model):
            return model.predict_proba(rows)
        if name in ("multi:softmax", "binary:logitraw"):
            return _probabilities(margin(rows))
        return model.predict(rows) if is_wrapped else booster.predict(_matrix(rows, booster))

    names = tuple(booster.feature_names or ())
    question = _question(model, objective, value, margin, output)
    return Booster(names, int(booster.num_features()), question, lambda: bytes(booster.save_raw("ubj")))


def _matrix(rows: Any, booster: Any) -> Any:
    import xgboost

    return xgboost.DMatrix(rows, enable_categorical="c" in (booster.feature_types or ()))


def _of_lightgbm(model: Any, output: str | None) -> Booster:
    is_wrapped = hasattr(model, "booster_") or hasattr(model, "get_params")
    if is_wrapped and not model.__sklearn_is_fitted__():
        raise not_fitted(model)
    booster = model.booster_ if is_wrapped else model
    name, *settings = str(booster.dump_model(num_iteration=1).get("objective", "")).split()
    if name in ("multiclass", "multiclassova"):
        classes = next(int(s.removeprefix("num_class:")) for s in settings if s.startswith("num_class:"))
        objective = _Objective("multiclass", classes)
    else:
        objective = _Objective("binary" if name == "binary" else "regression")

    def margin(rows: Any) -> Any:
        return model.predict(rows, raw_score=True)

    def value(rows: Any) -> Any:
        return model.predict_proba(rows) if is_wrapped and _classifies(model) else model.predict(rows)

    was_named = not is_wrapped or hasattr(model, "feature_names_in_")
    names = tuple(booster.feature_name()) if was_named else ()
    # Names that LightGBM made itself, of rows that had none.
    names = () if names == tuple(f"Column_{i}" for i in range(len(names))) else names
    question = _question(model, objective, value, margin, output)
    return Booster(names, int(booster.num_feature()), question, lambda: booster.model_to_string().encode())


def _of_catboost(model: Any, output: str | None) -> Booster:
    if not model.is_fitted():
        raise not_fitted(model)
    loss = str(model.get_all_params().get("loss_function", "")).split(":")[0]
    classes = np.asarray(model.classes_)
    kinds = {
        "Logloss": "binary",
        "CrossEntropy": "binary",
        "MultiClass": "multiclass",
        "MultiClassOneVsAll": "multiclass",
    }
    kinds |= {"MultiLogloss": "multilabel", "MultiCrossEntropy": "multilabel"}
    objective = _Objective(kinds.get(loss, "regression"), len(classes) if classes.size else 1)

    def margin(rows: Any) -> Any:
        return model.predict(rows, prediction_type="RawFormulaVal")

    def value(rows: Any) -> Any:
        of_classes = objective.kind != "regression"
        return model.predict(rows, prediction_type="Probability") if of_classes else model.predict(rows)

    names = tuple(model.feature_names_)
    # Names that CatBoost made itself, of rows that had none.
    names = () if names == tuple(str(i) for i in range(len(names))) else names
    question = _question(model, objective, value, margin, output)
    return Booster(names, int(model.n_features_in_), question, lambda: bytes(model._serialize_model()))


def not_fitted(model: Any) -> NotSupported:
    """The refusal of a model without weights."""
    name = type(model).__name__
    return NotSupported(f"{name} is not fitted, so it has no answers yet. Fit it first: model.fit(x, y).")


def _classifies(model: Any) -> bool:
    return hasattr(model, "predict_proba")


def _question(
    model: Any, objective: _Objective, value: Callable[[Any], Any], margin: Callable[[Any], Any], output: str | None
) -> Question:
    if objective.kind == "regression":
        if output == "predict_proba":
            raise NotSupported(f"{type(model).__name__} was trained to predict numbers: it has no probabilities.")
        ask = margin if output == "decision_function" else value
        return Question(output or "predict", ask, kind_from=_TRAINED)
    if output == "predict":
        raise NotSupported(
            f"{type(model).__name__} was trained on classes, and a predicted class is no number that inputs could add "
            "to; there is predict_proba and decision_function."
        )
    is_margin = output == "decision_function"
    count = 2 if objective.kind == "binary" else objective.classes
    unit = "probability" if not is_margin else "logit" if objective.kind == "multiclass" else "log-odds"
    own = [str(c) for c in np.ravel(getattr(model, "classes_", ()))] if estimator_kind(model) == "classifier" else []
    has_classes = len(own) == count
    classes = tuple(own) if has_classes else tuple(str(i) for i in range(count))
    return Question(
        output or "predict_proba",
        margin if is_margin else value,
        (classes,),
        objective.kind == "multilabel",
        unit=unit,
        kind_from="classes_" if has_classes else _TRAINED,
    )


def _probabilities(margin: Any) -> Any:
    """Of margins: softmax over classes, sigmoid of a single one."""
    margin = np.asarray(margin, dtype=np.float64)
    if margin.ndim == 1:
        return np.exp(-np.logaddexp(0, -margin))
    grown = np.exp(margin - margin.max(axis=1, keepdims=True))
    return grown / grown.sum(axis=1, keepdims=True)
