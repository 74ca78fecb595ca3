"""Numbers about maps, a family of metrics a file: pure functions first, and the ``Metric`` objects that call them.

House rule: the functions take arrays and return arrays per row; a metric reads a ``Scene`` and gives ``Quantity``
values, and makes no row of the record, no interval and no p-value. ``xai_mimo.metrics()`` lists what is installed.
"""

import sys
from types import ModuleType
from typing import Any


class _CallableRoom(ModuleType):
    # ``xm.metrics()`` lists the metrics, and importing any file of this room puts the room itself in the place of
    # whatever ``xai_mimo.metrics`` was before: so the room answers the call.
    def __call__(self) -> Any:
        from xai_mimo.metrics.installed import metrics

        return metrics()


sys.modules[__name__].__class__ = _CallableRoom
