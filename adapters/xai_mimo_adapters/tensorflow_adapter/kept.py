"""Graphs of gradients and maps, kept while their model lives and is traced to the same operations: the costly traces.

A model is traced for its outputs whenever it is adapted, and what was kept is used where that gave the operations of
before, on the same variables. So ``explain(model, x)`` tells of the model as it is, and traces no gradients twice. Kept
graphs hold variables and never the model, which is freed when its user drops it.
"""

import threading
import weakref
from collections.abc import Hashable
from typing import Any

Graphs = dict[Hashable, Any]

_LOCK = threading.RLock()
_OF_MODELS: "weakref.WeakKeyDictionary[Any, dict[Hashable, Graphs]]" = weakref.WeakKeyDictionary()
_MOST = 8
"""So many forms of one model, such as signatures, have their graphs kept; the oldest goes."""


def kept_graphs(model: Any, form: Hashable) -> Graphs:
    """Graphs by what they are of, of a model in this form; an empty mapping where there are none yet.

    Args:
        model: as the user gave it. form: all that its graphs depend on.
    """
    with _LOCK:
        try:
            forms = _OF_MODELS.setdefault(model, {})
        except TypeError:  # what cannot be referred to weakly is not kept
            return {}
        graphs = forms.pop(form, {})
        forms[form] = graphs
        while len(forms) > _MOST:
            forms.pop(next(iter(forms)))
        return graphs
